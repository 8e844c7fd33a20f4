"""The convex step: which change of a kernel's rows is best to first order, within bounds and a budget, in closed form.

With g the slopes of the value, the step is

    maximise  sum_i <g_i, y_i> - penalty * cost(y)   subject to   sum_j y_ij = 0,   low <= y <= high,   cost(y) <= budget.

A price of the budget and one number for each row's sum make it fall apart into entries. For the exponential, the quadratic and
the Kullback-Leibler cost an entry is then a function of (slope - row's number), the row's number is where the row's sum is 0,
and the price is where the budget is spent: two nested searches in one unknown. With the L1 and the Wasserstein cost it is a
fractional knapsack: pieces of a row's change are sorted by gain per cost, and taken until the budget is spent. Whatever has
no such form, which is a cost of the user's own and the Wasserstein cost under bounds that bind, is solved by
`reworld_baselines.mctvmdp.programs`.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld.finite import Reals
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost

_EXPONENTIAL, _L1, _QUADRATIC, _KL, _WASSERSTEIN = map(COSTS.index, ("exponential", "l1", "quadratic", "kl", "wasserstein"))
_ROUNDING = 1e-12  # By how much bounds may contradict themselves or a budget, of which no less is spent.
_INFEASIBLE = -1.0

_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


class Step(NamedTuple):
    """The best change to first order.

    Args:
        change: Shape (n, S).
        multiplier: How much the objective would gain from a unit more of budget: 0 where the budget is not spent, infinite where
            it leaves no choice.
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
    change, spent = np.empty(slopes.shape), np.empty(len(slopes))
    multiplier = _solve(change, spent, *_prepare(slopes, nominal, cost, low, high, weights), float(budget), float(penalty))
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
    budgets = np.broadcast_to(np.asarray(budgets, np.float64), len(slopes))
    if isinstance(cost, OwnCost) or (cost.kind == "wasserstein" and not _transports_freely(nominal, low, high)):
        from reworld_baselines.mctvmdp.programs import solve_step

        return solve_step(slopes, nominal, cost, budgets, low, high, penalty, weights)
    change, spent, multipliers = np.empty(slopes.shape), np.empty(len(slopes)), np.empty(len(slopes))
    prepared = _prepare(slopes, nominal, cost, low, high, weights)
    _solve_each(multipliers, change, spent, *prepared, budgets, float(penalty))
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


def _prepare(slopes: Reals, nominal: Reals, cost: RowCost, low: Reals, high: Reals, weights: Reals | None) -> tuple[Any, ...]:
    """Put what `_solve` takes into arrays of one layout."""
    metric = ground_metric(cost, slopes.shape[1]) if cost.kind == "wasserstein" else np.zeros((0, 0))
    if cost.kind == "kl":
        low, high = np.where(nominal > 0.0, low, np.maximum(low, 0.0)), np.where(nominal > 0.0, high, np.minimum(high, 0.0))
    # The exponential cost of rate 0 is 0.
    scale = 0.0 if cost.kind == "exponential" and cost.rate == 0.0 else cost.scale
    arrays = (np.ascontiguousarray(array, np.float64) for array in (slopes, nominal, low, high))
    return *arrays, scale * row_weights(cost, weights, len(slopes)), COSTS.index(cost.kind), float(cost.rate), metric


def _check_feasible(multipliers: Reals, budgets: Any) -> None:
    if (multipliers < 0.0).any():
        row = int(np.flatnonzero(multipliers < 0.0)[0])
        budget = float(np.broadcast_to(budgets, multipliers.shape)[row])
        raise InvalidOption(
            f"No change is within the bounds and costs at most budget={budget:g}: give bounds between which a row can sum to 0, "
            f"and a budget that suffices for what they demand."
        )


def _transports_freely(nominal: Reals, low: Reals, high: Reals) -> bool:
    """Whether bounds say no more of a row than that it is a law, that it stays, or that some states remain impossible."""
    stays = ((low == 0.0) & (high == 0.0)).all(axis=1)
    free = (low <= -nominal) & ((high >= 1.0 - nominal) | ((nominal == 0.0) & (high == 0.0)))
    return bool((stays | free.all(axis=1)).all())


@_compiled
def _solve(  # type: ignore[no-untyped-def]
    change, spent, slopes, nominal, low, high, weights, kind, rate, metric, budget, penalty
):
    """Take the step; the multiplier comes back, or `_INFEASIBLE`."""
    for i in range(len(slopes)):
        least, most = 0.0, 0.0
        for j in range(slopes.shape[1]):
            least += low[i, j]
            most += high[i, j]
            if low[i, j] > high[i, j]:
                return _INFEASIBLE
        if least > _ROUNDING or most < -_ROUNDING:
            return _INFEASIBLE
    if kind == _L1:
        return _fill_l1(change, spent, slopes, low, high, weights, budget, penalty)
    if kind == _WASSERSTEIN:
        return _fill_transport(change, spent, slopes, nominal, low, high, weights, metric, budget, penalty)
    return _search_price(change, spent, slopes, nominal, low, high, weights, kind, rate, budget, penalty)


@_compiled
def _solve_each(  # type: ignore[no-untyped-def]
    multipliers, change, spent, slopes, nominal, low, high, weights, kind, rate, metric, budgets, penalty
):
    for i in range(len(slopes)):
        k = slice(i, i + 1)
        multipliers[i] = _solve(
            change[k], spent[k], slopes[k], nominal[k], low[k], high[k], weights[k], kind, rate, metric, budgets[i], penalty
        )


@_compiled
def close_rows(change, low, high):  # type: ignore[no-untyped-def]
    """Free the sums of rows of rounding, in the entries that have most room.

    Args:
        change: Shape (n, S), which is written to.
        low: Least change, shape (n, S).
        high: Largest one, shape (n, S).
    """
    for i in range(len(change)):
        _close_row(change[i], low[i], high[i])


@_compiled
def _close_row(change, low, high):  # type: ignore[no-untyped-def]
    """Free the sum of a row of rounding, in the entry that has most room."""
    for _ in range(2):
        total = change.sum()
        if total == 0.0:
            return
        j = np.argmax(change - low) if total > 0.0 else np.argmax(high - change)
        change[j] = min(max(change[j] - total, low[j]), high[j])


# The smooth costs: two nested searches.


@_compiled
def _respond(slope, nominal, low, high, price, kind, rate):  # type: ignore[no-untyped-def]
    """The change of an entry that is worth most at a price of the cost, and how fast it grows with the slope."""
    if kind == _EXPONENTIAL:
        size, threshold = abs(slope), price * rate
        if size <= threshold:
            change, speed = 0.0, 0.0
        else:
            change, speed = math.copysign(math.log(size / threshold) / rate, slope), 1.0 / (rate * size)
    elif kind == _QUADRATIC:
        change, speed = slope / (2.0 * price), 1.0 / (2.0 * price)
    elif nominal > 0.0:
        change = nominal * math.expm1(slope / price)
        speed = (nominal + change) / price
    else:
        change, speed = 0.0, 0.0
    if change <= low:
        return low, 0.0
    if change >= high:
        return high, 0.0
    return change, speed


@_compiled
def _cost_of(change, nominal, kind, rate):  # type: ignore[no-untyped-def]
    """As `RowCost.of_rows` has it, of one entry."""
    if kind == _EXPONENTIAL:
        return math.expm1(rate * abs(change))
    if kind == _QUADRATIC:
        return change * change
    if nominal <= 0.0:
        return 0.0
    by = change / nominal
    if abs(by) < 0.01:
        return nominal * by * by * (1 / 2 - by * (1 / 6 - by * (1 / 12 - by * (1 / 20 - by * (1 / 30 - by / 42)))))
    return nominal * ((1.0 + by) * math.log1p(by) - by if by > -1.0 else 1.0)


@_compiled
def _search_price(  # type: ignore[no-untyped-def]
    change, spent, slopes, nominal, low, high, weights, kind, rate, budget, penalty
):
    n, states = slopes.shape
    centred = np.empty((n, states))
    for i in range(n):
        # A constant is worth nothing to a row, and would only take away digits.
        centred[i] = slopes[i] - 0.5 * (slopes[i].min() + slopes[i].max())
    numbers, spare = np.zeros(n), np.empty(states)
    most = _respond_all(change, 0.0, centred, nominal, low, high, weights, kind, rate, penalty, numbers, spare)
    cheap, multiplier = np.zeros((n, states)), 0.0
    if most > budget:
        least = _respond_all(cheap, math.inf, centred, nominal, low, high, weights, kind, rate, penalty, numbers, spare)
        if budget <= least:
            if least > budget * (1.0 + _ROUNDING) + 1e-300:
                return _INFEASIBLE
            change[:], multiplier = cheap, math.inf
        else:
            # Concavity: the mean worth of a unit of cost is of the size of the price.
            worth = (centred * (change - cheap)).sum() / (most - least)
            multiplier = _bisect(
                change, cheap, worth, centred, nominal, low, high, weights, kind, rate, budget, penalty, numbers, spare
            )
    total = 0.0
    for i in range(n):
        _close_row(change[i], low[i], high[i])
        spent[i] = _row_cost(change[i], nominal[i], kind, rate, weights[i])
        total += spent[i]
    if total > budget and multiplier < math.inf:
        least = 0.0
        for i in range(n):
            least += _row_cost(cheap[i], nominal[i], kind, rate, weights[i])
        share = (budget - least) / (total - least)
        for i in range(n):
            change[i] = cheap[i] + share * (change[i] - cheap[i])
            spent[i] = _row_cost(change[i], nominal[i], kind, rate, weights[i])
    return multiplier


@_compiled
def _bisect(  # type: ignore[no-untyped-def]
    change, cheap, worth, slopes, nominal, low, high, weights, kind, rate, budget, penalty, numbers, spare
):
    """Find the price at which just the budget is spent, by Chandrupatla's method on its logarithm.

    The cost may jump, or fall too steeply for the numbers between two prices. Then both changes are best at the price, and so is
    what lies between them and spends the budget.
    """
    over, under, trial = change.copy(), cheap.copy(), np.empty(change.shape)
    cost_over, cost_under = math.inf, 0.0
    for i in range(len(slopes)):
        cost_under += _row_cost(cheap[i], nominal[i], kind, rate, weights[i])
    log_price = math.log(worth) if 0.0 < worth < math.inf else 0.0
    x1, x2, x3, f1, f2, f3, t = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5
    known, bracketed, stride = False, False, 1.0
    cost = math.inf
    for _ in range(400):
        x = x1 + t * (x2 - x1) if bracketed else log_price
        cost = _respond_all(trial, math.exp(x), slopes, nominal, low, high, weights, kind, rate, penalty, numbers, spare)
        f = min(max(math.log(cost / budget), -50.0), 50.0) if cost > 0.0 else -50.0
        if cost > budget:
            over, trial, cost_over = trial, over, cost
        else:
            under, trial, cost_under = trial, under, cost
        if abs(cost - budget) <= 1e-13 * budget:
            break
        if not bracketed:
            if known and (f > 0.0) != (f1 > 0.0):
                bracketed, x2, f2, t = True, x1, f1, f / (f - f1)
                x1, f1, x3, f3 = x, f, x2, f2
                t = min(max(t, 0.05), 0.95)
                continue
            known, x1, f1 = True, x, f
            log_price += stride if f > 0.0 else -stride
            stride *= 2.0
            if abs(log_price) > 700.0:
                break
            continue
        if (f > 0.0) == (f1 > 0.0):
            x3, f3 = x1, f1
        else:
            x3, f3, x2, f2 = x2, f2, x1, f1
        x1, f1 = x, f
        width = abs(x2 - x1)
        if width <= 1e-15 * max(abs(x1), 1.0):
            break
        xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
        t = 0.5
        if phi * phi < xi and (1.0 - phi) * (1.0 - phi) < 1.0 - xi:
            t = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
        edge = 2e-16 * max(abs(x1), 1.0) / width
        t = min(max(t, edge), 1.0 - edge)
    if abs(cost - budget) <= 1e-13 * budget:
        change[:] = over if cost > budget else under
    else:
        share = (budget - cost_under) / (cost_over - cost_under)
        change[:] = under + share * (over - under)
    return math.exp(x)


@_compiled
def _respond_all(  # type: ignore[no-untyped-def]
    change, price, slopes, nominal, low, high, weights, kind, rate, penalty, numbers, spare
):
    """Find the best change of every row at a price, and what they cost."""
    total = 0.0
    for i in range(len(slopes)):
        of_row = (price + penalty) * weights[i] if weights[i] > 0.0 else 0.0
        flat = slopes[i].min() == slopes[i].max()
        if flat or of_row == math.inf:
            _respond_cheaply(change[i], nominal[i], low[i], high[i], kind, rate, spare)
        elif of_row == 0.0:
            _respond_freely(change[i], slopes[i], nominal[i], low[i], high[i], kind, rate, spare)
        else:
            numbers[i] = _balance(change[i], slopes[i], nominal[i], low[i], high[i], of_row, kind, rate, numbers[i], spare)
        total += _row_cost(change[i], nominal[i], kind, rate, weights[i])
    return total


@_compiled
def _row_cost(change, nominal, kind, rate, weight):  # type: ignore[no-untyped-def]
    total = 0.0
    for j in range(len(change)):
        if change[j] != 0.0:
            total += _cost_of(change[j], nominal[j], kind, rate)
    return weight * total if weight > 0.0 else 0.0


@_compiled
def _respond_cheaply(change, nominal, low, high, kind, rate, spare):  # type: ignore[no-untyped-def]
    """Find the change that costs least."""
    if low.max() <= 0.0 <= high.min():
        change[:] = 0.0
    else:
        _balance(change, np.zeros(len(change)), nominal, low, high, 1.0, kind, rate, 0.0, spare)


@_compiled
def _respond_freely(change, slopes, nominal, low, high, kind, rate, spare):  # type: ignore[no-untyped-def]
    """Find the change that is worth most whatever it costs, and of several the one that costs least."""
    order = np.argsort(-slopes)
    change[:] = low
    left = -low.sum()
    first = 0
    while first < len(order) and left > 0.0:
        last, room = first, 0.0
        while last < len(order) and slopes[order[last]] == slopes[order[first]]:
            room += high[order[last]] - low[order[last]]
            last += 1
        if room <= left:
            for k in range(first, last):
                change[order[k]] = high[order[k]]
        elif last == first + 1:
            change[order[first]] += left
        else:
            least, most = change.copy(), change.copy()
            for k in range(first, last):
                most[order[k]] = high[order[k]]
            _balance(change, np.zeros(len(change)), nominal, least, most, 1.0, kind, rate, 0.0, spare)
        left -= room
        first = last


@_compiled
def _balance(change, slopes, nominal, low, high, price, kind, rate, number, spare):  # type: ignore[no-untyped-def]
    """Find the number of a row at which it sums to 0, by Newton's method within a bracket; the change is that of the number."""
    if low.sum() >= 0.0:
        change[:] = low
        return number
    if high.sum() <= 0.0:
        change[:] = high
        return number
    left, right = slopes.min(), slopes.max()
    if not low.max() <= 0.0 <= high.min():
        stride = max(right - left, price)
        while _respond_row(change, slopes, nominal, low, high, price, kind, rate, left)[0] < 0.0:
            left -= stride
            stride *= 2.0
        stride = max(right - left, price)
        while _respond_row(change, slopes, nominal, low, high, price, kind, rate, right)[0] > 0.0:
            right += stride
            stride *= 2.0
    if not left < number < right:
        number = 0.5 * (left + right)
    before = right - left
    for _ in range(200):
        total, speed, size = _respond_row(change, slopes, nominal, low, high, price, kind, rate, number)
        if abs(total) <= 2e-15 * size:
            return number
        if total > 0.0:
            left = number
        else:
            right = number
        step = total / speed if speed > 0.0 else math.inf
        if abs(step) < 0.5 * before and left < number + step < right:
            before = abs(step)
            number += step
        else:
            before = 0.5 * (right - left)
            number = left + before
            if number <= left or number >= right:
                break
    # The sum jumps over 0 between two neighbouring numbers: both changes are best, and so is what lies between them.
    over = _respond_row(change, slopes, nominal, low, high, price, kind, rate, left)[0]
    under = _respond_row(spare, slopes, nominal, low, high, price, kind, rate, right)[0]
    if over > under:
        share = over / (over - under)
        for j in range(len(change)):
            change[j] += share * (spare[j] - change[j])
    return number


@_compiled
def _respond_row(change, slopes, nominal, low, high, price, kind, rate, number):  # type: ignore[no-untyped-def]
    """The change of a row at its number: its sum, how fast that falls with the number, and the sum of its sizes."""
    total, speed, size = 0.0, 0.0, 0.0
    for j in range(len(change)):
        change[j], fast = _respond(slopes[j] - number, nominal[j], low[j], high[j], price, kind, rate)
        total += change[j]
        speed += fast
        size += abs(change[j])
    return total, speed, size


# The piecewise linear costs: fractional knapsacks.


@_compiled
def _take(shares, gains, costs, budget, penalty):  # type: ignore[no-untyped-def]
    """Take pieces by their gain per cost until the budget is spent: which share of each, and the multiplier."""
    shares[:] = 0.0
    for k in np.argsort(-gains, kind="mergesort"):
        if gains[k] <= penalty:
            break
        if costs[k] > budget:
            shares[k] = budget / costs[k]
            return gains[k] - penalty
        shares[k] = 1.0
        budget -= costs[k]
    return 0.0


@_compiled
def _fill_l1(change, spent, slopes, low, high, weights, budget, penalty):  # type: ignore[no-untyped-def]
    """Let every row begin with the change that costs least; a piece then moves mass from its worst donor to its best receiver.

    An entry has two parts, above and below 0. What a row adds above 0 it takes away below, but for what its bounds demand: one
    number says how far a row has gone.
    """
    n, states = slopes.shape
    orders, added, surplus = np.empty((n, states), np.int64), np.empty(n), np.empty(n)
    gains, sizes, rows = np.empty(2 * n * states), np.empty(2 * n * states), np.empty(2 * n * states, np.int64)
    above, below = np.maximum(high, 0.0) - np.maximum(low, 0.0), np.minimum(high, 0.0) - np.minimum(low, 0.0)
    pieces, least = 0, 0.0
    for i in range(n):
        order = np.argsort(-slopes[i], kind="mergesort")
        total, demanded = 0.0, 0.0
        for j in range(states):
            total += low[i, j] + below[i, j]
            change[i, j] = max(low[i, j], 0.0) + min(high[i, j], 0.0)
            demanded += abs(change[i, j])
        orders[i], surplus[i], added[i] = order, total, max(-total, 0.0)
        least += weights[i] * (demanded + 2.0 * added[i] + total)
        a, b, skip_a, skip_b = 0, states - 1, added[i], added[i] + total
        room_a, room_b = above[i, order[a]], below[i, order[b]]
        while True:
            while room_a <= skip_a and a < states - 1:
                skip_a -= room_a
                a += 1
                room_a = above[i, order[a]]
            while room_b <= skip_b and b > 0:
                skip_b -= room_b
                b -= 1
                room_b = below[i, order[b]]
            gain, size = slopes[i, order[a]] - slopes[i, order[b]], min(room_a - skip_a, room_b - skip_b)
            if gain <= 0.0 or size <= 0.0:
                break
            gains[pieces] = gain / (2.0 * weights[i]) if weights[i] > 0.0 else math.inf
            sizes[pieces], rows[pieces] = size, i
            pieces += 1
            skip_a, skip_b = skip_a + size, skip_b + size
    if least > budget * (1.0 + _ROUNDING):
        return _INFEASIBLE
    shares = np.empty(pieces)
    multiplier = _take(shares, gains[:pieces], 2.0 * weights[rows[:pieces]] * sizes[:pieces], max(budget - least, 0.0), penalty)
    for k in range(pieces):
        added[rows[k]] += shares[k] * sizes[k]
    for i in range(n):
        add, remove = added[i], added[i] + surplus[i]
        for k in range(states):
            j = orders[i, k]
            part = min(add, above[i, j])
            change[i, j] += part
            add -= part
            j = orders[i, states - 1 - k]
            part = min(remove, below[i, j])
            change[i, j] -= part
            remove -= part
        _close_row(change[i], low[i], high[i])
        spent[i] = weights[i] * np.abs(change[i]).sum()
    return multiplier


@_compiled
def _fill_transport(  # type: ignore[no-untyped-def]
    change, spent, slopes, nominal, low, high, weights, metric, budget, penalty
):
    """Let the mass of every state stay; a piece then moves it all to a farther and better state, along the concave hull of both."""
    n, states = slopes.shape
    pieces = 0
    gains, ways = np.empty(64), np.empty((64, 4), np.int64)  # Of each piece: row, source, from where, to where.
    for i in range(n):
        if slopes[i].min() == slopes[i].max() or high[i].max() == 0.0:
            continue
        for source in range(states):
            here = source
            while nominal[i, source] > 0.0:
                best, target = penalty * weights[i], here
                for k in range(states):
                    gain, way = slopes[i, k] - slopes[i, here], metric[source, k] - metric[source, here]
                    if gain <= 0.0 or way < 0.0 or (nominal[i, k] == 0.0 and high[i, k] == 0.0):
                        continue
                    rate = gain / way if way > 0.0 else math.inf
                    if rate > best or (rate == best and target != here and slopes[i, k] > slopes[i, target]):
                        best, target = rate, k
                if target == here:
                    break
                if pieces == len(gains):
                    gains, ways = np.concatenate((gains, gains)), np.concatenate((ways, ways))
                gains[pieces] = best / weights[i] if weights[i] > 0.0 else math.inf
                ways[pieces] = i, source, here, target
                pieces += 1
                here = target
    costs, shares = np.empty(pieces), np.empty(pieces)
    for k in range(pieces):
        i, source, here, target = ways[k]
        costs[k] = weights[i] * nominal[i, source] * (metric[source, target] - metric[source, here])
    multiplier = _take(shares, gains[:pieces], costs, budget, penalty)
    change[:], spent[:] = 0.0, 0.0
    for k in range(pieces):
        i, source, here, target = ways[k]
        mass = shares[k] * nominal[i, source]
        change[i, here] -= mass
        change[i, target] += mass
        spent[i] += shares[k] * costs[k]
    for i in range(n):
        change[i] = np.minimum(np.maximum(change[i], low[i]), high[i])
        _close_row(change[i], low[i], high[i])
    return multiplier
