"""Markov decision processes in arrays, one or a stack of them: what every solver here takes."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array

from reworld.configuration import Request
from reworld.environment import find_world
from reworld.errors import InvalidOption
from reworld.finite import FiniteMDP, exact_model, read_laws, read_numbers

Array = Any
"""An array of NumPy or PyTorch, on any device: all arrays of a problem are of one kind, and so is what comes back."""


@dataclass(frozen=True, eq=False)
class SparseKernel:
    """Transition kernels of few successors each, a stack of which shares where it leads to.

    Args:
        successors: The states that each row may lead to, int64 of shape (S, A, k), where any may be named more than once.
        weights: Their probabilities, float64 of shape (…, S, A, k); 0 where a row has fewer than k.
    """

    successors: Array
    weights: Array

    @classmethod
    def of(cls, kernel: Array) -> Self:
        """Keep what is possible in any kernel of a stack.

        Args:
            kernel: Dense, of shape (…, S, A, S).
        """
        xp = array_namespace(kernel)
        possible = xp.any((kernel != 0.0).reshape(-1, *kernel.shape[-3:]), axis=0)
        k = max(int(xp.max(xp.sum(possible, axis=-1))), 1)
        successors = xp.argsort(~possible, axis=-1, stable=True)[..., :k]
        return cls(successors, _at(kernel, successors))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the same kernels when they are dense, (…, S, A, S)."""
        return *self.weights.shape[:-1], self.weights.shape[-3]

    def to_dense(self) -> Array:
        """Write out every probability."""
        xp, on = array_namespace(self.weights), device(self.weights)
        *_, states, actions, count = self.weights.shape
        dense = xp.zeros(self.shape, dtype=self.weights.dtype, device=on)
        s, a = xp.arange(states, device=on)[:, None], xp.arange(actions, device=on)
        for k in range(count):  # One by one, as a row may name a state twice.
            dense[..., s, a, self.successors[..., k]] += self.weights[..., k]
        return dense


@dataclass(frozen=True, eq=False)
class MDP:
    """A discounted Markov decision process of S states and A actions, or a stack of them.

    In a stack any array may have leading axes, which broadcast. A terminal state is one that leads to itself without reward.
    Arrays of NumPy become float64, and the sums of rows exact; those of PyTorch stay as they are, and must be float64.

    Args:
        kernel: Probability of each next state, ``kernel[s, a, s']``, float64 of shape (…, S, A, S), or a `SparseKernel`.
        rewards: Expected reward of each action, shape (…, S, A), or reward of each transition, shape (…, S, A, S): then the
            kernel decides on what is expected. What could be either is refused with a stack of
            kernels, and counts as the latter with a single one.
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
        if is_torch_array(weights):
            self._check_tensors(weights)
        else:
            self._read_numpy()
        self._check_shapes()
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
        return tuple(self.rewards.shape[-3:]) == (self.states, self.actions, self.states)

    @property
    def expected_rewards(self) -> Array:
        """Expected reward of each action, shape (…, S, A)."""
        if not self.depends_on_successor:
            return self.rewards
        xp = array_namespace(self.rewards)
        if isinstance(self.kernel, SparseKernel):
            return xp.sum(self.kernel.weights * _at(self.rewards, self.kernel.successors), axis=-1)
        return xp.sum(self.kernel * self.rewards, axis=-1)

    def with_kernel(self, kernel: Any) -> Self:
        """Take another kernel, unchecked: for solvers, who know that its rows are laws."""
        other = object.__new__(type(self))
        for field in dataclasses.fields(self):
            set_field(other, field.name, getattr(self, field.name))
        set_field(other, "kernel", kernel)
        return other

    def to(self, device: str) -> Self:
        """Copy to PyTorch, in float64.

        Args:
            device: Such as ``"cpu"`` or ``"cuda"``.
        """
        import torch

        def copy(array: Array) -> Any:
            return torch.asarray(array, device=device, copy=True)

        other = self.with_kernel(
            SparseKernel(copy(self.kernel.successors), copy(self.kernel.weights))
            if isinstance(self.kernel, SparseKernel)
            else copy(self.kernel)
        )
        set_field(other, "rewards", copy(self.rewards))
        set_field(other, "start", copy(self.start))
        return other

    def _read_numpy(self) -> None:
        """Take anything like an array, and refuse what is no law."""
        kernel: Any
        if isinstance(self.kernel, SparseKernel):
            weights = read_numbers("kernel.weights", self.kernel.weights)
            kernel = SparseKernel(np.asarray(self.kernel.successors), read_laws("kernel.weights", weights))
        else:
            kernel = read_numbers("kernel", self.kernel)
            _check_kernel(kernel.shape)
            kernel = read_laws("kernel", kernel)
        states = kernel.shape[-1]
        start = np.full(states, 1.0 / states) if self.start is None else read_numbers("start", self.start)
        start = read_laws("start", start) if start.ndim else start
        for name, value in {"kernel": kernel, "rewards": read_numbers("rewards", self.rewards), "start": start}.items():
            set_field(self, name, value)

    def _check_tensors(self, weights: Array) -> None:
        """Refuse what is no law, or not of PyTorch."""
        xp = array_namespace(weights)
        if self.start is None:
            states = self.kernel.shape[-1]
            start = xp.full((states,), 1.0 / states, dtype=weights.dtype, device=device(weights))
            set_field(self, "start", start)
        for name, array in {"kernel": weights, "rewards": self.rewards, "start": self.start}.items():
            if not is_torch_array(array) or array.dtype != xp.float64 or device(array) != device(weights):
                raise InvalidOption(f"{name} is no tensor of float64 on {device(weights)}, where the kernel is: make it one.")
            if name == "rewards":
                wrong = ~xp.isfinite(array)
            else:
                wrong = ~((array >= 0.0) & (xp.abs(xp.sum(array, axis=-1, keepdims=True) - 1.0) <= 1e-9))
            if wrong.any():
                numbers = read_numbers(name, array.detach().cpu().numpy())
                read_laws(name, numbers)  # Which says where it is wrong.

    def _check_shapes(self) -> None:
        """Refuse arrays that do not fit together."""
        kernel, rewards, start = self.kernel, tuple(self.rewards.shape), tuple(self.start.shape)
        if isinstance(kernel, SparseKernel):
            _check_successors(kernel)
        else:
            _check_kernel(kernel.shape)
        states, actions = self.states, self.actions
        if rewards[-2:] != (states, actions) and not self.depends_on_successor:
            raise InvalidOption(
                f"rewards has shape {rewards}: give rewards[s, a], of shape (…, {states}, {actions}), or [s, a, s']."
            )
        stack = kernel.shape[:-3]
        if stack and stack[-1] == states == actions > 1 and rewards == (states, actions, states):
            raise InvalidOption(
                f"rewards has shape {rewards}: those of transitions, or those of actions in each of {states} kernels? "
                f"Give rewards[i, s, a, s'], with all axes of the kernel."
            )
        if not start or start[-1] != states:
            raise InvalidOption(f"start has shape {start}: give {states} probabilities, one for each state.")
        leads = tuple(kernel.shape[:-3]), rewards[: -3 if self.depends_on_successor else -2], start[:-1]
        try:
            size = math.prod(np.broadcast_shapes(*leads))
        except ValueError as error:
            raise InvalidOption(
                f"The stacks of kernel, rewards and start have the shapes {leads[0]}, {leads[1]} and {leads[2]}: give leading "
                f"axes that broadcast."
            ) from error
        if size == 0:
            raise InvalidOption("The stack is empty: give at least one process.")


def check_single(mdp: Any) -> None:
    """Refuse whatever is not a single dense decision process in NumPy.

    Args:
        mdp: What was given.

    Raises:
        InvalidOption: If it is none.
    """
    if not isinstance(mdp, MDP):
        raise InvalidOption(f"mdp is of class {type(mdp).__name__}: give an MDP.")
    if not isinstance(mdp.kernel, np.ndarray) or (mdp.kernel.ndim, mdp.expected_rewards.ndim, mdp.start.ndim) != (3, 2, 1):
        raise InvalidOption("mdp is a stack, sparse, or of tensors: give a single MDP whose kernel is a NumPy array.")


def set_field(instance: Any, name: str, value: Any) -> None:
    """Set a field of a frozen instance while it is made."""
    object.__setattr__(instance, name, value)


def _at(array: Array, successors: Array) -> Array:
    """What belongs to the successors of each row, of an array of shape (…, S, A, S)."""
    xp, on = array_namespace(array), device(array)
    states, actions, _ = successors.shape
    return array[..., xp.arange(states, device=on)[:, None, None], xp.arange(actions, device=on)[:, None], successors]


def _check_kernel(shape: Any) -> None:
    if len(shape) < 3 or shape[-3] != shape[-1] or 0 in shape[-3:]:
        raise InvalidOption(f"kernel has shape {tuple(shape)}: give kernel[s, a, s'], of shape (…, S, A, S).")


def _check_successors(kernel: SparseKernel) -> None:
    xp, successors = array_namespace(kernel.successors), kernel.successors
    if successors.ndim != 3 or 0 in successors.shape or tuple(kernel.weights.shape[-3:]) != tuple(successors.shape):
        raise InvalidOption(
            f"The kernel's weights have shape {tuple(kernel.weights.shape)}, and its successors {tuple(successors.shape)}: the "
            f"last three axes are states, actions and successors, alike."
        )
    if successors.dtype != xp.int64:
        raise InvalidOption(f"The kernel's successors have dtype {successors.dtype}: give the numbers of states, int64.")
    wrong = (successors < 0) | (successors >= successors.shape[0])
    if wrong.any():
        s, a, k = (int(numbers[0]) for numbers in xp.nonzero(wrong))
        raise InvalidOption(
            f"kernel.successors[{s}, {a}, {k}] is {int(successors[s, a, k])}: give the number of a state, 0 to "
            f"{successors.shape[0] - 1}."
        )
