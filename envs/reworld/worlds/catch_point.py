"""Catch Point: steer a point with inertia to a target, and catch it with one of few tries.

Source: Fan, Su, Zhang, Yu, "Hybrid Actor-Critic Reinforcement Learning in Parameterized Action Space", IJCAI 2019. At the
default configuration a trajectory of v0 equals, bit for bit, that of the environment released with HyAR (Li et al., "HyAR:
Addressing Discrete-Continuous Action Reinforcement Learning via Hybrid Action Representation", ICLR 2022; commit ece95621) from
the same start, played by its training script, which decides when an episode ends. v1 mends its faults:

| v0, as published | effect | v1 |
|---|---|---|
| failed catches are not observed | what an action leads to depends on what is hidden | observed |
| the steps that are left are not observed | what a state is worth depends on what is hidden | the steps made are observed |
| an episode fails a step after the 11th failed catch | in that step not even a catch in reach helps | it fails with the 10th |
| headings beyond [-1, 1] go on around the circle | an action out of bounds is another one within them | clipped |

What surprises, in both:

- A catch is no rest: the point coasts on, and what counts is how far the target is *after* that.
- A failed catch costs no more than a step.
- The heading counts from +y towards +x.
- There are no walls. A point that leaves the square may come back, so an observation has no bounds.
- Of the starts, 2.9 % lie within reach of the target.

What is added: every constant is a parameter, among them a steady wind and gusts, all 0 by default. Observations are float32.

The reward of a step is minus the squared distance to the target, and 20 on top when it is caught, which is a success and
terminates.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from reworld.generator import Generator, normal, uniform
from reworld.rendering import AGENT, DANGER, FAINT, GOAL, INK, PAPER, TRAIL, WOOD, Canvas, Color, Point
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World

MENDED = False  # A constant of the worlds: True in v1.

FIELD_PARAMETERS = (
    Parameter("damping", 0.0, 0.9, "", "share of the velocity that a step takes away", 0.25),
    Parameter("force", 0.5, 8.0, "N", "strength of a full push", 2.0),
    Parameter("mass", 0.2, 5.0, "kg", "mass of the point", 1.0),
    Parameter("time_step", 0.02, 0.3, "s", "length of a step", 0.1),
    Parameter("catch_radius", 0.05, 0.5, "m", "distance within which the target is caught", 0.2),
    Parameter("half_size", 0.25, 3.0, "m", "largest absolute value of each coordinate of a start and of a target", 1.0),
    Parameter("catch_reward", 0.0, 100.0, "", "what catching the target adds to the reward", 20.0),
    Parameter("distance_cost", 0.0, 5.0, "1/m²", "what the squared distance to the target is multiplied by in the reward", 1.0),
    Parameter("wind_x", -1.0, 1.0, "N", "steady force towards +x", 0.0),
    Parameter("wind_y", -1.0, 1.0, "N", "steady force towards +y", 0.0),
    Parameter("gusts", 0.0, 2.0, "N", "standard deviation of a force in each direction, drawn anew in every step", 0.0),
)

PARAMETERS = (
    *FIELD_PARAMETERS,
    Parameter("tries", 1.0, 20.0, "", "failed catches that are forgiven in v0; the last of them ends the episode in v1", 10.0),
)

FIELD_STATE = ("x", "y", "vx", "vy", "target_x", "target_y")

STATE = (*FIELD_STATE, "failures", "caught")

# Gymnasium's checker warns of infinite bounds.
UNBOUNDED = float(np.finfo(np.float32).max)

OBSERVATION = (
    Quantity("vx", -UNBOUNDED, UNBOUNDED, "m/s", "velocity of the point towards +x"),
    Quantity("vy", -UNBOUNDED, UNBOUNDED, "m/s", "velocity of the point towards +y"),
    Quantity("dx", -UNBOUNDED, UNBOUNDED, "m", "how far the target lies towards +x"),
    Quantity("dy", -UNBOUNDED, UNBOUNDED, "m", "how far the target lies towards +y"),
)

# The published tries and time limit, in which v1 measures failures and time, whatever those of the episode are.
_TRIES, _STEPS = 10.0, 25.0

OBSERVATION_V1 = (
    *OBSERVATION,
    Quantity("failures", 0.0, 2.0, "", "catches that have failed: / 10"),
    Quantity("clock", 0.0, UNBOUNDED, "", "steps that have been made: / 25"),
)

MOVE, CATCH = 0, 1

BRANCHES = (
    Branch("move", "push the point", (Quantity("heading", -1.0, 1.0, "π", "direction of the push, from +y towards +x"),)),
    Branch("catch", "coast, and catch the target if it is near"),
)


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Draw a start, at rest, and a target."""
    start(state, c, rng)
    state.failures, state.caught = 0.0, 0.0
    if MENDED:
        state.clock = 0.0


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Push the point, or let it coast and try to catch; a heading is clipped in v1."""
    if branch == MOVE:
        heading = min(max(x[0], -1.0), 1.0) if MENDED else x[0]
        angle = heading * math.pi
        push(state, c.force * math.sin(angle), c.force * math.cos(angle), c, rng)
    else:
        push(state, 0.0, 0.0, c, rng)
    state.caught = 0.0
    if MENDED:
        state.clock += 1.0
    elif state.failures > c.tries:
        return 0.0, True
    if branch == CATCH:
        if reaches(state, c):
            state.caught = 1.0
            return reward(state, c, True), True
        state.failures += 1.0
    return reward(state, c, False), MENDED and state.failures >= c.tries


def succeeded(state: Record, c: Record) -> bool:
    """Whether the target has been caught."""
    return state.caught > 0.0


def observe(state: Record, c: Record, out: Any) -> None:
    """Show velocity and target; in v1 failures and time, too."""
    observe_field(state, c, out)
    if MENDED:
        out[4] = state.failures / _TRIES
        out[5] = state.clock / _STEPS


def start(state: Record, c: Record, rng: Generator) -> None:
    """Draw a start, at rest, and a target."""
    state.x = uniform(rng, -c.half_size, c.half_size)
    state.y = uniform(rng, -c.half_size, c.half_size)
    state.target_x = uniform(rng, -c.half_size, c.half_size)
    state.target_y = uniform(rng, -c.half_size, c.half_size)
    state.vx, state.vy = 0.0, 0.0


def push(state: Record, force_x: float, force_y: float, c: Record, rng: Generator) -> None:
    """Move the point for one step, under this force and the wind."""
    force_x += c.wind_x
    force_y += c.wind_y
    if c.gusts > 0.0:
        force_x += normal(rng, 0.0, c.gusts)
        force_y += normal(rng, 0.0, c.gusts)
    state.vx = state.vx * (1.0 - c.damping) + force_x / c.mass * c.time_step
    state.vy = state.vy * (1.0 - c.damping) + force_y / c.mass * c.time_step
    state.x += state.vx * c.time_step
    state.y += state.vy * c.time_step


def reward(state: Record, c: Record, caught: bool) -> float:
    """What a step earns that ends in this state."""
    cost = c.distance_cost * _squared_distance(state)
    return c.catch_reward - cost if caught else -cost


def reaches(state: Record, c: Record) -> bool:
    """Whether the target is near enough to be caught."""
    return _squared_distance(state) <= c.catch_radius * c.catch_radius


def _squared_distance(state: Record) -> float:
    dx, dy = state.x - state.target_x, state.y - state.target_y
    return dx * dx + dy * dy


def observe_field(state: Record, c: Record, out: Any) -> None:
    """Show the velocity, and where the target lies from here."""
    out[0] = state.vx
    out[1] = state.vy
    out[2] = state.target_x - state.x
    out[3] = state.target_y - state.y


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Catch as soon as coasting leads within reach; before, push to where the target lies from where the point would rest."""
    vx, vy, dx, dy = map(float, observation[:4])
    # A step of coasting makes 0.1 · 0.75 = 0.075 s of way, all steps until it rests 0.1 · (0.75 + 0.75² + …) = 0.3 s.
    if math.hypot(dx - 0.075 * vx, dy - 0.075 * vy) < 0.2:
        return CATCH, ()
    return MOVE, (math.atan2(dx - 0.3 * vx, dy - 0.3 * vy) / math.pi,)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the field, the last push or catch, and the tries that are left."""
    span = draw_field(canvas, state, c)
    point = (state.x, state.y)
    if canvas.action is not None:
        branch, x = canvas.action
        if branch == MOVE:
            angle = (min(max(x[0], -1.0), 1.0) if MENDED else x[0]) * math.pi
            draw_push(canvas, point, (math.sin(angle), math.cos(angle)), span)
        else:
            canvas.ring(point, c.catch_radius, GOAL if state.caught else DANGER, 3.0)
    draw_point(canvas, state, span)
    most = math.ceil(c.tries) if MENDED else math.floor(c.tries) + 1
    canvas.text((-0.88 * span, -0.93 * span), "tries", FAINT)
    for k in range(most):
        center = ((-0.75 + 0.075 * k) * span, -0.93 * span)
        if k < most - state.failures:
            canvas.circle(center, 0.02 * span, INK)
        else:
            canvas.ring(center, 0.02 * span, FAINT, 1.0)


_FLOOR: Color = (235, 239, 243)
_GRID: Color = (226, 231, 236)
_REACH: Color = (204, 235, 227)


def draw_field(canvas: Canvas, state: Record, c: Record) -> float:
    """Paint the square, the target within its reach, and the way so far; tell how far the picture reaches from the centre."""
    half = c.half_size
    span = max(1.2 * half, half + c.catch_radius, 1.08 * abs(state.x), 1.08 * abs(state.y))
    canvas.look_at(-span, span, -span)
    canvas.box(-span, -span, 2.0 * span, 2.0 * span, _FLOOR)
    canvas.box(-half, -half, 2.0 * half, 2.0 * half, PAPER)
    for level in (-0.5 * half, 0.0, 0.5 * half):
        canvas.line([(level, -half), (level, half)], _GRID, 1.0)
        canvas.line([(-half, level), (half, level)], _GRID, 1.0)
    canvas.line([(-half, -half), (half, -half), (half, half), (-half, half), (-half, -half)], FAINT, 1.0)
    target = (state.target_x, state.target_y)
    canvas.circle(target, c.catch_radius, _REACH)
    canvas.ring(target, c.catch_radius, GOAL)
    canvas.circle(target, 0.018 * span, GOAL)
    if c.wind_x != 0.0 or c.wind_y != 0.0:
        dx, dy = 0.05 * span * c.wind_x, 0.05 * span * c.wind_y
        canvas.text((0.77 * span, -0.93 * span), "wind", FAINT)
        canvas.arrow((0.9 * span - dx, -0.92 * span - dy), (0.9 * span + dx, -0.92 * span + dy), FAINT, 2.0)
    way = [(float(earlier.x), float(earlier.y)) for earlier in (*canvas.trail, *canvas.past, state)]
    if len(way) > 1:
        canvas.line(way, TRAIL)
        for place in way[:-1]:
            canvas.circle(place, 0.01 * span, TRAIL)
    return span


def draw_push(canvas: Canvas, point: Point, push: Point, span: float) -> None:
    """Paint a push as an arrow from the point; one of length 1 is a full push."""
    canvas.arrow(point, (point[0] + 0.28 * span * push[0], point[1] + 0.28 * span * push[1]), WOOD, 5.0)


def draw_point(canvas: Canvas, state: Record, span: float) -> None:
    """Paint the point, and as an arrow the way that it makes in half a second."""
    canvas.arrow((state.x, state.y), (state.x + 0.5 * state.vx, state.y + 0.5 * state.vy), INK, 2.0)
    canvas.circle((state.x, state.y), 0.045 * span, AGENT)


V0 = World(
    name="CatchPoint",
    parameters=PARAMETERS,
    state=STATE,
    observation=OBSERVATION,
    branches=BRANCHES,
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=10,
    policy=policy,
    picture=(420, 468),
)

V1 = dataclasses.replace(V0, state=(*STATE, "clock"), observation=OBSERVATION_V1, constants={"MENDED": True})
