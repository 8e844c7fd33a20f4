"""Sliding: drive a craft with inertia to a target area and stop inside it.

Source: gym-hybrid (commit 22561815). It is Moving (see there for rules, reward and oddities) with a direction of travel of its
own: accelerating adds to the velocity, turning changes nothing but the heading, and braking slows down whatever the heading is.
At the default configuration a trajectory of v0 equals gym-hybrid's from the same start, bit for bit; v1 mends it:

| v0, as published | effect | v1 |
|---|---|---|
| the direction of travel is not observed | what an action leads to depends on what is hidden | the velocity is observed |
| the direction of travel is an angle, never wrapped | one direction has many numbers | it is a unit vector |
| velocities are added in polar coordinates | of two that cancel, 1e-8 is left | in Cartesian ones: less than 1e-15 is |
| what Moving-v1 mends | see there | mended likewise |

What differs: gym-hybrid's reset leaves the direction of travel as the last episode left it; here every episode begins with 0,
as in a fresh environment of theirs. No observation or reward depends on it, as the first push from rest replaces it.
Where rounding makes the square of a speed negative, gym-hybrid's speed is NaN; in v0 it is 0.
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
    disturb,
    draw_agent,
    draw_field,
    judge,
    move,
    rotation,
    slow_down,
    square,
    turn,
)
from reworld.worlds.moving import V0 as MOVING
from reworld.worlds.moving import notice as notice_moving
from reworld.worlds.moving import observe as observe_moving
from reworld.worlds.moving import reset as reset_moving

STATE_V1 = (*STATE, "travel_cosine", "travel_sine")

STATE_V0 = (*STATE_V1, "phi")  # The direction of travel, from which its cosine and sine follow here, see `notice`.

OBSERVATION_V1 = (
    *OBSERVATION,
    Quantity("velocity_x", -200.0, 200.0, "1/s", "velocity of the craft towards +x, without the current"),
    Quantity("velocity_y", -200.0, 200.0, "1/s", "velocity of the craft towards +y, without the current"),
)


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Draw a target, and a start, at rest; in v1 one outside the target."""
    reset_moving(state, c, rng)
    state.travel_cosine, state.travel_sine = 1.0, 0.0
    if not MENDED:
        state.phi = 0.0


def notice(state: Record) -> None:
    """Note what follows from the rest of a state: who sets other fields by hand must call this."""
    notice_moving(state)
    if not MENDED:
        state.travel_cosine, state.travel_sine = math.cos(state.phi), math.sin(state.phi)


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Push forwards, turn or brake, and slide on; parameters beyond their bounds are clipped."""
    if branch == ACCELERATE:
        _push(state, acceleration(x[0], c), c)
    elif branch == TURN:
        turn(state, rotation(x[0], c))
    else:
        slow_down(state, c)
        if state.speed == 0.0:
            state.travel_cosine, state.travel_sine = state.cosine, state.sine
            if not MENDED:
                state.phi = state.theta
    disturb(state, c, rng)
    move(state, state.travel_cosine, state.travel_sine, c)
    return judge(state, c)


def observe(state: Record, c: Record, out: Any) -> None:
    """Show the craft, the target, and the time; in v1 the velocity, too."""
    observe_moving(state, c, out)
    if MENDED:
        out[10] = state.speed * state.travel_cosine
        out[11] = state.speed * state.travel_sine


def _push(state: Record, gain: float, c: Record) -> None:
    """Add a velocity in the direction of the heading to that of travel."""
    if MENDED:
        _push_in_cartesian_coordinates(state, gain, c)
    else:
        _push_in_polar_coordinates(state, gain, c)


def _push_in_cartesian_coordinates(state: Record, gain: float, c: Record) -> None:
    velocity_x = state.speed * state.travel_cosine + gain * state.cosine
    velocity_y = state.speed * state.travel_sine + gain * state.sine
    speed = math.sqrt(square(velocity_x) + square(velocity_y))
    if speed > 0.0:
        state.travel_cosine, state.travel_sine = velocity_x / speed, velocity_y / speed
    state.speed = min(speed, c.top_speed)


def _push_in_polar_coordinates(state: Record, gain: float, c: Record) -> None:
    speed, off = state.speed, state.phi - state.theta
    cosine, sine = math.cos(off), math.sin(off)
    squared = square(gain) + square(speed) + 2.0 * gain * speed * cosine
    state.speed = min(math.sqrt(max(squared, 0.0)), c.top_speed)
    phi = state.theta + math.atan2(speed * sine, gain + speed * cosine)
    state.phi, state.travel_cosine, state.travel_sine = phi, math.cos(phi), math.sin(phi)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the field with the way so far, the velocity, the craft with its last action, and its speed."""
    span = draw_field(canvas, state, c)
    reach = 0.1 * span * state.speed
    tip = (state.x + reach * state.travel_cosine, state.y + reach * state.travel_sine)
    canvas.arrow((state.x, state.y), tip, INK, 2.5)
    draw_agent(canvas, state, c, span, math.atan2(state.travel_sine, state.travel_cosine))


V0 = dataclasses.replace(MOVING, name="Sliding", state=STATE_V0, reset=reset, step=step, observe=observe, draw=draw)

V1 = dataclasses.replace(V0, state=STATE_V1, observation=OBSERVATION_V1, constants={"MENDED": True})
