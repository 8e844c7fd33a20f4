"""The Gymnasium spaces of a world. All are Gymnasium's own, so that every library can batch, flatten and store them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from reworld.world import Observed, Quantity, World


def action_space(world: World) -> "spaces.Tuple[Any] | spaces.Discrete[np.int64]":
    """The canonical action space: a discrete choice with its own parameters.

    Args:
        world: Whose branches.

    Returns:
        ``Tuple((Discrete(K), Tuple((Box_0, …, Box_{K-1}))))``, where ``Box_k`` holds the parameters of branch k in
        physical units, float32 (of shape (0,) if it has none); ``Discrete(K)`` if no branch has parameters.
    """
    choice = spaces.Discrete(len(world.branches))
    if not any(branch.parameters for branch in world.branches):
        return choice
    return spaces.Tuple((choice, spaces.Tuple(_box(branch.parameters, np.float32) for branch in world.branches)))


def observation_space(world: World) -> "spaces.Box | spaces.Discrete[np.int64] | spaces.Dict":
    """The Box of all observations, float32 of shape (size of one,); ``Discrete(S)`` for a finite world; or a Dict of these."""
    if not isinstance(world.observation, Mapping):
        return _observed(world.observation)
    return spaces.Dict([(name, _observed(part)) for name, part in world.observation.items()])


def present(world: World, rows: np.ndarray[Any, Any]) -> Any:
    """Show rows of numbers as elements of the observation space.

    Args:
        world: Which wrote them.
        rows: Of shape (…, size of an observation) and the world's dtype.

    Returns:
        The rows themselves, a part of them, or a dictionary of parts.
    """
    if not isinstance(world.observation, Mapping):
        return rows[..., 0][()] if isinstance(world.observation, int) else rows  # A number, not an array of shape ().
    shown, start = {}, 0
    for name, part in world.observation.items():
        size = 1 if isinstance(part, int) else len(part)
        shown[name] = rows[..., start].astype(np.int64)[()] if isinstance(part, int) else rows[..., start : start + size]
        start += size
    return shown


def _observed(part: Observed) -> "spaces.Box | spaces.Discrete[np.int64]":
    return spaces.Discrete(part) if isinstance(part, int) else _box(part, np.float32)


def configuration_space(world: World) -> spaces.Box:
    """The Box of all configurations, float64 of shape (number of parameters,), in the order of `World.parameters`."""
    return _box(world.parameters, np.float64)


def _box(quantities: tuple[Quantity, ...], dtype: Any) -> spaces.Box:
    low = np.array([quantity.low for quantity in quantities], dtype)
    high = np.array([quantity.high for quantity in quantities], dtype)
    return spaces.Box(low, high, dtype=dtype)
