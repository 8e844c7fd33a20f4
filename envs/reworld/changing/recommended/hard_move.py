"""Hard Move, in a draught: who turns the fan down reaches what lies upwind, and who pays for thrust gets everywhere sooner.

A fan blows with 0.6 N towards -x, against actuators of 1.41 N along each axis. What lies upwind is hardly reached in 30 steps,
and every step costs the squared distance. Whenever a whole number of ten pushes has been made the fan may be turned up, down or
around, and the thrust be raised or lowered. Each such step is one of the 30. The cost is quadratic in the distance from the
nominal value, and a single change may cost no more than 2, so that neither goes to its extreme. What pays depends on where the
target lies: turned down for one upwind, turned up for one far downwind, and thrust for all that is far away.

- Without: push along both axes to where the target lies from where the point will soon be: 4.7. After any number of steps
  neither axis can be farther than if it had been pushed one way all the time, which bounds every return, target by target. The
  mean of these bounds is less than 0.01 higher.
- With: 11.1. Both shifts as functions of the target, by the cross-entropy method (nine numbers, 40 generations of 60 candidates
  with 4,000 episodes each). By the same bounds, whoever makes the best of both changes before the first push for each target by
  itself (on a grid of 16 x 25) gets at most 0.02 more. Later changes cost as much, and act for a shorter time.
"""

from typing import Any

from reworld.changing.setup import Changing, Cost, SetUp

CHANGING = Changing(
    parameters={"force": (1.0, 5.0), "wind_x": (-1.0, 1.0)},
    mode="shift",
    nominal={"force": 2.0, "wind_x": -0.6},
    epoch=10,
    cost=Cost(kind="quadratic", scale=16.0, measured_from="nominal"),
    budget=2.0,
    budget_per="change",
)

_SHIFT_FORCE, _SHIFT_WIND = 16, 17


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Push along both axes, each to where the target lies from where the point will be in a moment."""
    vx, vy, dx, dy = map(float, observation[:4])
    # Of the bits of a branch the first pushes to +x, the second to +y, the third to -x, the last to -y.
    return (0b1000 if dx > 0.1 * vx else 0b0010) + (0b0100 if dy > 0.1 * vy else 0b0001), (1.0,)


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Before the first push turn the fan by how far the target lies upwind or downwind, and raise the thrust by how far."""
    vx, vy, dx, dy, force, wind, _ = map(float, observation)  # Force and wind as shares of their ranges.
    if vx == 0.0 == vy:
        turn = min(0.3 * dx * dx, 0.7) if dx > 0.0 else max(-0.17 * dx * dx, -0.4)
        along, across = (1.1 * dx if dx > 0.0 else -0.8 * dx), abs(dy)
        raised = min(1.3 * max(along, across) + 0.35 * min(along, across) - 0.5, 1.41)
        if abs(wind - 0.2) < 1e-6 and abs(turn) > 0.01:
            return _SHIFT_WIND, (turn,)
        if abs(force - 0.25) < 1e-6 and raised > 0.01:
            return _SHIFT_FORCE, (raised,)
    return without(observation)


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
