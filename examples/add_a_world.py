"""A world of one's own: a ball that is pushed along a slope, and the contract that it keeps."""

from typing import Any

import gymnasium

import reworld
from reworld.generator import Generator, normal
from reworld.rendering import Canvas
from reworld.testing import check_world
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World


def reset(state: Record, c: Record, rng: Generator) -> None:
    state.x, state.v = 0.0, 0.0


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    push = min(max(x[0], 0.0), 1.0) if branch == 0 else 0.0
    state.v += push - c.slope + normal(rng, 0.0, c.noise)
    state.x += state.v
    return (10.0 if succeeded(state, c) else -1.0), succeeded(state, c) or abs(state.x) > 10.0


def observe(state: Record, c: Record, out: Any) -> None:
    out[0], out[1] = state.x / 100.0, state.v / 100.0


def succeeded(state: Record, c: Record) -> bool:
    return state.x > 5.0


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    canvas.look_at(-12.0, 12.0, -2.0)
    canvas.circle((state.x, 0.0), 0.5, (0, 114, 178))


WORLD = World(
    name="Slope",
    parameters=(
        Parameter("slope", 0.0, 0.8, "m/s²", "pull to the left", 0.2),
        Parameter("noise", 0.0, 0.5, "m/s", "deviation of the gusts", 0.1),
    ),
    state=("x", "v"),
    observation=(Quantity("x", -1.0, 1.0, "100 m", "position"), Quantity("v", -1.0, 1.0, "100 m/s", "velocity")),
    branches=(
        Branch("push", "push to the right", (Quantity("strength", 0.0, 1.0, "m/s", "speed gained"),)),
        Branch("rest", "do nothing"),
    ),
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=10,
)

if __name__ == "__main__":
    reworld.register("examples/Slope-v0", f"{__name__}:WORLD", max_episode_steps=100)
    check_world("examples/Slope-v0")
    print("The contract holds for", gymnasium.make("examples/Slope-v0"))
