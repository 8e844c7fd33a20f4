"""Sliding, on a wide frozen lake in the cold."""

import math
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.sliding import CHANGING, SET_UP
from reworld.policies import compose_action

ID = "reworld/Sliding-v1"


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


def test_configuring_at_random_is_bad() -> None:
    assert play_configured_at_random(ID, CHANGING, SET_UP.without, 400).high < without().low


@pytest.mark.parametrize(("max_acceleration", "brake"), [(0.5, 0.3), (0.05, 1.0), (1.5, 1.0)])
def test_other_strengths_are_worth_less(max_acceleration: float, brake: float) -> None:
    def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
        if observation[9] == 0.0 and observation[12] == 0.0 and max_acceleration != 0.05:
            return 3, (max_acceleration,)
        if observation[9] == 0.0 and observation[13] == 0.0:
            return 4, (brake,)
        # At another time than the beginning nobody configures.
        return SET_UP.configuring(np.concatenate([observation[:9], [max(observation[9], 1e-9)], observation[10:]]))

    assert (configuring().returns - play(ID, CHANGING, policy, 400).returns).mean() > 0.2


def test_nobody_does_better_without() -> None:
    batch: Any = gymnasium.make_vec(ID, 400, vectorization_mode="vector_entry_point", changing=CHANGING)
    observations, _ = batch.reset(seed=0)
    x, y, _, cosine, sine, target_x, target_y, away = observations[:100, :8].astype(float).T
    off = [math.remainder(angle, 2.0 * math.pi) for angle in np.arctan2(target_y - y, target_x - x) - np.arctan2(sine, cosine)]
    bounds = np.array([most_without(*start) for start in zip(away, np.abs(off), strict=True)])
    returns = without().returns[:100]
    assert (returns <= bounds).all()
    assert returns.mean() > bounds.mean() - 0.12
    assert bounds.mean() < 0.6 * configuring().low


def most_without(away: float, off: float) -> float:
    """A return that nobody exceeds: of one who can turn and push in the same step, towards a target so far and so far off."""
    each = np.arange(1, 201)
    # In so many steps nobody gains more speed towards the target, and
    gained = np.cumsum(0.05 * np.cos(np.clip(off - 0.5 * each, 0.0, 0.5 * np.pi)))
    # nobody loses more of it who has the target before its bow when they begin.
    lost = np.cumsum([0.0, *np.maximum(0.05 * np.sin(np.minimum(0.5 * each, 0.5 * np.pi)), 0.01)])

    def way_to_rest(steps: int) -> float:
        now, last = np.arange(1, steps + 1), np.arange(steps + 1)[:, None]  # Now, and when the target is last before the bow.
        losing = np.where(now <= last, lost[steps - now], lost[steps - last] - lost[np.maximum(now - last, 0)])
        return float(0.005 * np.minimum(gained[:steps], losing).sum(axis=1).max())

    ways = np.minimum(0.005 * np.cumsum(gained), away)
    leaving, late = float((ways - 0.012 * each).max()) - 1.0, float(ways[-1]) - 0.012 * 200
    if way_to_rest(200) <= away - 0.1:
        return max(leaving, late)
    first = next(steps for steps in range(1, 201) if way_to_rest(steps) > away - 0.1)
    resting = max(1.0 + min(way_to_rest(steps), away) - 0.012 * steps for steps in range(first, 201))
    return max(leaving, late, resting)


def test_changes_wait_for_the_next_twenty_steps() -> None:
    env: Any = gymnasium.make(ID, changing=CHANGING)
    env.reset(seed=0)
    push, change = (compose_action(env.unwrapped.world, *action) for action in ((0, (1.0,)), (4, (0.505,))))
    for _ in range(19):
        env.step(push)
        assert not env.step(change)[4]["configured"]
    _, _, _, _, info = env.step(push)
    assert info["action_mask"].all()
    observation, reward, _, _, info = env.step(change)
    assert observation[13] == pytest.approx(0.5)
    assert reward == pytest.approx(-0.125)
