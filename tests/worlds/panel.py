"""A world that shows what it was told: its observation is the last branch with its parameters, of which there are 2, 0 or 1."""

from typing import Any

from reworld.generator import Generator
from reworld.rendering import INK, Canvas
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World


def reset(state: Record, c: Record, rng: Generator) -> None:
    state.branch, state.first, state.second = -1.0, 0.0, 0.0


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    state.branch = branch
    state.first = x[0] if branch != 1 else 0.0
    state.second = x[1] if branch == 0 else 0.0
    return c.pay, False


def observe(state: Record, c: Record, out: Any) -> None:
    out[0], out[1], out[2] = state.branch, state.first, state.second


def succeeded(state: Record, c: Record) -> bool:
    return False


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    canvas.look_at(-1.0, 1.0, -1.0)
    canvas.circle((0.0, 0.0), 0.5, INK)


WORLD = World(
    name="Panel",
    parameters=(Parameter("pay", 0.0, 1.0, "", "reward of every step", 0.5),),
    state=("branch", "first", "second"),
    observation=tuple(Quantity(name, -100.0, 100.0, "", "") for name in ("branch", "first", "second")),
    branches=(
        Branch("slide", "", (Quantity("x", -2.0, 6.0, "m", ""), Quantity("y", 0.0, 10.0, "m", ""))),
        Branch("press", ""),
        Branch("turn", "", (Quantity("angle", -1.0, 3.0, "rad", ""),)),
    ),
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=5,
)
