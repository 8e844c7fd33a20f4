"""Convex programs in CVXPY: the convex step of any cost, and processes that pay for a change whenever it is used.

The step's program says what `reworld_baselines.mctvmdp.convex` has closed forms of, and takes over where there is none. The
flow program is of a decision process whose kernel and policy are chosen together: with q(s, a, s') the expected discounted
number of transitions and d(s, a) = sum_s' q(s, a, s'), the change of a row is q/d - P, and the discounted cost d c(q/d - P) is
convex in (q, d), as the perspective of a convex function. Linear programs go to HiGHS, all others to Clarabel.
"""

import dataclasses
import functools
import math
import warnings
from typing import Any, NamedTuple

import cvxpy
import numpy as np
from scipy import sparse

from reworld.errors import InvalidOption
from reworld.finite import Reals
from reworld_baselines.mctvmdp.closed_forms import close_rows
from reworld_baselines.mctvmdp.configurable import SolverFailed
from reworld_baselines.mctvmdp.convex import Step, ground_metric, possible_bounds, row_weights
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.tvcmdp import largest_share

cp: Any = cvxpy  # Most of what it exports has no static type.

_LINEAR_COSTS = ("l1", "wasserstein")
_ROUNDING = 1e-12  # Which share of the budget more may be spent.
_UNUSED = 1e-8  # Which share of all steps is none.
_ATTEMPTS = 5


def _clarabel(tolerance: float) -> dict[str, Any]:
    # Shorter steps than the default reach narrower tolerances on cones of second order.
    tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), tolerance)
    return {"solver": cp.CLARABEL, "max_step_fraction": 0.9, **tolerances}


_LINEAR: tuple[dict[str, Any], ...] = ({"solver": cp.HIGHS}, _clarabel(1e-9))
_CONIC: tuple[dict[str, Any], ...] = (_clarabel(1e-11), _clarabel(1e-9), _clarabel(1e-8))


class StepProgram:
    """The convex step from given rows, compiled once, and solved for any slopes, bounds and budget.

    Args:
        nominal: The rows that the cost is counted from, shape (n, S).
        cost: What a change costs.
        weights: By how much the cost of each row counts, shape (n,); the cost's own weights if left out.
        separate: Whether each row has a budget of its own.

    Attributes:
        problem: The program as CVXPY has it, with the parameters of the last step.
    """

    def __init__(self, nominal: Reals, cost: RowCost | OwnCost, weights: Reals | None = None, separate: bool = False) -> None:
        rows = len(nominal)
        self._nominal, self._separate, self._weights = nominal, separate, row_weights(cost, weights, rows)
        self._cost = cost if isinstance(cost, OwnCost) else dataclasses.replace(cost, weights=None)
        self._slopes, self._low, self._high = (cp.Parameter(nominal.shape) for _ in range(3))
        self._limited, self._budget = (cp.Parameter(rows if separate else 1, nonneg=True) for _ in range(2))
        self._penalty, self._change = cp.Parameter(nonneg=True), cp.Variable(nominal.shape)
        if isinstance(cost, OwnCost):
            of_rows = cost.expression(self._change, nominal)
            constraints = list(cost.constraints(self._change, nominal)) if cost.constraints else []
        else:
            of_rows, constraints = _cost_of_rows(self._change, cp.Constant(np.ones(rows)), nominal, cost)
        spent = cp.multiply(self._weights, of_rows)
        self._within = cp.multiply(self._limited, spent if separate else cp.sum(spent, keepdims=True)) <= self._budget
        constraints += [
            cp.sum(self._change, axis=1) == 0.0,
            self._change >= self._low,
            self._change <= self._high,
            self._within,
        ]
        worth = cp.sum(cp.multiply(self._slopes, self._change)) - self._penalty * cp.sum(spent)
        self.problem = cp.Problem(cp.Maximize(worth), constraints)

    def solve(self, slopes: Reals, low: Reals, high: Reals, budget: Any = math.inf, penalty: float = 0.0) -> Step:
        """Find the best change to first order: see `reworld_baselines.mctvmdp.convex`.

        Args:
            slopes: Shape (n, S).
            low: Shape (n, S).
            high: Shape (n, S).
            budget: The most that all rows may cost, or each, shape (n,); infinite for any amount.
            penalty: By how much a unit of cost lessens the objective.

        Raises:
            SolverFailed: If the solver does not solve it.
        """
        low, high = possible_bounds(self._cost, self._nominal, low, high)
        # Solvers' tolerances are absolute: they suit slopes of size 1.
        unit = float(np.abs(slopes).max()) or 1.0
        self._slopes.value, self._penalty.value, self._low.value, self._high.value = slopes / unit, penalty / unit, low, high
        granted = np.broadcast_to(np.asarray(budget, np.float64), self._budget.shape)
        limited = np.isfinite(granted)
        size = np.where(limited, np.maximum(granted, 1.0), 1.0)
        self._limited.value, self._budget.value = limited / size, np.where(limited, granted, 1.0) / size
        for _ in range(_ATTEMPTS):
            _solve(self.problem, self._cost)
            change = np.clip(self._change.value, low, high)
            close_rows(change, low, high)
            excess = self._spent(change) - granted
            if (excess <= _ROUNDING * granted).all():
                break
            # What the solver's tolerance let pass is asked for.
            self._budget.value = np.maximum(self._budget.value - 2.0 * np.maximum(excess, 0.0) / size, 0.0)
        else:
            change = self._within_budget(change, granted, low, high)
        multiplier = self._within.dual_value * unit / size
        objective = (slopes * change).sum(axis=1) - penalty * self._weights * self._cost.of_rows(change, self._nominal)
        return (
            Step(change, multiplier, objective)
            if self._separate
            else Step(change, float(multiplier[0]), float(objective.sum()))
        )

    def _spent(self, change: Reals) -> Reals:
        """What all rows cost, or each, shape (1,) or (n,)."""
        spent: Reals = self._weights * self._cost.of_rows(change, self._nominal)
        return spent if self._separate else spent.sum(keepdims=True)

    def _within_budget(self, change: Reals, granted: Reals, low: Reals, high: Reals) -> Reals:
        """Take the part of a change that a budget allows which is smaller than the solver's tolerance, 0 among them."""
        excess = self._spent(change) - granted
        if (low > 0.0).any() or (high < 0.0).any():
            raise SolverFailed(f"The solver overspends the budget by {excess.max():.1e}: give a larger budget or scale.")
        return largest_share(lambda share: bool((self._spent(share * change) <= granted).all())) * change


def solve_step(
    slopes: Reals,
    nominal: Reals,
    cost: RowCost | OwnCost,
    budget: Any,
    low: Reals,
    high: Reals,
    penalty: float,
    weights: Reals | None,
) -> Step:
    """Take the convex step by a program, which is kept for the next one: see `reworld_baselines.mctvmdp.convex`.

    Args:
        slopes: Shape (n, S).
        nominal: Shape (n, S).
        cost: What a change costs.
        budget: The most that all rows may cost, or each, shape (n,); infinite for any amount.
        low: Shape (n, S).
        high: Shape (n, S).
        penalty: By how much a unit of cost lessens the objective.
        weights: Shape (n,), or None.
    """
    separate, count = np.ndim(budget) > 0, np.arange(len(slopes))
    program = _program(cost, separate, _Frozen(nominal), None if weights is None else _Frozen(weights))
    if not separate or isinstance(cost, RowCost) or cost.constraints is None:
        return program.solve(slopes, low, high, budget, penalty)
    # Constraints may tie rows to one another, and each is to get what is best for itself.
    each = [program.solve(np.where(count[:, None] == i, slopes, 0.0), low, high, budget, penalty) for i in count]
    return Step(*(np.stack([step[part][i] for i, step in enumerate(each)]) for part in range(3)))


class Flow(NamedTuple):
    """The best policy and kernel together, where a change is paid for whenever it is used.

    Args:
        policy: Probability of each action, shape (S, A): at most one state's is not certain. Uniform in states that are not
            visited.
        kernel: Shape (S, A, S): the nominal one where an action is not taken.
        value: At the start, by the program.
        cost: What is spent, discounted, by the program.
        multiplier: What a unit more of budget would be worth; infinite where it leaves no choice.
    """

    policy: Reals
    kernel: Reals
    value: float
    cost: float
    multiplier: float


def flow_program(mdp: MDP, cost: RowCost, budget: float | None, low: Reals, high: Reals, penalty: float = 0.0) -> Flow:
    """Choose policy and kernel together, to the best expected discounted reward, where the use of a changed row is paid for.

    Value and cost are as precise as the solver is, which is some 1e-7 of them: evaluate the policy in the kernel for the true
    ones.

    Args:
        mdp: The nominal one, dense.
        cost: What a use of a changed row costs.
        budget: The most that may be spent, discounted, in expectation; None for any amount.
        low: Least change of each entry, shape (S, A, S), at least ``-mdp.kernel``.
        high: Largest one.
        penalty: By how much a unit of cost lessens the objective.

    Raises:
        InvalidOption: If the cost is the user's own: its perspective is not known.
        SolverFailed: If the solver does not solve it.
    """
    if isinstance(cost, OwnCost):
        raise InvalidOption("A budget per use takes a cost of RowCost: leave out OwnCost, or take budget_class='one_off'.")
    states, actions = mdp.states, mdp.actions
    nominal, rows = mdp.kernel.reshape(-1, states), states * actions
    low, high = possible_bounds(cost, nominal, low.reshape(rows, states), high.reshape(rows, states))
    # In shares of all steps, of which there are 1 / (1 - discount).
    steps = 1.0 / (1.0 - mdp.discount)
    flow, uses = cp.Variable((rows, states), nonneg=True), cp.Variable(rows, nonneg=True)
    spread = cp.reshape(uses, (rows, 1), order="C") @ np.ones((1, states))
    change = flow - cp.multiply(spread, nominal)
    leaving = np.kron(np.eye(states), np.ones(actions))
    of_rows, constraints = _cost_of_rows(change, uses, nominal, cost)
    constraints += [
        cp.sum(flow, axis=1) == uses,
        leaving @ uses == mdp.start / steps + mdp.discount * cp.sum(flow, axis=0),
        change >= cp.multiply(spread, low),
        change <= cp.multiply(spread, high),
    ]
    weights = row_weights(cost, None, rows)
    spent = weights @ of_rows
    # A budget that is more than can be spent is not to trouble the solver.
    share = 0.0 if budget is None else budget / steps
    size = max(share, 1.0)
    within = spent / size <= share / size
    if mdp.depends_on_successor:
        worth = cp.sum(cp.multiply(flow, mdp.rewards.reshape(rows, states)))
    else:
        worth = uses @ mdp.rewards.reshape(rows)
    # The cones of a smooth cost have no interior that costs nothing: a solver would not find in.
    stays = budget == 0.0 and cost.kind not in _LINEAR_COSTS
    if stays:
        constraints.append(cp.multiply(weights[:, None] * np.ones(nominal.shape), change) == 0.0)
    elif budget is not None:
        constraints.append(within)
    problem = cp.Problem(cp.Maximize(worth - penalty * spent), constraints)
    _solve(problem, cost)
    taken = np.maximum(uses.value, 0.0).reshape(states, actions)
    visited = taken.sum(axis=1, keepdims=True)
    policy = np.where(visited > _UNUSED, np.where(taken > _UNUSED, taken, 0.0), 1.0)
    used = taken.reshape(rows) > _UNUSED
    moved = np.zeros(nominal.shape)
    moved[used] = np.clip(change.value[used] / uses.value[used, None], low[used], high[used])
    close_rows(moved, low * used[:, None], high * used[:, None])
    moved = moved.reshape(mdp.kernel.shape)
    return Flow(
        policy / policy.sum(axis=1, keepdims=True),
        mdp.kernel + moved,
        float(worth.value * steps),
        float((taken * cost.of_rows(moved, mdp.kernel)).sum() * steps),
        0.0 if budget is None else math.inf if stays else float(within.dual_value) / size,
    )


def _cost_of_rows(change: Any, uses: Any, nominal: Reals, cost: RowCost) -> tuple[Any, list[Any]]:
    """What rows cost that are used so often, and changed by so much times that: the perspective, with what defines it."""
    rows, states = nominal.shape
    spread = cp.reshape(uses, (rows, 1), order="C") @ np.ones((1, states))
    of_rows: Any
    if cost.kind == "exponential":
        size, grown = cp.Variable(nominal.shape, nonneg=True), cp.Variable(nominal.shape)
        of_rows = cp.sum(grown - spread, axis=1)
        constraints = [change <= size, -change <= size, cp.ExpCone(cost.rate * size, spread, grown)]
    elif cost.kind == "l1":
        size = cp.Variable(nominal.shape, nonneg=True)
        of_rows, constraints = cp.sum(size, axis=1), [change <= size, -change <= size]
    elif cost.kind == "quadratic":
        of_rows = cp.Variable(rows)
        cone = cp.SOC(of_rows + uses, cp.vstack([2.0 * change.T, cp.reshape(of_rows - uses, (1, rows), order="C")]))
        constraints = [cone, of_rows <= 2.0 * uses]  # No law is farther from another: without a price it would be unbounded.
    elif cost.kind == "kl":
        row, state = np.nonzero(nominal)
        share = nominal[row, state]
        before = cp.multiply(share, uses[row])
        belongs = sparse.csr_array((np.ones(len(row)), (row, np.arange(len(row)))), (rows, len(row)))
        of_rows = belongs @ cp.rel_entr(change[row, state] + before, before)
        constraints = [cp.multiply(change, nominal == 0.0) == 0.0]
    else:
        metric, moved = ground_metric(cost, states), cp.Variable((rows * states, states), nonneg=True)
        arriving = sparse.kron(sparse.eye_array(rows), np.ones((1, states)), format="csr")
        of_rows = cp.sum(arriving @ cp.multiply(moved, np.tile(metric, (rows, 1))), axis=1)
        before = cp.multiply(spread, nominal)
        constraints = [
            cp.reshape(cp.sum(moved, axis=1), (rows, states), order="C") == before,
            arriving @ moved == before + change,
        ]
    return cost.scale * of_rows, constraints


def _solve(problem: Any, cost: RowCost | OwnCost) -> None:
    """Solve a program, as precisely as a solver will."""
    linear = isinstance(cost, RowCost) and cost.kind in _LINEAR_COSTS
    attempts = _LINEAR if linear else _CONIC
    status = "not tried"
    for options in attempts:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # The status says it.
                problem.solve(**options)
        except cp.SolverError:
            status = "the solver gave up"
            continue
        status = problem.status
        if status == cp.OPTIMAL:
            return
        if status in (cp.INFEASIBLE, cp.UNBOUNDED):
            break
    raise SolverFailed(
        f"The convex program was not solved: {status}. If it is infeasible, widen the bounds or the budget; otherwise bring "
        f"costs and slopes nearer to 1 by their scale, or take a cost of RowCost, most of which need no solver."
    )


class _Frozen:
    """An array that is found again in a cache by what it holds."""

    def __init__(self, array: Reals) -> None:
        self.array = array.copy()
        self._key = (array.shape, self.array.tobytes())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self._key == other._key


@functools.lru_cache(maxsize=8)
def _program(cost: RowCost | OwnCost, separate: bool, nominal: _Frozen, weights: _Frozen | None) -> StepProgram:
    return StepProgram(nominal.array, cost, None if weights is None else weights.array, separate)
