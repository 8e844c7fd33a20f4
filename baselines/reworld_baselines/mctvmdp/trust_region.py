"""Sequential convex programming in a trust region, from one start or from many, and the linearisation that it improves on.

The model of the value is that of arXiv 2510.15056, linear in the kernel for the policy that is optimal at present: one convex
step. There it is taken once; here it is taken again and again, and what it leads to is accepted only if the true optimal value,
from a linear solve, has grown. So the value never falls, and it ends where no small change is better to first order. The
problem is not convex: what is best near one start need not be best.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reworld.finite import Reals
from reworld_baselines.mctvmdp.bounds import flow_bound, remainder_bounds, upper_bound
from reworld_baselines.mctvmdp.configurable import (
    Configurable,
    Solved,
    functions_of,
    gap_at,
    hold_at,
    promised_at,
    result_of,
    slopes_at,
    solve_at,
    solved_by,
)
from reworld_baselines.mctvmdp.costs import OwnCost
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.per_row import optimistic_change
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP, largest_share

_ENOUGH = 0.05  # The share of what the model predicts that must come true for a step to be accepted.
_POOR, _GOOD = 0.25, 0.75  # Below the one the region shrinks, above the other it grows.
_SHORTEST = 2.0**-40  # The shortest step in a direction that is tried, as a share of the first.
_ROUNDING = 1e-13  # The least that a step is to gain, as a share of the objective.
_TEMPERATURES = (0.3, 0.1, 0.03, 0.01, 0.003)  # As shares of the span of the nominal values.
_TIE = 1e-10  # Actions whose values differ by no more, as a share of the largest value, are equally good.

Solve = Callable[[Configurable, Reals, Search, Any], Solved]
"""From a problem, a configuration and a policy to a policy under that configuration and its values."""


def linearised(problem: Configurable, search: Search) -> Result:
    """Take the one convex step at the nominal configuration, and find the policy that is optimal there.

    This is the method of Lu, Hassibi, Lai and Xu (arXiv 2510.15056), with the constraint that the changed rows are laws. What
    it predicts is for the policy that is optimal at first. With one budget for all rows it never does harm: no changed row
    leads to a worse successor, on average, so no value falls. The notes bound by how much the prediction may be wrong.

    Args:
        problem: Which one.
        search: How it is found.
    """
    nominal = solve_at(problem, problem.nominal, search)
    slopes = slopes_at(problem, nominal)
    configuration = problem.best(slopes)
    predicted = nominal.value + float(slopes @ (configuration - nominal.configuration))
    found = solve_at(problem, configuration, search, nominal.policy)
    for solved in (nominal, found):
        search.record(solved.objective, solved.cost)
    notes = []
    if isinstance(nominal.model, MDP):
        bounds = remainder_bounds(nominal.model, nominal.policy, found.model.kernel)
        notes.append(
            f"With the policy of before the value is {bounds.value:.10g}. To first order in the kernel it would be "
            f"{bounds.linear:.10g}; the difference is at most {bounds.a_posteriori:.3g} (a posteriori), {bounds.a_priori:.3g} "
            f"(a priori), {bounds.coarse:.3g} (coarse)."
        )
    certificate = Certificate("none", None, upper_bound(problem, search), notes)
    return result_of(problem, "linearised", found, certificate, search, predicted=predicted)


def trust_region(problem: Configurable, search: Search, *, tolerance: float = 1e-11, steps: int = 1000) -> Result:
    """Climb from the nominal configuration.

    The first step is that of `linearised`, so the result is at least as good. The certificate's gap is that of Frank and Wolfe:
    what the linear model at the result promises of any other configuration, for each policy that is optimal there and differs
    in one action at most.

    Args:
        problem: Which one.
        search: How it is found.
        tolerance: The gap at which it ends, as a share of the value, or of 1 if that is more.
        steps: The most convex steps.
    """
    nominal = solve_at(problem, problem.nominal, search)
    search.record(nominal.objective, nominal.cost)
    start = _first_step(problem, nominal, search)
    search.record(start.objective, start.cost)
    found, gap = settle(problem, start, search, tolerance, steps)
    certificate = Certificate("stationary", gap, upper_bound(problem, search))
    return result_of(problem, "trust_region", found, certificate, search)


def multistart(
    problem: Configurable,
    search: Search,
    *,
    seed: int = 0,
    starts: int = 32,
    tolerance: float = 1e-11,
    steps: int = 1000,
) -> Result:
    """Climb from many starts, and keep the best.

    The starts are: the nominal configuration; where a climb ends whose policies are soft, and ever less so, as actions that
    are not taken have no slope otherwise; if the problem is a `TVCMDP` with one budget, and without constraints of the user's
    own, the best kernel if each row could spend the budget, or its share of it, by itself, scaled into the budget; and vertices
    of the set of configurations, in directions drawn by chance, improved for a policy that is drawn by chance. The notes say
    what the starts have led to, and the upper bound is the tighter one of `reworld_baselines.mctvmdp.bounds`.

    Args:
        problem: Which one.
        search: How it is found.
        seed: Of what is drawn by chance.
        starts: How many vertices.
        tolerance: As in `trust_region`.
        steps: The most convex steps from each start.
    """
    nominal = solve_at(problem, problem.nominal, search)
    search.record(nominal.objective, nominal.cost)
    found, gap = nominal, math.inf
    led: dict[str, list[str]] = {}
    for name, start in _starts(problem, nominal, search, np.random.default_rng(seed), starts):
        search.record(start.objective, start.cost)
        reached, its_gap = settle(problem, start, search, tolerance, steps)
        led.setdefault(f"{reached.objective:.8g}", []).append(name)
        if math.isinf(gap) or reached.objective > found.objective:
            found, gap = reached, its_gap
    bound = upper_bound(problem, search)
    if bound is not None and isinstance(problem, TVCMDP):
        bound = flow_bound(problem, search)
    certificate = Certificate("stationary", gap, bound, _led_to(led))
    return result_of(problem, "multistart", found, certificate, search)


def _led_to(led: dict[str, list[str]]) -> list[str]:
    best, *others = sorted(led, key=float, reverse=True)
    named = [name for name in led[best] if not name.startswith("vertex")]
    vertices = len(led[best]) - len(named)
    notes = [f"{best} is where these starts led: {', '.join([*named, f'vertices: {vertices}'])}"]
    if others:
        count = sum(len(led[value]) for value in others)
        values = others[0] if len(others) == 1 else f"values from {others[-1]} to {others[0]}"
        notes.append(f"{count} other starts led lower, to {values}")
    return notes


def settle(problem: Configurable, start: Solved, search: Search, tolerance: float, steps: int) -> tuple[Solved, float]:
    """Climb until no step is better, for any policy that is optimal there and differs in one action at most.

    Args:
        problem: Which one.
        start: Where from, with an optimal policy.
        search: How it is found.
        tolerance: As in `trust_region`.
        steps: The most convex steps.

    Returns:
        The best configuration, and the gap.
    """
    while True:
        found, gap = climb(problem, start, search, solve_at, tolerance, steps)
        for rival in _rivals(found):
            rivals_gap = gap_at(problem, rival, slopes_at(problem, rival))
            gap = max(gap, rivals_gap)
            if rivals_gap > tolerance * max(1.0, abs(found.objective)):
                start, _ = climb(problem, rival, search, solve_at, tolerance, steps)
                break
        else:
            return found, gap
        if start.objective <= found.objective:
            return found, gap


def climb(
    problem: Configurable, start: Solved, search: Search, solve: Solve, tolerance: float, steps: int
) -> tuple[Solved, float]:
    """Take convex steps, each of which raises the objective, until none is promising.

    Args:
        problem: Which one.
        start: Where from.
        search: How it is found.
        solve: Which policy is meant at each configuration.
        tolerance: As in `trust_region`.
        steps: The most of them.

    Returns:
        Where it ends, and the gap of Frank and Wolfe there.
    """
    found, radius = start, math.inf
    slopes = slopes_at(problem, found)
    for _ in range(steps):
        whole = math.isinf(radius)
        target = problem.best(slopes, found.configuration, radius)
        promised = promised_at(problem, found, slopes, target)
        scale = max(1.0, abs(found.objective))
        if promised <= tolerance * scale:
            gap = promised if whole else gap_at(problem, found, slopes)
            if gap <= tolerance * scale:
                return found, max(gap, 0.0)
        step = target - found.configuration
        tried, share = _advance(problem, found, step, promised, search, solve)
        gained = tried.objective - found.objective
        if gained > 0.0:
            kept, length = gained / (share * promised), share * float(np.abs(step).max())
            if share < 1.0:
                radius = length
            elif kept < _POOR:
                radius = length / 2.0
            elif kept > _GOOD:
                radius *= 2.0
            found = tried
            slopes = slopes_at(problem, found)
            if solve is solve_at:
                search.record(found.objective, found.cost)
        if gained <= _ROUNDING * scale:
            if whole:
                break
            radius = math.inf
    return found, gap_at(problem, found, slopes)


def _advance(
    problem: Configurable, found: Solved, step: Reals, promised: float, search: Search, solve: Solve
) -> tuple[Solved, float]:
    """Take the longest share of a step that is tried and makes enough of what it promises come true; or none."""
    share, scale = 1.0, max(1.0, abs(found.objective))
    while promised > _ROUNDING * scale and share >= _SHORTEST:
        tried = solve(problem, found.configuration + share * step, search, found.policy)
        kept = (tried.objective - found.objective) / (share * promised)
        if kept >= _ENOUGH:
            return tried, share
        share *= max(0.1, min(0.5, 0.5 / (1.0 - kept)))  # Where a parabola is highest.
    return found, 0.0


def _rivals(found: Solved) -> Iterator[Solved]:
    """The other optimal policies that differ in one action, where it matters."""
    functions = functions_of(found.model)
    worth = functions.action_values(found.model, found.values)
    taken = np.take_along_axis(worth, found.policy[..., None], axis=-1)
    tied = worth >= taken - _TIE * np.abs(found.values).max()
    np.put_along_axis(tied, found.policy[..., None], False, axis=-1)
    tied &= functions.occupancy(found.model, found.policy)[..., None] > 0.0
    for *state, action in np.argwhere(tied):
        policy = found.policy.copy()
        policy[tuple(state)] = action
        yield found._replace(policy=policy)


def _starts(
    problem: Configurable, nominal: Solved, search: Search, random: np.random.Generator, vertices: int
) -> Iterator[tuple[str, Solved]]:
    """The starts of `multistart`, by name, each with an optimal policy."""
    yield "the nominal configuration", _first_step(problem, nominal, search)
    span = float(np.ptp(nominal.values))
    if span > 0.0:
        soft = nominal
        for temperature in _TEMPERATURES:
            solve = _softly(temperature * span)
            soft, _ = climb(problem, solve(problem, soft.configuration, search, None), search, solve, 1e-4, 50)
        yield "soft policies", solve_at(problem, soft.configuration, search)
    if isinstance(problem, TVCMDP) and problem.budget_class == "one_off" and problem.budget is not None and not _ties(problem):
        budgets = {"a budget for each row": problem.budget, "a share for each row": problem.budget / problem.mdp.states}
        for name, budget in budgets.items():
            yield name, solve_at(problem, _within_budget(problem, optimistic_change(problem, budget, search)), search)
    kernel = nominal.model.kernel
    # Slopes as large as true ones, as a penalty is not to outweigh them.
    size = span * float(functions_of(nominal.model).occupancy(nominal.model, nominal.policy).mean()) or 1.0
    for vertex in range(vertices):
        policy = random.integers(kernel.shape[-2], size=kernel.shape[:-2])
        slopes = size * random.standard_normal(kernel.shape) * (policy[..., None] == np.arange(kernel.shape[-2]))[..., None]
        configuration = problem.best(problem.pull_back(problem.nominal, slopes))
        held, _ = climb(problem, hold_at(problem, configuration, search, policy), search, hold_at, 1e-3, 20)
        yield f"vertex {vertex}", solve_at(problem, held.configuration, search, policy)


def _first_step(problem: Configurable, nominal: Solved, search: Search) -> Solved:
    """The step of `linearised`, if it is any good."""
    first = solve_at(problem, problem.best(slopes_at(problem, nominal)), search, nominal.policy)
    return max(nominal, first, key=lambda solved: solved.objective)


def _softly(temperature: float) -> Solve:
    """Find a soft policy and the values of rewards and entropy, which have the slopes of that policy."""

    def solve(problem: Configurable, configuration: Reals, search: Search, policy: Any) -> Solved:
        model = problem.model(configuration)
        values, law = functions_of(model).soft_policy_iteration(model, temperature)
        search.count()
        return solved_by(problem, configuration, model, law, values)

    return solve


def _ties(problem: TVCMDP) -> bool:
    """Whether rows may be tied to one another by more than the budget."""
    return isinstance(problem.cost, OwnCost) and problem.cost.constraints is not None


def _within_budget(problem: TVCMDP, change: Reals) -> Reals:
    """Take the largest part of a change that the budget allows."""
    return largest_share(lambda share: problem.price(share * change) <= problem.budget) * change
