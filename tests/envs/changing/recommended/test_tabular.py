"""RiverSwim, with stones."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.tabular import CHANGING, SET_UP
from reworld.finite import FiniteMDP, exact_model
from reworld.worlds.tabular import tabular

ID = "reworld/Tabular-v0"
STEPS, EPOCH = 100, 20
NAMES = list(CHANGING.configurations)

Array = np.ndarray[Any, np.dtype[np.float64]]


@cache
def without() -> Episodes:
    return play(ID, CHANGING, SET_UP.without, 500)


@cache
def configuring() -> Episodes:
    return play(ID, CHANGING, SET_UP.configuring, 500)


@cache
def rivers() -> list[FiniteMDP]:
    nominal = CHANGING.configurations[NAMES[0]]
    return [exact_model(tabular(), {**nominal, **values}) for values in CHANGING.configurations.values()]


@cache
def prices() -> Array:
    """80000 times the divergence of each river from each."""
    kernels = np.array([river.kernel for river in rivers()])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(kernels > 0.0, kernels * np.log(kernels / kernels[:, None]), 0.0)
    return np.asarray(80_000.0 * terms.sum(axis=(2, 3, 4)))


def best(may_configure: bool) -> Array:
    """What the best of all policies returns, from every state: by stones there, stones under way, steps of the epoch, state."""
    count = len(NAMES) if may_configure else 1
    kernels = np.array([river.kernel for river in rivers()[:count]])
    rewards = np.array([river.expected_rewards for river in rivers()[:count]])
    same = np.arange(count)
    worth = np.zeros((count, count, EPOCH, 6))
    for _ in range(STEPS):
        # After the last step of an epoch what was under way is there.
        following = np.concatenate(
            [worth[:, :, 1:], np.broadcast_to(worth[same, same, 0], (count, count, 6))[:, :, None]], axis=2
        )
        acted = (rewards[:, None, None] + np.einsum("csat,cwpt->cwpsa", kernels, following)).max(axis=-1)
        # Stones under way are at most replaced: the price is that of the river as it then will be.
        thrown = worth[:, None, :, 0] - prices()[:count, :count, None]
        acted[:, :, 0] = np.maximum(acted[:, :, 0], thrown.max(axis=2))
        worth = acted
    return np.asarray(worth[0, 0, 0])


def expected(stones: str | None) -> float:
    """What it returns to throw these stones at once and to swim."""
    worth, steps = np.zeros(6), STEPS - (stones is not None)
    for left in range(1, steps + 1):
        there = stones if stones is not None and steps - left >= EPOCH else NAMES[0]
        river = rivers()[NAMES.index(there)]
        worth = river.expected_rewards[:, 1] + river.kernel[:, 1] @ worth
    return float(worth.mean() - (prices()[0, NAMES.index(stones)] if stones is not None else 0.0))


def test_nobody_does_better() -> None:
    assert best(may_configure=False).mean() == pytest.approx(62727.8, abs=0.1)
    assert expected(None) == pytest.approx(best(may_configure=False).mean(), abs=1.0)
    assert best(may_configure=True).mean() == pytest.approx(169287.8, abs=0.1)
    assert expected("stones_from_3") == pytest.approx(best(may_configure=True).mean(), abs=1.0)


def test_configuring_is_worth_it_and_paid_for() -> None:
    cost = prices()[0, NAMES.index("stones_from_3")]
    before, after = expected(None), expected("stones_from_3")
    assert after - before > 0.6 * after
    assert 0.15 * (after + cost - before) < cost < 0.2 * (after + cost - before)


@pytest.mark.parametrize("stones", [name for name in NAMES[1:] if name != "stones_from_3"])
def test_more_stones_are_worth_less_and_so_are_fewer_or_others(stones: str) -> None:
    assert expected(stones) < 0.985 * expected("stones_from_3")


def test_stones_at_the_wrong_end_are_worth_less_than_none() -> None:
    assert expected("stones_to_3") < 0.9 * expected(None)


def test_episodes_return_what_is_computed() -> None:
    assert without().low < expected(None) < without().high
    assert configuring().low < expected("stones_from_3") < configuring().high
    assert not without().costs.any()
    np.testing.assert_allclose(configuring().costs, prices()[0, NAMES.index("stones_from_3")], rtol=1e-12)


def test_configuring_at_random_is_bad() -> None:
    assert play_configured_at_random(ID, CHANGING, SET_UP.without, 500).high < 0.8 * configuring().low
