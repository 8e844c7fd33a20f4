"""Platform, on a planet too heavy to leap its gaps."""

from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.platform import CHANGING, SET_UP
from reworld.worlds.platform import HOP, WORLD

ID = "reworld/Platform-v0"


@cache
def without() -> Episodes:
    return play(ID, CHANGING, SET_UP.without, 300)


@cache
def configuring() -> Episodes:
    return play(ID, CHANGING, SET_UP.configuring, 300)


def test_configuring_is_worth_it() -> None:
    assert configuring().low - without().high >= 0.45 * configuring().high


def test_it_is_paid_for() -> None:
    assert without().costs.max() == 0.0
    gain = configuring().returns.mean() + configuring().costs.mean() - without().returns.mean()
    assert 0.1 * gain < configuring().costs.mean() < 0.3 * gain


def test_configuring_at_random_is_bad() -> None:
    assert play_configured_at_random(ID, CHANGING, SET_UP.without, 300).high < 0.65 * configuring().low


@pytest.mark.parametrize(("gravity", "gap1", "gap2"), [(17.0, 204.0, 235.0), (15.65, 214.3, 235.0), (13.0, 225.0, 235.0)])
def test_to_change_less_or_one_thing_alone_is_worth_less(gravity: float, gap1: float, gap2: float) -> None:
    wishes = ((3, gravity, 17.0), (4, gap1, 225.0), (5, gap2, 235.0))

    def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
        for k, (branch, value, nominal) in enumerate(wishes):
            if observation[9 + k] == 1.0 and value != nominal:
                return branch, (value,)
        return SET_UP.without(observation)

    assert play(ID, CHANGING, policy, 300).high < configuring().low


def farthest_hop(gravity: float) -> float:
    """How far a hop carries at full speed, when there is no noise, until it ends below where it began."""
    time_step, x, y, vx, vy = 0.05, 0.0, 0.0, 70.0, 35.0
    while y >= 0.0:
        x, y = x + vx * time_step, y + vy * time_step
        vx, vy = 0.99 * vx, vy - gravity * time_step
    return x


def test_the_farthest_hop_is_too_short() -> None:
    """By the formula, and in the world: nobody at the very edge, without noise, flies farther, whatever its speed."""
    speeds = np.linspace(0.0, 100.0, 201)
    calm: dict[str, Any] = {"takeoff_noise": 0.0, "player_noise": 0.0, "gravity": 17.0}
    batch: Any = gymnasium.make_vec(
        ID, len(speeds), vectorization_mode="vector_entry_point", configuration=calm, autoreset_mode="Disabled"
    )
    batch.reset(seed=0)
    states = batch.get_state()
    states["state"]["x"], states["state"]["vx"] = 250.0, speeds
    batch.set_state(states)
    batch.step((np.full(len(speeds), HOP), np.full((len(speeds), 3), 720.0)))
    reached = batch.get_state()["state"]["x"] - 250.0
    assert reached.max() == pytest.approx(farthest_hop(17.0), abs=1e-9)
    width = next(p.default for p in WORLD.parameters if p.name == "player_width")
    assert reached.max() == pytest.approx(199.54, abs=0.01)
    assert reached.max() < 225.0 - width


def test_nobody_gets_farther_without() -> None:
    most = (250.0 + farthest_hop(17.0)) / 1035.0
    assert without().returns.max() < most
    assert without().returns.mean() > 0.97 * most
