"""Configurable: a decision process whose kernel is a function of a vector of numbers, which is chosen once."""

import math
from typing import Any, NamedTuple, Protocol

from reworld.finite import Integers, Reals
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.tabular import kernel_slopes, policy_iteration


class Configurable(Protocol):
    """A problem whose configuration is a vector of numbers in a convex set, and is chosen once."""

    @property
    def nominal(self) -> Reals:
        """The configuration that costs nothing, float64 of shape (n,)."""

    @property
    def penalty(self) -> float:
        """By how much a unit of cost lessens the objective."""

    def model(self, configuration: Reals) -> MDP:
        """Make the decision process under a configuration."""

    def pull_back(self, configuration: Reals, slopes: Reals) -> Reals:
        """Turn the slope of something in every entry of the kernel, shape (S, A, S), into that in the configuration, (n,)."""

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
    """A configuration with an optimal policy under it.

    Args:
        configuration: Shape (n,).
        model: The decision process under it.
        policy: Shape (S,).
        values: Of each state, shape (S,).
        value: At the start.
        cost: Of the configuration.
        objective: Value less penalty.
    """

    configuration: Reals
    model: MDP
    policy: Integers
    values: Reals
    value: float
    cost: float
    objective: float


def solve_at(problem: Configurable, configuration: Reals, search: Search, policy: Integers | None = None) -> Solved:
    """Find the optimal policy under a configuration, exactly.

    Args:
        problem: Which one.
        configuration: Shape (n,).
        search: Where the solve is counted.
        policy: To begin with; it stays where none is better.
    """
    model = problem.model(configuration)
    solution = policy_iteration(model, policy)
    search.count()
    value, cost = float(model.start @ solution.values), problem.price(configuration)
    objective = value - problem.penalty * cost
    return Solved(configuration, model, solution.policy, solution.values, value, cost, objective)


def slopes_at(problem: Configurable, solved: Solved) -> Reals:
    """Slopes of the optimal value in the configuration, shape (n,), where one policy alone is optimal (Danskin)."""
    return problem.pull_back(solved.configuration, kernel_slopes(solved.model, solved.policy, solved.values))


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
