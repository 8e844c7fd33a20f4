"""Where everything lies in an action, and the scale of its parameters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import Error

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Layout:
    """The branches of an action space, with the parameters of all of them in one row.

    Args:
        branches: Number of branches K.
        sizes: Number of parameters of each branch.
        low: Smallest value of every parameter, float64 of shape (total parameters,), in the units of the space.
        high: Largest value, likewise.
        hybrid: Whether an action has parameters at all; if not, it is just the index of a branch.
    """

    branches: int
    sizes: tuple[int, ...]
    low: Array
    high: Array
    hybrid: bool

    @property
    def flat_size(self) -> int:
        """Length of a flat action: K scores and all parameters."""
        return self.branches + len(self.low)

    @property
    def offsets(self) -> Array:
        """Where each branch's own parameters lie in the row: branch k owns ``[offsets[k], offsets[k+1])``."""
        return np.cumsum((0, *self.sizes))

    def boxes(self) -> "list[spaces.Box]":
        """The space of the parameters of each branch, float32."""
        bounds = zip(self.split(self.low), self.split(self.high), strict=True)
        return [spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32) for low, high in bounds]

    def split(self, row: Array) -> tuple[Array, ...]:
        """Cut a row of all parameters, of shape (..., total parameters), into those of each branch."""
        return tuple(np.split(row, self.offsets[1:-1], axis=-1))


def read_layout(space: spaces.Space[Any]) -> Layout:
    """Read the layout off an action space.

    Args:
        space: The action space of a single environment of reworld.

    Raises:
        gymnasium.error.Error: If it has another form, or a parameter without bounds, which cannot be scaled.
    """
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return Layout(int(space.n), (0,) * int(space.n), np.empty(0), np.empty(0), hybrid=False)
    boxes: list[spaces.Box] = []
    match space:
        case spaces.Tuple(spaces=(spaces.Discrete(start=0) as choice, spaces.Tuple(spaces=parts))) if len(parts) == choice.n:
            boxes = [part for part in parts if isinstance(part, spaces.Box) and part.low.ndim == 1]
    if not boxes or len(boxes) < len(parts):
        raise Error(
            f"The action space {space} has not the form Tuple((Discrete(K), Tuple((Box_0, …, Box_K-1)))) or Discrete(K). "
            "Wrap an environment of reworld itself, before any other action wrapper but RescaleParameters."
        )
    low = np.concatenate([box.low for box in boxes], dtype=np.float64)
    high = np.concatenate([box.high for box in boxes], dtype=np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise Error(f"The action space {space} has a parameter without bounds, which cannot be scaled to [-1, 1].")
    return Layout(len(boxes), tuple(len(box.low) for box in boxes), low, high, hybrid=True)


def to_physical(layout: Layout, scaled: Array) -> Array:
    """Turn parameters in [-1, 1] into the units of the space.

    Args:
        layout: Whose parameters.
        scaled: Shape (..., total parameters).

    Returns:
        float32 of the same shape.
    """
    physical = layout.low + (np.asarray(scaled, np.float64) + 1.0) * (0.5 * (layout.high - layout.low))
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, which the world refuses.
        return physical.astype(np.float32)


def to_scaled(layout: Layout, physical: Array) -> Array:
    """Turn parameters in the units of the space into [-1, 1]: the inverse of `to_physical`.

    Args:
        layout: Whose parameters.
        physical: Shape (..., total parameters).

    Returns:
        float32 of the same shape; 0 for a parameter with a single possible value.
    """
    width = layout.high - layout.low
    centred = 2.0 * (np.asarray(physical, np.float64) - layout.low) - width
    scaled: Array = np.divide(centred, width, out=np.zeros_like(centred), where=width > 0.0)
    return scaled.astype(np.float32)
