"""Moving, through mud: who rents firmer ground and a stronger engine arrives before time is up.

Friction and a weak engine allow for a speed of 0.94 and so, in the 200 steps of an episode, for 0.87 of way, less than the mean
distance to the target; and every step costs 0.003. The player may change the friction and the largest acceleration at any time.
It does not pay for the change, but rent for every primitive step in another configuration than the nominal one: quadratic in
how far away that is, and 0.8 in an episode at most. So it turns first, rents the more the farther the target is, and gives all
back before it brakes, for which mud is just right.

- Without: turn to the target, drive, and brake in its centre; where that is too far, as near as possible. No policy
  is better by more than 0.05, as none is faster than full power straight on and then full braking (a test has the proof).
- With: friction and acceleration as functions of the distance, by the cross-entropy method (four numbers, 8 generations of 16
  candidates with 350 episodes each, after 12 generations on a model of the drive along a line).
"""

import math
from typing import Any

from reworld.changing.setup import Changing, Cost, SetUp

CHANGING = Changing(
    parameters={"friction": (0.0, 20.0), "max_acceleration": (0.05, 0.35)},
    nominal={"friction": 12.0, "max_acceleration": 0.06, "penalty": 0.003},
    cost=Cost(kind="quadratic", scale=0.08, measured_from="nominal"),
    budget=0.8,
    budget_per="use",
    observe_budget=True,
)

_ACCELERATE, _TURN, _BRAKE, _SET_FRICTION, _SET_MAX_ACCELERATION = range(5)


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Turn to the target, and drive at full power until it is time to brake."""
    return _turn(observation) or _drive(observation, 0) or (_BRAKE, ())


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Turn to the target, rent less friction and more power the farther it is, drive, give both back, and brake.

    These four changes are steps of the episode, too.
    """
    speed, away, friction, max_acceleration = _read(observation)
    if turn := _turn(observation):
        return turn
    if drive := _drive(observation, 4):
        if speed == 0.0 and friction > 11.9:
            return _SET_FRICTION, (11.12 - 0.795 * away,)
        if speed == 0.0 and max_acceleration < 0.061:
            return _SET_MAX_ACCELERATION, (0.074 + 0.0235 * away,)
        return drive
    if friction < 11.9:
        return _SET_FRICTION, (12.0,)
    if max_acceleration > 0.061:
        return _SET_MAX_ACCELERATION, (0.06,)
    return _BRAKE, ()


def _read(observation: Any) -> tuple[float, float, float, float]:
    """Give speed and distance, and the friction and acceleration in force, of which shares of their ranges are observed."""
    return float(observation[2]), float(observation[7]), 20.0 * float(observation[10]), 0.05 + 0.3 * float(observation[11])


def _way(observation: Any) -> tuple[float, float]:
    """Tell where the target lies: how far forward, and how far to the left."""
    x, y, _, cosine, sine, target_x, target_y = map(float, observation[:7])
    dx, dy = target_x - x, target_y - y
    return cosine * dx + sine * dy, cosine * dy - sine * dx


def _turn(observation: Any) -> tuple[int, tuple[float, ...]] | None:
    """Turn to the target, unless that is done."""
    forward, left = _way(observation)
    off = math.atan2(left, forward)
    if abs(off) <= 0.01 or observation[2] > 0.0:
        return None
    return _TURN, (min(max(off / (0.5 * math.pi), -1.0), 1.0),)


def _drive(observation: Any, late: int) -> tuple[int, tuple[float, ...]] | None:
    """Gain speed, as long as there is then room to brake, in the mud, before the target's centre, and time to do so inside."""
    speed, _, friction, max_acceleration = _read(observation)
    steps_left = round(200.0 * (1.0 - float(observation[9]))) - late - 1
    speed = (speed + max_acceleration) * (1.0 - 0.005 * friction)
    way = 0.01 + 0.005 * speed
    while speed > 0.0:
        speed = max(speed - 0.1, 0.0) * 0.94
        way += 0.005 * speed
        steps_left -= 1
    ahead = _way(observation)[0] - way
    return (_ACCELERATE, (1.0,)) if ahead >= 0.0 and (steps_left >= 0 or ahead > 0.08) else None


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
