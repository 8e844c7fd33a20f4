"""Levels of decision processes: each chooses the kernel of the one below it, and the lowest is a world.

Source: the multi-level model of Lu, Hassibi, Lai, Xu, "Learn to Change the World: Multi-level Reinforcement Learning with
Model-Changing Actions" (arXiv 2510.15056), in the terms of `reworld.changing.levels`. Level 0 is worth W_0(i), the value at the
start, in its kernel i. Level k in its own kernel v, with states i (the kernels of level k - 1) and actions u, is worth

    V(i) = max over u of  -cost(i, u) + sum over j of T(j | i, u) (W_{k-1}(j) + discount V(j)),    W_k(v) = start @ V.

What differs here: levels are solved by policy iteration or with MacQueen's bounds in place of a fixed number of sweeps, costs
are paid whether or not a change succeeds, and levels over a world whose state persists are executed as they are, so that it
shows what solving one level after the other then loses.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from array_api_compat import is_numpy_array
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import spsolve

from reworld.changing.flat import FlatMDP
from reworld.changing.levels.model import Level, Levels, check_chain, flat_levels
from reworld.errors import InvalidOption
from reworld.finite import FiniteMDP, Flags, Integers, Reals, exact_model, read_numbers
from reworld_baselines.mctvmdp.configurable import SolverFailed
from reworld_baselines.mctvmdp.mdp import MDP, SparseKernel, set_field
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.tabular import action_values, evaluate, policy_iteration, policy_iteration_along, value_iteration

ORDERS = ("configure_first", "run_first")
SOLVERS = ("policy_iteration", "value_iteration")

_TIE = 1e-13  # Two actions whose values differ by no more, as a share of the largest value, are equally good.
_AT_A_TIME = 2**25  # How many entries of dense kernels are written down before they are made sparse.


@dataclass(frozen=True, eq=False)
class MultiLevelMDP:
    """A world with n kernels, and levels that choose among them.

    The policies of a result are, level 0 first, the action in each state: of shape (n, S) for level 0, and (V, n) for a level
    of V kernels and n states. If the world's state persists the levels see it, too: (V, n, S). With epochs of m steps, the
    policy of level 0 is one for each step, (n, m, S).

    Args:
        worlds: A stack of n, NumPy; None where only `values` are known.
        levels: Level 1 first. Their discounts are below 1, and their episodes of any length (no ``steps``).
        values: What level 0 is worth in each of its kernels, shape (n,), in place of worlds: these then have a single state,
            and last a single step.
        names: Name of each kernel of level 0; its number if left out.
        order: ``"configure_first"``: a level decides, then what it has chosen runs; ``"run_first"``: an episode begins with a
            run of what is in force at its start, and each further run is decided on before.
        persistent: Whether all stays as it is, the world's state included, when a level above decides.
        epoch: For one level: that it decides after every so many steps of the world, whose state persists, and which goes on
            without end. The level's discount then is that of the world to the power of `epoch`.
        allow_unreachable: Whether some kernels may be out of reach, whatever is done.

    Raises:
        InvalidOption: If these contradict one another, or a kernel is out of reach.
    """

    worlds: Any
    levels: Sequence[Level]
    values: InitVar[Any] = None
    names: Sequence[str] = ()
    order: str = "configure_first"
    persistent: bool = False
    epoch: int | None = None
    allow_unreachable: bool = False

    def __post_init__(self, values: Any) -> None:
        if (self.worlds is None) == (values is None):
            raise InvalidOption("Give either worlds, or the values that they have: one of the two, and not both.")
        set_field(self, "worlds", _of_values(values) if self.worlds is None else _read_worlds(self.worlds))
        set_field(self, "levels", tuple(self.levels))
        check_chain(self.kernels, self.levels)
        if self.names and len(self.names) != self.kernels:
            raise InvalidOption(f"{len(self.names)} kernels of level 0 are named, and there are {self.kernels}.")
        set_field(self, "names", tuple(self.names) or tuple(map(str, range(self.kernels))))
        for k, level in enumerate(self.levels, 1):
            if level.steps is not None:
                raise InvalidOption(
                    f"Level {k} has steps={level.steps}, and what is best would depend on how many are left: give it a "
                    "discount alone. (reworld.changing.levels.flat_levels takes such levels.)"
                )
            if level.discount == 1.0:
                raise InvalidOption(f"Level {k} has discount=1.0 and may never end: give it a discount below 1.")
        if self.order not in ORDERS:
            raise InvalidOption(f"order={self.order!r} is unknown: give one of {', '.join(ORDERS)}.")
        if self.epoch is not None:
            self._check_epoch(self.epoch)
        if self.order == "run_first" and not self.begins_anew:
            raise InvalidOption("order='run_first' is of levels that begin anew: leave out persistent and epoch, or the order.")
        if not self.allow_unreachable:
            self._check_reachable()

    @classmethod
    def of_levels(
        cls, levels: Levels, *, order: str = "configure_first", epoch: int | None = None, allow_unreachable: bool = False
    ) -> Self:
        """Take the levels of a finite world, with its exact model under each configuration.

        Args:
            levels: Those; level 0 has a discount below 1, and no number of steps.
            order: As above.
            epoch: As above; with one, all persists, whatever the levels say.
            allow_unreachable: As above.

        Raises:
            InvalidOption: If the world is not finite, or the levels are none of this kind.
        """
        if levels.steps is not None or levels.discount == 1.0:
            raise InvalidOption(
                f"Level 0 has steps={levels.steps} and discount={levels.discount:g}: give it steps=None and a discount below "
                "1, as in dataclasses.replace(levels, steps=None, discount=0.95), and for epochs of so many steps epoch=…."
            )
        worlds, ends = _sparse_models(levels)
        if ends and (levels.persistent or epoch is not None):
            raise InvalidOption(
                f"{levels.world.name} has states in which it ends, and all levels with it where they persist: this is not "
                "solved here. Take levels.flat(), or levels that do not persist."
            )
        return cls(
            worlds,
            levels.levels,
            names=levels.names,
            order=order,
            persistent=levels.persistent and epoch is None,
            epoch=epoch,
            allow_unreachable=allow_unreachable,
        )

    @property
    def kernels(self) -> int:
        """How many kernels level 0 has."""
        return len(self.worlds.start)

    @property
    def begins_anew(self) -> bool:
        """Whether the world is reset when a level above decides."""
        return not self.persistent and self.epoch is None

    @cached_property
    def choices(self) -> "tuple[Choices, ...]":
        """What may be done at each level, level 1 first."""
        return tuple(map(_choices_of, self.levels))

    @cached_property
    def flat(self) -> FlatMDP:
        """The same as a single decision process: see `reworld.changing.levels.flat_levels`.

        It decides freely in every state, so that it may be worth more where the world's state persists. With epochs, ``ages``
        counts the steps of each. With ``order="run_first"`` state n + i of a level of n states stands for state i at the
        beginning of an episode.
        """
        problem = self if self.order == "configure_first" else _configuring_first(self)
        worlds, running = problem.worlds, np.zeros(problem.worlds.states, np.bool_)
        rewards = _full_rewards(worlds)
        models = (FiniteMDP(_kernel(worlds, i), rewards[i], worlds.start[i], running) for i in range(problem.kernels))
        if self.epoch is None:
            return flat_levels(models, problem.levels, worlds.discount, None, self.persistent)
        flat = flat_levels(models, [dataclasses.replace(self.levels[0], discount=1.0)], 1.0, self.epoch, persistent=True)
        in_world = np.repeat(flat.states["due"][_owners(flat.first)] == 0, np.diff(flat.indptr))
        return dataclasses.replace(flat, weights=np.where(in_world, worlds.discount, 1.0) * flat.weights)

    def _check_epoch(self, epoch: int) -> None:
        if not isinstance(epoch, int) or epoch < 1:
            raise InvalidOption(f"epoch={epoch!r}: give a number of steps of the world, at least 1.")
        if len(self.levels) > 1 or self.persistent:
            raise InvalidOption(f"epoch={epoch}: give it with one level, and without persistent=True, which it implies.")
        discount = self.worlds.discount**epoch
        if abs(self.levels[0].discount - discount) > 1e-12:
            raise InvalidOption(
                f"Level 1 has discount={self.levels[0].discount!r}, and an epoch of {epoch} steps of a world of discount "
                f"{self.worlds.discount:g} has {discount!r}: give that."
            )

    def _check_reachable(self) -> None:
        in_force = np.array([0])
        for k in range(len(self.levels), 0, -1):
            choices = self.choices[k - 1]
            # Which kernel is in force changes within an episode only if that persists.
            together = in_force[:, None] if self.begins_anew else in_force[None]
            reached = np.logical_or.reduce([_reached(choices, [choices.kernels[v] for v in group]) for group in together])
            if not reached.all():
                names = self.names if k == 1 else self.levels[k - 2].names
                missing = [names[i] for i in np.flatnonzero(~reached).tolist()]
                shown = ", ".join(map(repr, missing[:10])) + (", …" if len(missing) > 10 else "")
                raise InvalidOption(
                    f"Level {k} can never reach {len(missing)} of its {len(reached)} states from its start, whatever is done: "
                    f"{shown}. Give it actions that lead there, leave them out, or say allow_unreachable=True if that is meant."
                )
            in_force = np.flatnonzero(reached)


class Choices(NamedTuple):
    """What may be done at a level: its *rows*, each a state with one of the actions that are possible there, state by state.

    Args:
        first: The first row of each state, shape (n + 1,).
        states: Of each row, shape (rows,).
        actions: Likewise.
        costs: Likewise.
        kernels: For each of the level's kernels the probabilities of each next state, sparse, shape (rows, n).
        discount: Of the level.
        start: Probability of each first state, shape (n,).
    """

    first: Integers
    states: Integers
    actions: Integers
    costs: Reals
    kernels: tuple[csr_array, ...]
    discount: float
    start: Reals


def levels(problem: MultiLevelMDP, search: Search, *, solver: str = "policy_iteration", epsilon: float = 1e-10) -> Result:
    """Solve one level after the other, from the lowest to the highest.

    It is optimal where an episode begins anew when a level above decides. Where the world's state persists the levels are
    solved as if it did not, and the policies are then executed as it is: `Result.predicted` is what the solution promises, and
    the value what it is. With epochs, level 1 is solved over kernels and the world's states together, by value iteration, in
    which one application of its operator is as many sweeps of the world as an epoch has steps; that is optimal, too.

    Args:
        problem: Which one.
        search: See `Search`.
        solver: ``"policy_iteration"``, exact but for rounding, or ``"value_iteration"``, which stops by MacQueen's bounds.
        epsilon: Largest error of a level in value iteration, if what is below it has none; above 0.

    Returns:
        The certificate holds the error of each level, with what it inherits from those below:
        ``e_k = epsilon_k + e_{k-1} / (1 - discount_k)``.

    Raises:
        InvalidOption: If an option is out of range.
    """
    if solver not in SOLVERS:
        raise InvalidOption(f"solver={solver!r} is unknown: give one of {', '.join(SOLVERS)}.")
    if not epsilon > 0.0:
        raise InvalidOption(f"epsilon={epsilon!r}: give a number above 0.")
    if problem.epoch is not None:
        return _solve_epochs(problem, search, epsilon)
    exact = solver == "policy_iteration"
    lower = policy_iteration_along(problem.worlds) if exact else value_iteration(problem.worlds, epsilon)
    search.count(problem.kernels)
    error, policies = float(np.max(lower.error)), [lower.policy]
    worth, unit = _at_start(problem.worlds, lower.values), "evaluations" if exact else "sweeps"
    notes = [f"level 0: error at most {error:.1e}, at most {lower.iterations} {unit}"]
    for k, choices in enumerate(problem.choices, 1):
        solved = [_solve_level(choices, kernel, worth, None if exact else epsilon) for kernel in choices.kernels]
        search.count(len(solved))
        worth = _episodes(problem, choices, np.array([each.values for each in solved]), worth)
        policies.append(np.array([choices.actions[each.rows] for each in solved]))
        error = max(each.error for each in solved) + error / (1.0 - choices.discount)
        notes.append(f"level {k}: error at most {error:.1e}, at most {max(each.iterations for each in solved)} {unit}")
    predicted = float(worth[0])
    if problem.persistent:
        notes = [*notes, "The world's state persists: the method 'flat' finds the optimum, and this is its value or less."]
        return _result(problem, "levels", policies, search, Certificate("none", notes=notes), predicted=predicted)
    return _certified(problem, policies, search, predicted, error, notes, None if exact else predicted)


def flat(problem: MultiLevelMDP, search: Search, *, largest: int = 10_000_000) -> Result:
    """Solve all levels at once, as a single decision process (`MultiLevelMDP.flat`), by policy iteration with sparse solves.

    It is optimal, also where the world's state persists.

    Args:
        problem: Which one.
        search: See `Search`.
        largest: How many entries the kernel of that process may have; each takes some 150 bytes while it is written.

    Returns:
        There is one policy, the action in each state of ``problem.flat``.

    Raises:
        SolverFailed: If it has more.
    """
    entries = _flat_entries(problem)
    if entries > largest:
        raise SolverFailed(
            f"The flat process has some {entries:,} entries, which are more than largest={largest:,}: use the method 'levels', "
            "or raise largest if there is memory for it."
        )
    process = problem.flat
    weights = csr_array((process.weights, process.successors, process.indptr), (len(process.rewards), len(process.states)))
    solved = _optimum(weights, process.rewards, process.first)
    search.count()
    value = float(process.start @ solved.values)
    spent = np.where(process.states["due"][_owners(process.first)] > 0, -process.rewards, 0.0)
    cost = float(process.start @ _solve(weights[solved.rows], spent[solved.rows]))
    # A row's weights are less than 1 in sum by what ends for good: so long is the process at most.
    horizon = float(_solve(weights[solved.rows], np.ones(len(process.states))).max())
    gap = solved.error * horizon
    search.record(value, cost)
    certificate = Certificate("optimal", gap, value + gap, [f"{len(process.states):,} states, {solved.iterations} evaluations"])
    return _report(problem, "flat", value, cost, [process.actions[solved.rows]], search, certificate)


def none(problem: MultiLevelMDP, search: Search) -> Result:
    """Change nothing: at every level take the cheapest action, and of these the one that is most likely to leave all as it is.

    Level 0 acts optimally in each kernel, as it does for all that follow.
    """
    return _play(problem, "none", search, lambda choices, kernel, worth: choices.actions[_idle(choices, kernel)])


def random(problem: MultiLevelMDP, search: Search) -> Result:
    """Take every possible action with the same probability, at every level above 0; its value is exact."""

    def rule(choices: Choices, kernel: csr_array, worth: Reals) -> Reals:
        counts = np.diff(choices.first)
        shares = np.zeros((len(counts), choices.actions.max() + 1))
        shares[choices.states, choices.actions] = 1.0 / counts[choices.states]
        return shares

    return _play(problem, "random", search, rule)


def myopic(problem: MultiLevelMDP, search: Search) -> Result:
    """Take, at every level above 0, the action after which the next episode below is worth most, less the cost."""

    def rule(choices: Choices, kernel: csr_array, worth: Reals) -> Integers:
        return choices.actions[_best(kernel @ worth - choices.costs, choices.first)[1]]

    return _play(problem, "myopic", search, rule)


def reachable(problem: MultiLevelMDP, search: Search) -> Result:
    """Go, at every level above 0, to one state and stay: to the one for which that is worth most.

    Candidates are the states that can be reached and in which one can stay for certain. The way to one is the best of all, with
    its costs and all that runs on it, if everything but the goal were worth less by the difference of the best and the worst:
    so it leads there, unless that is too dear, and does not settle elsewhere.

    Raises:
        SolverFailed: If one can stay nowhere.
    """

    def rule(choices: Choices, kernel: csr_array, worth: Reals) -> Integers:
        idle = _idle(choices, kernel)
        stays = kernel[idle].diagonal() > 1.0 - 1e-12
        targets = np.flatnonzero(stays & _reached(choices, [kernel]))
        if not len(targets):
            raise SolverFailed("There is no state that can be reached and stayed in for certain: use another method.")
        best, policy = -math.inf, idle
        for target in targets.tolist():
            rows = _way(choices, kernel, worth, target, idle[target])
            search.count()
            values = _solve(choices.discount * kernel[rows], (kernel @ worth - choices.costs)[rows])
            if (value := float(choices.start @ values)) > best:
                best, policy = value, rows
        return choices.actions[policy]

    return _play(problem, "reachable", search, rule)


def oracle(problem: MultiLevelMDP, search: Search) -> Result:
    """Have the best kernel of level 0 from the beginning to the end, and pay nothing.

    More is not possible where episodes begin anew and no cost is negative.

    Returns:
        The policy is that of level 0 in this kernel, the only one in force.
    """
    lower = policy_iteration_along(problem.worlds)
    search.count(problem.kernels)
    ending = math.prod(1.0 - level.discount for level in problem.levels)
    forever = lower
    if problem.persistent:  # The world goes on unless all levels end at once.
        forever = policy_iteration(dataclasses.replace(problem.worlds, discount=1.0 - (1.0 - problem.worlds.discount) * ending))
        search.count(problem.kernels)
    worth = _at_start(problem.worlds, forever.values)
    best = int(worth.argmax())
    value = float(worth[best]) / (ending if problem.begins_anew else 1.0)
    search.record(value)
    bounds = problem.begins_anew and min(level.costs.min() for level in problem.levels) >= 0.0
    certificate = Certificate(
        "none", upper_bound=value if bounds else None, notes=(f"in kernel {problem.names[best]!r} throughout, for nothing",)
    )
    policies, kernel = [forever.policy[best]], _kernel(problem.worlds, best)
    return _report(problem, "oracle", value, 0.0, policies, search, certificate, lower.policy, kernels=kernel)


class _Solved(NamedTuple):
    """What is best to do in a process of rows.

    Args:
        values: Of each state, shape (n,).
        rows: The best row of each, shape (n,).
        iterations: Evaluations or sweeps.
        error: By how much a row is better than that which was chosen; or, where that is said, of the values.
    """

    values: Reals
    rows: Integers
    iterations: int
    error: float


def _solve_level(choices: Choices, kernel: csr_array, worth: Reals, epsilon: float | None) -> _Solved:
    """Solve a level in one of its kernels, from what an episode below is worth; the error is that of the values."""
    rewards, weights, discount = kernel @ worth - choices.costs, choices.discount * kernel, choices.discount
    if epsilon is None:
        solved = _optimum(weights, rewards, choices.first)
        return solved._replace(error=solved.error / (1.0 - discount))
    values, iterations, error = _sweep(
        lambda values: _best(rewards + weights @ values, choices.first)[0], np.zeros(len(worth)), discount, epsilon
    )
    return _Solved(values, _best(rewards + weights @ values, choices.first)[1], iterations, error)


def _solve_epochs(problem: MultiLevelMDP, search: Search, epsilon: float) -> Result:
    (choices,), worlds, steps = problem.choices, problem.worlds, problem.epoch or 1
    (kernel,) = choices.kernels

    def look_ahead(values: Reals) -> tuple[Reals, list[Integers]]:
        """Worth of each row in each state of the world, and the policy in each step of an epoch, the last one first."""
        policies = []
        for _ in range(steps):
            worth = action_values(worlds, values)
            policies.append(worth.argmax(axis=-1))
            values = worth.max(axis=-1)
        return kernel @ values - choices.costs[:, None], policies

    def backup(values: Reals) -> Reals:
        return _best(look_ahead(values)[0], choices.first)[0]

    start = np.zeros((problem.kernels, worlds.states))
    values, sweeps, error = _sweep(backup, start, choices.discount, epsilon)
    search.count()
    worth, policies = look_ahead(values)
    upper = choices.actions[_best(worth, choices.first)[1]][None]
    predicted = float(choices.start @ _at_start(worlds, values))
    notes = [f"level 1, over kernels and states: error at most {error:.1e}, {sweeps} sweeps of {steps} sweeps of the world"]
    return _certified(problem, [np.stack(policies[::-1], axis=1), upper], search, predicted, error, notes, predicted)


def _sweep(backup: Callable[[Reals], Reals], values: Reals, discount: float, epsilon: float) -> tuple[Reals, int, float]:
    """Value iteration with MacQueen's bounds: values in their middle, the number of sweeps, and the error."""
    factor, sweeps, last = discount / (1.0 - discount), 0, np.inf
    while True:
        before, values = values, backup(values)
        sweeps += 1
        low, high = factor * (values - before).min(), factor * (values - before).max()
        error = 0.5 * float(high - low)
        if error <= epsilon:
            return values + 0.5 * (low + high), sweeps, error
        size = float(np.abs(values).max())
        if error >= last and error < 1e-12 * (1.0 + factor) * size:
            raise InvalidOption(
                f"epsilon={epsilon:g} is less than rounding allows for values of size {size:.3g} and the discount "
                f"{discount:g}: give a larger one."
            )
        last = error


def _optimum(weights: csr_array, rewards: Reals, first: Integers) -> _Solved:
    """Policy iteration on rows, whose weights hold the discount. Of equally good rows that of the policy before stays."""
    rows = _best(rewards, first)[1]
    values, iterations = _solve(weights[rows], rewards[rows]), 1
    while True:
        best, greedy = _best(rewards + weights @ values, first)
        gain = best - values
        better = gain > _TIE * np.abs(values).max()
        if better.any():
            others = np.where(better, greedy, rows)
            other_values, iterations = _solve(weights[others], rewards[others]), iterations + 1
            if other_values.sum() > values.sum():  # If not, it was but rounding.
                rows, values = others, other_values
                continue
        return _Solved(values, rows, iterations, float(np.abs(gain).max()))


def _best(worth: Reals, first: Integers) -> tuple[Reals, Integers]:
    """The largest worth of any row of each state, and the first row that has it; along the first axis."""
    best = np.maximum.reduceat(worth, first[:-1])
    candidates = np.arange(len(worth)).reshape(-1, *[1] * (worth.ndim - 1))
    return best, np.minimum.reduceat(np.where(worth == best[_owners(first)], candidates, len(worth)), first[:-1])


def _owners(first: Integers) -> Integers:
    """The state of each row."""
    return np.repeat(np.arange(len(first) - 1), np.diff(first))


def _solve(weights: csr_array, rewards: Reals) -> Reals:
    """The values of a policy, which takes a row in each state: of one reward, or of several along the last axis."""
    values: Reals = spsolve(csc_array(eye_array(len(rewards)) - weights), rewards).reshape(rewards.shape)
    return values


def _idle(choices: Choices, kernel: csr_array) -> Integers:
    """The cheapest row of each state, and of these the one that is most likely to stay."""
    stays = kernel[np.arange(len(choices.states)), choices.states]
    return np.lexsort((-np.asarray(stays).ravel(), choices.costs, choices.states))[choices.first[:-1]]


def _way(choices: Choices, kernel: csr_array, worth: Reals, target: int, idle: int) -> Integers:
    """The rows that lead to a state in which one then stays; see `reachable`."""
    promised = worth - (worth.max() - worth.min())
    promised[target] = worth[target]
    rewards = kernel @ promised - choices.costs
    rewards[choices.first[target] : choices.first[target + 1]] = -np.inf
    rewards[idle] = promised[target] - choices.costs[idle]
    return _optimum(choices.discount * kernel, rewards, choices.first).rows


def _reached(choices: Choices, kernels: Sequence[csr_array]) -> Flags:
    """Which states are reached from the start, while any of some kernels is in force."""
    union = _mixture(choices.first, np.ones(len(choices.states)))
    following = [csr_array((union @ kernel).T) for kernel in kernels]
    reached = new = choices.start > 0.0
    while new.any():
        new = np.logical_or.reduce([(each @ new.astype(np.float64)) > 0.0 for each in following]) & ~reached
        reached = reached | new
    return reached


_Rule = Callable[[Choices, csr_array, Reals], Any]
"""From what may be done, the kernel in force, and what an episode below is worth in each state to a policy."""


def _play(problem: MultiLevelMDP, method: str, search: Search, rule: _Rule) -> Result:
    """Act by a rule at every level above 0, and optimally below."""
    lower = policy_iteration_along(problem.worlds)
    search.count(problem.kernels)
    policies = _by_rule(problem, lower.policy, rule)
    return _result(problem, method, policies, search, Certificate("none"))


def _by_rule(problem: MultiLevelMDP, lower: Integers, rule: _Rule) -> list[Any]:
    worth, policies = _at_start(problem.worlds, evaluate(problem.worlds, lower))[:, None], [lower]
    for choices in problem.choices:
        policies.append(np.array([rule(choices, kernel, worth[:, 0]) for kernel in choices.kernels]))
        worth = _follow(problem, choices, policies[-1], worth)
    return policies


def _follow(problem: MultiLevelMDP, choices: Choices, policy: Any, worth: Reals) -> Reals:
    """What an episode of a level is worth in each of its kernels under a policy, shape (V, 2).

    Args:
        problem: Which one.
        choices: Of the level.
        policy: Shape (V, n) or (V, n, U).
        worth: What an episode below is worth, and what is paid in it, shape (n, 2); or the worth alone, (n, 1).
    """
    signs = np.array([-1.0, 1.0])[: worth.shape[1]]
    values = []
    for kernel, own in zip(choices.kernels, policy, strict=True):
        mixture = _mixture(choices.first, _shares(own[choices.states], choices.actions))
        rewards = mixture @ (kernel @ worth + choices.costs[:, None] * signs)
        values.append(_solve(choices.discount * (mixture @ kernel), rewards))
    return _episodes(problem, choices, np.array(values), worth)


def _episodes(problem: MultiLevelMDP, choices: Choices, values: Reals, worth: Reals) -> Reals:
    """What an episode of a level is worth: from what its decisions are, values of shape (V, n, …), and an episode below."""
    if problem.order == "run_first":
        values = worth + choices.discount * values
    episodes: Reals = np.einsum("i,vi...->v...", choices.start, values)
    return episodes


def _shares(policy: Any, actions: Integers) -> Reals:
    """The probability of each row, from the policy in the state of each."""
    if policy.ndim == 2:
        return np.asarray(policy[np.arange(len(actions)), actions], np.float64)
    return np.asarray(policy == actions, np.float64)


def _mixture(first: Integers, shares: Reals) -> csr_array:
    """The matrix that turns what rows are worth into what states are, if rows are taken with some probabilities."""
    return csr_array((shares, np.arange(len(shares)), first), (len(first) - 1, len(shares)))


def _evaluate(problem: MultiLevelMDP, policies: Sequence[Any]) -> tuple[float, float]:
    """The true value of policies at the start, and what is paid on average, discounted as the value is."""
    if not problem.begins_anew:
        return _execute(problem, policies)
    values = _at_start(problem.worlds, evaluate(problem.worlds, policies[0]))
    worth = np.stack([values, np.zeros(len(values))], axis=1)
    for choices, policy in zip(problem.choices, policies[1:], strict=True):
        worth = _follow(problem, choices, policy, worth)
    return float(worth[0, 0]), float(worth[0, 1])


def _execute(problem: MultiLevelMDP, policies: Sequence[Any]) -> tuple[float, float]:
    """The same where the world's state persists, from the flat process."""
    process = problem.flat
    states = process.states[_owners(process.first)]
    shares = np.zeros(len(states))
    for k, policy in enumerate(policies):
        rows = states["due"] == k
        here = states[rows]
        kernels = here["kernels"]
        if k:
            own = policy[kernels[:, k], kernels[:, k - 1], here["state"]]
        elif problem.epoch is None:
            own = policy[kernels[:, 0], here["state"]]
        else:
            own = policy[kernels[:, 0], here["ages"][:, 0], here["state"]]
        shares[rows] = _shares(own, process.actions[rows])
    mixture = _mixture(process.first, shares)
    weights = csr_array((process.weights, process.successors, process.indptr), (len(states), len(process.states)))
    costs = np.where(states["due"] > 0, -process.rewards, 0.0)
    value, cost = process.start @ _solve(mixture @ weights, mixture @ np.stack([process.rewards, costs], axis=1))
    return float(value), float(cost)


def _seeing_all(problem: MultiLevelMDP, policies: Sequence[Any]) -> Sequence[Any]:
    """Give policies of levels that begin anew the axes that they have where the world's state persists."""
    if problem.begins_anew:
        return policies
    lower, *upper = policies
    if problem.epoch is not None:
        lower = np.repeat(lower[:, None], problem.epoch, axis=1)
    return [lower, *(np.repeat(policy[:, :, None], problem.worlds.states, axis=2) for policy in upper)]


def _certified(
    problem: MultiLevelMDP,
    policies: Sequence[Any],
    search: Search,
    found: float,
    error: float,
    notes: Sequence[str],
    predicted: float | None,
) -> Result:
    """Put together a solution whose values, `found` at the start, have a known error."""
    value, cost = _evaluate(problem, policies)
    bound = max(found + error, value)
    search.record(value, cost)
    certificate = Certificate("optimal", bound - value, bound, notes)
    lower = policies[0] if problem.epoch is None else None
    return _report(problem, "levels", value, cost, policies, search, certificate, lower, predicted=predicted)


def _result(
    problem: MultiLevelMDP,
    method: str,
    policies: Sequence[Any],
    search: Search,
    certificate: Certificate,
    predicted: float | None = None,
) -> Result:
    """Execute policies of levels that begin anew, whether or not these do."""
    policies, lower = _seeing_all(problem, policies), policies[0]
    value, cost = _evaluate(problem, policies)
    search.record(value, cost)
    return _report(problem, method, value, cost, policies, search, certificate, lower, predicted=predicted)


def _report(
    problem: MultiLevelMDP,
    method: str,
    value: float,
    cost: float,
    policies: Sequence[Any],
    search: Search,
    certificate: Certificate,
    lower: Integers | None = None,
    kernels: Any = None,
    predicted: float | None = None,
) -> Result:
    """Write down what was found; `lower` is an optimal policy of level 0, if one is known."""
    if lower is None:
        lower = policy_iteration_along(problem.worlds).policy
        search.count(problem.kernels)
    idle = _by_rule(problem, lower, lambda choices, kernel, worth: choices.actions[_idle(choices, kernel)])
    nominal, _ = _evaluate(problem, _seeing_all(problem, idle))
    search.close()
    return Result(
        problem=problem,
        method=method,
        value=value,
        nominal_value=nominal,
        policies=tuple(policies),
        kernels=problem.worlds.kernel if kernels is None else kernels,
        cost=cost,
        certificate=certificate,
        trace=search.trace,
        predicted=predicted,
        solves=search.solves,
        seconds=search.seconds,
    )


def _read_worlds(worlds: MDP) -> MDP:
    """Give the kernel and the start of a stack all its leading axes."""
    kernel, sparse = worlds.kernel, isinstance(worlds.kernel, SparseKernel)
    if not is_numpy_array(worlds.rewards):
        raise InvalidOption("worlds holds tensors: give arrays of NumPy.")
    rewards, start = worlds.rewards.shape, worlds.start
    lead = np.broadcast_shapes(kernel.shape[:-3], rewards[: -3 if worlds.depends_on_successor else -2], start.shape[:-1])
    if len(lead) != 1:
        raise InvalidOption(f"worlds is a stack of shape {lead}: give one of shape (n,), of the n kernels of level 0.")
    if sparse:
        kernel = SparseKernel(kernel.successors, np.broadcast_to(kernel.weights, (*lead, *kernel.successors.shape)))
    else:
        kernel = np.broadcast_to(kernel, (*lead, *kernel.shape[-3:]))
    stack = worlds.with_kernel(kernel)
    set_field(stack, "start", np.broadcast_to(start, (*lead, worlds.states)))
    return stack


def _of_values(values: Any) -> MDP:
    """Worlds of a single state and step, which are worth so much."""
    numbers = read_numbers("values", values)
    if numbers.ndim != 1 or not len(numbers):
        raise InvalidOption(f"values has shape {numbers.shape}: give one number for each kernel of level 0, of shape (n,).")
    return _read_worlds(MDP(np.ones((len(numbers), 1, 1, 1)), numbers[:, None, None], 0.0))


def _sparse_models(levels: Levels) -> tuple[MDP, bool]:
    """The exact models of all configurations, and whether the world ends in some state."""
    first = exact_model(levels.world, levels.values[0])
    size = max(1, _AT_A_TIME // first.kernel.size)
    parts = [levels.values[i : i + size] for i in range(0, len(levels.values), size)]
    possible = np.zeros(first.kernel.shape, np.bool_)
    for part in parts:
        possible |= (exact_model(levels.world, part).kernel > 0.0).any(axis=0)
    successors = SparseKernel.of(possible.astype(np.float64)).successors
    weights, rewards, starts, ends = [], [], [], False
    for part in parts:
        model = exact_model(levels.world, part)
        weights.append(np.take_along_axis(model.kernel, successors[None], axis=-1))
        rewards.append(model.expected_rewards)
        starts.append(model.start)
        ends = ends or bool(model.terminal.any())
    kernel = SparseKernel(successors, np.concatenate(weights))
    full = np.broadcast_to(np.concatenate(rewards)[..., None], kernel.shape)
    return MDP(kernel, full, levels.discount, np.concatenate(starts)), ends


def _full_rewards(worlds: MDP) -> Reals:
    """The rewards of a stack for each transition, expected over them, with all axes: they cannot be mistaken for others."""
    expected = np.broadcast_to(worlds.expected_rewards, worlds.kernel.shape[:-1])
    return np.broadcast_to(expected[..., None], worlds.kernel.shape)


def _at_start(worlds: MDP, values: Reals) -> Reals:
    """What each world is worth at its start, from the values of its states, shape (n, S)."""
    worth: Reals = np.einsum("is,is->i", worlds.start, values)
    return worth


def _kernel(worlds: MDP, i: int) -> Reals:
    """One kernel of a stack, dense."""
    if isinstance(worlds.kernel, SparseKernel):
        kernel: Reals = SparseKernel(worlds.kernel.successors, worlds.kernel.weights[i]).to_dense()
    else:
        kernel = worlds.kernel[i]
    return kernel


def _choices_of(level: Level) -> Choices:
    states, actions = np.nonzero(level.allowed)
    row = np.full(level.allowed.shape, -1)
    row[states, actions] = np.arange(len(states))
    kernels = []
    for kernel in level.kernel:
        u, i, j = np.nonzero(kernel)
        u, i, j = (index[level.allowed[i, u]] for index in (u, i, j))
        kernels.append(csr_array((kernel[u, i, j], (row[i, u], j)), (len(states), level.states)))
    first = np.searchsorted(states, np.arange(level.states + 1))
    return Choices(first, states, actions, level.costs[states, actions], tuple(kernels), level.discount, level.start)


def _configuring_first(problem: MultiLevelMDP) -> MultiLevelMDP:
    """The same with the order ``"configure_first"``: an episode begins in a copy of a state, which leads to the state."""

    def twice(array: Any) -> Any:
        return np.concatenate([array, array])

    worlds, kernel = problem.worlds, problem.worlds.kernel
    sparse = isinstance(kernel, SparseKernel)
    stack = worlds.with_kernel(SparseKernel(kernel.successors, twice(kernel.weights)) if sparse else twice(kernel))
    set_field(stack, "rewards", twice(_full_rewards(worlds)))
    set_field(stack, "start", twice(worlds.start))
    doubled = []
    for level in problem.levels:
        n, actions = level.costs.shape
        kernels = np.zeros((level.own_kernels, actions, 2 * n, 2 * n))
        kernels[:, :, :n, :n] = level.kernel
        kernels[:, :, n:, :n] = np.eye(n)
        only = np.zeros((n, actions), np.bool_)
        only[:, 0] = True
        doubled.append(
            Level(
                kernels if level is problem.levels[-1] else twice(kernels),
                np.concatenate([level.costs, np.zeros((n, actions))]),
                np.concatenate([np.zeros(n), level.start]),
                level.discount,
                allowed=np.concatenate([level.allowed, only]),
            )
        )
    return MultiLevelMDP(stack, doubled, allow_unreachable=True)


def _flat_entries(problem: MultiLevelMDP) -> int:
    """About how many entries the kernel of the flat process has."""
    worlds, kernel = problem.worlds, problem.worlds.kernel
    weights = kernel.weights if isinstance(kernel, SparseKernel) else kernel
    in_force: int = math.prod(level.own_kernels for level in problem.levels) * (problem.epoch or 1)
    in_worlds: int = int(np.count_nonzero(weights)) + problem.kernels * worlds.states * worlds.actions * len(problem.levels)
    decisions: int = sum(int(kernel.nnz) for choices in problem.choices for kernel in choices.kernels) * worlds.states
    copies = 1 if problem.order == "configure_first" else 2 ** len(problem.levels)
    return copies * in_force * in_worlds + decisions
