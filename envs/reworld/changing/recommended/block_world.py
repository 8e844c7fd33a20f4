"""Block-world, on ice: who pays for a dry floor only where it matters gets to the goal past the pits.

At a slip of 0.6 it is likelier to go to a side than where one wants to, and the way to the goal leads past pits. In every cell
the floor may be made drier or icier, by one level of 0.2 after another, for nothing; what is paid for is its use, in every
step, quadratically in the distance from 0.6. So it is not worth it to keep the floor dry all the way: beside a pit the slip is
taken down to 0, elsewhere 0.4 or 0.2 will do, and out of a dead end the nominal floor, or even an icier one, serves as well.
(That a slip is chosen from levels in a row is from "Learn to Change the World", arXiv 2510.15056; its costs are not public.)

Both policies are optimal, by value iteration over the pairs of level and cell: 0.2109 without, 0.5719 with. They do not look at
the time that is left; the best of those who do, by value iteration over 200 steps, gets no more in any of these digits. A floor
that is dry all the way returns 0.5220.
"""

from functools import cache
from typing import Any

import numpy as np

from reworld.changing.setup import Changing, Cost, SetUp
from reworld.finite import Integers, exact_model
from reworld.worlds.block_world import block_world

_LEVELS = (60, 100, 80, 40, 20, 0)  # In hundredths. The first is the nominal one.
_RENT = 0.04

CHANGING = Changing(
    mode="choose",
    configurations={f"slip_{level}": {"slip": level / 100} for level in _LEVELS},
    moves={f"slip_{level}": [f"slip_{other}" for other in _LEVELS if abs(level - other) == 20] for level in _LEVELS},
    cost=Cost(kind="quadratic", scale=_RENT),
    budget_per="use",
)


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Make the move that is optimal on the nominal floor."""
    plan = _plan(_LEVELS[:1])
    return int(plan[observation % len(plan)]), ()


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Make the move, or choose the level, that is optimal here."""
    return int(_plan(_LEVELS)[observation]), ()


@cache
def _plan(levels: tuple[int, ...]) -> Integers:
    """The best branch at each level in each cell, in the order in which these are observed."""
    slip = np.array(levels) / 100.0
    models = exact_model(block_world(), {"slip": slip})
    rewards = models.expected_rewards - _RENT * (slip - slip[0])[:, None, None] ** 2
    # Of equally good ways the shortest: a change is charged a trifle here.
    tolls = np.where(np.isclose(np.abs(slip[:, None] - slip), 0.2), 1e-7, np.inf)
    values = np.zeros(models.start.shape)
    for _ in range(400):
        act = rewards + np.einsum("ksat,kt->ksa", models.kernel, values)
        choose = values.T[None] - tolls[:, None]
        worth = np.concatenate([act, choose], axis=2)
        values = np.where(models.terminal, 0.0, worth.max(axis=2))
    best: Integers = worth.argmax(axis=2).reshape(-1)
    return best


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
