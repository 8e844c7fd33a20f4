"""The functions of a changeable world: plain source, like that of every world, around the functions of another one.

(configuration, state) is the state of a changeable world: its step either acts, or writes to the configuration. The state is
that of the other world with one more field, ``changes``: what the nominal configuration was, what waits for the next epoch, and
what has been paid. The engine knows nothing of it.

`reworld.changing.change` puts the functions of the other world, and the terms of the change, in place of the global values.
"""

import math
from typing import Any

import numpy as np

from reworld.generator import Generator, uniform
from reworld.world import Record, Reports, Vector

# Kinds of costs.
EXPONENTIAL, L1, QUADRATIC, KL, WASSERSTEIN = 0, 1, 2, 3, 4

# The terms of the change.
PRIMITIVES = 0  # Number of the world's own branches.
CHOOSE = SHIFT = NEXT_EPOCH = SURVIVES = FROM_NOMINAL = IN_REWARD = PER_CHANGE = PER_USE = APPENDED = INDEXED = False
OBSERVE_BUDGET = False
EPOCH = 1  # Primitive steps, or 0 for an episode.
FAILURE, BUDGET, LARGEST_SHIFT = 0.0, math.inf, 1.0
COST, SCALE, RATE = L1, 1.0, 3.0
INNER_SIZE = 1  # How many numbers the world's own observation is made of, or how many states it has if INDEXED.
# One entry for each parameter that may be changed: its index in a configuration, its range, its weight in the cost.
CHANGEABLE = np.zeros(1, np.int64)
LOW, HIGH, WEIGHTS = np.zeros(1), np.ones(1), np.ones(1)
# Of the named configurations: their values of these parameters, which moves there are, and what each costs.
VALUES, MOVES, PRICES = np.zeros((1, 1)), np.zeros((1, 1), np.bool_), np.zeros((1, 1))
ROW = 1  # Length of a row of the kernel, whose entries are the parameters (for the costs that compare rows).


def inner_reset(state: Record, c: Record, rng: Generator) -> None:
    """Stand for the world's own `World.reset`."""
    raise NotImplementedError


def inner_step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Stand for the world's own `World.step`."""
    raise NotImplementedError


def inner_observe(state: Record, c: Record, out: Any) -> None:
    """Stand for the world's own `World.observe`."""
    raise NotImplementedError


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Begin with the nominal configuration, or with the one that was left behind or waits for this episode."""
    changes = state.changes
    for i in range(len(CHANGEABLE)):
        changes.nominal[i] = c.values[CHANGEABLE[i]]
    changes.nominal_place = _nearest(c) if CHOOSE else 0
    remembers = changes.begun != 0 and (SURVIVES or (NEXT_EPOCH and EPOCH == 0))
    if remembers:
        _begin_epoch(changes, c)
    if not (remembers and SURVIVES):
        _wait_for_nominal(changes)
    if not remembers:
        _begin_epoch(changes, c)
    changes.begun = 1
    changes.age, changes.spent, changes.cost, changes.configured = 0, 0.0, 0.0, 0
    inner_reset(state, c, rng)


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Act in the configuration in force, or change it."""
    changes = state.changes
    changes.cost, changes.configured = 0.0, 0
    reward, terminated = 0.0, False
    if branch < PRIMITIVES:
        if PER_USE:
            _pay_for_use(changes, c)
        reward, terminated = inner_step(state, branch, x, c, rng)
        changes.age += 1
        if changes.age == EPOCH:
            changes.age = 0
            if NEXT_EPOCH:
                _begin_epoch(changes, c)
    elif CHOOSE:
        _choose(changes, branch - PRIMITIVES, c, rng)
    else:
        _set(changes, branch - PRIMITIVES, x, c, rng)
    if IN_REWARD:
        reward -= changes.cost
    return reward, terminated


def observe(state: Record, c: Record, out: Any) -> None:
    """Show what the world itself shows, and what is to be known of the configuration."""
    changes = state.changes
    inner_observe(state, c, out)
    if INDEXED:
        place = changes.place
        if NEXT_EPOCH:
            place += len(VALUES) * changes.waiting_place
        if EPOCH != 1:
            place = place * max(EPOCH, 2) + _phase(changes)
        out[0] += INNER_SIZE * place
    if APPENDED:
        k = INNER_SIZE
        for i in range(len(CHANGEABLE)):
            out[k] = (c.values[CHANGEABLE[i]] - LOW[i]) / (HIGH[i] - LOW[i])
            k += 1
        if NEXT_EPOCH:
            for i in range(len(CHANGEABLE)):
                out[k] = (changes.waiting[i] - LOW[i]) / (HIGH[i] - LOW[i])
                k += 1
        if EPOCH != 1:
            out[k] = _phase(changes) / max(EPOCH, 1)
            k += 1
        if OBSERVE_BUDGET:
            out[k] = _budget_left(changes) / BUDGET if BUDGET > 0.0 else 0.0


def report(state: Record, c: Record, reports: Reports, i: int) -> None:
    """Say what is in force, what was paid, what may be paid, and which branches may be chosen."""
    changes = state.changes
    reports.cost[i] = changes.cost
    reports.configured[i] = changes.configured != 0
    reports.budget_left[i] = _budget_left(changes)
    for p in range(len(c.values)):
        reports.configuration[i, p] = c.values[p]
    for branch in range(PRIMITIVES):
        reports.action_mask[i, branch] = 1
    for k in range(len(VALUES) if CHOOSE else len(CHANGEABLE)):
        reports.action_mask[i, PRIMITIVES + k] = changes.age == 0 and (
            _may_choose(changes, k) if CHOOSE else _may_set(changes, k)
        )


def _choose(changes: Record, k: int, c: Record, rng: Generator) -> None:
    """Move to a named configuration."""
    if changes.age != 0 or not _may_choose(changes, k) or not _paid_and_done(changes, _price_of_move(changes, k), rng):
        return
    for i in range(len(CHANGEABLE)):
        changes.waiting[i] = VALUES[k, i]
    changes.waiting_place = k
    if not NEXT_EPOCH:
        _begin_epoch(changes, c)


def _set(changes: Record, k: int, x: Vector, c: Record, rng: Generator) -> None:
    """Set one parameter to a value, or shift it."""
    if changes.age != 0 or not _may_set(changes, k):
        return
    last, nominal, target, low, high = changes.waiting[k], changes.nominal[k], x[0], LOW[k], HIGH[k]
    if SHIFT:
        most = LARGEST_SHIFT * (high - low)
        target = last + min(max(target, -most), most)
        # An episode may begin outside of the range: it is a shift towards the range that leads back, not every one.
        low, high = min(low, last), max(high, last)
    target = min(max(target, low), high)
    # An action is float32: without this, few values could be set or shifted back to exactly what they were.
    if abs(target - nominal) <= 1.2e-7 * max(abs(nominal), abs(last) if SHIFT else 0.0):
        target = nominal
    if target == last:
        return
    price = _price(changes, k, target, c)
    if not _affordable(changes, price) or not _paid_and_done(changes, price, rng):
        return
    changes.waiting[k] = target
    if not NEXT_EPOCH:
        c.values[CHANGEABLE[k]] = target


def _paid_and_done(changes: Record, price: float, rng: Generator) -> bool:
    """Pay for a change, unless its use is what is paid for; tell whether it succeeds."""
    if not PER_USE:
        changes.cost = price
        changes.spent += price
    if FAILURE > 0.0 and uniform(rng, 0.0, 1.0) < FAILURE:
        return False
    changes.configured = 1
    return True


def _pay_for_use(changes: Record, c: Record) -> None:
    """Pay for a primitive step in the configuration in force, or fall back to the nominal one."""
    rent = PRICES[changes.nominal_place, changes.place] if CHOOSE else _rent(changes, -1, 0.0, c)
    if rent > BUDGET - changes.spent:
        _wait_for_nominal(changes)
        _begin_epoch(changes, c)
        rent = 0.0
    changes.cost = rent
    changes.spent += rent


def _wait_for_nominal(changes: Record) -> None:
    for i in range(len(CHANGEABLE)):
        changes.waiting[i] = changes.nominal[i]
    changes.waiting_place = changes.nominal_place


def _begin_epoch(changes: Record, c: Record) -> None:
    """Put in force what waits; it goes on waiting for the epoch after, too."""
    for i in range(len(CHANGEABLE)):
        c.values[CHANGEABLE[i]] = changes.waiting[i]
    changes.place = changes.waiting_place


def _nearest(configuration: Record) -> int:
    """Which named configuration this is, or is nearest to."""
    best, least = 0, math.inf
    for k in range(len(VALUES)):
        distance = 0.0
        for i in range(len(CHANGEABLE)):
            distance += abs(configuration.values[CHANGEABLE[i]] - VALUES[k, i]) / (HIGH[i] - LOW[i])
        if distance < least:
            best, least = k, distance
    return best


def _budget_left(changes: Record) -> float:
    return BUDGET if PER_CHANGE else BUDGET - changes.spent


def _affordable(changes: Record, price: float) -> bool:
    return price <= _budget_left(changes) and price < math.inf


def _phase(changes: Record) -> int:
    """How many steps of the epoch have passed; of an episode, whether any."""
    return changes.age if EPOCH > 0 else min(changes.age, 1)


def _may_choose(changes: Record, k: int) -> bool:
    """Whether there is a move to a named configuration, that changes something and can be paid for."""
    return MOVES[changes.waiting_place, k] and _affordable(changes, _price_of_move(changes, k))


def _price_of_move(changes: Record, k: int) -> float:
    """What it costs to move to a named configuration; where its use is paid for, what one step costs there."""
    return PRICES[changes.nominal_place if FROM_NOMINAL or PER_USE else changes.waiting_place, k]


def _may_set(changes: Record, k: int) -> bool:
    """Whether there is a value that a parameter may be set to."""
    reference = changes.nominal[k] if FROM_NOMINAL or PER_USE else changes.waiting[k]
    if COST == KL and reference == 0.0:  # What is impossible stays so.
        return False
    if _budget_left(changes) > 0.0 or WEIGHTS[k] * SCALE == 0.0:
        return True
    # Nothing is left, but the way back may be free.
    return (FROM_NOMINAL or PER_USE) and changes.waiting[k] != changes.nominal[k]


def _price(changes: Record, k: int, target: float, c: Record) -> float:
    """What it costs to set a parameter; where its use is paid for, what one step costs then."""
    if PER_USE:
        return _rent(changes, k, target, c)
    if COST in (KL, WASSERSTEIN):
        return _row_cost(changes, k, target, c, CHANGEABLE[k] // ROW * ROW)
    return _term(k, target, changes.nominal[k] if FROM_NOMINAL else changes.waiting[k])


def _rent(changes: Record, k: int, target: float, c: Record) -> float:
    """What one step costs, with the k-th parameter at another value; with -1, in the configuration in force."""
    rent = 0.0
    if COST in (KL, WASSERSTEIN):
        for start in range(0, len(c.values), ROW):
            rent += _row_cost(changes, k, target, c, start)
        return rent
    for i in range(len(CHANGEABLE)):
        now = c.values[CHANGEABLE[i]] if k == -1 else target if i == k else changes.waiting[i]
        rent += _term(i, now, changes.nominal[i])
    return rent


def _value(changes: Record, p: int, k: int, target: float, c: Record) -> float:
    """Parameter p as it would be with the k-th changeable one at another value; with -1, as it is in force."""
    if k == -1:
        return c.values[p]
    for i in range(len(CHANGEABLE)):
        if CHANGEABLE[i] == p:
            return target if i == k else changes.waiting[i]
    return c.values[p]


def _reference(changes: Record, p: int, c: Record) -> float:
    """Parameter p in the configuration that the cost is measured from."""
    for i in range(len(CHANGEABLE)):
        if CHANGEABLE[i] == p:
            return changes.nominal[i] if FROM_NOMINAL or PER_USE else changes.waiting[i]
    return c.values[p]


def _term(k: int, value: float, reference: float) -> float:
    """The cost of one parameter's distance from where it is measured."""
    distance = abs(value - reference) / (HIGH[k] - LOW[k])
    if COST == EXPONENTIAL:
        return WEIGHTS[k] * SCALE * math.expm1(RATE * distance)
    if COST == QUADRATIC:
        return WEIGHTS[k] * SCALE * distance * distance
    return WEIGHTS[k] * SCALE * distance


def _row_cost(changes: Record, k: int, target: float, c: Record, start: int) -> float:
    """How far a row of the kernel, with the k-th parameter at another value (see `_rent`), is from what it is measured from."""
    total = old_total = 0.0
    for t in range(start, start + ROW):
        total += _value(changes, t, k, target, c)
        old_total += _reference(changes, t, c)
    cost = moved = 0.0
    for t in range(start, start + ROW):
        new = _value(changes, t, k, target, c) / total if total > 0.0 else 1.0 / ROW
        old = _reference(changes, t, c) / old_total if old_total > 0.0 else 1.0 / ROW
        if COST == KL:
            if new > 0.0:
                cost += new * math.log(new / old) if old > 0.0 else math.inf
        else:
            moved += new - old
            cost += abs(moved)
    # Rounding may leave a divergence just below zero.
    return SCALE * max(cost, 0.0)
