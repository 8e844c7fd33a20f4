"""Budgets per use: the cost of a row is paid whenever it is taken, and the discounted sum is limited in expectation.

In flows q(s, a, s') = d(s, a) p(s' | s, a) this is one convex program, as the cost ``d cost(q / d)`` is a perspective (the dual
linear program of decision processes, Puterman 1994, section 6.9, with the kernel free; constrained processes: Altman, 1999).
So it is solved to the optimum: by a price of the budget, for which the problem is an optimistic Bellman equation, or by a
general solver of convex programs.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from reworld.errors import InvalidOption
from reworld.finite import Integers, Reals
from reworld_baselines.mctvmdp.configurable import SolverFailed, solve_at
from reworld_baselines.mctvmdp.costs import OwnCost
from reworld_baselines.mctvmdp.per_row import optimistic_iteration
from reworld_baselines.mctvmdp.programs import flow_program
from reworld_baselines.mctvmdp.results import Certificate, Result, Search
from reworld_baselines.mctvmdp.tabular import evaluate, occupancy, policy_iteration
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP, changed, largest_share

_HALVINGS = 100
_DEAREST = 1e18


class Use(NamedTuple):
    """The best policy and change at a price of the budget.

    Args:
        price: Of a unit of what is spent.
        policy: Shape (S,).
        change: Of the rows that the policy takes, shape (S, A, S).
        spent: What they spend.
        bound: No policy and change within the budget is worth more, less the problem's penalty.
    """

    price: float
    policy: Integers
    change: Reals
    spent: float
    bound: float


def dual(problem: TVCMDP, search: Search) -> Result:
    """Solve a problem with a budget per use by the price at which the budget is spent.

    At each price the best policy and kernel come from the optimistic Bellman equation. At the right price those that spend too
    much and those that spend too little are equally good, and the one turns into the other state by state: so a mixture in one
    state spends the budget exactly. The certificate is the duality gap.

    Args:
        problem: Of the budget class ``"per_use"``.
        search: How it is found.

    Raises:
        InvalidOption: If the budget is of another class, or constraints of the cost tie rows to one another.
        SolverFailed: If no price is high enough.
    """
    _check(problem, "dual")
    over, under, bound = prices_around(problem, _most_of_a_row(problem), search)
    law, change = _mixed(problem, over, under)
    return _result(problem, "dual", law, change, search, bound)


def flow(problem: TVCMDP, search: Search) -> Result:
    """Solve a problem with a budget per use by the convex program in flows.

    What it finds is as precise as the solver is, some 1e-7 of the value; what it overspends by is taken back. The certificate
    is the duality gap at the price that the solver reports.

    Args:
        problem: Of the budget class ``"per_use"``.
        search: How it is found.

    Raises:
        InvalidOption: If the budget is of another class, or the cost the user's own.
        SolverFailed: If the solver does not solve the program.
    """
    _check(problem, "flow")
    mdp, (low, high) = problem.mdp, problem.bounds()
    cost: Any = problem.cost  # One of the user's own is refused there.
    found = flow_program(mdp, cost, problem.budget, low, high, problem.penalty)
    search.count()
    change, most = found.kernel - mdp.kernel, math.inf if problem.budget is None else problem.budget
    if most == 0.0:
        change[problem.row_prices(change) > 0.0] = 0.0  # Of rows that are free nothing is taken back.
    change *= largest_share(lambda share: _spent(problem, found.policy, share * change) <= most)
    price = problem.penalty + (found.multiplier if problem.budget else 0.0)
    policy, nothing = found.policy.argmax(axis=-1), np.zeros(mdp.kernel.shape)
    bound = _use_at(problem, price, _most_of_a_row(problem), search, policy, nothing).bound
    return _result(problem, "flow", found.policy, change, search, bound)


def _most_of_a_row(problem: TVCMDP) -> Reals:
    """What each row may cost, whatever the price, shape (S, A): a budget of 0 needs none."""
    return np.full(problem.mdp.kernel.shape[:2], 0.0 if problem.budget == 0.0 else math.inf)


def prices_around(problem: TVCMDP, budgets: Reals, search: Search) -> tuple[Use, Use, float]:
    """Find the price at which a budget per use is spent.

    Args:
        problem: Of the budget class ``"per_use"``.
        budgets: What each row may cost besides, shape (S, A).
        search: Where solves are counted.

    Returns:
        What is best at a price at which too much is spent, unless the penalty alone is enough; what is best at the next price
        that can be told apart; and what no policy and change is worth more than.

    Raises:
        SolverFailed: If no price is high enough.
    """
    policy, change = policy_iteration(problem.mdp).policy, np.zeros(problem.mdp.kernel.shape)
    under = over = _use_at(problem, problem.penalty, budgets, search, policy, change)
    bound = over.bound
    while problem.budget is not None and under.spent > problem.budget:
        price = 4.0 * under.price or 1e-3
        if price > _DEAREST:
            raise SolverFailed(f"At a price of {under.price:g} still {under.spent:g} is spent: give a larger budget, or 0.")
        over, under = under, _use_at(problem, price, budgets, search, under.policy, under.change)
        bound = min(bound, under.bound)
    for _ in range(_HALVINGS):
        price = (over.price + under.price) / 2.0
        if not over.price < price < under.price:
            break
        use = _use_at(problem, price, budgets, search, under.policy, under.change)
        bound = min(bound, use.bound)
        over, under = (use, under) if use.spent > problem.budget else (over, use)
    return over, under, bound


def _use_at(problem: TVCMDP, price: float, budgets: Reals, search: Search, policy: Integers, change: Reals) -> Use:
    best = optimistic_iteration(problem, budgets, search, policy, change, price)
    worth = float(problem.mdp.start @ best.values) + best.error
    paid = 0.0 if problem.budget is None else (price - problem.penalty) * problem.budget
    spent = _spent(problem, _law_of(problem, best.policy), best.change)
    return Use(price, best.policy, best.change, spent, worth + paid)


def _mixed(problem: TVCMDP, over: Use, under: Use) -> tuple[Reals, Reals]:
    """Go from what spends too little towards what spends too much, state by state, until the budget is spent."""

    def towards(state: int, share: float) -> tuple[Reals, Reals]:
        mixed_law, mixed_change = law.copy(), change.copy()
        mixed_law[state] = (1.0 - share) * law[state] + share * over_law[state]
        if over.policy[state] == under.policy[state]:
            mixed_change[state] = (1.0 - share) * change[state] + share * over.change[state]
        else:
            mixed_change[state] = change[state] + over.change[state]
        return mixed_law, mixed_change

    def affordable(state: int, share: float) -> bool:
        return problem.budget is None or _spent(problem, *towards(state, share)) <= problem.budget

    law, over_law, change = _law_of(problem, under.policy), _law_of(problem, over.policy), under.change
    if over.spent <= under.spent:
        return law, change
    for state in range(problem.mdp.states):
        share = largest_share(partial(affordable, state))
        law, change = towards(state, share)
        if share < 1.0:
            break
    return law, change


def _law_of(problem: TVCMDP, policy: Integers) -> Reals:
    return np.eye(problem.mdp.actions)[policy]


def _uses(problem: TVCMDP, law: Reals, change: Reals) -> Reals:
    """How often each row is used, discounted, shape (S, A)."""
    model = problem.mdp.with_kernel(changed(problem.mdp.kernel, change))
    uses: Reals = occupancy(model, law)[:, None] * law
    return uses


def _spent(problem: TVCMDP, law: Reals, change: Reals) -> float:
    return float((_uses(problem, law, change) * problem.row_prices(change)).sum())


def _result(problem: TVCMDP, method: str, law: Reals, change: Reals, search: Search, bound: float) -> Result:
    change = change * (_uses(problem, law, change) > 0.0)[..., None]
    if isinstance(problem.cost, OwnCost):
        problem.cost.check_together(change, problem.mdp.kernel)
    model = problem.mdp.with_kernel(changed(problem.mdp.kernel, change))
    value, spent = float(model.start @ evaluate(model, law)), _spent(problem, law, change)
    objective = value - problem.penalty * spent
    nominal = solve_at(problem, problem.nominal, search)
    search.record(nominal.value)
    idle = _law_of(problem, nominal.policy)
    if objective < nominal.value and (change.any() or (law != idle).any()):  # What a solver's tolerance can cost.
        return _result(problem, method, idle, np.zeros(change.shape), search, bound)
    search.record(objective, spent)
    search.close()
    certain = (law == 1.0).any(axis=-1).all()
    return Result(
        problem=problem,
        method=method,
        value=value,
        nominal_value=nominal.value,
        policies=(law.argmax(axis=-1) if certain else law,),
        kernels=model.kernel,
        cost=spent,
        certificate=Certificate("optimal", max(bound - objective, 0.0), bound),
        trace=search.trace,
        configuration=change.reshape(-1),
        solves=search.solves,
        seconds=search.seconds,
    )


def _check(problem: TVCMDP, method: str) -> None:
    if problem.budget_class != "per_use":
        raise InvalidOption(f"The method {method!r} is for budget_class='per_use', and this is {problem.budget_class!r}.")
