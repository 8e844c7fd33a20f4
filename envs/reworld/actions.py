"""The action space in the shapes that other codebases take.

reworld's own form is ``Tuple((Discrete(K), Tuple((Box_0, …, Box_{K-1}))))`` in physical units: a branch, and every branch's
own parameters. These wrappers offer the same choices in another form:

- `RescaleParameters`: the same form, every parameter in [-1, 1].
- `FlatBoxAction`: one flat ``Box``, for libraries that know no other continuous space, such as Stable-Baselines3.

Each has a version for a `gymnasium.Env` and one, named ``Vector…``, for a `gymnasium.vector.VectorEnv`. Values outside [-1, 1]
are not clipped here: they are scaled like all others and passed on, and the world clips what lies beyond its bounds.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import Error, InvalidAction
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorActionWrapper, VectorEnv
from gymnasium.vector.utils import batch_space

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Layout:
    """The branches of an action space, with the parameters of all of them in one row.

    Args:
        branches: Number of branches K.
        sizes: Number of parameters of each branch.
        low: Smallest value of every parameter, float64 of shape (total parameters,), in physical units.
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
            "Wrap an environment of reworld itself, before any other action wrapper."
        )
    low = np.concatenate([box.low for box in boxes], dtype=np.float64)
    high = np.concatenate([box.high for box in boxes], dtype=np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise Error(f"The action space {space} has a parameter without bounds, which cannot be scaled to [-1, 1].")
    return Layout(len(boxes), tuple(len(box.low) for box in boxes), low, high, hybrid=True)


def to_physical(layout: Layout, scaled: Array) -> Array:
    """Turn parameters in [-1, 1] into physical units.

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
    """Turn parameters in physical units into [-1, 1]: the inverse of `to_physical`.

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


def read_rescaled(layout: Layout, action: Any, batch: tuple[int, ...] = ()) -> tuple[Any, tuple[Array, ...]]:
    """Turn an action with parameters in [-1, 1] into the world's own.

    Args:
        layout: Whose actions.
        action: ``(branch, parameters)``, where the k-th of `parameters` has shape (*batch, parameters of branch k).
        batch: ``(num_envs,)`` for a batch of actions, ``()`` for a single one.

    Returns:
        The branch as it was given, and the parameters in physical units, float32.

    Raises:
        InvalidAction: If it has another form.
    """
    expected = [(*batch, size) for size in layout.sizes]
    try:
        branch, parameters = action
        own = [np.asarray(part, np.float64) for part in parameters]
    except (TypeError, ValueError) as error:
        raise InvalidAction(
            f"{action!r} is no rescaled action. Give (branch, parameters), with arrays of shapes {expected} as parameters."
        ) from error
    if [part.shape for part in own] != expected:
        raise InvalidAction(
            f"The parameters have shapes {[part.shape for part in own]}: give one array for each branch, of shapes {expected}."
        )
    return branch, _split(layout, to_physical(layout, np.concatenate(own, axis=-1)))


def read_flat(layout: Layout, flat: Any, batch: tuple[int, ...] = ()) -> Any:
    """Turn a flat action into the world's own.

    Args:
        layout: Whose actions.
        flat: Shape (*batch, K + total parameters): a score for each branch, of which the largest (the first of equals)
            chooses, then all parameters in [-1, 1], those of branch 0 first.
        batch: ``(num_envs,)`` for a batch of actions, ``()`` for a single one.

    Returns:
        ``(branch, parameters)`` as in the world's own action space, in physical units, or just the branch if the world has
        no parameters.

    Raises:
        InvalidAction: If it has another shape, or is not finite.
    """
    expected = (*batch, layout.flat_size)
    hint = (
        f"Give finite numbers of shape {expected}: a score for each of the {layout.branches} branches, "
        f"then {len(layout.low)} parameters in [-1, 1]."
    )
    try:
        values = np.asarray(flat, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidAction(f"{flat!r} is no flat action. {hint}") from error
    if values.shape != expected:
        raise InvalidAction(f"The flat action has shape {values.shape}. {hint}")
    if not np.isfinite(values).all():
        entry = tuple(np.argwhere(~np.isfinite(values))[0].tolist())
        raise InvalidAction(f"Entry {list(entry)} of the flat action is {values[entry]}. {hint}")
    branch = values[..., : layout.branches].argmax(axis=-1)
    if not layout.hybrid:
        return branch
    return branch, _split(layout, to_physical(layout, values[..., layout.branches :]))


def _split(layout: Layout, parameters: Array) -> tuple[Array, ...]:
    return tuple(np.split(parameters, np.cumsum(layout.sizes)[:-1], axis=-1))


def _rescaled_space(layout: Layout) -> "spaces.Tuple[Any]":
    if not layout.hybrid:
        raise Error(
            f"The actions are {layout.branches} branches without parameters, so there is nothing to rescale: "
            "leave out the wrapper, or use FlatBoxAction if a Box is needed."
        )
    boxes = spaces.Tuple(spaces.Box(-1.0, 1.0, (size,), np.float32) for size in layout.sizes)
    return spaces.Tuple((spaces.Discrete(layout.branches), boxes))


def _flat_space(layout: Layout) -> spaces.Box:
    return spaces.Box(-1.0, 1.0, (layout.flat_size,), np.float32)


class RescaleParameters(gymnasium.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Give every parameter in [-1, 1], from its smallest to its largest value, in the world's own form.

    Args:
        env: An environment of reworld.

    Raises:
        gymnasium.error.Error: If its actions have no parameters.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gymnasium.ActionWrapper.__init__(self, env)
        self._layout = read_layout(env.action_space)
        self.action_space = _rescaled_space(self._layout)

    def action(self, action: Any) -> Any:
        """Turn an action into the world's own: see `read_rescaled`."""
        return read_rescaled(self._layout, action)


class VectorRescaleParameters(VectorActionWrapper, RecordConstructorArgs):
    """`RescaleParameters` for a batch of environments.

    Args:
        env: A vector environment of reworld.

    Raises:
        gymnasium.error.Error: If its actions have no parameters.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        VectorActionWrapper.__init__(self, env)
        self._layout = read_layout(env.single_action_space)
        self.single_action_space = _rescaled_space(self._layout)
        self.action_space = batch_space(self.single_action_space, env.num_envs)

    def actions(self, actions: Any) -> Any:
        """Turn a batch of actions into the world's own: see `read_rescaled`."""
        return read_rescaled(self._layout, actions, (self.num_envs,))


class FlatBoxAction(gymnasium.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Choose by one flat ``Box(-1, 1, (K + total parameters,))``: K scores, then all parameters, scaled.

    The branch with the largest score (the first of equals) is chosen. Stable-Baselines3 trains on it unmodified.

    Args:
        env: An environment of reworld, its branches with parameters or without.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gymnasium.ActionWrapper.__init__(self, env)
        self._layout = read_layout(env.action_space)
        self.action_space = _flat_space(self._layout)

    def action(self, action: Any) -> Any:
        """Turn a flat action into the world's own: see `read_flat`."""
        return read_flat(self._layout, action)


class VectorFlatBoxAction(VectorActionWrapper, RecordConstructorArgs):
    """`FlatBoxAction` for a batch of environments.

    Args:
        env: A vector environment of reworld.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        VectorActionWrapper.__init__(self, env)
        self._layout = read_layout(env.single_action_space)
        self.single_action_space = _flat_space(self._layout)
        self.action_space = batch_space(self.single_action_space, env.num_envs)

    def actions(self, actions: Any) -> Any:
        """Turn a batch of flat actions into the world's own: see `read_flat`."""
        return read_flat(self._layout, actions, (self.num_envs,))
