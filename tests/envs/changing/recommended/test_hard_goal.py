"""Hard Goal, with a wet ball."""

from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.hard_goal import CHANGING, SET_UP
from reworld.policies import compose_action

ID = "reworld/HardGoal-v1"


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
    assert 0.1 * gain < configuring().costs.min() < configuring().costs.max() < 0.4 * gain


def test_going_on_to_the_easiest_ball_and_goal_costs_more_than_it_is_worth() -> None:
    def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
        for k, amount, easiest in ((0, -0.06, 0.0), (1, 3.5, 1.0)):
            if observation[19 + k] != easiest:
                return 11 + k, (amount,)
        return SET_UP.configuring(np.append(observation[:20], 1.0))

    easiest = play(ID, CHANGING, policy, 600)
    assert easiest.successes.all()
    assert easiest.high < configuring().low


def test_configuring_at_random_is_bad() -> None:
    assert play_configured_at_random(ID, CHANGING, SET_UP.without, 600).high < 0.5 * configuring().low


def test_a_change_goes_only_so_far_and_waits_for_the_next_touch() -> None:
    env: Any = gymnasium.make(ID, changing=CHANGING)
    env.reset(seed=0)
    world = env.unwrapped.world
    too_far = env.step(compose_action(world, 11, (-0.09,)))
    assert not too_far[4]["configured"]
    assert too_far[4]["cost"] == 0.0
    changed = env.step(compose_action(world, 11, (-0.06,)))
    assert changed[4]["cost"] == pytest.approx(4.8)
    assert changed[0][17:21:2] == pytest.approx([0.5, 0.3])
    touched = env.step(compose_action(world, 0, tuple(changed[0][:2])))
    assert not touched[2]
    assert touched[0][17:21:2] == pytest.approx([0.3, 0.3])


def test_this_keeper_cannot_be_passed() -> None:
    count, rng = 20_000, np.random.default_rng(0)
    batch: Any = gymnasium.make_vec(ID, count, vectorization_mode="vector_entry_point", changing=CHANGING)
    batch.reset(seed=0)
    passes = rng.uniform(-1.0, 1.0, (count, 2)).astype(np.float32)
    none = tuple(np.zeros((count, 1), np.float32) for _ in range(12))
    _, _, lost, _, _ = batch.step((np.zeros(count, np.int64), (passes, *none)))
    assert lost.mean() > 0.94
