"""Sliding: drive a craft with inertia to a target area and stop inside it.

Source: gym-hybrid (commit 22561815). It is Moving (see there for rules, reward and oddities) with a direction of travel of its
own: accelerating adds to the velocity, turning changes nothing but the heading, and braking slows down whatever the heading is.
At the default configuration a trajectory of v0 equals gym-hybrid's from the same start, bit for bit; v1 mends it:

| v0, as published | effect | v1 |
|---|---|---|
| the direction of travel is not observed | what an action leads to depends on what is hidden | the velocity is observed |
| the direction of travel is not wrapped | one direction has many numbers | it lies in [0, 2π) |
| what Moving-v1 mends | see there | mended likewise |

What differs: gym-hybrid's reset leaves the direction of travel as the last episode left it; here every episode begins with 0,
as in a fresh environment of theirs. No observation or reward depends on it, as the first push from rest replaces it.
Where rounding makes the square of a speed negative, gym-hybrid's speed is NaN; here it is 0.
"""

import dataclasses
import math
from typing import Any

from reworld.generator import Generator
from reworld.rendering import INK, Canvas
from reworld.world import Quantity, Record, Vector
from reworld.worlds.moving import (
    ACCELERATE,
    MENDED,
    OBSERVATION,
    STATE,
    TURN,
    acceleration,
    distance,
    disturb,
    draw_agent,
    draw_field,
    judge,
    move,
    rotation,
    slow_down,
    square,
    turn,
    wrap,
)
from reworld.worlds.moving import V0 as MOVING
from reworld.worlds.moving import observe as observe_moving
from reworld.worlds.moving import reset as reset_moving

OBSERVATION_V1 = (
    *OBSERVATION,
    Quantity("velocity_x", -200.0, 200.0, "1/s", "velocity of the craft towards +x, without the current"),
    Quantity("velocity_y", -200.0, 200.0, "1/s", "velocity of the craft towards +y, without the current"),
)


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Draw a target, and a start, at rest; in v1 one outside the target."""
    reset_moving(state, c, rng)
    state.phi = 0.0


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Push forwards, turn or brake, and slide on; parameters beyond their bounds are clipped."""
    before = distance(state)
    if branch == ACCELERATE:
        _push(state, acceleration(x[0], c), c)
    elif branch == TURN:
        turn(state, rotation(x[0], c))
    else:
        slow_down(state, c)
        if state.speed == 0.0:
            state.phi = state.theta
    disturb(state, c, rng)
    move(state, state.phi, c)
    return judge(state, before, c)


def observe(state: Record, c: Record, out: Any) -> None:
    """Show the craft, the target, and the time; in v1 the velocity, too."""
    observe_moving(state, c, out)
    if MENDED:
        cosine, sine = math.cos(state.phi), math.sin(state.phi)
        out[10] = state.speed * cosine
        out[11] = state.speed * sine


def _push(state: Record, gain: float, c: Record) -> None:
    """Add a velocity in the direction of the heading to that of travel, both in polar coordinates."""
    speed, off = state.speed, state.phi - state.theta
    cosine, sine = math.cos(off), math.sin(off)
    squared = square(gain) + square(speed) + 2.0 * gain * speed * cosine
    state.speed = min(math.sqrt(max(squared, 0.0)), c.top_speed)
    state.phi = state.theta + math.atan2(speed * sine, gain + speed * cosine)
    if MENDED:
        state.phi = wrap(state.phi)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the field with the way so far, the velocity, the craft with its last action, and its speed."""
    span = draw_field(canvas, state, c)
    reach = 0.1 * span * state.speed
    canvas.arrow((state.x, state.y), (state.x + reach * math.cos(state.phi), state.y + reach * math.sin(state.phi)), INK, 2.5)
    draw_agent(canvas, state, c, span, state.phi)


V0 = dataclasses.replace(MOVING, name="Sliding", state=(*STATE, "phi"), reset=reset, step=step, observe=observe, draw=draw)

V1 = dataclasses.replace(V0, observation=OBSERVATION_V1, constants={"MENDED": True})
