"""CartPole, in a gale."""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest

from episodes import Episodes, play, play_configured_at_random
from reworld.changing.recommended.cartpole import CHANGING, SET_UP
from reworld.worlds.cartpole import WORLD

ID = "reworld/CartPole-v0"
STEPS = 500

Array = np.ndarray[Any, np.dtype[np.float64]]


@cache
def without() -> Episodes:
    return play(ID, CHANGING, SET_UP.without, 400)


@cache
def configuring() -> Episodes:
    return play(ID, CHANGING, SET_UP.configuring, 200)


def test_configuring_is_worth_it() -> None:
    assert configuring().low - without().high >= 0.45 * configuring().high


def test_it_is_paid_for() -> None:
    assert without().costs.max() == 0.0
    assert configuring().costs.min() == 80.0
    gain = configuring().returns.mean() + configuring().costs.mean() - without().returns.mean()
    assert 0.2 * gain < configuring().costs.mean() < 0.33 * gain


@pytest.mark.parametrize("policy", [SET_UP.without, SET_UP.configuring], ids=["without", "configuring"])
def test_to_begin_with_a_random_move_is_bad(policy: Any) -> None:
    assert play_configured_at_random(ID, CHANGING, policy, 200).high < configuring().low


def test_half_the_way_is_worth_less_and_the_wrong_half_less_than_nothing() -> None:
    def half_way(branch: int) -> Episodes:
        nominal = (9.8 - 1.0) / 29.0, (0.5 - 0.1) / 1.9

        def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
            return (branch, ()) if np.allclose(observation[[4, 6]], nominal) else SET_UP.without(observation)

        return play(ID, CHANGING, policy, 200)

    assert half_way(4).high < configuring().low
    assert half_way(3).high < without().low


class TestNobodyDoesBetter:
    """A track without ends can only help. There the lean of the pole and its speed are a Markov chain of their own."""

    def test_without(self) -> None:
        bound = at_the_start(best_worth([CHANGING.configurations["gale"]], {})[0])
        assert without().low < bound < 1.06 * without().returns.mean()

    def test_configuring(self) -> None:
        """Moves are made whenever they pay, which is at once.

        Friction is no part of the chain: instead the sheltered cart is pushed by as much more as friction makes at 4 m/s.
        """
        names = list(CHANGING.configurations)
        configurations = [dict(values) for values in CHANGING.configurations.values()]
        configurations[-1]["force"] = 10.0 + 4.0 * configurations[-1]["friction"]
        assert CHANGING.moves is not None
        moves = {(names.index(start), names.index(end)) for start, ends in CHANGING.moves.items() for end in ends}
        bound = at_the_start(best_worth(configurations, dict.fromkeys(moves, 40.0))[0])
        assert configuring().low < bound < 1.01 * configuring().returns.mean()


DEFAULTS = {parameter.name: parameter.default for parameter in WORLD.parameters}

# Between the points of this grid a worth is interpolated.
LEAN = np.linspace(-DEFAULTS["angle_limit"], DEFAULTS["angle_limit"], 81)
SPEED = np.linspace(-5.0, 5.0, 121)


def best_worth(configurations: list[Mapping[str, float]], moves: dict[tuple[int, int], float]) -> list[Array]:
    """What the best of all policies returns on a track without ends, by configuration, lean and its speed."""
    gusts, weights = np.polynomial.hermite_e.hermegauss(9)
    names = ("gravity", "cart_mass", "pole_mass", "half_length", "force", "wind", "time_step")
    constants = [tuple({**DEFAULTS, **values}[name] for name in names) for values in configurations]
    worth = [np.zeros((len(LEAN), len(SPEED))) for _ in configurations]
    for _ in range(STEPS):
        following = [act(values, c, gusts, weights / weights.sum()) for values, c in zip(worth, constants, strict=True)]
        for (here, there), price in moves.items():
            moved = 0.9 * worth[there] + 0.1 * worth[here] - price
            following[here] = np.maximum(following[here], moved)
        worth = following
    return worth


@numba.njit  # type: ignore[untyped-decorator]
def act(worth: Array, c: tuple[float, ...], gusts: Array, weights: Array) -> Array:
    """The worth of everything, with one more step to make: the better push, averaged over gusts."""
    gravity, cart_mass, pole_mass, half_length, force, wind, time_step = c
    mass, moment = cart_mass + pole_mass, pole_mass * half_length
    best = np.ones_like(worth)
    for i in range(len(LEAN)):
        sine, cosine = math.sin(LEAN[i]), math.cos(LEAN[i])
        for j in range(len(SPEED)):
            lean = LEAN[i] + time_step * SPEED[j]
            if abs(lean) > LEAN[-1]:
                continue
            row = (lean - LEAN[0]) / (LEAN[1] - LEAN[0])
            k = min(int(row), len(LEAN) - 2)
            row -= k
            most = 0.0
            for direction in (-1.0, 1.0):
                mean = 0.0
                for n in range(len(gusts)):
                    push = (direction * force + wind * gusts[n] + moment * SPEED[j] ** 2 * sine) / mass
                    bend = (gravity * sine - cosine * push) / (half_length * (4.0 / 3.0 - pole_mass * cosine**2 / mass))
                    column = (SPEED[j] + time_step * bend - SPEED[0]) / (SPEED[1] - SPEED[0])
                    column = min(max(column, 0.0), len(SPEED) - 1.0)
                    m = min(int(column), len(SPEED) - 2)
                    column -= m
                    low = (1.0 - column) * worth[k, m] + column * worth[k, m + 1]
                    high = (1.0 - column) * worth[k + 1, m] + column * worth[k + 1, m + 1]
                    mean += weights[n] * ((1.0 - row) * low + row * high)
                most = max(most, mean)
            best[i, j] += most
    return best


def at_the_start(worth: Array) -> float:
    """The mean worth of a start."""
    spread = DEFAULTS["start_spread"]
    return float(worth[np.ix_(np.abs(LEAN) <= spread, np.abs(SPEED) <= spread)].mean())
