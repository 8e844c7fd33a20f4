"""Hard Move: bring a point with inertia to a target, by switching n actuators on and off.

Source: Li et al., "HyAR: Addressing Discrete-Continuous Action Reinforcement Learning via Hybrid Action Representation",
ICLR 2022, after the maze of Chandak et al., "Learning Action Representations for Reinforcement Learning", ICML 2019. At the
default configuration a trajectory equals that of the environment released with HyAR (commit ece95621) from the same start,
played by its training script, which decides when an episode ends: bit for bit for n = 4 and 6, and within 1e-12 for n = 8 and
10, where the last bits of the published motions depend on how a library sums.

Point, field and reward are those of Catch Point, but there is no catch: the target is reached when a step ends near it, at
whatever speed. Which of the 2ⁿ subsets of the actuators is on is the branch, named by its bits: "0110" switches on actuators 1
and 2 of 0 to 3. Actuator k pushes in the direction 2πk/n from +x towards +y. The pushes are summed, and scaled so that the
strongest of all sums is a full push; the branch's parameter scales them again, in [-1, 1].

What the published environment does, and so does this one:

- Many subsets push alike, and since a power may be negative, opposite ones do so, too. An agent has to find that out. (Where
  n is prime, nearly all pushes differ.)

  | n | branches | different pushes | branches that do not push |
  |---|---|---|---|
  | 4 | 16 | 9 | 4 |
  | 6 | 64 | 19 | 10 |
  | 8 | 256 | 81 | 16 |
  | 10 | 1024 | 211 | 34 |

- Directions are rounded to three decimals. For n = 10 some sums that should be zero are of the order of 1e-17.
- A power beyond its bounds is not clipped.
- There are no walls. A point that leaves the square may come back, so an observation has no bounds.
- Of the starts, 2.9 % lie within reach of the target; such an episode ends in its first step unless a push leads out of reach.

What is added: n may be any number from 2 (where all pushes are along x) to 12, and every constant is a parameter, among them a
steady wind and gusts, all 0 by default. Observations are float32.

The reward of a step is minus the squared distance to the target, and 20 on top where it is reached, which is a success and
terminates.
"""

import math
from functools import cache
from typing import Any

import numpy as np

from reworld.errors import InvalidOption
from reworld.generator import Generator
from reworld.rendering import DANGER, WOOD, Canvas, Color, Point
from reworld.world import Branch, Quantity, Record, Vector, World
from reworld.worlds.catch_point import (
    FIELD_PARAMETERS,
    FIELD_STATE,
    OBSERVATION,
    draw_field,
    draw_point,
    draw_push,
    observe_field,
    push,
    reaches,
    reward,
    start,
)

Table = np.ndarray[tuple[int, int], np.dtype[np.float64]]

MOTIONS: Table = np.empty((0, 2))  # A constant of the worlds: the push of every branch, as a share of a full one.

_POWER = Quantity("power", -1.0, 1.0, "", "strength of the push; a negative one goes backwards")


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Push the point by the actuators that are on."""
    force = c.force * x[0]
    push(state, force * MOTIONS[branch, 0], force * MOTIONS[branch, 1], c, rng)
    reached = reaches(state, c)
    return reward(state, c, reached), reached


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Push as far as possible to where the target lies from where the point would come to rest by itself."""
    vx, vy, dx, dy = map(float, observation)
    # All steps of coasting make 0.1 · (0.75 + 0.75² + …) = 0.3 s of way.
    gains = MOTIONS @ (dx - 0.3 * vx, dy - 0.3 * vy)
    branch = int(np.argmax(np.abs(gains)))
    return branch, (math.copysign(1.0, gains[branch]),)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the field, and around the point its actuators: those that are on lit, the backward ones in another colour."""
    span = draw_field(canvas, state, c)
    point = (float(state.x), float(state.y))
    directions = _directions(len(MOTIONS).bit_length() - 1)
    branch, power = (canvas.action[0], float(canvas.action[1][0])) if canvas.action else (0, 0.0)
    for k, direction in enumerate(directions):
        on = branch >> (len(directions) - 1 - k) & 1 and power != 0.0
        color = (DANGER if power < 0.0 else WOOD) if on else _OFF
        _draw_actuator(canvas, point, direction, -span if on and power < 0.0 else span, color)
    draw_push(canvas, point, (power * MOTIONS[branch, 0], power * MOTIONS[branch, 1]), span)
    draw_point(canvas, state, span)


_OFF: Color = (190, 198, 206)


def _draw_actuator(canvas: Canvas, point: Point, direction: Point, size: float, color: Color) -> None:
    """Paint a wedge beside the point, which points to where it pushes: backwards if the size is negative."""
    x, y = direction
    middle = (point[0] + 0.12 * abs(size) * x, point[1] + 0.12 * abs(size) * y)
    tip = (middle[0] + 0.03 * size * x, middle[1] + 0.03 * size * y)
    sides = [(middle[0] - size * (0.02 * x + w * y), middle[1] - size * (0.02 * y - w * x)) for w in (-0.025, 0.025)]
    canvas.polygon([tip, *sides], color)


def hard_move(n: int = 4) -> World:
    """Make the world with n actuators.

    Args:
        n: How many, from 2 to 12: there are 2ⁿ branches.

    Returns:
        The same world at every call.

    Raises:
        InvalidOption: If `n` is no such number.
    """
    if not isinstance(n, int) or isinstance(n, bool) or not 2 <= n <= 12:
        raise InvalidOption(
            f"n={n!r} actuators: give an integer from 2 to 12. A single one cannot steer, and 12 make 4096 branches already."
        )
    return _world(n)


@cache
def _world(n: int) -> World:
    return World(
        name="HardMove",
        parameters=FIELD_PARAMETERS,
        state=FIELD_STATE,
        observation=OBSERVATION,
        branches=tuple(Branch(f"{branch:0{n}b}", _meaning(branch, n), (_POWER,)) for branch in range(2**n)),
        reset=start,
        step=step,
        observe=observe_field,
        succeeded=reaches,
        draw=draw,
        frames_per_second=10,
        policy=policy,
        constants={"MOTIONS": _motions(n)},
        picture=(420, 468),
    )


def _meaning(branch: int, n: int) -> str:
    on = [str(k) for k in range(n) if branch >> (n - 1 - k) & 1]
    return f"switch on {', '.join(on)}" if on else "coast"


def _motions(n: int) -> Table:
    """The push of every branch, as a share of a full one; they are summed in order, as bits depend on it."""
    directions = _directions(n)
    sums = np.zeros((2**n, 2))
    for branch in range(2**n):
        for k in range(n):
            if branch >> (n - 1 - k) & 1:
                sums[branch] += directions[k]
    return sums / math.sqrt((sums * sums).sum(axis=1).max())


def _directions(n: int) -> list[Point]:
    return [(round(math.cos(2.0 * math.pi * k / n), 3), round(math.sin(2.0 * math.pi * k / n), 3)) for k in range(n)]
