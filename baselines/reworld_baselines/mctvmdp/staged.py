"""Decision processes of a finite horizon, whose kernel and rewards may differ from stage to stage.

The functions are those of `tabular`, under the same names, so that `configurable` can take the one or the other. A policy has
an action for each stage and state; everything is exact, by one pass from the last stage to the first, or the other way round.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.finite import Reals
from reworld_baselines.mctvmdp.tabular import Solution


@dataclass(frozen=True, eq=False)
class StagedMDP:
    """A decision process of H stages: a single one, in NumPy, unchecked.

    Args:
        kernel: Probability of each next state at each stage, shape (H, S, A, S).
        rewards: Expected reward of each action, shape (H, S, A).
        discount: In [0, 1].
        start: Probability of each first state, shape (S,).
    """

    kernel: Reals
    rewards: Reals
    discount: float
    start: Reals


def action_values(mdp: StagedMDP, values: Reals) -> Reals:
    """Say what it is worth to take each action at each stage, if the values follow.

    Args:
        mdp: The process.
        values: Of each state at each stage and after the last, shape (H + 1, S).

    Returns:
        Shape (H, S, A).
    """
    worth: Reals = mdp.rewards + mdp.discount * np.einsum("hsat,ht->hsa", mdp.kernel, values[1:])
    return worth


def evaluate(mdp: StagedMDP, policy: Any) -> Reals:
    """Find the values of a policy.

    Args:
        mdp: The process.
        policy: The action at each stage in each state, integers of shape (H, S), or the probability of each, (H, S, A).

    Returns:
        Shape (H + 1, S); those after the last stage are 0.
    """
    law = _law(mdp, policy)
    values = np.zeros((len(law) + 1, len(mdp.start)))
    for t in reversed(range(len(law))):
        values[t] = (law[t] * (mdp.rewards[t] + mdp.discount * (mdp.kernel[t] @ values[t + 1]))).sum(axis=-1)
    return values


def occupancy(mdp: StagedMDP, policy: Any) -> Reals:
    """Say how often each state is visited at each stage, discounted, shape (H, S).

    Args:
        mdp: The process.
        policy: As in `evaluate`.
    """
    law = _law(mdp, policy)
    visits = np.empty(law.shape[:2])
    visits[0] = mdp.start
    for t in range(len(law) - 1):
        visits[t + 1] = mdp.discount * np.einsum("sa,sat->t", visits[t, :, None] * law[t], mdp.kernel[t])
    return visits


def kernel_slopes(mdp: StagedMDP, policy: Any, values: Reals | None = None) -> Reals:
    """Find the slope of the value at the start in every entry of the kernel, shape (H, S, A, S).

    Args:
        mdp: The process.
        policy: As in `evaluate`.
        values: Of the policy, if they are known.
    """
    values = evaluate(mdp, policy) if values is None else values
    visits = occupancy(mdp, policy)[..., None] * _law(mdp, policy)
    return mdp.discount * visits[..., None] * values[1:, None, None, :]


def policy_iteration(mdp: StagedMDP, policy: Any = None) -> Solution:
    """Find an optimal policy, by backward induction.

    Args:
        mdp: The process.
        policy: Whose action stays where none is better, integers of shape (H, S).
    """
    values = np.zeros((len(mdp.kernel) + 1, len(mdp.start)))
    found = np.empty(mdp.rewards.shape[:2], np.int64)
    for t in reversed(range(len(found))):
        worth = mdp.rewards[t] + mdp.discount * (mdp.kernel[t] @ values[t + 1])
        values[t], found[t] = worth.max(axis=-1), worth.argmax(axis=-1)
        if policy is not None:
            stays = np.take_along_axis(worth, policy[t][:, None], axis=-1)[:, 0] == values[t]
            found[t][stays] = policy[t][stays]
    return Solution(values, found, 1, 0.0)


def soft_policy_iteration(mdp: StagedMDP, temperature: float) -> tuple[Reals, Reals]:
    """Find the policy of the largest sum of rewards and of temperature times entropy.

    Args:
        mdp: The process.
        temperature: Above 0, in units of reward.

    Returns:
        Values with entropy, shape (H + 1, S), and the probability of each action, (H, S, A).
    """
    values, law = np.zeros((len(mdp.kernel) + 1, len(mdp.start))), np.empty(mdp.rewards.shape)
    for t in reversed(range(len(law))):
        worth = mdp.rewards[t] + mdp.discount * (mdp.kernel[t] @ values[t + 1])
        best = worth.max(axis=-1, keepdims=True)
        weights = np.exp((worth - best) / temperature)
        total = weights.sum(axis=-1, keepdims=True)
        values[t], law[t] = (best + temperature * np.log(total))[:, 0], weights / total
    return values, law


def _law(mdp: StagedMDP, policy: Any) -> Reals:
    law: Reals = policy if policy.dtype.kind == "f" else np.eye(mdp.rewards.shape[-1])[policy]
    return law
