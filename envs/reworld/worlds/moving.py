"""Moving: drive to a target area and stop inside it.

Source: gym-hybrid (commit 22561815), after Xiong et al., "Parametrized Deep Q-Networks Learning", 2018 (arXiv 1810.06394), and
Fan, Su, Zhang, Yu, "Hybrid Actor-Critic Reinforcement Learning in Parameterized Action Space", IJCAI 2019. At the default
configuration a trajectory of v0 equals gym-hybrid's from the same start, bit for bit, with all that is odd in it; v1 mends it:

| v0, as published | effect | v1 |
|---|---|---|
| an episode has 201 steps, not 200 | it outlasts its clock, which then shows 1.005 | it has 200 |
| the last one terminates with reward -1 | that time is up looks like leaving the field | it truncates, with its own reward |
| of the starts, 0.8 % lie inside the target | what leaves the agent at rest there wins at once | none does |
| rounding leaves a speed of 1e-14 for none | braking does not stop: it takes one more `brake` | it stops |

What surprises, in both:

- Speed is never negative, and only `brake` reduces it. There is no top speed that an episode could reach.
- The agent moves in every step: `turn` and `brake` carry it on, at the speed that results.
- Leaving the field costs 1 *instead of* what the step gained. Stopping inside the target comes before all else, also in the
  last step of all.
- The edge of the target is inside for the observation, and outside for success.
- Parameters of an action beyond their bounds are clipped to them.

What differs: observations are float32, and lie within their bounds in every configuration (the bounds of the published space
are exchanged, so it holds nothing). What is added: every constant is a parameter, among them friction, a current, a wandering
heading and targets of many sizes, all 0 by default, and a top speed.

The reward of a step is the distance gained towards the target, less a penalty for the time; 1 is added for stopping inside,
which is a success and terminates.
"""

import dataclasses
import math
from typing import Any

from reworld.generator import Generator, normal, uniform
from reworld.rendering import AGENT, DANGER, FAINT, GOAL, INK, PAPER, TRAIL, WOOD, Canvas, Color, Point
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World

MENDED = False  # A constant of the worlds: True in v1.

PARAMETERS = (
    Parameter("time_step", 0.001, 0.02, "s", "length of a step", 0.005),
    Parameter("max_turn", 0.1, math.pi, "rad", "largest turn in a step", math.pi / 2),
    Parameter("max_acceleration", 0.05, 2.0, "1/s", "largest gain of speed in a step", 0.5),
    Parameter("brake", 0.01, 1.0, "1/s", "loss of speed by braking for a step", 0.1),
    Parameter("top_speed", 0.5, 200.0, "1/s", "highest speed; the default is more than an episode can reach", 200.0),
    Parameter("friction", 0.0, 20.0, "1/s", "rate at which the speed decays", 0.0),
    Parameter("current_x", -2.0, 2.0, "1/s", "velocity at which the agent drifts towards +x", 0.0),
    Parameter("current_y", -2.0, 2.0, "1/s", "the same towards +y", 0.0),
    Parameter("heading_noise", 0.0, 0.5, "rad", "standard deviation of a random turn in every step", 0.0),
    Parameter("half_size", 0.5, 2.0, "", "half the side of the field", 1.0),
    Parameter("start_margin", 0.0, 0.1, "", "least distance of a start from the border", 0.0),
    Parameter("target_margin", 0.0, 0.4, "", "least distance of the target's centre from the border", 0.1),
    Parameter("target_radius", 0.02, 0.25, "", "mean radius of the target", 0.1),
    Parameter("radius_spread", 0.0, 0.5, "", "largest share by which a target is larger or smaller than that", 0.0),
    Parameter("penalty", 0.0, 0.05, "", "what a step costs", 0.001),
    Parameter("leaving_cost", 0.0, 10.0, "", "what leaving the field costs", 1.0),
)

# The last three follow from the others, see `notice`.
STATE = ("x", "y", "speed", "theta", "target_x", "target_y", "target_radius", "clock", "cosine", "sine", "away")

# The published number of steps, in which the observation measures time, whatever the time limit of the episode is.
_STEPS = 200.0

# A field of half the size 2 is left by at most 0.02 s at a speed of 200 and a current of 2.
_FARTHEST = 6.04

OBSERVATION = (
    Quantity("x", -_FARTHEST, _FARTHEST, "", "position of the agent"),
    Quantity("y", -_FARTHEST, _FARTHEST, "", "position of the agent"),
    Quantity("speed", 0.0, 200.0, "1/s", "its speed"),
    Quantity("cosine", -1.0, 1.0, "", "cosine of its heading, an angle from +x towards +y"),
    Quantity("sine", -1.0, 1.0, "", "sine of its heading"),
    Quantity("target_x", -2.0, 2.0, "", "position of the target"),
    Quantity("target_y", -2.0, 2.0, "", "position of the target"),
    Quantity("distance", 0.0, 10.0, "", "distance from the agent to the target's centre"),
    Quantity("inside", 0.0, 1.0, "", "1 within the target or on its edge, else 0"),
    Quantity("clock", 0.0, 1.005, "", "steps that have been made, at most 201: / 200"),
)

ACCELERATE, TURN, BRAKE = 0, 1, 2

BRANCHES = (
    Branch("accelerate", "gain speed", (Quantity("power", 0.0, 1.0, "", "share of the largest acceleration"),)),
    Branch("turn", "change the heading", (Quantity("rotation", -1.0, 1.0, "", "share of the largest turn, to the left"),)),
    Branch("brake", "lose speed (`break` in the published code)"),
)

_CIRCLE = 2.0 * math.pi


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Draw a target, and a start, at rest; in v1 one outside the target."""
    farthest = c.half_size - c.target_margin
    state.target_x = uniform(rng, -farthest, farthest)
    state.target_y = uniform(rng, -farthest, farthest)
    smallest, largest = c.target_radius * (1.0 - c.radius_spread), c.target_radius * (1.0 + c.radius_spread)
    state.target_radius = uniform(rng, smallest, largest)
    farthest = c.half_size - c.start_margin
    while True:
        state.x = uniform(rng, -farthest, farthest)
        state.y = uniform(rng, -farthest, farthest)
        if not MENDED or distance(state) > state.target_radius:
            break
    state.theta = uniform(rng, 0.0, _CIRCLE)
    state.speed, state.clock = 0.0, 0.0
    notice(state)


def notice(state: Record) -> None:
    """Note what follows from the rest of a state: who sets other fields by hand must call this.

    The state keeps it because it is dear: bit equality asks for the C library's sine and cosine, one angle at a time, and for
    `square`. So they are computed only when the heading turns, and when the agent has moved.
    """
    state.cosine, state.sine = math.cos(state.theta), math.sin(state.theta)
    state.away = distance(state)


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Gain speed, turn or brake, and move on; parameters beyond their bounds are clipped."""
    if branch == ACCELERATE:
        state.speed = min(state.speed + acceleration(x[0], c), c.top_speed)
    elif branch == TURN:
        turn(state, rotation(x[0], c))
    else:
        slow_down(state, c)
    disturb(state, c, rng)
    move(state, state.cosine, state.sine, c)
    return judge(state, c)


def succeeded(state: Record, c: Record) -> bool:
    """Whether the agent rests inside the target."""
    return state.speed == 0.0 and state.away < state.target_radius


def observe(state: Record, c: Record, out: Any) -> None:
    """Show the agent, the target, and the time."""
    out[0] = state.x
    out[1] = state.y
    out[2] = state.speed
    out[3] = state.cosine
    out[4] = state.sine
    out[5] = state.target_x
    out[6] = state.target_y
    out[7] = state.away
    out[8] = 1.0 if state.away <= state.target_radius else 0.0
    out[9] = min(state.clock, _STEPS + 1.0) / _STEPS


def acceleration(power: float, c: Record) -> float:
    """How much speed this power gains."""
    return c.max_acceleration * min(max(power, 0.0), 1.0)


def rotation(share: float, c: Record) -> float:
    """By what angle this share turns."""
    return c.max_turn * min(max(share, -1.0), 1.0)


def turn(state: Record, angle: float) -> None:
    """Change the heading, which stays in [0, 2π)."""
    theta = wrap(state.theta + angle)
    state.theta, state.cosine, state.sine = theta, math.cos(theta), math.sin(theta)


def wrap(angle: float) -> float:
    """Bring an angle into [0, 2π) that is less than a circle outside of it: the bits of ``angle % (2 * pi)``, in less time."""
    if angle >= _CIRCLE:
        return angle - _CIRCLE
    return angle + _CIRCLE if angle < 0.0 else angle


def slow_down(state: Record, c: Record) -> None:
    """Lose speed; in v1 a rest that is due to rounding counts as none."""
    if state.speed < c.brake or (MENDED and state.speed - c.brake < 1e-9):
        state.speed = 0.0
    else:
        state.speed -= c.brake


def disturb(state: Record, c: Record, rng: Generator) -> None:
    """Let the heading wander, and friction act."""
    if c.heading_noise > 0.0:
        turn(state, normal(rng, 0.0, c.heading_noise))
    state.speed *= 1.0 - c.friction * c.time_step


def move(state: Record, cosine: float, sine: float, c: Record) -> None:
    """Travel for a time step in the direction that has this cosine and sine, and with the current."""
    state.x += c.time_step * state.speed * cosine
    state.y += c.time_step * state.speed * sine
    state.x += c.time_step * c.current_x
    state.y += c.time_step * c.current_y


def judge(state: Record, c: Record) -> tuple[float, bool]:
    """Count the step that has been made, and tell its reward and whether the episode terminates."""
    state.clock += 1.0
    before, state.away = state.away, distance(state)
    gain = before - state.away - c.penalty
    if succeeded(state, c):
        return gain + 1.0, True
    if abs(state.x) > c.half_size or abs(state.y) > c.half_size:
        return -c.leaving_cost, True
    if not MENDED and state.clock > _STEPS:
        return -1.0, True
    return gain, False


def distance(state: Record) -> float:
    """How far the agent is from the target's centre."""
    return math.sqrt(square(state.x - state.target_x) + square(state.y - state.target_y))


def square(number: float) -> float:
    """Multiply a number by itself; in v0 as gym-hybrid does, by C's pow, which rounds one product in a thousand otherwise."""
    product = number * number
    if MENDED:
        return product
    # For numbers between 1e-38 and 1e38 the GNU C library's pow errs by 0.511 units in the last place in its exponential and
    # 0.008 in its logarithm at most, so it differs only where the product is close to a tie, 1 / (2 * 1.04) = 0.481 of a unit
    # or more away. How close, its rounding error tells (by Dekker's method), and the answer is nearly always not close enough.
    high = 134217729.0 * number
    high -= high - number
    error = high * high - product + (number + high) * (number - high)
    if product + 1.04 * error == product:
        return product
    return math.pow(number, 2.0 + 0.0 * number)  # A constant exponent would be compiled to a product.


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Turn to the target, gain the speed from which braking stops in its centre, and brake."""
    x, y, speed, cosine, sine, target_x, target_y, away = map(float, observation[:8])
    forward, left = cosine * (target_x - x) + sine * (target_y - y), cosine * (target_y - y) - sine * (target_x - x)
    off = math.atan2(left, forward)
    # Braking from a speed v takes 10 v steps and makes 0.025 v² - 0.0025 v of way; the step before it makes 0.005 v.
    lack = math.sqrt(0.0025 + 40.0 * away) - 0.05 - speed
    if away > 0.02 and abs(off) > 0.01 and speed < 0.1:
        return TURN, (off / (0.5 * math.pi),)
    if lack > 0.05 and abs(off) < 0.1:
        return ACCELERATE, (min(lack / 0.5, 1.0),)
    return BRAKE, ()


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the field with the way so far, the agent with its last action, and its speed."""
    span = draw_field(canvas, state, c)
    draw_agent(canvas, state, c, span, state.theta)


_FLOOR: Color = (235, 239, 243)
_GRID: Color = (226, 231, 236)
_AREA: Color = (190, 230, 218)
_GAUGE = 8.0  # The speed at which the gauge is full.


def draw_field(canvas: Canvas, state: Record, c: Record) -> float:
    """Paint field, target, way, speed and time; tell how far the picture reaches from the centre."""
    half = c.half_size
    span = max(1.16 * half, 1.16 * abs(state.x), 1.16 * abs(state.y))
    canvas.look_at(-span, span, -span)
    canvas.box(-span, -span, 2.0 * span, 2.0 * span, _FLOOR)
    canvas.box(-half, -half, 2.0 * half, 2.0 * half, PAPER)
    for level in (-0.5 * half, 0.0, 0.5 * half):
        canvas.line([(level, -half), (level, half)], _GRID, 1.0)
        canvas.line([(-half, level), (half, level)], _GRID, 1.0)
    canvas.line([(-half, -half), (half, -half), (half, half), (-half, half), (-half, -half)], INK, 2.0)
    target = (state.target_x, state.target_y)
    canvas.circle(target, state.target_radius, _AREA)
    canvas.ring(target, state.target_radius, GOAL)
    canvas.circle(target, 0.012 * span, GOAL)
    _draw_way(canvas, state)
    level = -0.93 * span
    canvas.text((-0.87 * span, level), "speed", FAINT)
    canvas.box(-0.74 * span, level - 0.02 * span, 0.7 * span, 0.04 * span, PAPER, 0.02 * span)
    canvas.box(-0.74 * span, level - 0.02 * span, 0.7 * span * min(state.speed / _GAUGE, 1.0), 0.04 * span, AGENT, 0.02 * span)
    canvas.text((0.08 * span, level), f"{state.speed:.2f}", INK)
    canvas.text((0.78 * span, level), f"step {state.clock:.0f} of {_STEPS:.0f}", FAINT)
    return span


def _draw_way(canvas: Canvas, state: Record) -> None:
    """Paint where the agent has been, the paler the longer ago."""
    way = [(float(earlier.x), float(earlier.y)) for earlier in (*canvas.trail, *canvas.past, state)]
    shades = 6
    for k in range(shades):
        piece = way[len(way) * k // shades : len(way) * (k + 1) // shades + 1]
        if len(piece) > 1:
            share = (k + 1) / shades
            canvas.line(piece, _blend(PAPER, TRAIL, share), 3.0)


def _blend(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def draw_agent(canvas: Canvas, state: Record, c: Record, span: float, travel: float) -> None:
    """Paint the agent, which travels in a direction, as a wedge that points to where it heads, and what its last action did."""
    here, size = (state.x, state.y), 0.085 * span
    if canvas.action is not None:
        branch, x = canvas.action
        if branch == ACCELERATE:
            power = min(max(float(x[0]), 0.0), 1.0)
            canvas.arrow(
                _along(here, state.theta, 0.8 * size), _along(here, state.theta, (1.0 + 3.0 * power) * size), WOOD, 5.0
            )
        elif branch == TURN:
            _draw_turn(canvas, here, state.theta, rotation(float(x[0]), c), 1.7 * size)
        else:
            canvas.arrow(_along(here, travel, -0.6 * size), _along(here, travel, -2.2 * size), DANGER, 5.0)
    corners = [_along(here, state.theta + turned, reach * size) for turned, reach in _WEDGE]
    canvas.polygon(corners, AGENT)
    canvas.line([*corners, corners[0]], PAPER, 1.0)


_WEDGE = ((0.0, 1.15), (2.5, 1.0), (math.pi, 0.45), (-2.5, 1.0))


def _draw_turn(canvas: Canvas, center: Point, heading: float, turned: float, radius: float) -> None:
    """Paint an arc from the heading before to the present one, which ends in an arrow."""
    head = math.copysign(min(abs(turned), 0.7), turned)
    arc = [_along(center, heading - head - (turned - head) * (1.0 - k / 12.0), radius) for k in range(13)]
    canvas.line(arc, WOOD, 5.0)
    canvas.arrow(arc[-1], _along(center, heading, radius), WOOD, 5.0)


def _along(start: Point, angle: float, length: float) -> Point:
    """Go from a point in a direction, which is an angle from +x towards +y."""
    return start[0] + length * math.cos(angle), start[1] + length * math.sin(angle)


V0 = World(
    name="Moving",
    parameters=PARAMETERS,
    state=STATE,
    observation=OBSERVATION,
    branches=BRANCHES,
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=20,
    policy=policy,
    picture=(420, 468),
)

V1 = dataclasses.replace(V0, constants={"MENDED": True})
