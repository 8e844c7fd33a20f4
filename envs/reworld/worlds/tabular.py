"""Tabular: any finite Markov decision process, from a file or from arrays, with its probabilities as the configuration.

The default is RiverSwim, as Strehl and Littman give it in "An analysis of model-based Interval Estimation for Markov Decision
Processes", Journal of Computer and System Sciences 74, 2008: six states in a row along a river, from 0, where swimming with the
current to the left pays 5, to 5, where swimming to the right pays 10000 if it holds its own against the current. What differs:
an episode may start anywhere, not in 1 and 2 alone, so that the whole river is seen.

There is one parameter for each entry of the kernel: ``p_2_1_3`` is the weight of going from state 2 to state 3 by action 1. In
the order of the parameters they are the kernel, ``configuration.reshape(S, A, S)``. A row of weights is divided by its sum, so
that every configuration is a Markov decision process; where all weights are zero, they are equal, and so are the probabilities.

An episode ends only in a state that was declared terminal. A table of numbers does not tell what success is: no state is one.
"""

import math
from functools import cache
from os import PathLike
from typing import Any
from zipfile import BadZipFile

import numpy as np

from reworld.errors import InvalidOption
from reworld.finite import FiniteMDP, Integers, Reals, optimal_actions, read_laws, read_numbers
from reworld.generator import Generator, uniform
from reworld.rendering import AGENT, GOAL, INK, PAPER, TRAIL, WOOD, Canvas, Color, Point
from reworld.world import Branch, Parameter, Record, Vector, World

STATE = ("s",)

# Constants of the worlds: r[s, a, s'], the law of the first state, which states are terminal, the best action in each state.
REWARDS: Reals = np.empty((0, 0, 0))
START: Reals = np.empty(0)
TERMINAL = np.empty(0, np.bool_)
PLAN: Integers = np.empty(0, np.int64)


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Draw the first state."""
    left = uniform(rng, 0.0, 1.0)
    for s in range(len(START)):
        if START[s] > 0.0:
            state.s = s
            left -= START[s]
            if left < 0.0:
                break


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Draw the next state."""
    here = int(state.s)
    there = here
    total = _total(here, branch, c)
    left = uniform(rng, 0.0, 1.0)
    for s in range(len(START)):
        probability = _probability(here, branch, s, total, c)
        if probability > 0.0:
            there = s
            left -= probability
            if left < 0.0:
                break
    state.s = there
    return REWARDS[here, branch, there], TERMINAL[there]


def succeeded(state: Record, c: Record) -> bool:
    """Never: what success is, no table of numbers tells."""
    return False


def observe(state: Record, c: Record, out: Any) -> None:
    """Show the state."""
    out[0] = int(state.s)


def tabulate(c: Record, kernel: Any, rewards: Any, start: Any) -> None:
    """Fill in the exact model: the weights, divided by their sums."""
    for s in range(len(START)):
        start[s] = START[s]
        if TERMINAL[s]:
            continue
        for a in range(REWARDS.shape[1]):
            total = _total(s, a, c)
            for t in range(len(START)):
                kernel[s, a, t] = _probability(s, a, t, total, c)
                rewards[s, a, t] = REWARDS[s, a, t]


def _total(s: int, a: int, c: Record) -> float:
    total = 0.0
    for t in range(len(START)):
        total += c.values[(s * REWARDS.shape[1] + a) * len(START) + t]
    return total


def _probability(s: int, a: int, t: int, total: float, c: Record) -> float:
    return c.values[(s * REWARDS.shape[1] + a) * len(START) + t] / total if total > 0.0 else 1.0 / len(START)


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Take the action that is optimal in the default configuration, with the discount 0.95."""
    return int(PLAN[observation]), ()


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the states on a ring, and where the last action might have led, the wider the likelier."""
    canvas.look_at(-1.42, 1.42, -1.42)
    canvas.ring((0.0, 0.0), 1.0, _UNSEEN, 1.5)
    states = len(START)
    radius = min(0.16, 2.2 / states)
    here, before = int(state.s), int(canvas.past[0].s) if canvas.past else -1
    if canvas.action:
        total = _total(before, canvas.action[0], c)
        law = [float(_probability(before, canvas.action[0], s, total, c)) for s in range(states)]
        for s in sorted(range(states), key=law.__getitem__):
            if law[s] > 0.0:
                _draw_transition(canvas, before, s, radius, law[s], WOOD if s == here else _UNTAKEN)
    visits = {before, *(int(earlier.s) for earlier in canvas.trail)}
    for s in range(states):
        center = _place(s)
        if TERMINAL[s]:
            canvas.circle(center, 1.25 * radius, GOAL)
        color = AGENT if s == here else TRAIL if s in visits else _UNSEEN
        canvas.circle(center, radius, color)
        if s == before and s != here:
            canvas.ring(center, radius, WOOD, 3.0)
        if radius > 0.06:
            canvas.text(center, str(s), PAPER if s == here else INK, 15)


_UNTAKEN: Color = (188, 196, 206)
_UNSEEN: Color = (222, 228, 234)


def _place(s: int, distance: float = 1.0) -> Point:
    """Where a state is drawn: clockwise from the top."""
    angle = 2.0 * math.pi * s / len(START)
    return distance * math.sin(angle), distance * math.cos(angle)


def _draw_transition(canvas: Canvas, start: int, end: int, radius: float, share: float, color: Color) -> None:
    """Paint an arrow between two states, bent inwards, or a loop beside one; and its probability, if there is room."""
    pixels = 1.0 + 6.0 * share
    (x0, y0), (x1, y1) = _place(start), _place(end)
    if start == end:
        label = _place(start, 1.0 + 1.6 * radius)
        canvas.ring(label, 0.75 * radius, color, pixels)
    else:
        x, y = 0.18 * (x0 + x1), 0.18 * (y0 + y1)
        curve = []
        for k in range(25):
            near, far = 1.0 - k / 24, k / 24
            a, b, d = near * near, 2.0 * near * far, far * far
            point = (a * x0 + b * x + d * x1, a * y0 + b * y + d * y1)
            if math.dist(point, (x1, y1)) > 1.1 * radius:
                curve.append(point)
        canvas.line(curve[:-2], color, pixels)
        canvas.arrow(curve[-3], curve[-1], color, pixels)
        label = curve[2 * len(curve) // 3]
    if radius > 0.12:
        canvas.text(label, f"{share:.2g}", INK, 13)


def tabular(
    path: str | PathLike[str] | None = None, kernel: Any = None, rewards: Any = None, start: Any = None, terminal: Any = None
) -> World:
    """Make the world of a finite Markov decision process; without arguments RiverSwim.

    Args:
        path: An ``.npz`` file with the arrays below, under these names or as ``P``, ``r`` and ``mu``.
        kernel: In place of a file: the probability of each next state, shape (S, A, S). Rows of terminal states are not read.
        rewards: Reward of each transition, shape (S, A, S), or of each action, (S, A).
        start: Probability of each first state, shape (S,); the same for all that are not terminal if left out.
        terminal: Which states end an episode, bool of shape (S,); none if left out.

    Raises:
        InvalidOption: If the arrays do not make a Markov decision process, or the file holds none.
    """
    arrays = {"kernel": kernel, "rewards": rewards, "start": start, "terminal": terminal}
    given = {name: value for name, value in arrays.items() if value is not None}
    if path is None and not given:
        return _river_swim()
    if path is not None:
        if given:
            raise InvalidOption(f"Both a file and {', '.join(given)} were given: give path=… or the arrays.")
        given = _load(path)
    for name in ("kernel", "rewards"):
        if name not in given:
            raise InvalidOption(f"{name} is missing: a Markov decision process needs kernel and rewards.")
    model = _checked(**given)
    return _world(model, tuple(Branch(f"a{a}", f"action {a}") for a in range(model.kernel.shape[1])))


@cache
def _river_swim() -> World:
    kernel, rewards = np.zeros((6, 2, 6)), np.zeros((6, 2, 6))
    for s in range(6):
        kernel[s, 0, max(s - 1, 0)] = 1.0
        kernel[s, 1, max(s - 1, 0) : s + 2] = (0.7, 0.3) if s in {0, 5} else (0.1, 0.6, 0.3)
    rewards[0, 0, 0], rewards[5, 1, 5] = 5.0, 10_000.0
    return _world(_checked(kernel, rewards), (Branch("left", "swim with the current"), Branch("right", "swim against it")))


def _world(model: FiniteMDP, branches: tuple[Branch, ...]) -> World:
    return World(
        name="Tabular",
        parameters=tuple(
            Parameter(f"p_{s}_{a}_{t}", 0.0, 1.0, "", f"weight of going from {s} to {t} by action {a}", float(default))
            for (s, a, t), default in np.ndenumerate(model.kernel)
        ),
        state=STATE,
        observation=len(model.start),
        branches=branches,
        reset=reset,
        step=step,
        observe=observe,
        succeeded=succeeded,
        draw=draw,
        frames_per_second=5,
        policy=policy,
        tabulate=tabulate,
        constants={
            "REWARDS": model.rewards,
            "START": model.start,
            "TERMINAL": model.terminal,
            "PLAN": optimal_actions(model, 0.95),
        },
        picture=(480, 528),
    )


_SHORT = {"P": "kernel", "r": "rewards", "mu": "start"}


def _load(path: str | PathLike[str]) -> dict[str, Any]:
    """Read the arrays of a file, under the names that `tabular` has for them."""
    try:
        with open(path, "rb") as stream, np.load(stream) as file:
            arrays = {_SHORT.get(name, name): file[name] for name in file.files}
    except (OSError, TypeError, ValueError, BadZipFile) as error:
        raise InvalidOption(f"{path!r} is no .npz file of arrays of numbers: write it by numpy.savez. ({error})") from error
    return {name: arrays[name] for name in ("kernel", "rewards", "start", "terminal") if name in arrays}


def _checked(kernel: Any, rewards: Any, start: Any = None, terminal: Any = None) -> FiniteMDP:
    """Refuse arrays that do not make a Markov decision process."""
    kernel = read_numbers("kernel", kernel)
    if kernel.ndim != 3 or kernel.shape[0] != kernel.shape[2] or not kernel.size:
        raise InvalidOption(f"kernel has shape {kernel.shape}: give kernel[s, a, s'], of shape (S, A, S).")
    states, actions, _ = kernel.shape
    ends = np.zeros(states, np.bool_) if terminal is None else np.asarray(terminal)
    if ends.shape != (states,) or ends.dtype != np.bool_ or ends.all():
        raise InvalidOption(f"terminal={terminal!r}: give {states} bools, one for each state, not all of them true.")
    kernel = np.where(ends[:, None, None], np.eye(states)[:, None, :], kernel)
    rewards = read_numbers("rewards", rewards)
    if rewards.shape == (states, actions):
        rewards = rewards[:, :, None]
    elif rewards.shape != kernel.shape:
        raise InvalidOption(f"rewards has shape {rewards.shape}: give {(states, actions, states)} or {(states, actions)}.")
    rewards = np.where(ends[:, None, None], 0.0, np.broadcast_to(rewards, kernel.shape))
    start = read_numbers("start", ~ends / np.sum(~ends) if start is None else start)
    if start.shape != (states,):
        raise InvalidOption(f"start has shape {start.shape}: give {states} probabilities, one for each state.")
    if start[ends].any():
        raise InvalidOption(f"start={start.tolist()} gives a terminal state a probability: an episode cannot begin at its end.")
    return FiniteMDP(read_laws("kernel", kernel), rewards, read_laws("start", start), ends)
