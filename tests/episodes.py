"""Playing whole episodes of a changeable world, one in each environment of a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from reworld.changing import Changing
from reworld.changing.setup import Policy

Array = np.ndarray[tuple[int], np.dtype[Any]]


@dataclass(frozen=True)
class Episodes:
    """What was played: one entry for each episode."""

    returns: Array
    costs: Array
    steps: Array
    successes: Array

    @property
    def low(self) -> float:
        """The mean return less three of its standard errors."""
        return float(self.returns.mean() - 3.0 * self.returns.std() / len(self.returns) ** 0.5)

    @property
    def high(self) -> float:
        """The mean return plus three of its standard errors."""
        return float(self.returns.mean() + 3.0 * self.returns.std() / len(self.returns) ** 0.5)


def play(id: str, changing: Changing, policy: Policy, episodes: int, seed: int = 0) -> Episodes:
    """Play by a policy.

    Args:
        id: Of the world that is changed.
        changing: How it may be.
        policy: From an observation to a branch and its parameters.
        episodes: How many.
        seed: Of the first one; the i-th has ``seed + i``.
    """
    return _play(id, changing, [policy] * episodes, seed)


def play_configured_at_random(id: str, changing: Changing, policy: Policy, episodes: int, seed: int = 0) -> Episodes:
    """Configure at random, every parameter once, and then play by a policy."""
    world: Any = gymnasium.make(id, changing=changing).unwrapped
    first = len(world.world.base.branches)
    rng = np.random.default_rng(seed)

    def begin_at_random() -> Policy:
        branches = enumerate(world.world.branches[first:], first)
        waiting = [(k, tuple(rng.uniform(x.low, x.high) for x in branch.parameters)) for k, branch in branches]
        if changing.mode == "choose":
            waiting = [waiting[rng.integers(len(waiting))]]
        return lambda observation: waiting.pop() if waiting else policy(observation)

    return _play(id, changing, [begin_at_random() for _ in range(episodes)], seed)


def _play(id: str, changing: Changing, policies: list[Callable[[Any], tuple[int, tuple[float, ...]]]], seed: int) -> Episodes:
    count = len(policies)
    batch: Any = gymnasium.make_vec(id, count, vectorization_mode="vector_entry_point", changing=changing)
    own = [len(branch.parameters) for branch in batch.world.branches]
    returns, costs, steps, successes = (np.zeros(count) for _ in range(4))
    playing = np.ones(count, np.bool_)
    observations, _ = batch.reset(seed=seed)
    while playing.any():
        chosen, x = np.zeros(count, np.int64), tuple(np.zeros((count, size), np.float32) for size in own)
        for i in np.flatnonzero(playing):
            chosen[i], parameters = policies[i](observations[i])
            x[chosen[i]][i] = parameters
        observations, rewards, terminations, truncations, info = batch.step((chosen, x) if any(own) else chosen)
        returns[playing] += rewards[playing]
        costs[playing] += info["cost"][playing]
        steps[playing] += 1
        successes[playing] = info["success"][playing]
        playing &= ~(terminations | truncations)
    return Episodes(returns, costs, steps, successes)
