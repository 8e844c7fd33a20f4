"""Markov decision processes in arrays, one or a stack of them: what every solver here takes."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from reworld.configuration import Request
from reworld.environment import find_world
from reworld.errors import InvalidOption
from reworld.finite import FiniteMDP, Reals, exact_model, read_laws, read_numbers

Array = Any
"""An array of NumPy or PyTorch, on any device: all arrays of a problem are of one kind, and so is what comes back."""


@dataclass(frozen=True, eq=False)
class SparseKernel:
    """Transition kernels of few successors each, a stack of which shares where it leads to.

    Args:
        successors: The states that each row may lead to, int64 of shape (S, A, k). A row with fewer than k repeats one.
        weights: Their probabilities, float64 of shape (…, S, A, k); 0 where a row has fewer.
    """

    successors: Array
    weights: Array

    @classmethod
    def of(cls, kernel: Reals) -> Self:
        """Keep what is possible in any kernel of a stack.

        Args:
            kernel: Dense, NumPy, of shape (…, S, A, S).
        """
        possible = (kernel != 0.0).reshape(-1, *kernel.shape[-3:]).any(axis=0)
        k = max(int(possible.sum(axis=-1).max()), 1)
        successors = np.argsort(~possible, axis=-1, kind="stable")[..., :k].astype(np.int64)
        weights = np.take_along_axis(kernel, np.broadcast_to(successors, (*kernel.shape[:-1], k)), axis=-1)
        return cls(successors, weights)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the same kernels when they are dense, (…, S, A, S)."""
        return *self.weights.shape[:-1], self.weights.shape[-3]

    def to_dense(self) -> Reals:
        """Write out every probability, for NumPy only."""
        dense = np.zeros(self.shape)
        flat, successors = dense.reshape(-1, *self.shape[-3:]), self.successors
        s, a, _ = np.indices(successors.shape)
        for kernel, weights in zip(flat, self.weights.reshape(-1, *successors.shape), strict=True):
            np.add.at(kernel, (s, a, successors), weights)
        return dense


@dataclass(frozen=True, eq=False)
class MDP:
    """A discounted Markov decision process of S states and A actions, or a stack of them.

    In a stack any array may have leading axes, which broadcast. A terminal state is one that leads to itself without reward.

    Args:
        kernel: Probability of each next state, ``kernel[s, a, s']``, float64 of shape (…, S, A, S), or a `SparseKernel`.
        rewards: Expected reward of each action, shape (…, S, A), or reward of each transition, shape (…, S, A, S): then the
            kernel decides on what is expected.
        discount: In [0, 1).
        start: Probability of each first state, shape (…, S); uniform if left out.

    Raises:
        InvalidOption: If a row is no law, a number is not finite, or shapes do not fit.
    """

    kernel: Any
    rewards: Array
    discount: float
    start: Array = None

    def __post_init__(self) -> None:
        weights = self.kernel.weights if isinstance(self.kernel, SparseKernel) else self.kernel
        if isinstance(weights, list | tuple) or is_numpy_array(weights):
            self._read_numpy()
        else:
            self._check_tensors(weights)
        if not (isinstance(self.discount, float | int) and 0.0 <= self.discount < 1.0):
            raise InvalidOption(f"discount={self.discount!r}: give a number in [0, 1).")

    @classmethod
    def of_world(cls, world: Any, discount: float, configuration: Request = None, **family: Any) -> Self:
        """Take the exact model of a finite world.

        Args:
            world: A world, or where to find it, as in ``"reworld.worlds.block_world:block_world"``.
            discount: In [0, 1).
            configuration: As in `reworld.finite.exact_model`: arrays of n values make a stack of n.
            family: The arguments of a family of worlds.

        Raises:
            InvalidOption: If the world is not finite, or the discount out of range.
            InvalidConfiguration: If the configuration is none of this world.
        """
        return cls.of_model(exact_model(find_world(world, **family), configuration), discount)

    @classmethod
    def of_model(cls, model: FiniteMDP, discount: float) -> Self:
        """Take a model of `reworld.finite`.

        Args:
            model: One, or a stack.
            discount: In [0, 1).
        """
        return cls(model.kernel, model.rewards, discount, model.start)

    @property
    def states(self) -> int:
        """How many states there are."""
        return int(self.kernel.shape[-1])

    @property
    def actions(self) -> int:
        """How many actions there are."""
        return int(self.kernel.shape[-2])

    @property
    def depends_on_successor(self) -> bool:
        """Whether rewards are those of transitions."""
        # The leading axes of a stack may be missing from the rewards, but a transition's reward always ends in (S, A, S).
        return self.rewards.ndim >= 3 and self.rewards.shape[-3:] == (self.states, self.actions, self.states)

    @property
    def expected_rewards(self) -> Array:
        """Expected reward of each action, shape (…, S, A)."""
        if not self.depends_on_successor:
            return self.rewards
        xp = array_namespace(self.rewards)
        if isinstance(self.kernel, SparseKernel):
            successors = xp.broadcast_to(self.kernel.successors, self.kernel.weights.shape)
            rewards = xp.broadcast_to(self.rewards, self.kernel.shape)
            return xp.sum(self.kernel.weights * xp.take_along_axis(rewards, successors, axis=-1), axis=-1)
        return xp.sum(self.kernel * self.rewards, axis=-1)

    def with_kernel(self, kernel: Any) -> Self:
        """Take another kernel, unchecked: for solvers, who know that its rows are laws."""
        other = object.__new__(type(self))
        for field in dataclasses.fields(self):
            object.__setattr__(other, field.name, getattr(self, field.name))
        object.__setattr__(other, "kernel", kernel)
        return other

    def to(self, device: str) -> Self:
        """Copy to PyTorch, in float64.

        Args:
            device: Such as ``"cpu"`` or ``"cuda"``.
        """
        import torch

        def copy(array: Array) -> Any:
            return torch.as_tensor(array, device=device)

        other = self.with_kernel(
            SparseKernel(copy(self.kernel.successors), copy(self.kernel.weights))
            if isinstance(self.kernel, SparseKernel)
            else copy(self.kernel)
        )
        object.__setattr__(other, "rewards", copy(self.rewards))
        object.__setattr__(other, "start", copy(self.start))
        return other

    def _read_numpy(self) -> None:
        kernel: Any
        if isinstance(self.kernel, SparseKernel):
            kernel = SparseKernel(self.kernel.successors, read_laws("kernel", read_numbers("kernel", self.kernel.weights)))
            if kernel.weights.shape[-3:] != kernel.successors.shape:
                raise InvalidOption(
                    f"The kernel's weights have shape {kernel.weights.shape}, and its successors {kernel.successors.shape}: "
                    f"the last three axes are states, actions and successors, alike."
                )
            if (kernel.successors < 0).any() or (kernel.successors >= kernel.weights.shape[-3]).any():
                raise InvalidOption(f"A row of the kernel leads to no state: successors are 0 to {kernel.shape[-1] - 1}.")
        else:
            kernel = read_numbers("kernel", self.kernel)
            _check_shape(kernel.shape)
            kernel = read_laws("kernel", kernel)
        rewards = read_numbers("rewards", self.rewards)
        states, actions = kernel.shape[-1], kernel.shape[-2]
        start = np.full(states, 1.0 / states) if self.start is None else read_numbers("start", self.start)
        _check_fit(rewards.shape, start.shape, states, actions)
        for name, value in {"kernel": kernel, "rewards": rewards, "start": read_laws("start", start)}.items():
            object.__setattr__(self, name, value)

    def _check_tensors(self, weights: Array) -> None:
        xp = array_namespace(weights)
        _check_shape(self.kernel.shape)
        if self.start is None:
            states = self.kernel.shape[-1]
            start = xp.full((states,), 1.0 / states, dtype=weights.dtype, device=weights.device)
            object.__setattr__(self, "start", start)
        _check_fit(tuple(self.rewards.shape), tuple(self.start.shape), self.states, self.actions)
        for name, laws in {"kernel": weights, "start": self.start}.items():
            if laws.dtype != xp.float64:
                raise InvalidOption(f"{name} has dtype {laws.dtype}: give float64.")
            if not (bool(xp.all(laws >= 0.0)) and bool(xp.all(xp.abs(xp.sum(laws, axis=-1) - 1.0) <= 1e-9))):
                raise InvalidOption(f"A row of {name} is no law: give probabilities of sum 1.")


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) < 3 or shape[-3] != shape[-1] or 0 in shape:
        raise InvalidOption(f"kernel has shape {tuple(shape)}: give kernel[s, a, s'], of shape (…, S, A, S).")


def _check_fit(rewards: tuple[int, ...], start: tuple[int, ...], states: int, actions: int) -> None:
    if rewards[-2:] != (states, actions) and rewards[-3:] != (states, actions, states):
        raise InvalidOption(
            f"rewards has shape {rewards}: give rewards[s, a], of shape (…, {states}, {actions}), or [s, a, s']."
        )
    if not start or start[-1] != states or math.prod(start) == 0:
        raise InvalidOption(f"start has shape {start}: give {states} probabilities, one for each state.")
