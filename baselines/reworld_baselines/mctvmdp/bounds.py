"""Bounds: what no configuration with a one-off budget can be worth more than, and by how much a linearisation may err."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from reworld.finite import Integers, Reals
from reworld_baselines.mctvmdp.configurable import Configurable
from reworld_baselines.mctvmdp.costs import OwnCost
from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP, optimistic_bound
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.per_row import optimistic_iteration
from reworld_baselines.mctvmdp.per_use import prices_around
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.tabular import evaluate, occupancy
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP

_SELDOM = 1e-9  # The occupancy of a row that cannot be reached.


def upper_bound(problem: Configurable, search: Search) -> float | None:
    """Bound the value of a problem where that takes no longer than a few solves; None where no such bound is known.

    Of a cost of the user's own there is none, as a solver's word is no bound.

    Args:
        problem: Which one.
        search: Where solves are counted.
    """
    if isinstance(problem, FiniteHorizonTVCMDP):
        return optimistic_bound(problem)
    if isinstance(problem, TVCMDP) and not isinstance(problem.cost, OwnCost):
        return rectangular_bound(problem, search)
    return None


def rectangular_bound(problem: TVCMDP, search: Search) -> float:
    """Bound the value of a problem with one budget by that of the problem where each row may spend the whole of it.

    Args:
        problem: Of the budget class ``"one_off"`` or ``"per_row"``, of which it is the value.
        search: Where solves are counted.
    """
    best = optimistic_iteration(problem, problem.budgets(), search, np.zeros(problem.mdp.states, np.int64))
    return float(problem.mdp.start @ best.values) + best.error


def flow_bound(problem: TVCMDP, search: Search) -> float:
    """Bound the value of a problem with one budget by that of a problem with a budget per use.

    With d the occupancy of a row and u the largest that any policy and change can make it, d/u is at most 1, and so is the sum
    of d/u times the costs at most the budget: a budget per use, whose problem is solved by its price. No row costs more than
    the whole budget, which holds besides. So the bound is at most that of `rectangular_bound`; it is much less for small
    budgets. It takes an optimistic solve for each row. A cost of the user's own has no weights: there it is
    `rectangular_bound`.

    Args:
        problem: Of the budget class ``"one_off"``.
        search: Where solves are counted.
    """
    if problem.budget is None or isinstance(problem.cost, OwnCost):
        return rectangular_bound(problem, search)
    mdp, most = problem.mdp, np.empty(problem.mdp.kernel.shape[:2])
    budgets, policy = np.full(most.shape, problem.budget), np.zeros(mdp.states, np.int64)
    for row in np.ndindex(most.shape):
        rewards = np.zeros(most.shape)
        rewards[row] = 1.0
        visiting = replace(problem, mdp=MDP(mdp.kernel, rewards, mdp.discount, mdp.start))
        best = optimistic_iteration(visiting, budgets, search, policy)
        most[row] = max(float(mdp.start @ best.values) + best.error, _SELDOM)
    weights = (1.0 if problem.cost.weights is None else problem.cost.weights) / most
    per_use = replace(problem, cost=replace(problem.cost, weights=weights), budget_class="per_use", penalty=0.0)
    return prices_around(per_use, budgets / most, search)[2]


class Remainder(NamedTuple):
    """How wrong it is to take the value of a policy as linear in the kernel, and three bounds of that.

    Args:
        value: Of the policy in the changed kernel, at the start.
        linear: The same, to first order.
        a_posteriori: They differ by no more, as the values in the changed kernel show.
        a_priori: The same, from the values in the nominal kernel, and the change.
        coarse: The same, from how far the change goes at most.
    """

    value: float
    linear: float
    a_posteriori: float
    a_priori: float
    coarse: float


def remainder_bounds(mdp: MDP, policy: Integers, kernel: Reals) -> Remainder:
    """Say how wrong it is to take the value of a policy as linear in the kernel.

    With x the change of the rows that the policy takes, V and V' the values before and after, d the occupancy before, and w the
    gain (x r + discount * x V), the remainder is exactly ``discount * d @ x @ (V' - V)``, and ``V' - V`` is w, summed along the
    paths in the changed kernel. As rows of x sum to 0, ``x @ v`` is at most half of its absolute sum times the span of v.

    Args:
        mdp: The nominal one, single, dense, NumPy.
        policy: Shape (S,).
        kernel: The changed one, shape (S, A, S).
    """
    states = np.arange(mdp.states)
    x = (kernel - mdp.kernel)[states, policy]
    values, visits = evaluate(mdp, policy), occupancy(mdp, policy)
    after = evaluate(mdp.with_kernel(kernel), policy)
    following = np.broadcast_to(mdp.discount * values, x.shape)
    if mdp.depends_on_successor:
        following = following + mdp.rewards[states, policy]
    gains = (x * following).sum(axis=-1)
    moved = 0.5 * np.abs(x).sum(axis=-1)
    reached, further = mdp.discount * float(visits @ moved), 1.0 / (1.0 - mdp.discount)
    return Remainder(
        value=float(mdp.start @ after),
        linear=float(mdp.start @ values + visits @ gains),
        a_posteriori=reached * float(np.ptp(after - values)),
        a_priori=reached * further * float(np.ptp(gains)),
        coarse=2.0 * reached * further * float(moved.max()) * float(np.ptp(following, axis=-1).max()),
    )
