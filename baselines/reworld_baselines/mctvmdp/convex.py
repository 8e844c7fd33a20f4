"""The convex step: which change of a kernel's rows is best to first order, within bounds and a budget, in closed form.

With g the slopes of the value, the step is

    maximise  sum_i <g_i, y_i> - penalty * cost(y)   subject to   sum_j y_ij = 0,   low <= y <= high,   cost(y) <= budget.

A price of the budget and one number for each row's sum make it fall apart into entries. For the exponential, the quadratic and
the Kullback-Leibler cost an entry is then a function of (slope - row's number), the row's number is where the row's sum is 0,
and the price is where the budget is spent: two nested searches in one unknown. With the L1 and the Wasserstein cost it is a
fractional knapsack: pieces of a row's change are sorted by gain per cost, and taken until the budget is spent. The loops are in
`reworld_baselines.mctvmdp.closed_forms`. Whatever has no such form, which is a cost of the user's own and the Wasserstein cost
under bounds that bind, is solved by `reworld_baselines.mctvmdp.programs`.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld.finite import Reals
from reworld_baselines.mctvmdp.closed_forms import INFEASIBLE, Prices, Rows, solve, solve_each
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost

_ROUNDING = 1e-15


class Step(NamedTuple):
    """The best change to first order.

    Args:
        change: Shape (n, S).
        multiplier: How much the objective would gain from a unit more of budget: 0 where the budget is not spent, infinite
            where it leaves no choice.
        objective: Slopes times change, less the penalty. Of `row_steps` both are of shape (n,).
    """

    change: Reals
    multiplier: Any
    objective: Any


def convex_step(
    slopes: Reals,
    nominal: Reals,
    cost: RowCost | OwnCost,
    budget: float | None,
    low: Reals,
    high: Reals,
    penalty: float = 0.0,
    weights: Reals | None = None,
) -> Step:
    """Find the best change to first order, of all rows under one budget.

    A row whose slopes are all the same changes only if its bounds demand it.

    Args:
        slopes: What each entry is worth, shape (n, S).
        nominal: The rows that the cost is counted from, shape (n, S).
        cost: What a change costs.
        budget: The most that all rows together may cost; None for any amount.
        low: Least change of each entry, shape (n, S), at least ``-nominal``.
        high: Largest one, at most ``1 - nominal``.
        penalty: By how much a unit of cost lessens the objective.
        weights: By how much the cost of each row counts, shape (n,); the cost's own weights if left out.

    Raises:
        InvalidOption: If no change is within the bounds and the budget.
        SolverFailed: If the cost has no closed form, and the solver does not solve the program.
    """
    budget = math.inf if budget is None else budget
    if isinstance(cost, OwnCost) or (cost.kind == "wasserstein" and not _transports_freely(nominal, low, high)):
        from reworld_baselines.mctvmdp.programs import solve_step

        return solve_step(slopes, nominal, cost, budget, low, high, penalty, weights)
    rows, prices = _prepare(slopes, nominal, cost, low, high, penalty, weights)
    change, spent = np.empty(slopes.shape), np.empty(len(slopes))
    multiplier = solve(rows, prices, float(budget), change, spent)
    _check_feasible(np.array([multiplier]), budget)
    return Step(change, multiplier, float((slopes * change).sum() - penalty * spent.sum()))


def row_steps(
    slopes: Reals,
    nominal: Reals,
    cost: RowCost | OwnCost,
    budgets: Reals,
    low: Reals,
    high: Reals,
    penalty: float = 0.0,
    weights: Reals | None = None,
) -> Step:
    """Find the best change of each row under a budget of its own.

    Args:
        slopes: As in `convex_step`, and so are the others.
        nominal: Shape (n, S).
        cost: What a change costs.
        budgets: The most that each row may cost, shape (n,); infinite for any amount.
        low: Shape (n, S).
        high: Shape (n, S).
        penalty: By how much a unit of cost lessens the objective.
        weights: Shape (n,).

    Raises:
        InvalidOption: If no change of a row is within its bounds and budget.
        SolverFailed: If the cost has no closed form, and the solver does not solve the program.
    """
    budgets = np.ascontiguousarray(np.broadcast_to(np.asarray(budgets, np.float64), len(slopes)))
    if isinstance(cost, OwnCost) or (cost.kind == "wasserstein" and not _transports_freely(nominal, low, high)):
        from reworld_baselines.mctvmdp.programs import solve_step

        return solve_step(slopes, nominal, cost, budgets, low, high, penalty, weights)
    rows, prices = _prepare(slopes, nominal, cost, low, high, penalty, weights)
    change, spent, multipliers = np.empty(slopes.shape), np.empty(len(slopes)), np.empty(len(slopes))
    solve_each(rows, prices, budgets, change, spent, multipliers)
    _check_feasible(multipliers, budgets)
    return Step(change, multipliers, (slopes * change).sum(axis=1) - penalty * spent)


def row_weights(cost: RowCost | OwnCost, weights: Reals | None, rows: int) -> Reals:
    """By how much the cost of each of some rows counts, shape (rows,).

    Args:
        cost: Whose weights count if none are given.
        weights: Shape (rows,), or None.
        rows: How many.

    Raises:
        InvalidOption: If there is another number of weights.
    """
    own = cost.weights if isinstance(cost, RowCost) else None
    if weights is None and own is None:
        return np.ones(rows)
    each: Reals = np.ascontiguousarray(own if weights is None else weights, np.float64).reshape(-1)
    if len(each) != rows:
        raise InvalidOption(f"There are {len(each)} weights of the cost, and {rows} rows: give one weight for each row.")
    return each


def possible_bounds(cost: RowCost | OwnCost, nominal: Reals, low: Reals, high: Reals) -> tuple[Reals, Reals]:
    """Narrow bounds to what has a finite cost: by the Kullback-Leibler cost, what is impossible stays impossible.

    Args:
        cost: What a change costs.
        nominal: Shape (n, S).
        low: Shape (n, S).
        high: Shape (n, S).
    """
    if not isinstance(cost, RowCost) or cost.kind != "kl":
        return low, high
    return np.where(nominal > 0.0, low, np.maximum(low, 0.0)), np.where(nominal > 0.0, high, np.minimum(high, 0.0))


def ground_metric(cost: RowCost, states: int) -> Reals:
    """The distances of the Wasserstein cost, shape (states, states).

    Args:
        cost: Whose metric it is.
        states: How many there are.
    """
    if cost.metric is not None:
        metric: Reals = cost.metric
        return metric
    return np.abs(np.subtract.outer(np.arange(states), np.arange(states))).astype(np.float64)


def _prepare(
    slopes: Reals, nominal: Reals, cost: RowCost, low: Reals, high: Reals, penalty: float, weights: Reals | None
) -> tuple[Rows, Prices]:
    """Put what the compiled loops take into arrays of one layout."""
    low, high = possible_bounds(cost, nominal, low, high)
    metric = ground_metric(cost, slopes.shape[1]) if cost.kind == "wasserstein" else np.zeros((0, 0))
    each = cost.scale * row_weights(cost, weights, len(slopes))
    if cost.kind == "exponential" and cost.rate == 0.0:
        cost, each = RowCost("quadratic"), np.zeros(len(slopes))  # Nothing costs anything.
    rows = Rows(*(np.ascontiguousarray(array, np.float64) for array in (slopes, nominal, low, high)))
    return rows, Prices(COSTS.index(cost.kind), float(cost.rate), metric, each, float(penalty))


def _check_feasible(multipliers: Reals, budgets: Any) -> None:
    if (multipliers == INFEASIBLE).any():
        row = int(np.flatnonzero(multipliers == INFEASIBLE)[0])
        budget = float(np.broadcast_to(budgets, multipliers.shape)[row])
        raise InvalidOption(
            f"No change is within the bounds and costs at most budget={budget:g}: give bounds between which a row can sum to 0 "
            f"and a budget that suffices for what they demand."
        )


def _transports_freely(nominal: Reals, low: Reals, high: Reals) -> bool:
    """Whether bounds say no more of a row than that it is a law, that it stays, or that some states remain impossible."""
    stays = ((low == 0.0) & (high == 0.0)).all(axis=1)
    # A box around a row that is all in one state misses the bounds of a law by rounding.
    free = (low <= _ROUNDING - nominal) & ((high >= 1.0 - nominal - _ROUNDING) | ((nominal == 0.0) & (high == 0.0)))
    return bool((stays | free.all(axis=1)).all())
