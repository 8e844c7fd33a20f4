"""Moving, through mud."""

from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.moving import CHANGING, SET_UP
from reworld.policies import compose_action

ID = "reworld/Moving-v1"


@cache
def without() -> Episodes:
    return play(ID, CHANGING, SET_UP.without, 400)


@cache
def configuring() -> Episodes:
    return play(ID, CHANGING, SET_UP.configuring, 400)


def test_configuring_is_worth_it() -> None:
    assert configuring().low - without().high >= 0.3 * configuring().high


def test_it_is_paid_for() -> None:
    assert without().costs.max() == 0.0
    gain = configuring().returns.mean() + configuring().costs.mean() - without().returns.mean()
    assert 0.1 * gain < configuring().costs.mean() < 0.3 * gain
    assert configuring().costs.max() < 0.8


def test_configuring_at_random_is_bad() -> None:
    assert play_configured_at_random(ID, CHANGING, SET_UP.without, 400).high < without().low


def test_the_easiest_ground_and_engine_cost_more_than_they_are_worth() -> None:
    def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
        if observation[2] == 0.0 and observation[10] > 0.0 and observation[12] == 1.0:
            return 3, (0.0,)
        if observation[2] == 0.0 and observation[11] < 1.0 and observation[12] == 1.0:
            return 4, (0.35,)
        return SET_UP.without(observation)

    assert play(ID, CHANGING, policy, 400).high < 0.5 * configuring().low


def test_nobody_does_better_without() -> None:
    batch: Any = gymnasium.make_vec(ID, 400, vectorization_mode="vector_entry_point", changing=CHANGING)
    observations, _ = batch.reset(seed=0)
    bounds = np.array([most_without(away) for away in observations[:, 7].tolist()])
    assert (without().returns <= bounds).all()
    assert without().returns.mean() > bounds.mean() - 0.05
    assert bounds.mean() < 0.7 * configuring().low


def most_without(away: float) -> float:
    """A return that nobody exceeds: as if the agent faced the target from the start."""
    driving, braking = [], [0.0]
    for _ in range(200):
        driving.append(((driving[-1] if driving else 0.0) + 0.06) * 0.94)  # No speed is higher after so many steps,
        braking.append(braking[-1] / 0.94 + 0.1)  # and none from which the agent is at rest in so many steps.
    most = 0.005 * sum(driving) - 0.003 * 200
    for steps in range(1, 201):
        way = 0.005 * sum(min(driving[k], braking[steps - 1 - k]) for k in range(steps))
        if way > away - 0.1:
            most = max(most, 1.0 + min(way, away) - 0.003 * steps)
    return most


def test_what_is_paid_for_is_the_use() -> None:
    env: Any = gymnasium.make(ID, changing=CHANGING)
    env.reset(seed=0)
    act = [compose_action(env.unwrapped.world, *action) for action in ((3, (8.0,)), (0, (1.0,)), (3, (12.0,)), (0, (1.0,)))]
    costs = [env.step(action)[4]["cost"] for action in act]
    assert costs == pytest.approx([0.0, 0.08 * 0.2**2, 0.0, 0.0])
