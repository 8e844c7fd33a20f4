"""The loops of the convex step, compiled: nested searches for smooth costs, fractional knapsacks for piecewise linear ones.

See `reworld_baselines.mctvmdp.convex`, which says what the step is, and checks what comes here.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np

from reworld.changing.setup import COSTS
from reworld.finite import Integers, Reals

_Function = TypeVar("_Function", bound=Callable[..., Any])

_EXPONENTIAL, _L1, _QUADRATIC, _WASSERSTEIN = map(COSTS.index, ("exponential", "l1", "quadratic", "wasserstein"))
_ROUNDING = 1e-12  # By how much a row's bounds may miss a sum of 0, and what they demand a budget.
_SPENT = 1e-13  # Which share of the budget may be left.
INFEASIBLE = -1.0


class Rows(NamedTuple):
    """Rows of a kernel, each array of shape (n, S), or a single one of them.

    Args:
        slopes: What each entry is worth.
        nominal: From where a change is counted.
        low: The least change.
        high: The largest one.
    """

    slopes: Reals
    nominal: Reals
    low: Reals
    high: Reals


class Prices(NamedTuple):
    """What a change of these rows costs.

    Args:
        kind: Index among the kinds of costs.
        rate: Of the exponential cost, above 0.
        metric: Of the Wasserstein cost, shape (S, S).
        weights: By how much the cost of each row counts, shape (n,).
        penalty: By how much a unit of cost lessens the objective.
    """

    kind: int
    rate: float
    metric: Reals
    weights: Reals
    penalty: float


def _compiled(function: _Function) -> _Function:
    compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(_Function, compiled)


# Loops stand for array expressions wherever those would take seconds to compile.


@_compiled
def _sum(values: Reals) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


@_compiled
def _range(values: Reals) -> tuple[float, float]:
    least, most = math.inf, -math.inf
    for value in values:
        least, most = min(least, value), max(most, value)
    return least, most


@_compiled
def _between(start: Reals, end: Reals, share: float, result: Reals) -> None:
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            result[i, j] = start[i, j] + share * (end[i, j] - start[i, j])


@_compiled
def _descending(values: Reals) -> Integers:
    return np.argsort(-values, kind="mergesort")


@_compiled
def solve(rows: Rows, prices: Prices, budget: float, change: Reals, spent: Reals) -> float:
    """Take the convex step.

    Args:
        rows: Of shape (n, S).
        prices: What they cost.
        budget: Of all rows together.
        change: Where the change is written to, shape (n, S).
        spent: Where the cost of each row is written to, shape (n,).

    Returns:
        The multiplier, or `INFEASIBLE`.
    """
    for i in range(len(spent)):
        least, most = 0.0, 0.0
        for j in range(change.shape[1]):
            least += rows.low[i, j]
            most += rows.high[i, j]
            if rows.low[i, j] > rows.high[i, j]:
                return INFEASIBLE
        if least > _ROUNDING or most < -_ROUNDING:
            return INFEASIBLE
    if prices.kind == _L1:
        return _exchange(rows, prices, budget, change, spent)
    if prices.kind == _WASSERSTEIN:
        return _transport(rows, prices, budget, change, spent)
    return _search_price(rows, prices, budget, change, spent)


@_compiled
def solve_each(rows: Rows, prices: Prices, budgets: Reals, change: Reals, spent: Reals, multipliers: Reals) -> None:
    """Take the convex step of each row under its own budget: see `solve`."""
    for i in range(len(spent)):
        k = slice(i, i + 1)
        row = Rows(rows.slopes[k], rows.nominal[k], rows.low[k], rows.high[k])
        price = Prices(prices.kind, prices.rate, prices.metric, prices.weights[k], prices.penalty)
        multipliers[i] = solve(row, price, budgets[i], change[k], spent[k])


@_compiled
def close_rows(change: Reals, low: Reals, high: Reals) -> None:
    """Free the sums of rows of rounding, in the entries that have most room.

    Args:
        change: Shape (n, S), which is written to.
        low: Least change, shape (n, S).
        high: Largest one, shape (n, S).
    """
    for i in range(len(change)):
        for _ in range(2):
            total, j, most = _sum(change[i]), 0, -1.0
            for k in range(change.shape[1]):
                room = change[i, k] - low[i, k] if total > 0.0 else high[i, k] - change[i, k]
                if room > most:
                    j, most = k, room
            if total != 0.0:
                change[i, j] = min(max(change[i, j] - total, low[i, j]), high[i, j])


# The smooth costs.


@_compiled
def _search_price(rows: Rows, prices: Prices, budget: float, change: Reals, spent: Reals) -> float:
    centred = np.empty(change.shape)
    for i in range(len(spent)):
        # A constant is worth nothing to a row, and would only take away digits.
        least, most = _range(rows.slopes[i])
        for j in range(change.shape[1]):
            centred[i, j] = rows.slopes[i, j] - 0.5 * (least + most)
    rows = Rows(centred, rows.nominal, rows.low, rows.high)
    numbers, cheap, multiplier, least = np.zeros(len(spent)), np.empty(change.shape), 0.0, 0.0
    most = _respond(rows, prices, 0.0, numbers, change, spent)
    if most > budget:
        least = _respond(rows, prices, math.inf, numbers, cheap, spent)
        if least > budget * (1.0 + _ROUNDING):
            return INFEASIBLE
        if least >= budget:
            _between(cheap, change, 0.0, change)
            multiplier = math.inf
        else:
            # By concavity, what a unit of cost is worth on average is of the size of the price.
            worth = 0.0
            for i in range(len(spent)):
                for j in range(change.shape[1]):
                    worth += centred[i, j] * (change[i, j] - cheap[i, j]) / (most - least)
            price = math.log(worth) if 0.0 < worth < math.inf else 0.0
            multiplier = math.exp(_search_log_price(rows, prices, budget, price, numbers, cheap, least, change, spent))
    close_rows(change, rows.low, rows.high)
    total = _costs(change, rows, prices, spent)
    if total > budget > least:
        _between(cheap, change, (budget - least) / (total - least), change)
        _costs(change, rows, prices, spent)
    return multiplier


@_compiled
def _search_log_price(
    rows: Rows,
    prices: Prices,
    budget: float,
    first: float,
    numbers: Reals,
    cheap: Reals,
    least: float,
    change: Reals,
    spent: Reals,
) -> float:
    """Find the price at which just the budget is spent, by Chandrupatla's method (1997) on logarithms of price and cost.

    The cost may jump, or fall too steeply for the numbers between two prices. Then both changes are best at the price, and so
    is what lies between them and spends the budget.
    """
    over, under, trial = change.copy(), cheap.copy(), np.empty(change.shape)
    cost_over, cost_under, cost = math.inf, least, 0.0
    x, x1, x2, x3, f1, f2, f3 = first, 0.0, math.nan, math.nan, 0.0, 0.0, 0.0
    stride = 1.0
    while True:
        cost = _respond(rows, prices, math.exp(x), numbers, trial, spent)
        f = min(max(math.log(cost / budget), -50.0), 50.0) if cost > 0.0 else -50.0
        if cost > budget:
            over, trial, cost_over = trial, over, cost
        else:
            under, trial, cost_under = trial, under, cost
        if abs(cost - budget) <= _SPENT * budget:
            cost_over = cost_under = cost  # Either is the one to take, so no share of the other.
            under = over if cost > budget else under
            break
        if math.isnan(x2) and (x == first or (f > 0.0) == (f1 > 0.0)):  # Not between two prices yet.
            x1, f1 = x, f
            x += stride if f > 0.0 else -stride
            stride *= 2.0
            if abs(x) > 700.0:
                break
            continue
        if math.isnan(x2):
            x2, f2 = x1, f1
        elif (f > 0.0) == (f1 > 0.0):
            x3, f3 = x1, f1
        else:
            x3, f3, x2, f2 = x2, f2, x1, f1
        x1, f1 = x, f
        width = abs(x2 - x1)
        if width <= 4e-16 * max(abs(x1), 1.0):
            break
        if math.isnan(x3):
            share = f1 / (f1 - f2)
        else:
            share, xi, phi = 0.5, (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
            if phi * phi < xi and (1.0 - phi) * (1.0 - phi) < 1.0 - xi:
                share = f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
        edge = 2e-16 * max(abs(x1), 1.0) / width
        x = x1 + min(max(share, edge), 1.0 - edge) * (x2 - x1)
    share = (budget - cost_under) / (cost_over - cost_under) if cost_under < cost_over < math.inf else 0.0
    _between(under, over, share, change)
    return x


@_compiled
def _respond(rows: Rows, prices: Prices, price: float, numbers: Reals, change: Reals, spent: Reals) -> float:
    """Find the best change of every row at a price of the budget, and what they cost together."""
    for i in range(len(numbers)):
        row = Rows(rows.slopes[i], rows.nominal[i], rows.low[i], rows.high[i])
        of_row = (price + prices.penalty) * prices.weights[i] if prices.weights[i] > 0.0 else 0.0
        least, most = _range(row.slopes)
        if of_row == math.inf or least == most:
            _respond_cheaply(row, prices, change[i])
        elif of_row == 0.0:
            _respond_freely(row, prices, change[i])
        else:
            numbers[i] = _balance(row, prices, of_row, numbers[i], change[i])
    return _costs(change, rows, prices, spent)


@_compiled
def _respond_cheaply(row: Rows, prices: Prices, change: Reals) -> None:
    """Find the change that costs least."""
    if _may_stay(row):
        for j in range(len(change)):
            change[j] = 0.0
    else:
        _balance(Rows(np.zeros(len(change)), row.nominal, row.low, row.high), prices, 1.0, 0.0, change)


@_compiled
def _may_stay(row: Rows) -> bool:
    return _range(row.low)[1] <= 0.0 <= _range(row.high)[0]


@_compiled
def _respond_freely(row: Rows, prices: Prices, change: Reals) -> None:
    """Find the change that is worth most whatever it costs, and of several the one that costs least."""
    for j in range(len(change)):
        change[j] = row.low[j]
    left, first, order = -_sum(row.low), 0, _descending(row.slopes)
    while first < len(order) and left > 0.0:
        last, room = first, 0.0
        while last < len(order) and row.slopes[order[last]] == row.slopes[order[first]]:
            room += row.high[order[last]] - row.low[order[last]]
            last += 1
        tied = order[first:last]
        if room <= left:
            for j in tied:
                change[j] = row.high[j]
        else:
            least, most = change.copy(), change.copy()
            for j in tied:
                most[j] = row.high[j]
            _balance(Rows(np.zeros(len(change)), row.nominal, least, most), prices, 1.0, 0.0, change)
        left -= room
        first = last


@_compiled
def _balance(row: Rows, prices: Prices, price: float, number: float, change: Reals) -> float:
    """Find the number of a row at which its change sums to 0, by Newton's method within a bracket."""
    if _sum(row.low) >= 0.0 or _sum(row.high) <= 0.0:
        for j in range(len(change)):
            change[j] = row.low[j] if _sum(row.low) >= 0.0 else row.high[j]
        return number
    left, right = _range(row.slopes)
    if not _may_stay(row):
        stride = max(right - left, price)
        while _respond_row(row, prices, price, left, change)[0] < 0.0:
            left -= stride
            stride *= 2.0
        while _respond_row(row, prices, price, right, change)[0] > 0.0:
            right += stride
            stride *= 2.0
    if not left < number < right:
        number = 0.5 * (left + right)
    before = right - left
    while left < number < right:
        total, speed, size = _respond_row(row, prices, price, number, change)
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
    # The sum jumps over 0 between two neighbouring numbers: both changes are best, and so is what lies between them.
    under = np.empty(change.shape)
    above, below = _respond_row(row, prices, price, left, change)[0], _respond_row(row, prices, price, right, under)[0]
    if above > below:
        for j in range(len(change)):
            change[j] += above / (above - below) * (under[j] - change[j])
    return number


@_compiled
def _respond_row(row: Rows, prices: Prices, price: float, number: float, change: Reals) -> tuple[float, float, float]:
    """Find the best change of a row at its number: its sum, how fast that falls with the number, and the sum of its sizes."""
    total, speed, size = 0.0, 0.0, 0.0
    for j in range(len(change)):
        change[j], fast = _respond_entry(
            row.slopes[j] - number, row.nominal[j], row.low[j], row.high[j], prices.kind, prices.rate, price
        )
        total += change[j]
        speed += fast
        size += abs(change[j])
    return total, speed, size


@_compiled
def _respond_entry(
    slope: float, nominal: float, low: float, high: float, kind: int, rate: float, price: float
) -> tuple[float, float]:
    """Find the best change of an entry, and how fast it grows with the slope."""
    change, speed = 0.0, 0.0
    if kind == _EXPONENTIAL:
        if abs(slope) > price * rate:
            change, speed = math.copysign(math.log(abs(slope) / (price * rate)) / rate, slope), 1.0 / (rate * abs(slope))
    elif kind == _QUADRATIC:
        change, speed = slope / (2.0 * price), 1.0 / (2.0 * price)
    elif nominal > 0.0:
        change = nominal * math.expm1(slope / price)
        speed = (nominal + change) / price
    if change <= low:
        return low, 0.0
    if change >= high:
        return high, 0.0
    return change, speed


@_compiled
def _costs(change: Reals, rows: Rows, prices: Prices, spent: Reals) -> float:
    """What rows cost, as `RowCost.of_rows` has it: each, and together."""
    total = 0.0
    for i in range(len(change)):
        of_row = 0.0
        for j in range(change.shape[1]):
            if change[i, j] != 0.0:
                of_row += _cost_of_entry(change[i, j], rows.nominal[i, j], prices.kind, prices.rate)
        spent[i] = prices.weights[i] * of_row if prices.weights[i] > 0.0 else 0.0
        total += spent[i]
    return total


@_compiled
def _cost_of_entry(change: float, nominal: float, kind: int, rate: float) -> float:
    if kind == _EXPONENTIAL:
        return math.expm1(rate * abs(change))
    if kind == _QUADRATIC:
        return change * change
    by = change / nominal
    if abs(by) < 0.01:
        return nominal * by * by * (1 / 2 - by * (1 / 6 - by * (1 / 12 - by * (1 / 20 - by * (1 / 30 - by / 42)))))
    return nominal * ((1.0 + by) * math.log1p(by) - by if by > -1.0 else 1.0)


# The piecewise linear costs.


@_compiled
def _take(gains: Reals, costs: Reals, budget: float, penalty: float, shares: Reals) -> float:
    """Take pieces by their gain per cost until the budget is spent: which share of each, and the multiplier."""
    order = _descending(gains)
    for k in range(len(shares)):
        shares[k] = 0.0
    for rank in range(len(order)):
        k = order[rank]
        if gains[k] <= penalty:
            break
        if costs[k] > budget:
            shares[k] = budget / costs[k]
            return float(gains[k] - penalty)
        shares[k] = 1.0
        budget -= costs[k]
    return 0.0


@_compiled
def _exchange(rows: Rows, prices: Prices, budget: float, change: Reals, spent: Reals) -> float:
    """Begin with what costs least in L1; a piece then moves mass from a row's worst donor to its best receiver.

    An entry has two parts, above and below 0. What a row adds above 0 it takes away below, but for what its bounds demand: one
    number says how far a row has gone.
    """
    n, states = change.shape
    orders, added, surplus = np.empty((n, states), np.int64), np.empty(n), np.empty(n)
    gains, sizes, owners = np.empty(2 * n * states), np.empty(2 * n * states), np.empty(2 * n * states, np.int64)
    above, below = np.empty(change.shape), np.empty(change.shape)
    pieces, least = 0, 0.0
    for i in range(n):
        slopes, order, weight = rows.slopes[i], _descending(rows.slopes[i]), prices.weights[i]
        total, demanded = 0.0, 0.0
        for j in range(states):
            low, high = rows.low[i, j], rows.high[i, j]
            above[i, j], below[i, j] = max(high, 0.0) - max(low, 0.0), min(high, 0.0) - min(low, 0.0)
            change[i, j] = max(low, 0.0) + min(high, 0.0)
            total += low + below[i, j]
            demanded += abs(change[i, j])
            orders[i, j] = order[j]
        surplus[i], added[i] = total, max(-total, 0.0)
        least += weight * (demanded + 2.0 * added[i] + total)
        a, b, skip_a, skip_b = 0, states - 1, added[i], added[i] + total
        while True:
            while above[i, order[a]] <= skip_a and a < states - 1:
                skip_a -= above[i, order[a]]
                a += 1
            while below[i, order[b]] <= skip_b and b > 0:
                skip_b -= below[i, order[b]]
                b -= 1
            gain = slopes[order[a]] - slopes[order[b]]
            size = min(above[i, order[a]] - skip_a, below[i, order[b]] - skip_b)
            if gain <= 0.0 or size <= 0.0:
                break
            gains[pieces] = gain / (2.0 * weight) if weight > 0.0 else math.inf
            sizes[pieces], owners[pieces] = size, i
            pieces += 1
            skip_a, skip_b = skip_a + size, skip_b + size
    if least > budget * (1.0 + _ROUNDING):
        return INFEASIBLE
    costs, shares = np.empty(pieces), np.empty(pieces)
    for k in range(pieces):
        costs[k] = 2.0 * prices.weights[owners[k]] * sizes[k]
    multiplier = _take(gains[:pieces], costs, max(budget - least, 0.0), prices.penalty, shares)
    for k in range(pieces):
        added[owners[k]] += shares[k] * sizes[k]
    for i in range(n):
        add, remove = added[i], added[i] + surplus[i]
        for k in range(states):
            best, worst = orders[i, k], orders[i, states - 1 - k]
            grown, shrunk = min(add, above[i, best]), min(remove, below[i, worst])
            change[i, best] += grown
            change[i, worst] -= shrunk
            add, remove = add - grown, remove - shrunk
    close_rows(change, rows.low, rows.high)
    for i in range(n):
        spent[i] = 0.0
        for j in range(states):
            spent[i] += prices.weights[i] * abs(change[i, j])
    return multiplier


@_compiled
def _twice(values: Any) -> Any:
    longer = np.empty(2 * len(values), values.dtype)
    for k in range(len(values)):
        longer[k] = values[k]
    return longer


@_compiled
def _transport(rows: Rows, prices: Prices, budget: float, change: Reals, spent: Reals) -> float:
    """Let the mass of every state stay; a piece then moves it to a better state farther on, along the concave hull of both."""
    n, states = change.shape
    pieces = 0
    gains, owners, sources = np.empty(64), np.empty(64, np.int64), np.empty(64, np.int64)
    starts, ends = (
        np.empty(64, np.int64),
        np.empty(64, np.int64),
    )  # Between which states a piece moves mass.
    worth = np.empty(states)
    for i in range(n):
        nominal, weight = rows.nominal[i], prices.weights[i]
        if _range(rows.high[i])[1] <= 0.0:
            continue
        for k in range(states):
            worth[k] = rows.slopes[i, k] if nominal[k] > 0.0 or rows.high[i, k] > 0.0 else -math.inf
        order = _descending(worth)
        for source in range(states):
            here = source
            while nominal[source] > 0.0:
                target, best_gain, best_way = here, 0.0, 1.0
                for rank in range(states):
                    k = order[rank]
                    gain, way = worth[k] - worth[here], prices.metric[source, k] - prices.metric[source, here]
                    if gain <= 0.0:
                        break
                    if way >= 0.0:
                        # Whether gain / way is larger, and of equals the farther; multiplied out, as ways may be 0.
                        ahead = gain * best_way - best_gain * way
                        if ahead > 0.0 or (ahead == 0.0 and gain > best_gain):
                            target, best_gain, best_way = k, gain, way
                if target == here:
                    break
                if pieces == len(gains):
                    gains, owners, sources = _twice(gains), _twice(owners), _twice(sources)
                    starts, ends = _twice(starts), _twice(ends)
                gains[pieces] = best_gain / (best_way * weight) if best_way * weight > 0.0 else math.inf
                owners[pieces], sources[pieces], starts[pieces], ends[pieces] = i, source, here, target
                pieces += 1
                here = target
    costs, shares = np.empty(pieces), np.empty(pieces)
    for k in range(pieces):
        way = prices.metric[sources[k], ends[k]] - prices.metric[sources[k], starts[k]]
        costs[k] = prices.weights[owners[k]] * rows.nominal[owners[k], sources[k]] * way
    multiplier = _take(gains[:pieces], costs, budget, prices.penalty, shares)
    for i in range(n):
        spent[i] = 0.0
        for j in range(states):
            change[i, j] = 0.0
    for k in range(pieces):
        i, mass = owners[k], shares[k] * rows.nominal[owners[k], sources[k]]
        change[i, starts[k]] -= mass
        change[i, ends[k]] += mass
        spent[i] += shares[k] * costs[k]
    for i in range(n):
        for j in range(states):
            change[i, j] = min(max(change[i, j], rows.low[i, j]), rows.high[i, j])
    close_rows(change, rows.low, rows.high)
    return multiplier
