"""Which worlds there are, as a table."""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from reworld.environment import find_world
from reworld.errors import InvalidOption, nearest
from reworld.world import Branch, Observed, World


@dataclass(frozen=True)
class Entry:
    """One registered world.

    Args:
        spec: How it is registered; ``spec.id``, ``spec.max_episode_steps`` and ``spec.reward_threshold`` among the rest.
        world: What it is made of: for a family, the member that ``gymnasium.make(id)`` makes.
    """

    spec: EnvSpec
    world: World


class Catalogue(tuple[Entry, ...]):
    """Registered worlds, which print as a table."""

    def __str__(self) -> str:
        return table(
            ("id", "branches", "their parameters", "observation", "configuration", "time limit", "solved at"),
            [
                (
                    entry.spec.id,
                    str(len(entry.world.branches)),
                    describe_counts(entry.world.branches),
                    describe_observation(entry.world.observation),
                    f"{len(entry.world.parameters)} parameters",
                    "" if entry.spec.max_episode_steps is None else str(entry.spec.max_episode_steps),
                    "" if entry.spec.reward_threshold is None else f"{entry.spec.reward_threshold:g}",
                )
                for entry in self
            ],
        )

    __repr__ = __str__


def list_worlds() -> Catalogue:
    """List every world that `reworld.register` was told of, those of reworld and others.

    Returns:
        A tuple of `Entry`, in the order of their ids, that prints as a table.
    """
    specs = sorted(filter(_is_world, gymnasium.registry.values()), key=lambda spec: spec.id)
    return Catalogue(Entry(spec, find_world(**spec.kwargs)) for spec in specs)


def find_entry(id: str, **family: Any) -> Entry:
    """Find a registered world.

    Args:
        id: As in ``gymnasium.make``, with its version; ``"module:id"`` imports the module that registers it.
        family: What a family of worlds takes, such as ``n=6``.

    Raises:
        InvalidOption: If there is none of that id, or an argument is unknown.
    """
    module, _, id = id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InvalidOption(f"The module {module!r}, which should register {id!r}, cannot be imported: {error}.") from error
    spec = gymnasium.registry.get(id)
    if spec is None or not _is_world(spec):
        known = sorted(spec.id for spec in gymnasium.registry.values() if _is_world(spec))
        raise InvalidOption(f"There is no world {id!r}. {nearest(id, known)}")
    return Entry(spec, find_world(**{**spec.kwargs, **family}))


def describe_counts(branches: tuple[Branch, ...]) -> str:
    """Say how many parameters the branches of an action have.

    Args:
        branches: All branches of a world.

    Returns:
        Such as ``"1 each"``, ``"2, 1, 1"`` or ``"none"``.
    """
    counts = [len(branch.parameters) for branch in branches]
    if not any(counts):
        return "none"
    if len(set(counts)) == 1:
        return f"{counts[0]} each"
    return ", ".join(map(str, counts)) if len(counts) <= 6 else f"{min(counts)} to {max(counts)}"


def describe_observation(observation: Observed | Mapping[str, Observed]) -> str:
    """Say what an observation is made of.

    Args:
        observation: `World.observation`.

    Returns:
        Such as ``"4 numbers"`` or ``"one of 15 states"``.
    """
    if isinstance(observation, Mapping):
        return ", ".join(f"{name}: {describe_observation(part)}" for name, part in observation.items())
    return f"one of {observation} states" if isinstance(observation, int) else f"{len(observation)} numbers"


def bound(value: float) -> str:
    """Write down a bound: the largest float32 stands for infinity, of which Gymnasium's checker warns.

    Args:
        value: Lowest or highest value of an observation.
    """
    return f"{value:.4g}" if abs(value) < np.finfo(np.float32).max else f"{math.copysign(math.inf, value):g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out text in columns.

    Args:
        head: Names of the columns.
        rows: One text for each column.
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, tuple("-" * width for width in widths), *rows]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _is_world(spec: EnvSpec) -> bool:
    return spec.entry_point == "reworld.environment:WorldEnv"
