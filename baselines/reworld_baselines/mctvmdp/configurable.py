"""Configurable: a decision process whose kernel is a function of a vector of numbers, which is chosen once."""

import math
from typing import Any, NamedTuple, Protocol

from gymnasium.error import Error

from reworld.finite import Reals
from reworld_baselines.mctvmdp import staged, tabular
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.staged import StagedMDP

Model = Any
"""An `MDP`, a single one, or a `StagedMDP`."""


class SolverFailed(Error, RuntimeError):
    """A method has found no solution of what it promises, and says why."""


class Configurable(Protocol):
    """A problem whose configuration is a vector of numbers in a convex set, and is chosen once."""

    @property
    def nominal(self) -> Reals:
        """The configuration that costs nothing, float64 of shape (n,)."""

    @property
    def penalty(self) -> float:
        """By how much a unit of cost lessens the objective."""

    def model(self, configuration: Reals) -> Model:
        """Make the decision process under a configuration."""

    def pull_back(self, configuration: Reals, slopes: Reals) -> Reals:
        """Turn slopes of something in every entry of the kernel, of its shape, into slopes in the numbers, shape (n,)."""

    def price(self, configuration: Reals) -> float:
        """Say what a configuration costs."""

    def best(self, slopes: Reals, centre: Reals | None = None, radius: float = math.inf) -> Reals:
        """Find the configuration of the largest ``slopes @ configuration - penalty * price(configuration)``.

        Args:
            slopes: Shape (n,).
            centre: What must be near, if anything.
            radius: How near, in every entry.
        """

    @property
    def dimension(self) -> int:
        """How many numbers `decode` takes."""

    def decode(self, point: Reals) -> Reals:
        """Turn any point of the unit cube, shape (dimension,), into a configuration of the set: for black-box methods."""


class Solved(NamedTuple):
    """A configuration with a policy under it, an optimal one unless it was asked for another.

    Args:
        configuration: Shape (n,).
        model: The decision process under it.
        policy: The action in each state, int64 of shape (S,), or at each stage, (H, S); or the probability of each action.
        values: Of each state, shape (S,), or at each stage and after the last, (H + 1, S).
        value: At the start.
        cost: Of the configuration.
        objective: Value less penalty.
    """

    configuration: Reals
    model: Model
    policy: Any
    values: Reals
    value: float
    cost: float
    objective: float


def solve_at(problem: Configurable, configuration: Reals, search: Search, policy: Any = None) -> Solved:
    """Find the optimal policy under a configuration, exactly.

    Args:
        problem: Which one.
        configuration: Shape (n,).
        search: Where the solve is counted.
        policy: To begin with; it stays where none is better.
    """
    model = problem.model(configuration)
    solution = functions_of(model).policy_iteration(model, policy)
    search.count()
    return solved_by(problem, configuration, model, solution.policy, solution.values)


def hold_at(problem: Configurable, configuration: Reals, search: Search, policy: Any) -> Solved:
    """Evaluate a policy under a configuration, where it stays whether or not another one is better.

    Args:
        problem: Which one.
        configuration: Shape (n,).
        search: Where the solve is counted.
        policy: As in `Solved`.
    """
    model = problem.model(configuration)
    search.count()
    return solved_by(problem, configuration, model, policy, functions_of(model).evaluate(model, policy))


def solved_by(problem: Configurable, configuration: Reals, model: Model, policy: Any, values: Reals) -> Solved:
    """Put together a configuration, a policy, and its values.

    Args:
        problem: Which one.
        configuration: Shape (n,).
        model: The decision process under it.
        policy: As in `Solved`.
        values: As in `Solved`.
    """
    value = float(model.start @ (values[0] if isinstance(model, StagedMDP) else values))
    cost = problem.price(configuration)
    return Solved(configuration, model, policy, values, value, cost, value - problem.penalty * cost)


def slopes_at(problem: Configurable, solved: Solved) -> Reals:
    """Slopes of the value of a policy in the configuration, shape (n,).

    Where that policy alone is optimal, they are the slopes of the optimal value (Danskin).
    """
    slopes = functions_of(solved.model).kernel_slopes(solved.model, solved.policy, solved.values)
    return problem.pull_back(solved.configuration, slopes)


def promised_at(problem: Configurable, solved: Solved, slopes: Reals, target: Reals) -> float:
    """By how much the objective grows on the way to a target, to first order in the value.

    Args:
        problem: Which one.
        solved: Where from.
        slopes: Those there, shape (n,).
        target: A configuration.
    """
    return float(slopes @ (target - solved.configuration)) - problem.penalty * (problem.price(target) - solved.cost)


def gap_at(problem: Configurable, solved: Solved, slopes: Reals) -> float:
    """By how much the objective grows at most, to first order in the value: the gap of Frank and Wolfe.

    Args:
        problem: Which one.
        solved: Where from.
        slopes: Those there, shape (n,).
    """
    return max(promised_at(problem, solved, slopes, problem.best(slopes, solved.configuration)), 0.0)


def functions_of(model: Model) -> Any:
    """Name the module that solves such a decision process, `tabular` or `staged`: its functions have the same names."""
    return staged if isinstance(model, StagedMDP) else tabular


def result_of(
    problem: Configurable, method: str, solved: Solved, certificate: Certificate, search: Search, **more: Any
) -> Result:
    """Write down what was found.

    Args:
        problem: Which one.
        method: Name of the method.
        solved: The best configuration.
        certificate: What is known of it.
        search: How it was found.
        more: Other fields of the result.
    """
    nominal = solve_at(problem, problem.nominal, search)
    search.close()
    return Result(
        problem=problem,
        method=method,
        value=solved.value,
        nominal_value=nominal.value,
        policies=(solved.policy,),
        kernels=solved.model.kernel,
        cost=solved.cost,
        certificate=certificate,
        trace=search.trace,
        configuration=solved.configuration,
        solves=search.solves,
        seconds=search.seconds,
        **more,
    )
