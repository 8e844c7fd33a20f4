"""Every registered world keeps the contract: a new world is tested by being registered."""

from collections.abc import Callable

import gymnasium
import pytest

import reworld
from reworld.testing import CHECKS

IDS = [id for id in gymnasium.registry if id.startswith("reworld/")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("id", [pytest.param(id, marks=pytest.mark.xdist_group(id)) for id in IDS])
def test_contract(id: str, check: Callable[[str], None]) -> None:
    check(id)


def test_every_world_is_registered() -> None:
    assert {"reworld/CartPole-v0", "reworld/Platform-v0"} <= set(IDS)
    assert reworld.__version__
