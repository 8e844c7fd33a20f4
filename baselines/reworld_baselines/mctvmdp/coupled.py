"""Stages of a finite horizon that are coupled, as costs and constraints of CVXPY: their step has no closed form."""

import math
from typing import TYPE_CHECKING, Any

import cvxpy
import numpy as np

from reworld.finite import Reals
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost

if TYPE_CHECKING:
    from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP

cp: Any = cvxpy  # Most of what it exports has no static type.


def cost_of_stages(problem: "FiniteHorizonTVCMDP") -> OwnCost:
    """Put the costs of all stages into one, with what couples them.

    Changes that persist leave laws at all later stages; then budgets that are not for all stages are constraints, too.

    Args:
        problem: Whose changes persist, or whose cost is the user's own.

    Returns:
        The cost of the rows of all stages, in order.
    """
    cost, count = problem.cost, math.prod(problem.kernels.shape[1:3])
    stages = [slice(t * count, (t + 1) * count) for t in range(problem.horizon)]

    def of_stages(change: Any, rows: Reals) -> list[Any]:
        return [_expression(cost, change[stage], rows[stage]) for stage in stages]

    def constraints(change: Any, rows: Reals) -> list[Any]:
        held = []
        if isinstance(cost, OwnCost) and cost.constraints is not None:
            held += [each for stage in stages for each in cost.constraints(change[stage], rows[stage])]
        if problem.persistent:
            held += [rows[stage] + sum(change[each] for each in stages[: t + 1]) >= 0.0 for t, stage in enumerate(stages)]
        if problem.budget is not None and problem.budget_class == "per_stage":
            held.append(_within(cp.hstack([cp.sum(each) for each in of_stages(change, rows)]), problem.budget))
        elif problem.budget is not None and problem.budget_class == "per_row":
            held.append(_within(cp.hstack(of_stages(change, rows)), problem.budgets().reshape(-1)))
        return held

    return OwnCost(lambda change, rows: cp.hstack(of_stages(change, rows)), constraints)


def _within(spent: Any, budgets: Any) -> Any:
    """A constraint, scaled so that budgets that are more than can be spent do not trouble a solver."""
    size = np.maximum(budgets, 1.0)
    return cp.multiply(1.0 / size, spent) <= budgets / size


def _expression(cost: RowCost | OwnCost, change: Any, rows: Reals) -> Any:
    """The cost of each of some rows."""
    if isinstance(cost, OwnCost):
        return cost.expression(change, rows)
    entries = {
        "exponential": lambda: cp.exp(cost.rate * cp.abs(change)) - 1.0,
        "l1": lambda: cp.abs(change),
        "quadratic": lambda: cp.square(change),
        "wasserstein": lambda: cp.abs(cp.cumsum(change, axis=1)),
    }[cost.kind]()
    weights = np.ones(len(rows)) if cost.weights is None else cost.weights.reshape(-1)
    return cp.multiply(cost.scale * weights, cp.sum(entries, axis=1))
