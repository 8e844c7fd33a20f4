"""Budgets per row: the optimistic Bellman equation, whose solution is the best of all kernels and policies.

With a set of laws for each row by itself,

    V(s) = max_a max_p  r(s, a) + discount * p @ V - price(s, a) * cost(p),

is a contraction (the optimistic counterpart of Iyengar, "Robust Dynamic Programming", 2005, and Nilim and El Ghaoui, 2005; with
a price it is the Lagrangian of a budget per use). Here it is solved by policy iteration, where a row's law is chosen together
with the action. The inner problem is one convex step for each row.
"""

from typing import NamedTuple

import numpy as np

from reworld.errors import InvalidOption
from reworld.finite import Integers, Reals
from reworld_baselines.mctvmdp.configurable import SolverFailed, result_of, solve_at
from reworld_baselines.mctvmdp.convex import row_steps
from reworld_baselines.mctvmdp.costs import OwnCost
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.tabular import occupancy
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP, changed

_ITERATIONS = 1000


class Optimistic(NamedTuple):
    """The best policy and laws, when every row's law is chosen by itself.

    Args:
        values: Of the states, less what is paid, shape (S,).
        policy: Shape (S,).
        change: Of the rows that the policy takes; 0 elsewhere; shape (S, A, S).
        error: No choice has a value that is larger by more, in any state.
    """

    values: Reals
    policy: Integers
    change: Reals
    error: float


def optimistic(problem: TVCMDP, search: Search) -> Result:
    """Solve a problem with a budget for each row.

    The certificate says that it is optimal, to within a gap: how far the values are from what the best actions and laws make of
    them, over 1 - discount. With a cost of the user's own that is as sure as the solver of its steps is precise. Rows that are
    not taken stay as they are.

    Args:
        problem: Of the budget class ``"per_row"``.
        search: How it is found.

    Raises:
        InvalidOption: If the budget is of another class, or constraints of the cost tie rows to one another.
    """
    if problem.budget_class != "per_row":
        raise InvalidOption(f"The method 'optimistic' is for budget_class='per_row', and this is {problem.budget_class!r}.")
    nominal = solve_at(problem, problem.nominal, search)
    search.record(nominal.value)
    best = optimistic_iteration(problem, problem.budgets(), search, nominal.policy)
    if isinstance(problem.cost, OwnCost):
        problem.cost.check_together(best.change, problem.mdp.kernel)
    found = solve_at(problem, best.change.reshape(-1), search, best.policy)
    search.record(found.value, found.cost)
    upper_bound = float(problem.mdp.start @ best.values) + best.error
    certificate = Certificate("optimal", max(upper_bound - found.value, 0.0), upper_bound)
    return result_of(problem, "optimistic", found, certificate, search)


def optimistic_iteration(
    problem: TVCMDP, budgets: Reals, search: Search, policy: Integers, change: Reals | None = None, price: float = 0.0
) -> Optimistic:
    """Choose a law together with every action, until nothing is better.

    Args:
        problem: Whose rows are changed; its own budget does not matter.
        budgets: What each row may cost, shape (S, A); infinite for any amount.
        search: Where solves are counted.
        policy: To begin with, shape (S,).
        change: To begin with, shape (S, A, S); none if left out.
        price: By how much a unit of a row's cost lessens what taking it pays.

    Raises:
        SolverFailed: If it does not end.
    """
    mdp = problem.mdp
    kernel, states = mdp.kernel, np.arange(mdp.states)
    rows, low, high = (each.reshape(-1, mdp.states) for each in (kernel, *problem.bounds()))
    change = np.zeros(kernel.shape) if change is None else change
    values = _values(problem, policy, change, price)
    for _ in range(_ITERATIONS):
        search.count()
        slopes = mdp.discount * values + (mdp.rewards if mdp.depends_on_successor else np.zeros(kernel.shape))
        flat = slopes.reshape(rows.shape)
        offered = row_steps(flat, rows, problem.cost, budgets.reshape(-1), low, high, price).change.reshape(kernel.shape)
        worth = (changed(kernel, offered) * slopes).sum(axis=-1) - price * problem.row_prices(offered)
        if not mdp.depends_on_successor:
            worth += mdp.rewards
        best = worth.max(axis=-1)
        better = np.where(worth[states, policy] == best, policy, worth.argmax(axis=-1))
        taken = np.zeros(kernel.shape)
        taken[states, better] = offered[states, better]
        risen = _values(problem, better, taken, price)
        if risen.sum() <= values.sum():
            error = max(float((best - values).max()), 0.0) / (1.0 - mdp.discount)
            return Optimistic(values, policy, change, error)
        values, policy, change = risen, better, taken
    raise SolverFailed(f"The optimistic values still rise after {_ITERATIONS} iterations: choose a smaller discount.")


def optimistic_change(problem: TVCMDP, budget: float, search: Search) -> Reals:
    """Find the best change when each row has a budget by itself, of the rows that are taken and reached.

    Args:
        problem: Of any budget class.
        budget: Of each row.
        search: Where solves are counted.

    Returns:
        A configuration of the problem.
    """
    rows = problem.mdp.kernel.shape[:2]
    best = optimistic_iteration(problem, np.full(rows, budget), search, np.zeros(rows[0], np.int64))
    visits = occupancy(problem.mdp.with_kernel(changed(problem.mdp.kernel, best.change)), best.policy)
    reached: Reals = best.change * (visits > 0.0)[:, None, None]
    return reached.reshape(-1)


def _values(problem: TVCMDP, policy: Integers, change: Reals, price: float) -> Reals:
    """Values of a policy under a change, less what is paid."""
    mdp, states = problem.mdp, np.arange(problem.mdp.states)
    model = mdp.with_kernel(changed(mdp.kernel, change))
    earned = (model.expected_rewards - price * problem.row_prices(change))[states, policy]
    return np.linalg.solve(np.eye(mdp.states) - mdp.discount * model.kernel[states, policy], earned)
