"""Catch Point, with half the force."""

import math
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.catch_point import CHANGING, SET_UP
from reworld.policies import compose_action

ID = "reworld/CatchPoint-v1"


@cache
def without() -> Episodes:
    return play(ID, CHANGING, SET_UP.without, 1000)


@cache
def configuring() -> Episodes:
    return play(ID, CHANGING, SET_UP.configuring, 1000)


def test_configuring_is_worth_it() -> None:
    assert configuring().low - without().high >= 0.3 * configuring().high


def test_it_is_paid_for() -> None:
    assert without().costs.max() == 0.0
    gain = configuring().returns.mean() + configuring().costs.mean() - without().returns.mean()
    assert 0.1 * gain < configuring().costs.mean() < 0.3 * gain
    # Near targets are caught as they are.
    assert 0.3 < np.mean(configuring().costs == 0.0) < 0.5


def test_configuring_at_random_is_bad() -> None:
    assert play_configured_at_random(ID, CHANGING, SET_UP.without, 1000).high < without().low


def test_nobody_does_better_without() -> None:
    batch: Any = gymnasium.make_vec(ID, 1000, vectorization_mode="vector_entry_point", changing=CHANGING)
    observations, _ = batch.reset(seed=0)
    bounds = np.array([most_without(math.hypot(dx, dy)) for dx, dy in observations[:, 2:4].tolist()])
    assert (without().returns <= bounds + 1e-5).all()
    assert without().returns.mean() > bounds.mean() - 0.1
    assert bounds.mean() < 0.7 * configuring().low


def most_without(away: float) -> float:
    """A return that nobody exceeds: as if the point stopped dead in the target, and the last try cost no step."""
    way = speed = 0.0
    costs = []
    for _ in range(25):
        coasting = way + 0.1 * 0.75 * speed
        if away - coasting <= 0.1:
            return 20.0 - sum(costs)
        speed = 0.75 * speed + 0.1
        way += 0.1 * speed
        costs.append(0.25 * max(away - way, 0.0) ** 2)
    return -sum(costs[:2])


def test_the_strongest_engine_costs_more_than_it_is_worth() -> None:
    def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
        if observation[5] == 0.0 and observation[6] < 1.0:
            return 2, (1.0,)
        return SET_UP.configuring(np.append(observation[:6], (1.0, 0.125)))

    assert play(ID, CHANGING, policy, 1000).high < without().low


def test_a_net_twice_as_large_costs_more_than_it_is_worth() -> None:
    def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
        if observation[5] == 0.0 and observation[7] < 0.3:
            return 3, (0.1,)
        return SET_UP.configuring(observation)

    # The same 1000 starts.
    assert (configuring().returns - play(ID, CHANGING, policy, 1000).returns).mean() > 0.2


@pytest.mark.parametrize(("amount", "price"), [(0.5, 3.0 * (math.exp(0.375) - 1.0)), (1.0, 3.0 * (math.exp(0.75) - 1.0))])
def test_a_shift_fails_one_time_in_ten_and_is_paid_for_all_the_same(amount: float, price: float) -> None:
    batch: Any = gymnasium.make_vec(ID, 4000, vectorization_mode="vector_entry_point", changing=CHANGING)
    batch.reset(seed=0)
    branch, x = compose_action(batch.world, 2, (amount,))
    actions = np.full(4000, branch), tuple(np.repeat(own[None], 4000, axis=0) for own in x)
    _, rewards, _, _, info = batch.step(actions)
    assert rewards == pytest.approx(-price)
    assert 0.88 < info["configured"].mean() < 0.92
