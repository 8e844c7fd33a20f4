"""The Gymnasium spaces of a world. All are Gymnasium's own, so that every library can batch, flatten and store them."""

from typing import Any

import numpy as np
from gymnasium import spaces

from reworld.world import Quantity, World


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


def observation_space(world: World) -> "spaces.Box | spaces.Discrete[np.int64]":
    """The Box of all observations, float32 of shape (size of an observation,); ``Discrete(S)`` for a finite world."""
    if isinstance(world.observation, int):
        return spaces.Discrete(world.observation)
    return _box(world.observation, np.float32)


def configuration_space(world: World) -> spaces.Box:
    """The Box of all configurations, float64 of shape (number of parameters,), in the order of `World.parameters`."""
    return _box(world.parameters, np.float64)


def _box(quantities: tuple[Quantity, ...], dtype: Any) -> spaces.Box:
    low = np.array([quantity.low for quantity in quantities], dtype)
    high = np.array([quantity.high for quantity in quantities], dtype)
    return spaces.Box(low, high, dtype=dtype)
