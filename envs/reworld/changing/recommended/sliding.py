"""Sliding, on a wide frozen lake in the cold: who pays for an engine and a brake is soon in the warm.

The lake is twice as wide as usual, every step costs 0.012, and nothing slows the craft down but a brake that takes away 0.01 of
its speed in a step, and an engine that adds 0.05. To stop it has to turn about while it slides, and push back for as long as it
has pushed. Every 20 steps the player may set the strength of the engine and of the brake. The cost is in proportion to how far
they are from the nominal ones, measured in ranges that are much wider than what pays; 2 in an episode at most.

- Without: push until there is just room to turn about and to push back into the target's centre, or at least into its edge
  before time is up; from farther away slide towards it. No policy is better by more than 0.12, as none is faster than full
  power to and fro along the line to the target (a test has the proof).
- With: before the first push engine and brake as functions of the distance, by the cross-entropy method (four numbers, 9
  generations of 16 candidates with 300 episodes each); then push, and brake in the target's centre.
"""

import math
from typing import Any

from reworld.changing.setup import Changing, Cost, SetUp

CHANGING = Changing(
    parameters={"max_acceleration": (0.05, 2.0), "brake": (0.01, 1.0)},
    nominal={"half_size": 2.0, "penalty": 0.012, "max_turn": 0.5, "max_acceleration": 0.05, "brake": 0.01},
    epoch=20,
    cost=Cost(kind="l1", scale=2.5, weights={"brake": 0.1}, measured_from="nominal"),
    budget=2.0,
)

_ACCELERATE, _TURN, _BRAKE, _SET_MAX_ACCELERATION, _SET_BRAKE = range(5)


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Push, turn about while sliding, and push back; where there is no time for that, just slide."""
    speed, away, ahead, about, clock = _read(observation)
    if speed == 0.0 and abs(ahead) > 0.01:
        return _turn(ahead)
    if abs(about) > 3.1:
        in_time, gain = False, 0.005 * speed * (200.0 - clock) < away
        for way in (away, away - 0.08):
            # Gaining the highest speed, turning about in 7 steps, and losing it again makes just this way.
            highest = math.sqrt(max(0.175**2 + 0.5 * speed * speed + 10.0 * way, 0.0)) - 0.175
            if not in_time and (2.0 * highest - speed) / 0.05 + 7.0 <= 200.0 - clock:
                in_time, gain = True, speed + 0.025 < highest
        if gain:
            return _ACCELERATE, (1.0,)
        if not in_time:
            return _turn(0.0)
    if speed <= 0.0101:
        return _BRAKE, ()
    return _turn(about) if abs(about) > 0.01 else (_ACCELERATE, (min(speed / 0.05, 1.0),))


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Strengthen engine and brake, the more the farther the target is, turn to it, push, and brake."""
    speed, away, ahead, _, clock = _read(observation)
    max_acceleration, brake = 0.05 + 1.95 * float(observation[12]), 0.01 + 0.99 * float(observation[13])
    if clock == 0.0 and max_acceleration < 0.06:
        return _SET_MAX_ACCELERATION, (0.1 + 0.059 * away,)
    if clock == 0.0 and brake < 0.02:
        return _SET_BRAKE, (0.26 + 0.124 * away,)
    if speed == 0.0 and abs(ahead) > 0.01:
        return _turn(ahead)
    gained = speed + max_acceleration
    way = 0.02 + 0.005 * gained * (1.5 + 0.5 * gained / brake)
    return (_ACCELERATE, (1.0,)) if way < away * math.cos(ahead) or speed == 0.0 else (_BRAKE, ())


def _read(observation: Any) -> tuple[float, float, float, float, float]:
    """Give speed, distance, by which angles the target and the way back are off the heading, and the time."""
    x, y, speed, cosine, sine, target_x, target_y, away = map(float, observation[:8])
    heading = math.atan2(sine, cosine)
    travel = math.atan2(float(observation[11]), float(observation[10])) if speed > 0.0 else heading
    ahead, about = math.atan2(target_y - y, target_x - x) - heading, travel + math.pi - heading
    return (
        speed,
        away,
        math.remainder(ahead, 2.0 * math.pi),
        math.remainder(about, 2.0 * math.pi),
        200.0 * float(observation[9]),
    )


def _turn(angle: float) -> tuple[int, tuple[float, ...]]:
    return _TURN, (min(max(angle / 0.5, -1.0), 1.0),)


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
