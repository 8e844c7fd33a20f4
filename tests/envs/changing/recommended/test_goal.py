"""Goal, against a keeper that comes out."""

from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.goal import CHANGING, SET_UP

ID = "reworld/Goal-v1"


@cache
def without() -> Episodes:
    return play(ID, CHANGING, SET_UP.without, 600)


@cache
def configuring() -> Episodes:
    return play(ID, CHANGING, SET_UP.configuring, 600)


def test_configuring_is_worth_it() -> None:
    assert configuring().low - without().high >= 0.3 * configuring().high


def test_it_is_paid_for() -> None:
    assert without().costs.max() == 0.0
    gain = configuring().returns.mean() + configuring().costs.mean() - without().returns.mean()
    assert 0.1 * gain < configuring().costs.mean() < 0.3 * gain
    # Each start has a price of its own.
    assert configuring().costs.min() < 3.5 < 12.0 < configuring().costs.max()


@pytest.mark.parametrize(("intercept_power", "catch_distance"), [(4.0, 2.0), (14.0, 1.0), (4.0, 1.0)])
def test_the_easiest_keeper_costs_more_than_it_is_worth(intercept_power: float, catch_distance: float) -> None:
    def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
        if observation[17] == 0.5 and intercept_power != 14.0:
            return 3, (intercept_power,)
        if observation[18] == 0.5 and catch_distance != 2.0:
            return 4, (catch_distance,)
        return SET_UP.configuring(np.append(observation[:17], (0.0, 0.0)))

    assert play(ID, CHANGING, policy, 600).high < configuring().low


def test_configuring_at_random_is_bad() -> None:
    assert play_configured_at_random(ID, CHANGING, SET_UP.without, 600).high < without().low


def test_this_keeper_cannot_be_passed() -> None:
    count, rng = 20_000, np.random.default_rng(0)
    batch: Any = gymnasium.make_vec(ID, count, vectorization_mode="vector_entry_point", changing=CHANGING)
    batch.reset(seed=0)
    passes = np.column_stack([rng.uniform(0.0, 20.0, count), rng.uniform(-15.0, 15.0, count)]).astype(np.float32)
    _, _, lost, _, _ = batch.step((np.zeros(count, np.int64), (passes, *(np.zeros((count, 1), np.float32) for _ in range(4)))))
    assert lost.mean() > 0.95


def test_waiting_makes_every_shot_worse() -> None:
    means = [shots(waiting).mean() for waiting in (0, 2, 5)]
    assert means == sorted(means, reverse=True)
    assert means[0] - means[-1] > 5.0


def shots(waiting: int) -> np.ndarray[Any, Any]:
    """The return of a shot that the player waits before, its ball at its feet."""
    count = 4000
    batch: Any = gymnasium.make_vec(ID, count, vectorization_mode="vector_entry_point", changing=CHANGING)
    observations, _ = batch.reset(seed=0)
    returns, none = np.zeros(count), np.zeros((count, 1), np.float32)
    for _ in range(waiting):
        here = np.column_stack([10.0 * observations[:, 0] + 10.0, 15.0 * observations[:, 1]])
        observations, rewards, _, _, _ = batch.step((np.zeros(count, np.int64), (here, none, none, none, none)))
        returns += rewards
    side = observations[:, 1] > 0.0
    aim = np.where(side, 6.9, -6.9).astype(np.float32)[:, None]
    _, rewards, _, _, _ = batch.step((np.where(side, 1, 2), (np.zeros((count, 2), np.float32), aim, aim, none, none)))
    return returns + rewards
