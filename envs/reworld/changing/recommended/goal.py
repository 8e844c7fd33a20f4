"""Goal, against a keeper that comes out: who pays for a keeper with slower legs and shorter arms scores.

As soon as the player touches the ball this keeper runs up to it, six times as fast as the player: there is no dribbling past
it, and no time to wait. What is left is to shoot at once, from wherever the episode begins, and from the wings the keeper is
there in time. Before the first kick the player may change how fast the keeper runs into the way of a shot
(`intercept_power`) and from how far it holds the ball (`catch_distance`), for better or worse. The cost is quadratic, so a
little of both is cheaper than much of one; and what is worth paying depends on where the episode begins.

- Without: shoot at the post on the player's own side. Searched: every shot after 0 to 16 steps of waiting, and after every pass
  on a grid, from five bins of starts, 600,000 episodes of random ones; of a hundred passes three survive, and waiting makes
  every shot worse. Only from the outer third of the wings, where nothing scores, a pass loses as little.
- With: the two values and the aim as functions of the start, by the cross-entropy method (seven numbers, 14 generations of 24
  candidates with 20,000 episodes each).
"""

from typing import Any

from reworld.changing.setup import Changing, Cost, SetUp

CHANGING = Changing(
    parameters={"intercept_power": (4.0, 24.0), "catch_distance": (1.0, 3.0)},
    nominal={"chase_power": 60.0, "intercept_power": 14.0},
    epoch="episode",
    cost=Cost(kind="quadratic", scale=100.0, measured_from="nominal"),
)

_SHOOT_LEFT, _SHOOT_RIGHT, _SET_INTERCEPT_POWER, _SET_CATCH_DISTANCE = 1, 2, 3, 4


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Shoot at the post on the side where the player stands."""
    return _shoot(observation, 7.01)


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Slow the keeper down, the more the farther out the player stands, shorten its arms a little, and shoot."""
    intercept_power, catch_distance = observation[17:19]  # As shares of their ranges; half is nominal.
    outside = abs(float(observation[1]))
    if intercept_power == 0.5:
        return _SET_INTERCEPT_POWER, (11.6 - 2.0 * outside - 2.8 * outside * outside,)
    if catch_distance == 0.5:
        return _SET_CATCH_DISTANCE, (1.77 + 0.02 * outside,)
    return _shoot(observation, 6.52 - 0.14 * outside)


def _shoot(observation: Any, aside: float) -> tuple[int, tuple[float, ...]]:
    return (_SHOOT_LEFT, (aside,)) if observation[1] > 0.0 else (_SHOOT_RIGHT, (-aside,))


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
