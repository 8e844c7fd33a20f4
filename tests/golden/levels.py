"""Levels with known values, and two ways to solve them that know nothing of each other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import spsolve

from reworld.changing.flat import FlatMDP
from reworld.changing.levels import Level, Levels
from reworld.finite import FiniteMDP
from reworld.worlds.tabular import tabular

INSTANCES = Path(__file__).parents[2] / "baselines" / "reworld_baselines" / "mctvmdp" / "instances"


def arrays_of(name: str) -> dict[str, np.ndarray]:
    """Read the arrays of an instance."""
    with np.load(INSTANCES / f"{name}.npz") as file:
        return dict(file)


def known_of(name: str) -> dict[str, Any]:
    """Read the settings of an instance, and its values."""
    return json.loads((INSTANCES / f"{name}.json").read_text())


def bilevel() -> Levels:
    """Six states, five kernels in a line with a valley, changes that fail in a tenth of the cases."""
    arrays, settings = arrays_of("bilevel_6state"), known_of("bilevel_6state")
    return _over_tabular(arrays, [Level(arrays["T1_0"], arrays["c1"], arrays["nu1"], *settings["lam"])], settings["gamma"])


def three() -> Levels:
    """The same with two kernels of level 1, and a level above."""
    arrays, settings = arrays_of("three_level"), known_of("three_level")
    first, second = settings["lam"]
    levels = [
        Level(np.stack([arrays["T1_0"], arrays["T1_1"]]), arrays["c1"], arrays["nu1"], first),
        Level(arrays["T2_0"], arrays["c2"], arrays["nu2"], second),
    ]
    return _over_tabular(arrays, levels, settings["gamma"])


def _over_tabular(arrays: dict[str, np.ndarray], levels: list[Level], discount: float) -> Levels:
    world = tabular(kernel=arrays["P"][0], rewards=arrays["r"], start=arrays["mu"])
    return Levels(world, arrays["P"].reshape(len(arrays["P"]), -1), levels, discount)


def matrix(flat: FlatMDP) -> csr_array:
    """The weights of all rows."""
    return csr_array((flat.weights, flat.successors, flat.indptr), (len(flat.rewards), len(flat.states)))


def values_of(flat: FlatMDP, rows: np.ndarray) -> np.ndarray:
    """The values of a policy, which takes one of its rows in each state."""
    return spsolve(csc_array(eye_array(len(rows)) - matrix(flat)[rows]), flat.rewards[rows])


def solve_flat(flat: FlatMDP) -> np.ndarray:
    """The optimal values, by policy iteration."""
    weights, chosen = matrix(flat), flat.first[:-1].copy()
    owners = np.repeat(np.arange(len(flat.states)), np.diff(flat.first))
    while True:
        values = values_of(flat, chosen)
        worth = flat.rewards + weights @ values
        best = np.maximum.reduceat(worth, flat.first[:-1])
        better = best > worth[chosen] + 1e-12 * np.abs(best).max()
        if not better.any():
            return values
        greedy = np.flatnonzero(worth == best[owners])[::-1]
        chosen[owners[greedy]] = np.where(better[owners[greedy]], greedy, chosen[owners[greedy]])


def optimum(kernel: np.ndarray, rewards: np.ndarray, discount: float, steps: int | None = None) -> np.ndarray:
    """The optimal values of one level, by value iteration: kernel[i, u, j], rewards[i, u]."""
    values = np.zeros(len(kernel))
    for _ in range(steps or 100_000):
        before, values = values, (rewards + discount * kernel @ values).max(axis=1)
        if steps is None and np.abs(values - before).max() <= 1e-14 * np.abs(values).max():
            break
    return values


def solve_level(level: Level, worth: np.ndarray) -> np.ndarray:
    """The optimal values of a level, one row for each of its kernels, if an episode below is worth so much in each state."""
    solved = []
    for kernel in level.kernel:
        reached = np.moveaxis(kernel, 0, 1)
        rewards = np.where(level.allowed, reached @ worth - level.costs, -np.inf)
        solved.append(optimum(reached, rewards, level.discount, level.steps))
    return np.array(solved)


def solve_levels(models: Sequence[FiniteMDP], levels: Sequence[Level], discount: float, steps: int | None = None) -> np.ndarray:
    """The optimal values of the top level, all levels solved one after the other."""
    worth = np.array([m.start @ optimum(m.kernel, m.expected_rewards, discount, steps) for m in models])
    for level in levels:
        values = solve_level(level, worth)
        worth = values @ level.start
    return values[0]
