"""CartPole: keep a pole upright by pushing the cart that carries it to the left or to the right.

Source: Barto, Sutton, Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems", IEEE
Transactions on Systems, Man, and Cybernetics, 1983. At the default configuration a trajectory equals that of Gymnasium's
``CartPole-v1`` from the same start, bit for bit (wherever NumPy takes the sine of a number from the C library, as on Linux).
What is added: every constant is a parameter, among them a gusty wind and a viscous friction of the cart, both 0 by default.

Reward is 1 in every step; an episode terminates when the pole leans too far or the cart leaves the track. It is a success
if that has not happened.
"""

import math
from typing import Any

import numpy as np

from reworld.generator import Generator, normal, uniform
from reworld.rendering import AGENT, DANGER, FAINT, GROUND, INK, PAPER, WOOD, Canvas
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World

PARAMETERS = (
    Parameter("gravity", 1.0, 30.0, "m/s²", "gravitational acceleration", 9.8),
    Parameter("cart_mass", 0.1, 10.0, "kg", "mass of the cart", 1.0),
    Parameter("pole_mass", 0.01, 2.0, "kg", "mass of the pole", 0.1),
    Parameter("half_length", 0.1, 2.0, "m", "half the length of the pole", 0.5),
    Parameter("force", 1.0, 40.0, "N", "strength of a push", 10.0),
    Parameter("time_step", 0.005, 0.05, "s", "time between two pushes", 0.02),
    Parameter("angle_limit", 0.05, math.pi / 4, "rad", "lean at which the episode terminates", 12 * 2 * math.pi / 360),
    Parameter("track_limit", 0.1, 4.8, "m", "distance from the centre at which the episode terminates", 2.4),
    Parameter("start_spread", 0.0, 0.2, "m, m/s, rad, rad/s", "largest absolute value of each start coordinate", 0.05),
    Parameter("wind", 0.0, 30.0, "N", "standard deviation of the wind's force on the cart, drawn anew in every step", 0.0),
    Parameter("friction", 0.0, 5.0, "N s/m", "viscous friction of the cart", 0.0),
)

STATE = ("x", "x_dot", "theta", "theta_dot")

# Gymnasium's checker warns of infinite bounds.
_UNBOUNDED = float(np.finfo(np.float32).max)

OBSERVATION = (
    Quantity("x", -9.6, 9.6, "m", "position of the cart"),
    Quantity("x_dot", -_UNBOUNDED, _UNBOUNDED, "m/s", "velocity of the cart"),
    Quantity("theta", -math.pi / 2, math.pi / 2, "rad", "lean of the pole, to the right"),
    Quantity("theta_dot", -_UNBOUNDED, _UNBOUNDED, "rad/s", "angular velocity of the pole"),
)

BRANCHES = (Branch("left", "push the cart to the left"), Branch("right", "push the cart to the right"))


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Start close to upright, at rest, in the centre."""
    state.x = uniform(rng, -c.start_spread, c.start_spread)
    state.x_dot = uniform(rng, -c.start_spread, c.start_spread)
    state.theta = uniform(rng, -c.start_spread, c.start_spread)
    state.theta_dot = uniform(rng, -c.start_spread, c.start_spread)


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Push for one time step, by Euler's method (Florian, "Correct equations for the dynamics of the cart-pole system")."""
    sine, cosine = math.sin(state.theta), math.cos(state.theta)
    position, velocity, theta, theta_dot = state.x, state.x_dot, state.theta, state.theta_dot
    total_mass = c.pole_mass + c.cart_mass
    moment = c.pole_mass * c.half_length
    force = c.force if branch == 1 else -c.force
    if c.wind > 0.0:
        force += normal(rng, 0.0, c.wind)
    if c.friction > 0.0:
        force -= c.friction * velocity
    push = (force + moment * (theta_dot * theta_dot) * sine) / total_mass
    theta_acceleration = (c.gravity * sine - cosine * push) / (
        c.half_length * (4.0 / 3.0 - c.pole_mass * (cosine * cosine) / total_mass)
    )
    acceleration = push - moment * theta_acceleration * cosine / total_mass
    state.x = position + c.time_step * velocity
    state.x_dot = velocity + c.time_step * acceleration
    state.theta = theta + c.time_step * theta_dot
    state.theta_dot = theta_dot + c.time_step * theta_acceleration
    return 1.0, not succeeded(state, c)


def succeeded(state: Record, c: Record) -> bool:
    """Whether the pole is still up and the cart on its track."""
    return abs(state.x) <= c.track_limit and abs(state.theta) <= c.angle_limit


def observe(state: Record, c: Record, out: Any) -> None:
    """Show the whole state."""
    out[0] = state.x
    out[1] = state.x_dot
    out[2] = state.theta
    out[3] = state.theta_dot


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Push to where the pole leans and falls, a little also to where the cart drifts."""
    x, x_dot, theta, theta_dot = observation
    return int(0.15 * x + 0.3 * x_dot + 3.0 * theta + theta_dot > 0.0), ()


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the track with its ends, the cart, the pole with its limits of lean, and the wind."""
    length, axle = 2.0 * c.half_length, (state.x, 0.3)
    span = max(2.8, c.track_limit + 0.4, 2.1 * length + 0.65)
    canvas.look_at(-span, span, -0.17 * span)
    canvas.landscape()
    canvas.box(-span, -span, 2.0 * span, span, GROUND)
    canvas.line([(-c.track_limit, 0.02), (c.track_limit, 0.02)], INK, 5.0)
    for limit in (-c.track_limit, c.track_limit):
        canvas.box(limit - 0.04, 0.0, 0.08, 0.4, DANGER)
    if c.wind > 0.0:
        _draw_wind(canvas, span, c.wind)
    for lean in (-c.angle_limit, c.angle_limit):
        canvas.line([axle, _along(axle, lean, 1.1 * length)], FAINT, 1.5)
    canvas.box(state.x - 0.28, 0.08, 0.56, 0.24, AGENT, 0.05)
    for wheel in (-0.16, 0.16):
        canvas.circle((state.x + wheel, 0.09), 0.09, INK)
        canvas.circle((state.x + wheel, 0.09), 0.035, PAPER)
    tip = _along(axle, state.theta, length)
    across = state.theta + 0.5 * math.pi
    canvas.polygon([_along(end, across, side) for end, side in ((axle, -0.04), (axle, 0.04), (tip, 0.04), (tip, -0.04))], WOOD)
    canvas.circle(tip, 0.04, WOOD)
    canvas.circle(axle, 0.055, INK)


def _along(point: tuple[float, float], angle: float, distance: float) -> tuple[float, float]:
    """Go from a point in a direction, which is an angle from upright to the right."""
    return point[0] + distance * math.sin(angle), point[1] + distance * math.cos(angle)


def _draw_wind(canvas: Canvas, span: float, wind: float) -> None:
    """Paint gusts at both sides, the longer the stronger the wind."""
    for side in (-1.0, 1.0):
        for level, share in ((0.40, 0.8), (0.33, 1.0), (0.26, 0.6)):
            stride = share * span * (0.1 + 0.01 * wind) / 16
            gust = [(side * (0.92 * span - k * stride), span * (level + 0.012 * math.sin(0.8 * k))) for k in range(17)]
            canvas.line(gust, PAPER, 3.0)


WORLD = World(
    name="CartPole",
    parameters=PARAMETERS,
    state=STATE,
    observation=OBSERVATION,
    branches=BRANCHES,
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=50,
    policy=policy,
)
