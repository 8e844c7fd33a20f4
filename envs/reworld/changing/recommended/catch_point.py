"""Catch Point, with half the force: who pays for a stronger engine reaches targets that are far away.

With 1 N in place of 2 the point gets 0.87 m far in the 25 steps of an episode: it can catch the target from 46 % of all starts,
and from nowhere else, whatever it does. Two failed catches end the episode. At any time the player may shift the force, and the
radius of its net, for better or worse, by a quarter of the range at most. Every such step is one of the 25. The cost is
exponential in each shift, so that several small ones are cheaper than a large one, but take more time; and of ten shifts one
fails, and is paid for all the same. How much force is worth its price depends on how far the target is; a larger net is
hardly ever worth it.

- Without: where the target is within reach, push straight to it, and catch; elsewhere no play scores, and two failed catches
  in a row end the episode, and with it the cost of the distance. No policy is better by more than 0.1 (a test has the proof).
- With: the force as a function of the distance, and in which shifts, by the cross-entropy method (seven numbers, 12 generations
  of 24 candidates with 6,000 episodes each, the radius likewise, which did not pay).
"""

import math
from typing import Any

from reworld.changing.setup import Changing, Cost, SetUp

CHANGING = Changing(
    parameters={"force": (0.5, 4.5), "catch_radius": (0.05, 0.45)},
    mode="shift",
    nominal={"force": 1.0, "catch_radius": 0.1, "tries": 2.0, "distance_cost": 0.25},
    largest_shift=0.25,
    failure=0.1,
    cost=Cost(kind="exponential", scale=3.0, rate=3.0, weights={"catch_radius": 0.25}),
)

_MOVE, _CATCH, _SHIFT_FORCE = 0, 1, 2


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Drive to the target if it can be reached in time, or else waste both tries."""
    failures, clock = observation[4:6]
    # In 24 pushes and a catch the point makes 0.87 m of way.
    if failures > 0.0 or (clock == 0.0 and math.hypot(*observation[2:4]) > 0.97):
        return _CATCH, ()
    return _drive(observation)


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Before the first push shift the force until it is what the distance asks for; then drive to the target."""
    clock, force = float(observation[5]), 0.5 + 4.0 * float(observation[6])
    away = math.hypot(*map(float, observation[2:4]))
    lack = 0.28 + 0.82 * away + 0.27 * away * away - force
    if clock == 0.0 and lack > 0.25:
        return _SHIFT_FORCE, (min(lack, 0.86),)
    return _drive(observation)


def _drive(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Catch as soon as coasting leads within reach; before, push to where the target lies from where the point would rest."""
    vx, vy, dx, dy = map(float, observation[:4])
    catch_radius = 0.05 + 0.4 * float(observation[7])
    if math.hypot(dx - 0.075 * vx, dy - 0.075 * vy) < 0.999 * catch_radius:
        return _CATCH, ()
    return _MOVE, (math.atan2(dx - 0.3 * vx, dy - 0.3 * vy) / math.pi,)


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
