"""Estimation: decision processes from transitions that were observed, and by how much what is computed on them may be wrong.

The bounds are those of certainty equivalence. For any estimate, with its optimal values V' and the true ones V,

    max |V' - V| <= max over s, a of |(r' - r) + discount (P' - P) V| / (1 - discount) = e(V),

of which the right-hand side is bounded by Hoeffding (1963), or through max ||P' - P||_1 by Weissman et al. (2003). The optimal
policy of the estimate loses, in the true process, at most e(V) + e(V') against the optimal one: what is bounded for V alone, as
by Hoeffding, says nothing of V', which depends on the same samples. The estimate's own value is the largest of many that are
noisy, and too large on average: a policy is worth what it is worth on fresh data.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode

from reworld.errors import InvalidOption
from reworld.finite import Flags, Reals
from reworld.vector import WorldVectorEnv
from reworld_baselines.evaluation import make_batch
from reworld_baselines.mctvmdp.mdp import MDP, check_single
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.tabular import evaluate, policy_iteration

Whole = np.ndarray[Any, np.dtype[np.int64]]


class Transitions(NamedTuple):
    """What was observed in n steps of a finite world.

    Args:
        observations: Before each step, integers of shape (n,).
        actions: Likewise.
        rewards: Likewise, float64.
        next_observations: After it, also where an episode ended.
        terminations: Whether the world ended there (a time limit is no such end), bool.
        starts: First observations of episodes, integers of shape (m,).
    """

    observations: Whole
    actions: Whole
    rewards: Reals
    next_observations: Whole
    terminations: Flags
    starts: Whole


class Counts(NamedTuple):
    """How often what was observed, in one decision process or in a stack of them.

    Args:
        transitions: Of each successor, int64 of shape (…, S, A, S).
        rewards: Sum of the rewards of each action, shape (…, S, A).
        starts: Of each first state, shape (…, S).
        terminal: Which states were seen to end the world, bool of shape (…, S).
        reward_range: Between which numbers every reward lies, the 0 after an end included, if there is one.
    """

    transitions: Whole
    rewards: Reals
    starts: Whole
    terminal: Flags
    reward_range: tuple[float, float]


@dataclass(frozen=True, eq=False)
class EstimatedMDP:
    """An estimated decision process, or a stack of them.

    Args:
        mdp: The estimate. What was never tried leads to where it was, with the least of all rewards: in no process is anything
            worth less, so that an action is never chosen for what is not known of it.
        visits: How often each action was tried in each state, shape (…, S, A).
        unvisited: Where it never was, though the state ends nothing.
        reward_range: As in `Counts`.
    """

    mdp: MDP
    visits: Whole
    unvisited: Flags
    reward_range: tuple[float, float]


class Confidence(NamedTuple):
    """What holds with a probability of at least 1 - delta each.

    Args:
        radius: By how much what an action is worth, if the true optimal values follow, may differ between the estimate and the
            truth, shape (…, S, A).
        error: By how much an optimal value may; of a stack the largest.
        regret: How much worse than the true optimal policy that of the estimate may be.
    """

    radius: Reals
    error: float
    regret: float


class ErrorBounds(NamedTuple):
    """By how much optimal values may differ between an estimate and the truth.

    Args:
        tight: From what the two kernels make of the true optimal values.
        coarse: From their distance, and the span of these values; at least as large.
        distance: The largest L1 distance of two rows.
    """

    tight: Any
    coarse: Any
    distance: Any


def collect(world: Any, steps: int, seed: int, policy: Any = None, num_envs: int = 64, **arguments: Any) -> Transitions:
    """Let a policy act in a native batch of a finite world.

    Args:
        world: Id of an environment, such as ``"reworld/BlockWorld-v0"``, or a world, as `WorldVectorEnv` takes it.
        steps: How many steps, of all environments together.
        seed: Of the world, and of the choices.
        policy: The action in each state, integers of shape (S,), or the probability of each action, shape (S, A); all alike if
            left out.
        num_envs: Size of the batch.
        arguments: What else `WorldVectorEnv` or the world takes, such as ``configuration={"slip": 0.5}``. A world has no
            time limit as an environment has: give ``max_episode_steps=…`` if it does not end by itself.

    Raises:
        InvalidOption: If the world is not finite, or a number or the policy does not fit.
    """
    if steps < 1:
        raise InvalidOption(f"steps={steps}: give at least 1.")
    if isinstance(world, str) and ":" not in world:
        batch = make_batch(world, num_envs, **arguments)
    else:
        batch = WorldVectorEnv(world, num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **arguments)
    laws = _action_laws(batch, policy)
    rng, rounds = np.random.default_rng(seed), math.ceil(steps / num_envs)
    observations, _ = batch.reset(seed=seed)
    starts, seen = [observations], []
    for _ in range(rounds):
        actions = (rng.random((num_envs, 1)) < laws[observations]).argmax(axis=1)
        following, rewards, terminations, truncations, info = batch.step(actions)
        reached, ended = following.copy(), terminations | truncations
        if ended.any():
            reached[ended] = info["final_obs"][ended]
            starts.append(following[ended])
        seen.append((observations, actions, rewards, reached, terminations))
        observations = following
    batch.close()
    s, a, rewards, following, ends = (np.concatenate(column)[:steps] for column in zip(*seen, strict=True))
    return Transitions(s, a, rewards, following, ends, np.concatenate(starts))


def count(transitions: Transitions, states: int, actions: int, reward_range: tuple[float, float] | None = None) -> Counts:
    """Count transitions.

    Args:
        transitions: Of any world with states and actions that are numbered from 0.
        states: How many states there are.
        actions: How many actions.
        reward_range: The least and the largest reward that the world can pay; those that were observed if left out, on which
            no bound can be based for certain. Where the world ends it is widened to include 0.

    Raises:
        InvalidOption: If there is another state, action or reward, or the world went on from where it ended.
    """
    s, a, rewards, following, ends, starts = transitions
    for name, values, limit in (
        ("observations", s, states),
        ("actions", a, actions),
        ("next_observations", following, states),
        ("starts", starts, states),
    ):
        if values.dtype.kind not in "iu" or (len(values) and not 0 <= values.min() <= values.max() < limit):
            raise InvalidOption(f"{name}: give integers from 0 to {limit - 1}.")
    if not len(s) == len(a) == len(rewards) == len(following) == len(ends) or not len(s):
        raise InvalidOption("The arrays of transitions have different lengths, or none: give one entry for each step.")
    low, high = (float(rewards.min()), float(rewards.max())) if reward_range is None else reward_range
    if not low <= rewards.min() <= rewards.max() <= high:
        raise InvalidOption(f"reward_range={reward_range}: rewards from {rewards.min():g} to {rewards.max():g} were observed.")
    if ends.any():
        low, high = min(low, 0.0), max(high, 0.0)
    counted = np.zeros((states, actions, states), np.int64)
    np.add.at(counted, (s, a, following), 1)
    total, terminal = np.zeros((states, actions)), np.zeros(states, np.bool_)
    np.add.at(total, (s, a), rewards)
    terminal[following[ends]] = True
    if terminal[s].any():
        raise InvalidOption(
            f"The world ended in state {s[terminal[s]][0]}, and went on from there: give ends states of their own."
        )
    return Counts(counted, total, np.bincount(starts, minlength=states), terminal, (low, high))


def estimate(counts: Counts, discount: float) -> EstimatedMDP:
    """Estimate a decision process by what is most likely, and be pessimistic about what was never tried.

    Args:
        counts: Of one, or of a stack.
        discount: In [0, 1).

    Raises:
        InvalidOption: If the counts or the discount are none.
    """
    kernel, visits = estimate_kernel(counts.transitions)
    unvisited = (visits == 0) & ~counts.terminal[..., None]
    rewards = np.where(unvisited, counts.reward_range[0], counts.rewards / np.maximum(visits, 1))
    begun = counts.starts.sum(axis=-1, keepdims=True)
    start = np.where(begun > 0, counts.starts / np.maximum(begun, 1), 1.0 / kernel.shape[-1])
    return EstimatedMDP(MDP(kernel, rewards, discount, start), visits, unvisited, counts.reward_range)


def estimate_kernel(transitions: Whole) -> tuple[Reals, Whole]:
    """Estimate a kernel: of a world, or of a level with its axes in the order state, action, next state.

    Args:
        transitions: Counts of shape (…, n, U, n).

    Returns:
        Probabilities, where an action that was never tried changes nothing, and how often each was tried, (…, n, U).

    Raises:
        InvalidOption: If a count is negative, or the shape another one.
    """
    if transitions.ndim < 3 or transitions.shape[-1] != transitions.shape[-3] or (transitions < 0).any():
        raise InvalidOption(f"transitions has shape {transitions.shape}: give counts of shape (…, S, A, S), at least 0.")
    visits = transitions.sum(axis=-1)
    stay = np.eye(transitions.shape[-1])[:, None]
    kernel: Reals = np.where(visits[..., None] > 0, transitions / np.maximum(visits, 1)[..., None], stay)
    return kernel, visits


def hoeffding_radius(visits: Whole, span: float, delta: float) -> Reals:
    """Bound the error of means of numbers that lie within a range, all at once, with a probability of at least 1 - delta.

    Args:
        visits: Of how many independent numbers each is the mean; for 0 the bound is the range.
        span: Length of the range.
        delta: In (0, 1).

    Returns:
        ``span sqrt(ln(2 N / delta) / 2 n)`` for N means, at most the span.
    """
    _check_delta(delta)
    radius: Reals = span * np.minimum(1.0, np.sqrt(math.log(2.0 * visits.size / delta) / (2.0 * np.maximum(visits, 1))))
    return np.where(visits > 0, radius, span)


def weissman_radius(visits: Whole, states: int, delta: float) -> Reals:
    """Bound the L1 error of estimated laws, all at once, with a probability of at least 1 - delta.

    Args:
        visits: Of how many independent draws each is the share.
        states: How many outcomes there are.
        delta: In (0, 1).

    Returns:
        ``sqrt(2 (S ln 2 + ln(N / delta)) / n)`` for N laws, at most 2.
    """
    _check_delta(delta)
    size = 2.0 * (states * math.log(2.0) + math.log(visits.size / delta))
    return np.where(visits > 0, np.minimum(2.0, np.sqrt(size / np.maximum(visits, 1))), 2.0)


def confidence(estimated: EstimatedMDP, delta: float = 0.05) -> Confidence:
    """Say how far from the truth what is computed on an estimate is at most.

    What an action is worth is the mean of ``reward + discount V(next state)`` with the true optimal V, numbers within a range
    of length (largest - least reward) / (1 - discount): Hoeffding's bound holds for them, whatever the kernel. The regret is
    bounded by Weissman's bound of the kernel and Hoeffding's of the rewards, half of delta each. Both take the samples of each
    action to be independent, and their number not to depend on what they showed.

    Args:
        estimated: One, or a stack.
        delta: In (0, 1).
    """
    low, high = estimated.reward_range
    discount, visits = estimated.mdp.discount, estimated.visits
    horizon, tried = 1.0 / (1.0 - discount), (visits > 0) | estimated.unvisited  # What follows an end is known.
    span = (high - low) * horizon
    radius = np.where(tried, hoeffding_radius(visits, span, delta), 0.0)
    kernels = weissman_radius(visits, estimated.mdp.states, 0.5 * delta)
    rewards = hoeffding_radius(visits, high - low, 0.5 * delta)
    regret = 2.0 * horizon * float(np.where(tried, rewards + discount * 0.5 * kernels * span, 0.0).max())
    # No two values differ by more than the span, whatever is known.
    return Confidence(radius, min(horizon * float(radius.max()), span), min(regret, span))


def value_error_bounds(estimate: MDP, truth: MDP, values: Reals) -> ErrorBounds:
    """Bound the error of optimal values by that of the kernel and of the rewards.

    Args:
        estimate: Dense, shape (…, S, A, S).
        truth: Dense, with leading axes that broadcast.
        values: Optimal ones of the truth, shape (…, S). (With those of the estimate it is the other half of the regret.)

    Returns:
        One number for each process of the stack.
    """
    change, rewards = estimate.kernel - truth.kernel, estimate.expected_rewards - truth.expected_rewards
    distance = np.abs(change).sum(axis=-1).max(axis=(-1, -2))
    worth = rewards + truth.discount * np.einsum("...sat,...t->...sa", change, values)
    coarse = np.abs(rewards).max(axis=(-1, -2)) + truth.discount * 0.5 * distance * np.ptp(values, axis=-1)
    horizon = 1.0 / (1.0 - truth.discount)
    return ErrorBounds(horizon * np.abs(worth).max(axis=(-1, -2)), horizon * coarse, distance)


def level_error_bounds(
    estimate: Reals, truth: Reals, worth: Reals, values: Reals, discount: float, worth_error: Any
) -> ErrorBounds:
    """Bound the error of the optimal values of a level by that of its kernel, and of what an episode below it is worth.

    Args:
        estimate: Its kernel, with the axes state, action, next state, shape (…, n, U, n).
        truth: The true one, shape (n, U, n).
        worth: What an episode below is truly worth in each state, shape (…, n).
        values: The level's true optimal values, shape (…, n).
        discount: Of the level.
        worth_error: How far from it the estimates are at most, shape (…).
    """
    change, ahead = estimate - truth, worth + discount * values
    distance = np.abs(change).sum(axis=-1).max(axis=(-1, -2))
    horizon = 1.0 / (1.0 - discount)
    tight = horizon * (worth_error + np.abs(np.einsum("...iuj,...j->...iu", change, ahead)).max(axis=(-1, -2)))
    return ErrorBounds(tight, horizon * (worth_error + 0.5 * distance * np.ptp(ahead, axis=-1)), distance)


def certainty_equivalent(problem: EstimatedMDP, search: Search, *, fresh: EstimatedMDP | MDP, delta: float = 0.05) -> Result:
    """Take the optimal policy of an estimate, and evaluate it on fresh data.

    Args:
        problem: A single one.
        search: See `reworld_baselines.mctvmdp.results.Search`.
        fresh: An estimate from other transitions, or the true process: there the value is that of the result.
        delta: With which probability the bounds may fail, in (0, 1).

    Returns:
        What the estimate promises is `Result.predicted`, which is too much on average; the bounds are in the certificate.

    Raises:
        InvalidOption: If the estimate or what is fresh is a stack, or they are not of as many states and actions.
    """
    check_single(problem.mdp)
    judge = fresh.mdp if isinstance(fresh, EstimatedMDP) else fresh
    if not isinstance(judge, MDP) or tuple(judge.kernel.shape) != tuple(problem.mdp.kernel.shape):
        raise InvalidOption(
            f"fresh={fresh!r:.100}: give another estimate, or the true process, of {problem.mdp.states} states and "
            f"{problem.mdp.actions} actions."
        )
    solution = policy_iteration(problem.mdp)
    search.count()
    value = float(judge.start @ evaluate(judge, solution.policy))
    search.record(value)
    search.close()
    bounds = confidence(problem, delta)
    notes = [
        f"with a probability of at least {1.0 - delta:g} each: the estimate's optimal values are within {bounds.error:.4g} of "
        f"the true ones, and its policy is within {bounds.regret:.4g} of the optimal one",
        f"{int(problem.unvisited.sum()):,} of {problem.unvisited.size:,} actions were never tried",
    ]
    return Result(
        problem=problem,
        method="certainty_equivalent",
        value=value,
        nominal_value=value,
        policies=(solution.policy,),
        kernels=problem.mdp.kernel,
        cost=0.0,
        certificate=Certificate("none", notes=notes),
        trace=search.trace,
        predicted=float(problem.mdp.start @ solution.values),
        solves=search.solves,
        seconds=search.seconds,
    )


def _action_laws(batch: WorldVectorEnv, policy: Any) -> Reals:
    """The cumulative probability of each action in each state, shape (S, A)."""
    observed, acted = batch.single_observation_space, batch.single_action_space
    if not (isinstance(observed, Discrete) and isinstance(acted, Discrete)):
        raise InvalidOption(
            f"{batch.world.name} observes {observed} and acts by {acted}: give a world of which both are Discrete."
        )
    states, actions = int(observed.n), int(acted.n)
    if policy is None:
        laws = np.full((states, actions), 1.0 / actions)
    elif np.asarray(policy).dtype.kind in "iu":
        laws = np.eye(actions)[np.asarray(policy)]
    else:
        laws = np.asarray(policy, np.float64)
    if laws.shape != (states, actions) or (laws < 0.0).any() or (np.abs(laws.sum(axis=1) - 1.0) > 1e-9).any():
        raise InvalidOption(f"policy: give an action for each of {states} states, or laws of shape {(states, actions)}.")
    cumulative = laws.cumsum(axis=1)
    cumulative[:, -1] = 1.0  # Where rounding would leave some numbers without an action.
    return cumulative


def _check_delta(delta: float) -> None:
    if not 0.0 < delta < 1.0:
        raise InvalidOption(f"delta={delta!r}: give the probability with which a bound may fail, between 0 and 1.")
