"""Archery: shoot arrows at a target in a wind that changes, or wait for a better one.

A world of one's own, with all that a world can have: copy this file and change it. ``python examples/add_a_world.py`` tells
whether it keeps the contract, and what its policy makes of it.

The reward of an arrow is 1 in the middle of the target and 0 at its edge; waiting costs a little. An episode terminates with
the last arrow, and is a success if the arrows made half of what they could.
"""

import math
from types import SimpleNamespace
from typing import Any

import gymnasium

import reworld
from reworld.generator import Generator, normal, uniform
from reworld.policies import scripted_policy
from reworld.rendering import AGENT, DANGER, FAINT, GRASS, INK, PAPER, TRAIL, WOOD, Canvas
from reworld.testing import check_world
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World

PARAMETERS = (
    Parameter("gravity", 2.0, 20.0, "m/s²", "downward acceleration", 9.8),
    Parameter("drag", 0.0, 0.02, "1/m", "deceleration by the air, per square of the speed through it", 0.005),
    Parameter("full_speed", 20.0, 40.0, "m/s", "speed of an arrow from a bow that is fully drawn", 28.0),
    Parameter("shake", 0.0, 0.1, "rad", "standard deviation of the elevation", 0.005),
    Parameter("wind_spread", 0.0, 10.0, "m/s", "standard deviation of the wind", 4.0),
    Parameter("wind_memory", 0.0, 0.99, "", "share of the wind that remains after a second", 0.8),
    Parameter("farthest", 20.0, 40.0, "m", "greatest distance of the target", 40.0),
    Parameter("radius", 0.2, 2.0, "m", "radius of the target", 0.8),
    Parameter("arrows", 1.0, 10.0, "", "arrows of an episode, rounded down", 5.0),
)

STATE = ("distance", "wind", "x", "y", "vx", "vy", "shot", "points")

OBSERVATION = (
    Quantity("distance", 15.0, 40.0, "m", "distance of the target"),
    Quantity("wind", -30.0, 30.0, "m/s", "wind, towards the target"),
    Quantity("shot", 0.0, 10.0, "", "arrows shot"),
)

SHOOT, WAIT = 0, 1

BRANCHES = (
    Branch(
        "shoot",
        "shoot an arrow",
        (
            Quantity("elevation", 0.0, 0.8, "rad", "angle above the horizon"),
            Quantity("pull", 0.5, 1.0, "", "share of the full speed"),
        ),
    ),
    Branch("wait", "let the wind change", (Quantity("time", 0.0, 5.0, "s", "how long"),)),
)

HEIGHT = 1.5  # Of the bow and of the target's middle, in metres.
TICK = 1 / 30  # Seconds of flight in a sub-step, which is one picture.


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Place the target and draw a wind."""
    state.distance = uniform(rng, 15.0, c.farthest)
    state.wind = normal(rng, 0.0, c.wind_spread)
    _bound_wind(state)
    state.x, state.y, state.vx, state.vy = 0.0, HEIGHT, 0.0, 0.0
    state.shot, state.points = 0.0, 0.0


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Shoot, which takes a second, or wait; parameters beyond their bounds are clipped."""
    if branch == WAIT:
        time = min(max(x[0], 0.0), 5.0)
        _change_wind(state, time, c, rng)
        return -0.01 * time, False
    _aim(state, min(max(x[0], 0.0), 0.8) + normal(rng, 0.0, c.shake), min(max(x[1], 0.5), 1.0), c)
    while _flies(state):
        substep(state, c)
    miss = abs(state.y - HEIGHT) / c.radius
    points = max(1.0 - miss, 0.0) if state.x >= state.distance else 0.0
    state.shot += 1.0
    state.points += points
    _change_wind(state, 1.0, c, rng)
    return points, state.shot >= math.floor(c.arrows)


def substep(state: Record, c: Record) -> None:
    """Let the arrow fly for a tick."""
    vx, vy = state.vx - state.wind, state.vy
    speed = math.sqrt(vx * vx + vy * vy)
    state.vx -= TICK * c.drag * speed * vx
    state.vy -= TICK * (c.drag * speed * vy + c.gravity)
    state.x += TICK * state.vx
    state.y += TICK * state.vy


def succeeded(state: Record, c: Record) -> bool:
    """Whether the arrows made half of what they could."""
    return state.points >= 0.5 * math.floor(c.arrows)


def observe(state: Record, c: Record, out: Any) -> None:
    """Show where the target is and how the wind blows."""
    out[0], out[1], out[2] = state.distance, state.wind, state.shot


def _aim(state: Record, elevation: float, pull: float, c: Record) -> None:
    state.x, state.y = 0.0, HEIGHT
    state.vx, state.vy = c.full_speed * pull * math.cos(elevation), c.full_speed * pull * math.sin(elevation)


def _flies(state: Record) -> bool:
    return state.x < state.distance and state.y > 0.0


def _change_wind(state: Record, time: float, c: Record, rng: Generator) -> None:
    """Keep some of the wind and draw the rest, so that its deviation stays what it is."""
    kept = math.pow(c.wind_memory, time)
    state.wind = kept * state.wind + normal(rng, 0.0, c.wind_spread * math.sqrt(1.0 - kept * kept))
    _bound_wind(state)


def _bound_wind(state: Record) -> None:
    state.wind = min(max(state.wind, -30.0), 30.0)


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Pull fully, and halve the range of elevations until an arrow of the default configuration would hit."""
    default = SimpleNamespace(**{parameter.name: parameter.default for parameter in PARAMETERS})
    low, high = 0.0, 0.7
    for _ in range(12):
        arrow = SimpleNamespace(distance=float(observation[0]), wind=float(observation[1]))
        _aim(arrow, 0.5 * (low + high), 1.0, default)
        while _flies(arrow):
            substep(arrow, default)
        if arrow.x >= arrow.distance and arrow.y > HEIGHT:
            high = 0.5 * (low + high)
        else:
            low = 0.5 * (low + high)
    return SHOOT, (low, 1.0)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the archer, the target with the arrows in it, the flight of the last one, and the wind."""
    canvas.look_at(-3.0, 45.0, -1.5)
    canvas.landscape()
    canvas.box(-3.0, -1.5, 48.0, 1.5, GRASS)
    canvas.box(-0.35, 0.0, 0.5, 1.3, AGENT, 0.2)
    canvas.circle((-0.1, 1.6), 0.3, AGENT)
    canvas.box(state.distance, 0.0, 0.25, HEIGHT, WOOD)
    for share, color in ((1.0, PAPER), (0.7, INK), (0.4, DANGER)):
        canvas.box(state.distance, HEIGHT - share * c.radius, 0.4, 2.0 * share * c.radius, color)
    for earlier in canvas.trail:
        if earlier.shot > 0.0 and earlier.y < HEIGHT + c.radius:
            _draw_arrow(canvas, earlier)
    flight = [(arrow.x, arrow.y) for arrow in (*canvas.past[1:], state)]  # The first is where the arrow before this one is.
    if len(flight) > 1:
        canvas.line(flight, TRAIL, 2.0)
    _draw_arrow(canvas, state)
    canvas.text((20.0, canvas.top - 0.8), f"wind {state.wind:+.1f} m/s", FAINT)
    canvas.arrow((20.0 - 0.5 * state.wind, canvas.top - 2.0), (20.0 + 0.5 * state.wind, canvas.top - 2.0), PAPER, 4.0)


def _draw_arrow(canvas: Canvas, state: Record) -> None:
    """Paint an arrow that points to where it flies."""
    speed = math.hypot(state.vx, state.vy)
    along = (state.vx / speed, state.vy / speed) if speed > 0.0 else (1.0, 0.0)
    canvas.line([(state.x - 0.9 * along[0], state.y - 0.9 * along[1]), (state.x, state.y)], INK, 2.0)


WORLD = World(
    name="Archery",
    parameters=PARAMETERS,
    state=STATE,
    observation=OBSERVATION,
    branches=BRANCHES,
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=30,
    substep=substep,
    policy=policy,
)

reworld.register("examples/Archery-v0", f"{__name__}:WORLD", max_episode_steps=20)

if __name__ == "__main__":
    check_world("examples/Archery-v0")
    print("The contract holds.")
    env = gymnasium.make("examples/Archery-v0")
    act = scripted_policy(WORLD)
    total = 0.0
    for seed in range(20):
        observation, info = env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            observation, reward, terminated, truncated, info = env.step(act(observation))
            total += float(reward)
    print(f"The policy returns {total / 20:.2f} on average.")
