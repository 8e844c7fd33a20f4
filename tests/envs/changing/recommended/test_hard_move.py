"""Hard Move, in a draught."""

from functools import cache
from typing import Any

import gymnasium
import numpy as np

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.hard_move import CHANGING, SET_UP

ID = "reworld/HardMove-v0"
COUNT, STEPS = 500, 30
FORCE, WIND = 2.0, -0.6

Array = np.ndarray[Any, np.dtype[np.float64]]


@cache
def without() -> Episodes:
    return play(ID, CHANGING, SET_UP.without, COUNT)


@cache
def configuring() -> Episodes:
    return play(ID, CHANGING, SET_UP.configuring, COUNT)


def gain() -> Array:
    """What configuring returns more, in each episode: both have the same targets."""
    return configuring().returns - without().returns


def test_configuring_is_worth_it() -> None:
    assert gain().mean() - 3.0 * gain().std() / COUNT**0.5 > 0.45 * configuring().high


def test_it_is_paid_for() -> None:
    assert without().costs.max() == 0.0
    # Each target has a price of its own, up to what may be spent on both changes.
    assert 0.1 * gain().mean() < configuring().costs.mean() < 0.2 * gain().mean()
    assert configuring().costs.min() < 0.1
    assert 3.5 < configuring().costs.max() <= 4.0


def test_configuring_at_random_is_bad() -> None:
    for policy in (SET_UP.without, SET_UP.configuring):
        assert play_configured_at_random(ID, CHANGING, policy, COUNT).high < configuring().low


def targets() -> tuple[Array, Array]:
    """Where the target lies in each episode."""
    batch: Any = gymnasium.make_vec(ID, COUNT, vectorization_mode="vector_entry_point", changing=CHANGING)
    observations, _ = batch.reset(seed=0)
    return observations[:, 2].astype(np.float64), observations[:, 3].astype(np.float64)


def most(force: float, wind: float, steps: int) -> Array:
    """No policy returns more, whatever it does: after any number of steps each axis is at best where it can be farthest."""
    dx, dy = targets()
    push = force / 2.0**0.5
    # Along each axis: speed and place after pushing one way all the time, and the other way.
    speed, place = np.zeros((2, 2)), np.zeros((2, 2))
    pushes = np.array([[wind - push, wind + push], [-push, push]])
    returns, under_way = np.zeros(COUNT), np.ones(COUNT, np.bool_)
    for _ in range(steps):
        speed = 0.75 * speed + 0.1 * pushes
        place = place + 0.1 * speed
        (left, right), (down, up) = place
        away = np.maximum(0.0, np.maximum(left - dx, dx - right)) ** 2 + np.maximum(0.0, np.maximum(down - dy, dy - up)) ** 2
        reached = away <= 0.2**2 + 1e-7  # The target was observed as float32.
        returns += np.where(under_way, 20.0 * reached - away, 0.0)
        under_way &= ~reached
    return returns


def test_nobody_gets_more_without() -> None:
    bound = most(FORCE, WIND, STEPS)
    assert (without().returns < bound + 1e-5).all()
    assert (bound - without().returns).mean() < 0.02


def test_hardly_anybody_gets_more_by_changing_both_before_the_first_push() -> None:
    best = most(FORCE, WIND, STEPS)
    for raised in np.linspace(0.0, 1.41, 16):
        for turn in np.linspace(-0.4, 0.7, 23):
            cost = 16.0 * ((raised / 4.0) ** 2 + (turn / 2.0) ** 2)
            changes = (raised != 0.0) + (abs(turn) > 1e-9)
            best = np.maximum(best, most(FORCE + raised, WIND + turn, STEPS - changes) - cost)
    assert (best - configuring().returns).mean() < 0.05
