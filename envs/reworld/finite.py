"""Exact models of finite worlds: what a step may lead to, with which probability, for any configuration.

A finite world has a number as its observation, and fills in its own model by `World.tabulate`:
``tabulate(c, kernel, rewards, start)`` gets arrays of zeros, ``kernel[s, a, s']``, ``rewards[s, a, s']`` and ``start[s]``, and
writes probabilities and rewards under the configuration `c`. It leaves the rows of a terminal state as they are: they are
closed here. It is compiled as a world's other functions are, so a thousand models take no longer than it takes to write them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from reworld.configuration import Request, starting_configurations
from reworld.engine.kernels import instances_of
from reworld.engine.linking import Function, compile_linked
from reworld.errors import InvalidConfiguration, InvalidOption
from reworld.world import Record, World

Reals = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_TOLERANCE = 1e-9  # By how much the sum of a law may miss 1.


@dataclass(frozen=True, eq=False)
class FiniteMDP:
    """A Markov decision process with S states and A actions, or a stack of them with the same leading axes in every array.

    Args:
        kernel: Probability of each next state, shape (…, S, A, S). No entry is negative, and each row sums to 1.
        rewards: Reward of each transition, shape (…, S, A, S).
        start: Probability of each first state, shape (…, S).
        terminal: Which states end an episode, shape (…, S): in the kernel they lead to themselves, without reward.
    """

    kernel: Reals
    rewards: Reals
    start: Reals
    terminal: Flags

    def __getitem__(self, index: Any) -> "FiniteMDP":
        """Take one model, or some, of a stack."""
        return FiniteMDP(self.kernel[index], self.rewards[index], self.start[index], self.terminal[index])

    @property
    def expected_rewards(self) -> Reals:
        """Expected reward of each action in each state, shape (…, S, A)."""
        expected: Reals = np.einsum("...t,...t->...", self.kernel, self.rewards)
        return expected


def exact_model(world: World, configuration: Request = None) -> FiniteMDP:
    """Write down what a finite world does.

    Args:
        world: Which one, as in ``env.unwrapped.world``. Of a changeable one, its own actions are meant.
        configuration: Values by name, or all values in one array; None for the default. Where a value is an array of n
            numbers, or all values are an array of shape (n, number of parameters), n models are made.

    Returns:
        The model, or n of them along a leading axis. Each takes 16 S² A bytes: of a large world take some at a time.

    Raises:
        InvalidOption: If the world is not finite.
        InvalidConfiguration: If the configuration is none of this world, or leaves something to chance.
    """
    if world.states is None or world.tabulate is None:
        raise InvalidOption(
            f"{world.name} has no exact model: give a world with a finite number of states and `tabulate`, such as BlockWorld."
        )
    parts, axes = (configuration.values(), 1) if isinstance(configuration, Mapping) else ((configuration,), 2)
    counts = [len(part) for part in parts if isinstance(part, np.ndarray) and part.ndim == axes]
    count, states, actions = max(counts, default=1), world.states, world.own_branches
    ranges = starting_configurations(world, configuration, count)
    if not np.array_equal(ranges[:, 0], ranges[:, 1]):
        raise InvalidConfiguration(
            f"configuration={configuration!r} draws values anew in every episode: an exact model of {world.name} needs one "
            f"number for each parameter. For n models give arrays of n numbers."
        )
    instances = instances_of(world, count)
    instances["configuration"]["values"] = ranges[:, 0]
    models = FiniteMDP(
        kernel=np.zeros((count, states, actions, states)),
        rewards=np.zeros((count, states, actions, states)),
        start=np.zeros((count, states)),
        terminal=np.zeros((count, states), np.bool_),
    )
    _tabulator(world)(instances, models.kernel, models.rewards, models.start, models.terminal)
    return models if counts else models[0]


def optimal_actions(model: FiniteMDP, discount: float) -> Integers:
    """Find an optimal action for every state, by value iteration.

    Args:
        model: A single one.
        discount: In [0, 1).

    Returns:
        Of equally good actions the first, shape (S,).
    """
    rewards, values = model.expected_rewards, np.zeros(len(model.start))
    while True:
        worth = rewards + discount * (model.kernel @ values)
        before, values = values, worth.max(axis=1)
        if np.abs(values - before).max() <= 1e-10 * np.abs(values).max():
            # What is equal but for rounding is a tie.
            best: Integers = (worth >= values[:, None] - 1e-8 * np.abs(values).max()).argmax(axis=1)
            return best


def read_numbers(name: str, values: Any) -> Reals:
    """Take an array of finite numbers, or refuse it.

    Args:
        name: What errors call it.
        values: Anything like an array.

    Raises:
        InvalidOption: If it is none, or an entry is not finite.
    """
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{name} is no array of numbers. ({error})") from error
    if not np.isfinite(numbers).all():
        where = np.argwhere(~np.isfinite(numbers))[0].tolist()
        raise InvalidOption(f"{name}{where or ''} is {numbers[tuple(where)]}: give finite numbers.")
    return numbers


def read_laws(name: str, laws: Reals) -> Reals:
    """Refuse rows that are no probabilities, and free the others of what a sum misses 1 by.

    Args:
        name: What errors call them.
        laws: Probabilities, in rows along the last axis.

    Raises:
        InvalidOption: If an entry is negative, or a row's sum is not 1.
    """
    sums = laws.sum(axis=-1, keepdims=True)
    wrong = (laws < 0.0).any(axis=-1) | (np.abs(sums[..., 0] - 1.0) > _TOLERANCE)
    if wrong.any():
        where = np.argwhere(wrong)[0].tolist()
        law = laws[tuple(where)]
        raise InvalidOption(f"{name}{where or ''} is {law.tolist()}, of sum {law.sum():.12g}: give probabilities of sum 1.")
    probabilities: Reals = laws / sums
    return probabilities


def _world_tabulate(c: Record, kernel: Any, rewards: Any, start: Any) -> None:
    """Stand for `World.tabulate`."""
    raise NotImplementedError


def _tabulate_batch(instances: Any, kernels: Any, rewards: Any, starts: Any, terminal: Any) -> None:
    for i in range(len(instances)):
        _world_tabulate(instances[i].configuration, kernels[i], rewards[i], starts[i])
        for state in range(starts.shape[1]):
            total = 0.0
            for following in range(starts.shape[1]):
                total += kernels[i, state, 0, following]
            if total == 0.0:
                terminal[i, state] = True
                for action in range(kernels.shape[2]):
                    kernels[i, state, action, state] = 1.0


@lru_cache
def _tabulator(world: World) -> Function:
    assert world.tabulate is not None
    return compile_linked(_tabulate_batch, {_world_tabulate: world.tabulate}, world.name, world.constants)
