"""A family of finite worlds, as small as can be: a walk on a ring of some size, two thousand ways to jump included."""

import dataclasses
from typing import Any

import numpy as np

from reworld.errors import InvalidOption
from reworld.generator import Generator, uniform
from reworld.rendering import GOAL, Canvas
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World

SIZE = 5
STRIDES = np.array([1.0, -1.0])


def reset(state: Record, c: Record, rng: Generator) -> None:
    state.place = 1.0


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    for _ in range(2):
        substep(state, branch, x[0] if branch > 0 else 0.0, c, rng)
    return (c.prize if state.place == 0.0 else 0.0), state.place == 0.0


def substep(state: Record, branch: int, x: float, c: Record, rng: Generator) -> None:
    if uniform(rng, 0.0, 1.0) >= c.slip:
        state.place = (state.place + STRIDES[branch] + x // 1.0) % SIZE


def observe(state: Record, c: Record, out: Any) -> None:
    out[0] = int(state.place)


def succeeded(state: Record, c: Record) -> bool:
    return state.place == 0.0


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    return 1, (float(SIZE),)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    canvas.look_at(-1.0, SIZE + 1.0, -1.0)
    canvas.circle((state.place, 0.0), 0.4, GOAL)


def ring(size: int = 5, branches: int = 2) -> World:
    if size < 2:
        raise InvalidOption(f"size={size}: give at least 2.")
    jumps = [Branch(f"jump{k}", "jump", (Quantity("extra", -3.0, 10.0, "places", "more places"),)) for k in range(1, branches)]
    return dataclasses.replace(
        _FIVE,
        observation=size,
        branches=(Branch("walk", "to the next place"), *jumps),
        constants={"SIZE": size, "STRIDES": np.array([1.0, *(-float(k) for k in range(1, branches))])},
    )


_FIVE = World(
    name="Ring",
    parameters=(
        Parameter("slip", 0.0, 1.0, "", "probability of staying", 0.25),
        Parameter("prize", -1.0, 3.0, "", "reward of the first place", 1.0),
    ),
    state=("place",),
    observation=5,
    branches=(Branch("walk", ""), Branch("jump1", "", (Quantity("extra", -3.0, 10.0, "places", ""),))),
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=5,
    substep=substep,
    policy=policy,
)
