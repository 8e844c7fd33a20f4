"""RiverSwim, with stones: who breaks the current where it matters swims up the river more often, and stays there.

At the upper end of the river swimming pays 10000 for every step that the swimmer holds its own, which it does in three steps of
ten, and from the lower end it may take a hundred steps to get there. Stones break the current: where they lie, swimming
against it gets ahead in half of all steps. The river takes the stones that are thrown in to their places by the next epoch of
20 steps, and its transition kernel tells their price: 80000 times the Kullback-Leibler divergence from what it was, a sum over
the states, about 7000 for each with stones. (Stones placed in a river are an example of "Learn to Change the World",
arXiv 2510.15056.)

- Without: swim against the current, always: 62727.
- With: throw stones into the upper three states before the first step, and swim: 169288. Stones in five states cost more than
  they are worth, with stones in two the swimmer falls back too far, and those farther down are worse than none.

Both are exact, by dynamic programming over state, stones there, stones under way, and time. The best of all policies, which
look at the time that is left, too, get less than 1 more.
"""

from collections.abc import Iterable
from typing import Any

from reworld.changing.setup import Changing, Cost, SetUp


def _stones(states: Iterable[int]) -> dict[str, float]:
    """Probabilities of falling back, staying, and getting ahead by swimming against the current, where there are stones."""
    inner = {f"p_{s}_1_{s + k}": p for s in states if 0 < s < 5 for k, p in ((-1, 0.05), (0, 0.45), (1, 0.5))}
    upper = {"p_5_1_4": 0.5, "p_5_1_5": 0.5} if 5 in states else {}
    return inner | upper


CHANGING = Changing(
    mode="choose",
    configurations={
        "no_stones": _stones(()) | {"p_5_1_4": 0.7, "p_5_1_5": 0.3},
        "stones_in_5": _stones((5,)),
        "stones_from_4": _stones((4, 5)),
        "stones_from_3": _stones((3, 4, 5)),
        "stones_from_1": _stones((1, 2, 3, 4, 5)),
        "stones_to_3": _stones((1, 2, 3)),
    },
    epoch=20,
    takes_effect="next_epoch",
    cost=Cost(kind="kl", scale=80_000.0),
)

_AGAINST_THE_CURRENT, _STONES_FROM_3 = 1, 5


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Swim against the current."""
    return _AGAINST_THE_CURRENT, ()


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Throw stones into the upper half of the river, and swim against the current."""
    # It numbers stones under way or there, stones there, steps of the epoch, and states: the last are the first to vary.
    under_way = observation // (6 * 20 * len(CHANGING.configurations))
    return (_STONES_FROM_3 if under_way == 0 else _AGAINST_THE_CURRENT), ()


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
