"""The functions of a changeable world: plain source, like that of every world, around the functions of another one.

The state is that of the other world, with one more field, ``changes``: the configuration in force, the one that waits for the
next epoch, and what has been paid. `c` is the nominal configuration. So (configuration, state) is the state of the changeable
world, its step either acts or configures, and the engine knows nothing of it.

`reworld.changing.change` puts the functions of the other world, and the terms of the change, in place of the global values.
"""

import math
from typing import Any

import numpy as np

from reworld.generator import Generator, uniform
from reworld.world import Record, Vector

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


def inner_succeeded(state: Record, c: Record) -> bool:
    """Stand for the world's own `World.succeeded`."""
    raise NotImplementedError


def inner_draw(canvas: Any, state: Record, c: Record) -> None:
    """Stand for the world's own `World.draw`."""
    raise NotImplementedError


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Begin with the nominal configuration, or with the one that was left behind or waits for this episode."""
    changes = state.changes
    changes.nominal_place = _nearest(c)
    if not changes.begun or not (SURVIVES or (NEXT_EPOCH and EPOCH == 0)):
        _go_nominal(changes, c)
    elif NEXT_EPOCH:
        _begin_epoch(changes)
        if not SURVIVES:
            _copy(c, changes.waiting)
            changes.waiting_place = changes.nominal_place
    changes.begun = 1
    changes.age, changes.spent, changes.cost, changes.configured = 0, 0.0, 0.0, 0
    inner_reset(state, changes.current, rng)


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Act in the configuration in force, or change it."""
    changes = state.changes
    changes.cost, changes.configured = 0.0, 0
    reward, terminated = 0.0, False
    if branch < PRIMITIVES:
        if PER_USE:
            _pay_for_use(changes, c)
        reward, terminated = inner_step(state, branch, x, changes.current, rng)
        changes.age += 1
        if changes.age == EPOCH:
            changes.age = 0
            if NEXT_EPOCH:
                _begin_epoch(changes)
    elif CHOOSE:
        _choose(changes, branch - PRIMITIVES, rng)
    else:
        _set(changes, branch - PRIMITIVES, x, c, rng)
    if IN_REWARD:
        reward -= changes.cost
    return reward, terminated


def succeeded(state: Record, c: Record) -> bool:
    """Ask the world itself."""
    return inner_succeeded(state, state.changes.current)


def observe(state: Record, c: Record, out: Any) -> None:
    """Show what the world itself shows, and what is to be known of the configuration."""
    changes = state.changes
    inner_observe(state, changes.current, out)
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
            out[k] = (changes.current.values[CHANGEABLE[i]] - LOW[i]) / (HIGH[i] - LOW[i])
            k += 1
        if NEXT_EPOCH:
            for i in range(len(CHANGEABLE)):
                out[k] = (changes.waiting.values[CHANGEABLE[i]] - LOW[i]) / (HIGH[i] - LOW[i])
                k += 1
        if EPOCH != 1:
            out[k] = _phase(changes) / max(EPOCH, 1)
            k += 1
        if OBSERVE_BUDGET:
            out[k] = _budget_left(changes) / BUDGET if BUDGET > 0.0 else 0.0


def report(state: Record, c: Record, report: Record) -> None:
    """Say what is in force, what was paid, what may be paid, and which branches may be chosen."""
    changes = state.changes
    report.cost = changes.cost
    report.configured = changes.configured != 0
    report.budget_left = _budget_left(changes)
    for p in range(len(c.values)):
        report.configuration[p] = changes.current.values[p]
    for branch in range(PRIMITIVES):
        report.action_mask[branch] = 1
    for k in range(len(report.action_mask) - PRIMITIVES):
        possible = _may_choose(changes, k) if CHOOSE else _may_set(changes, k, c)
        report.action_mask[PRIMITIVES + k] = possible and changes.age == 0


def draw(canvas: Any, state: Record, c: Record) -> None:
    """Paint the world itself in the configuration in force."""
    inner_draw(canvas, state, state.changes.current)


def _choose(changes: Record, k: int, rng: Generator) -> None:
    """Move to a named configuration."""
    if changes.age != 0 or not _may_choose(changes, k) or not _paid_and_done(changes, _price_of_move(changes, k), rng):
        return
    for i in range(len(CHANGEABLE)):
        changes.waiting.values[CHANGEABLE[i]] = VALUES[k, i]
    changes.waiting_place = k
    if not NEXT_EPOCH:
        _begin_epoch(changes)


def _set(changes: Record, k: int, x: Vector, c: Record, rng: Generator) -> None:
    """Set one parameter to a value, or shift it."""
    if changes.age != 0:
        return
    p = CHANGEABLE[k]
    last = changes.waiting.values[p]
    target = x[0]
    if SHIFT:
        most = LARGEST_SHIFT * (HIGH[k] - LOW[k])
        target = last + min(max(target, -most), most)
    target = min(max(target, LOW[k]), HIGH[k])
    # An action is float32: without this, few values could be set back to exactly what they were.
    if abs(target - c.values[p]) <= 1.2e-7 * abs(c.values[p]):
        target = c.values[p]
    if target == last:
        return
    price = _price(changes, k, target, c)
    if price > _budget_left(changes) or not _paid_and_done(changes, price, rng):
        return
    changes.waiting.values[p] = target
    if not NEXT_EPOCH:
        changes.current.values[p] = target


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
    rent = PRICES[changes.nominal_place, changes.place] if CHOOSE else _rent(changes.current, -1, 0.0, c)
    if rent > BUDGET - changes.spent:
        _go_nominal(changes, c)
        rent = 0.0
    changes.cost = rent
    changes.spent += rent


def _go_nominal(changes: Record, c: Record) -> None:
    _copy(c, changes.waiting)
    changes.waiting_place = changes.nominal_place
    _begin_epoch(changes)


def _begin_epoch(changes: Record) -> None:
    """Put the configuration that waits in force; it goes on waiting for the epoch after, too."""
    _copy(changes.waiting, changes.current)
    changes.place = changes.waiting_place


def _copy(source: Record, target: Record) -> None:
    for p in range(len(source.values)):
        target.values[p] = source.values[p]


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


def _phase(changes: Record) -> int:
    """How many steps of the epoch have passed; of an episode, whether any."""
    return changes.age if EPOCH > 0 else min(changes.age, 1)


def _may_choose(changes: Record, k: int) -> bool:
    """Whether there is a move to a named configuration, that changes something and can be paid for."""
    return MOVES[changes.waiting_place, k] and _price_of_move(changes, k) <= _budget_left(changes)


def _price_of_move(changes: Record, k: int) -> float:
    """What it costs to move to a named configuration; where its use is paid for, what one step costs there."""
    return PRICES[changes.nominal_place if FROM_NOMINAL or PER_USE else changes.waiting_place, k]


def _may_set(changes: Record, k: int, c: Record) -> bool:
    """Whether there is a value that a parameter may be set to."""
    if COST == KL and c.values[CHANGEABLE[k]] == 0.0:  # What is impossible stays so.
        return False
    if _budget_left(changes) > 0.0 or WEIGHTS[k] * SCALE == 0.0:
        return True
    # Nothing is left, but the way back may be free.
    return (FROM_NOMINAL or PER_USE) and changes.waiting.values[CHANGEABLE[k]] != c.values[CHANGEABLE[k]]


def _price(changes: Record, k: int, target: float, c: Record) -> float:
    """What it costs to set a parameter; where its use is paid for, what one step costs then."""
    p = CHANGEABLE[k]
    if PER_USE:
        return _rent(changes.waiting, p, target, c)
    if COST in (KL, WASSERSTEIN):
        if FROM_NOMINAL:
            return WEIGHTS[k] * _row_cost(changes.waiting, p, target, c, p // ROW * ROW)
        return WEIGHTS[k] * _row_cost(changes.waiting, p, target, changes.waiting, p // ROW * ROW)
    return _term(k, target, c.values[p] if FROM_NOMINAL else changes.waiting.values[p])


def _rent(configuration: Record, p: int, value: float, c: Record) -> float:
    """What one step costs, with parameter p, unless it is -1, at another value."""
    rent = 0.0
    if COST in (KL, WASSERSTEIN):
        for start in range(0, len(c.values), ROW):
            rent += _row_cost(configuration, p, value, c, start)
        return rent
    for i in range(len(CHANGEABLE)):
        now = value if CHANGEABLE[i] == p else configuration.values[CHANGEABLE[i]]
        rent += _term(i, now, c.values[CHANGEABLE[i]])
    return rent


def _term(k: int, value: float, reference: float) -> float:
    """The cost of one parameter's distance from where it is measured."""
    distance = abs(value - reference) / (HIGH[k] - LOW[k])
    if COST == EXPONENTIAL:
        return WEIGHTS[k] * SCALE * (math.exp(RATE * distance) - 1.0)
    if COST == QUADRATIC:
        return WEIGHTS[k] * SCALE * distance * distance
    return WEIGHTS[k] * SCALE * distance


def _row_cost(configuration: Record, p: int, value: float, reference: Record, start: int) -> float:
    """How far a row of a kernel, with one weight at another value, is from the same row of another configuration."""
    total = old_total = 0.0
    for t in range(start, start + ROW):
        total += value if t == p else configuration.values[t]
        old_total += reference.values[t]
    cost = moved = 0.0
    for t in range(start, start + ROW):
        weight = value if t == p else configuration.values[t]
        new = weight / total if total > 0.0 else 1.0 / ROW
        old = reference.values[t] / old_total if old_total > 0.0 else 1.0 / ROW
        if COST == KL:
            if new > 0.0:
                cost += new * math.log(new / old) if old > 0.0 else math.inf
        else:
            moved += new - old
            cost += abs(moved)
    # Rounding may leave a divergence just below zero.
    return SCALE * max(cost, 0.0)
