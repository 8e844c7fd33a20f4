"""The forms of `reworld.actions.forms` as wrappers, for a single environment and for the native batch.

They record their arguments, so that ``gymnasium.make(env.spec)`` makes the same stack of wrappers again.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.error import Error
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorActionWrapper, VectorEnv
from gymnasium.vector.utils import batch_space

from reworld.actions.forms import Digits, FlatBox, FlatTuple, Form, Grid, NamedDict, OneOf, Rescaled
from reworld.actions.layout import Array, Layout, read_layout
from reworld.environment import WorldEnv
from reworld.vector import WorldVectorEnv

Single: TypeAlias = gymnasium.Env[Any, Any]
Batch: TypeAlias = VectorEnv[Any, Any, Any]


class ActionForm(gymnasium.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Take actions in another form.

    Args:
        env: An environment of reworld.
        form: Makes the form from the layout of its actions.
        arguments: What the wrapper's constructor was given beside `env`.

    Raises:
        gymnasium.error.Error: If `env` is none of reworld, or its actions cannot be put in this form.
    """

    def __init__(self, env: Single, form: Callable[[Layout], Form], **arguments: Any) -> None:
        RecordConstructorArgs.__init__(self, **arguments)
        gymnasium.ActionWrapper.__init__(self, env)
        if not isinstance(env.unwrapped, WorldEnv):
            raise Error(
                f"{type(self).__name__} is for an environment of reworld, and this is a {type(env.unwrapped).__name__}."
            )
        self._form = form(read_layout(env.action_space))
        self._mask = np.ones(self._form.layout.branches, np.int8)
        self.action_space = self._form.space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode: see `reworld.environment.WorldEnv.reset`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._note(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take one action, in this form: see `reworld.environment.WorldEnv.step`."""
        observation, reward, terminated, truncated, info = self.env.step(self.action(action))
        return observation, reward, terminated, truncated, self._note(info)

    def action(self, action: Any) -> Any:
        """Turn an action into the world's own, its parameters in one row."""
        branch, row = self._form.read(action, self._mask)
        return (branch, row) if self._form.layout.hybrid else branch

    def _note(self, info: dict[str, Any]) -> dict[str, Any]:
        self._mask = info["action_mask"]
        return {**info, "action_mask": self._form.extend_mask(self._mask)}


class VectorActionForm(VectorActionWrapper, RecordConstructorArgs):
    """Take batches of actions in another form.

    Args:
        env: A native batch of reworld.
        form: Makes the form from the layout of its actions and the shape of a batch.
        arguments: What the wrapper's constructor was given beside `env`.

    Raises:
        gymnasium.error.Error: If `env` is another vector environment, or its actions cannot be put in this form.
    """

    def __init__(self, env: Batch, form: Callable[[Layout, tuple[int, ...]], Form], **arguments: Any) -> None:
        RecordConstructorArgs.__init__(self, **arguments)
        VectorActionWrapper.__init__(self, env)
        if not isinstance(env.unwrapped, WorldVectorEnv):
            single = type(self).__name__.removeprefix("Vector")
            raise Error(
                f"{type(self).__name__} is for the native batch, and this is a {type(env.unwrapped).__name__}: "
                f"wrap its single environments, as in gymnasium.make_vec(…, wrappers=[{single}])."
            )
        self._form = form(read_layout(env.single_action_space), (env.num_envs,))
        self._mask = np.ones((env.num_envs, self._form.layout.branches), np.int8)
        self.single_action_space = self._form.space
        self.action_space = batch_space(self.single_action_space, env.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin episodes: see `reworld.vector.WorldVectorEnv.reset`."""
        observations, info = self.env.reset(seed=seed, options=options)
        return observations, self._note(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action in every environment, in this form: see `reworld.vector.WorldVectorEnv.step`."""
        observations, rewards, terminations, truncations, info = self.env.step(self.actions(actions))
        return observations, rewards, terminations, truncations, self._note(info)

    def actions(self, actions: Any) -> Any:
        """Turn a batch of actions into the world's own, its parameters in one row for each environment."""
        branches, rows = self._form.read(actions, self._mask)
        return (branches, rows) if self._form.layout.hybrid else branches

    def _note(self, info: dict[str, Any]) -> dict[str, Any]:
        self._mask = info["action_mask"]
        info = {**info, "action_mask": self._form.extend_mask(self._mask)}
        if "final_info" in info:
            final = info["final_info"]
            info["final_info"] = {**final, "action_mask": self._form.extend_mask(final["action_mask"])}
        return info


class RescaleParameters(ActionForm):
    """Give every parameter in [-1, 1], from its smallest to its largest value, in the world's own form.

    Args:
        env: An environment of reworld.

    Raises:
        gymnasium.error.Error: If its actions have no parameters.
    """

    def __init__(self, env: Single) -> None:
        super().__init__(env, Rescaled)


class VectorRescaleParameters(VectorActionForm):
    """`RescaleParameters` for the native batch.

    Args:
        env: A native batch of reworld.

    Raises:
        gymnasium.error.Error: If its actions have no parameters.
    """

    def __init__(self, env: Batch) -> None:
        super().__init__(env, Rescaled)


class FlatTupleAction(ActionForm):
    """Give ``(branch, row)``, an element of ``Tuple((Discrete(K), Box))``: the parameters of all branches in one row.

    Args:
        env: An environment of reworld, possibly in `RescaleParameters`.
    """

    def __init__(self, env: Single) -> None:
        super().__init__(env, FlatTuple)


class VectorFlatTupleAction(VectorActionForm):
    """`FlatTupleAction` for the native batch.

    Args:
        env: A native batch of reworld, possibly in `VectorRescaleParameters`.
    """

    def __init__(self, env: Batch) -> None:
        super().__init__(env, FlatTuple)


class DictAction(ActionForm):
    """Give ``{"branch": …, name: parameters, …}``, with an entry for each branch that has parameters, under its name.

    Args:
        env: An environment of reworld, possibly in `RescaleParameters`.

    Raises:
        gymnasium.error.Error: If a branch is called "branch".
    """

    def __init__(self, env: Single) -> None:
        super().__init__(env, lambda *where: NamedDict(*where, names=_branch_names(env)))


class VectorDictAction(VectorActionForm):
    """`DictAction` for the native batch.

    Args:
        env: A native batch of reworld, possibly in `VectorRescaleParameters`.

    Raises:
        gymnasium.error.Error: If a branch is called "branch".
    """

    def __init__(self, env: Batch) -> None:
        super().__init__(env, lambda *where: NamedDict(*where, names=_branch_names(env)))


class OneOfAction(ActionForm):
    """Give ``(branch, its own parameters)``, an element of ``OneOf((Box_0, …, Box_{K-1}))``.

    Args:
        env: An environment of reworld, possibly in `RescaleParameters`.
    """

    def __init__(self, env: Single) -> None:
        super().__init__(env, OneOf)


class FlatBoxAction(ActionForm):
    """Choose by one flat ``Box(-1, 1, (K + total parameters,))``: K scores, then all parameters, scaled.

    Of the branches that the last ``info["action_mask"]`` allows, that with the largest score (the first of equals) is chosen.
    Stable-Baselines3 trains on it unmodified.

    Args:
        env: An environment of reworld, its branches with parameters or without.
    """

    def __init__(self, env: Single) -> None:
        super().__init__(env, FlatBox)


class VectorFlatBoxAction(VectorActionForm):
    """`FlatBoxAction` for the native batch.

    Args:
        env: A native batch of reworld.
    """

    def __init__(self, env: Batch) -> None:
        super().__init__(env, FlatBox)


class DiscreteAction(ActionForm):
    """Choose one number: a branch, with each of its parameters at one of a few values.

    ``info["action_mask"]`` is that of these actions.

    Args:
        env: An environment of reworld, its branches with parameters or without.
        bins: How many values of each parameter, from its smallest to its largest, equally spaced. A branch with m
            parameters makes ``bins**m`` actions, one without parameters makes one.

    Raises:
        gymnasium.error.Error: If `bins` is less than 2, or there are more than `reworld.actions.forms.LARGEST_GRID` actions.
    """

    def __init__(self, env: Single, bins: int = 5) -> None:
        super().__init__(env, partial(Grid, bins=bins), bins=bins)

    def action_masks(self) -> Array:
        """Which actions may be chosen, bool, as MaskablePPO of sb3-contrib asks for it."""
        return self._form.extend_mask(self._mask).astype(np.bool_)


class VectorDiscreteAction(VectorActionForm):
    """`DiscreteAction` for the native batch.

    Args:
        env: A native batch of reworld.
        bins: How many values of each parameter.

    Raises:
        gymnasium.error.Error: As `DiscreteAction` does.
    """

    def __init__(self, env: Batch, bins: int = 5) -> None:
        super().__init__(env, partial(Grid, bins=bins), bins=bins)

    def action_masks(self) -> Array:
        """Which actions may be chosen in each environment, bool of shape (num_envs, number of actions)."""
        return self._form.extend_mask(self._mask).astype(np.bool_)


class MultiDiscreteAction(ActionForm):
    """Choose ``[branch, value, value, …]``, an element of ``MultiDiscrete([K, bins, bins, …])``.

    Args:
        env: An environment of reworld, its branches with parameters or without.
        bins: How many values of each parameter, from its smallest to its largest, equally spaced.

    Raises:
        gymnasium.error.Error: If `bins` is less than 2.
    """

    def __init__(self, env: Single, bins: int = 5) -> None:
        super().__init__(env, partial(Digits, bins=bins), bins=bins)

    def action_masks(self) -> Array:
        """Which branches may be chosen, then which values (all), bool, as MaskablePPO of sb3-contrib asks for it."""
        values = np.ones(self.action_space.nvec[1:].sum(), np.bool_)  # type: ignore[attr-defined]
        return np.concatenate([self._mask.astype(np.bool_), values])


class VectorMultiDiscreteAction(VectorActionForm):
    """`MultiDiscreteAction` for the native batch.

    Args:
        env: A native batch of reworld.
        bins: How many values of each parameter.

    Raises:
        gymnasium.error.Error: If `bins` is less than 2.
    """

    def __init__(self, env: Batch, bins: int = 5) -> None:
        super().__init__(env, partial(Digits, bins=bins), bins=bins)

    def action_masks(self) -> Array:
        """Which branches may be chosen in each environment, then which values (all), bool of shape (num_envs, …)."""
        values = np.ones((self.num_envs, self.single_action_space.nvec[1:].sum()), np.bool_)  # type: ignore[attr-defined]
        return np.concatenate([self._mask.astype(np.bool_), values], axis=1)


def _branch_names(env: Single | Batch) -> tuple[str, ...]:
    return tuple(branch.name for branch in env.unwrapped.world.branches)  # type: ignore[union-attr]
