"""What happens to the instances of a world, as plain loops over records.

An *instance* is everything that one environment is: state, configuration, generator, age of the episode. A single
environment is a batch of one instance: both go through the same code below, hence to the same bits.

The functions ``world_…`` are placeholders: `reworld.engine.linking` puts the functions of a world in their place.
"""

import math
from typing import Any

import numpy as np

from reworld.generator import Generator, begin_episode, uniform
from reworld.world import Record, Vector

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]
Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]

AUTORESET_DISABLED, AUTORESET_NEXT_STEP, AUTORESET_SAME_STEP = 0, 1, 2


def world_reset(state: Record, c: Record, rng: Generator) -> None:
    """Stand for `World.reset`."""
    raise NotImplementedError


def world_step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Stand for `World.step`."""
    raise NotImplementedError


def world_observe(state: Record, c: Record, out: Any) -> None:
    """Stand for `World.observe`."""
    raise NotImplementedError


def world_succeeded(state: Record, c: Record) -> bool:
    """Stand for `World.succeeded`."""
    raise NotImplementedError


def world_report(state: Record, c: Record, reports: Any, i: int) -> None:
    """Stand for `World.report`."""
    raise NotImplementedError


def no_report(state: Record, c: Record, reports: Any, i: int) -> None:
    """Stand for `World.report` where there is none."""


def begin(instance: Record, start: Matrix, observation: Any, reports: Any, i: int) -> bool:
    """Begin an episode of one instance.

    Args:
        instance: Its record.
        start: Lowest and highest value of each parameter, shape (2, number of parameters): the episode's
            configuration is drawn uniformly between them. Of shape (1, number of parameters) it is the configuration; of
            shape (1, 0) that stays as it is.
        observation: Row to write the first observation to.
        reports: What to write `World.report` to.
        i: Where in it.

    Returns:
        Whether the first state is a success.
    """
    begin_episode(instance.generator)
    for k in range(start.shape[1]):
        instance.configuration.values[k] = start[0, k]
    if start.shape[0] == 2:
        for k in range(start.shape[1]):
            if start[0, k] < start[1, k]:
                instance.configuration.values[k] = uniform(instance.generator, start[0, k], start[1, k])
    world_reset(instance.state, instance.configuration, instance.generator)
    instance.elapsed = 0
    instance.ended = 0
    world_observe(instance.state, instance.configuration, observation)
    world_report(instance.state, instance.configuration, reports, i)
    return world_succeeded(instance.state, instance.configuration)


def advance(instance: Record, branch: int, x: Vector, observation: Any, reports: Any, i: int) -> tuple[float, bool, bool]:
    """Take one action in one instance.

    Args:
        instance: Its record.
        branch: The discrete choice, in range.
        x: The parameters of that branch.
        observation: Row to write the observation to.
        reports: What to write `World.report` to.
        i: Where in it.

    Returns:
        Reward, whether the episode terminated, and whether its state is a success.
    """
    reward, terminated = world_step(instance.state, branch, x, instance.configuration, instance.generator)
    succeeded = world_succeeded(instance.state, instance.configuration)
    world_observe(instance.state, instance.configuration, observation)
    world_report(instance.state, instance.configuration, reports, i)
    instance.elapsed += 1
    instance.ended = terminated
    return reward, terminated, succeeded


def step_single(instances: Any, branch: int, x: Vector, observation: Any, reports: Any) -> tuple[float, bool, bool]:
    """`advance` the first instance of a batch: the entry point of single environments."""
    reward, terminated, succeeded = advance(instances[0], branch, x, observation, reports, 0)
    return float(reward), bool(terminated), bool(succeeded)  # Uncompiled they are NumPy's.


def reset_batch(instances: Any, chosen: Flags, starts: Any, observations: Any, successes: Flags, reports: Any) -> None:
    """Begin an episode in every chosen instance.

    Args:
        instances: Shape (n,).
        chosen: Which of them, shape (n,).
        starts: As `start` of `begin`, shape (n, …), or (1, …) for all alike.
        observations: Shape (n, size of an observation); the rows of the chosen are written.
        successes: Shape (n,); likewise.
        reports: From `World.reports`; likewise.
    """
    for i in range(len(instances)):
        if chosen[i]:
            successes[i] = begin(instances[i], starts[min(i, len(starts) - 1)], observations[i], reports, i)


def observe_batch(instances: Any, observations: Any, successes: Flags, reports: Any) -> None:
    """Observe every instance as it is.

    Args:
        instances: Shape (n,).
        observations: Shape (n, size of an observation), written.
        successes: Shape (n,), written.
        reports: From `World.reports`, written.
    """
    for i in range(len(instances)):
        instance = instances[i]
        successes[i] = world_succeeded(instance.state, instance.configuration)
        world_observe(instance.state, instance.configuration, observations[i])
        world_report(instance.state, instance.configuration, reports, i)


def first_out_of_range(branches: Integers, count: int) -> int:
    """Find a branch that a world has not.

    Args:
        branches: Shape (n,).
        count: How many branches there are.

    Returns:
        The index of the first such, or -1.
    """
    # A loop without a way out runs many at a time, and finds nothing wrong nearly always.
    in_range = True
    for i in range(len(branches)):
        in_range &= (branches[i] >= 0) & (branches[i] < count)
    if in_range:
        return -1
    for i in range(len(branches)):
        if branches[i] < 0 or branches[i] >= count:
            return i
    return -1


def choose_own(branches: Integers, parameters: Any, offsets: Integers, own: Matrix) -> int:
    """Pick the parameters of the chosen branches, as long as they are finite.

    Args:
        branches: In range, shape (n,).
        parameters: The parameters of all branches, float32 or float64 of shape (n, number of them).
        offsets: See `World.branch_offsets`.
        own: Shape (n, parameters of the branch that has most), written from the left.

    Returns:
        The index of the first environment with a parameter that is not finite, or -1.
    """
    for i in range(len(branches)):
        start = offsets[branches[i]]
        for k in range(offsets[branches[i] + 1] - start):
            value = float(parameters[i, start + k])
            if not math.isfinite(value):
                return i
            own[i, k] = value
    return -1


def step_batch(
    instances: Any,
    branches: Integers,
    own: Matrix,
    starts: Any,
    autoreset: int,
    time_limit: int,
    observations: Any,
    rewards: Any,
    terminations: Flags,
    truncations: Flags,
    successes: Flags,
    reports: Any,
    final_observations: Any,
    final_successes: Flags,
    final_reports: Any,
) -> None:
    """Take one legal action in every instance, or begin its next episode where autoreset asks for that.

    Args:
        instances: Shape (n,).
        branches: Shape (n,).
        own: The parameters of the chosen branches, see `choose_own`.
        starts: See `reset_batch`.
        autoreset: One of the three constants of this module.
        time_limit: Number of steps after which an episode is truncated.
        observations: Shape (n, size of an observation), written.
        rewards: Shape (n,), written.
        terminations: Shape (n,), written.
        truncations: Shape (n,), written.
        successes: Shape (n,), written.
        reports: From `World.reports`, written.
        final_observations: Shape as `observations`; rows that ended are written under `AUTORESET_SAME_STEP`.
        final_successes: Shape (n,); likewise.
        final_reports: From `World.reports`; likewise.
    """
    for i in range(len(instances)):
        instance = instances[i]
        start = starts[min(i, len(starts) - 1)]
        if instance.ended and autoreset == AUTORESET_NEXT_STEP:
            successes[i] = begin(instance, start, observations[i], reports, i)
            rewards[i] = 0.0
            terminations[i] = False
            truncations[i] = False
        else:
            reward, terminated, succeeded = advance(instance, branches[i], own[i], observations[i], reports, i)
            truncated = instance.elapsed >= time_limit
            instance.ended = terminated or truncated
            rewards[i] = reward
            terminations[i] = terminated
            truncations[i] = truncated
            successes[i] = succeeded
            if instance.ended and autoreset == AUTORESET_SAME_STEP:
                world_observe(instance.state, instance.configuration, final_observations[i])
                world_report(instance.state, instance.configuration, final_reports, i)
                final_successes[i] = succeeded
                successes[i] = begin(instance, start, observations[i], reports, i)
