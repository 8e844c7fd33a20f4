"""Budgets per row: the optimum is certain."""

import itertools
import math

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP, optimistic_stages
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.per_row import optimistic
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.tabular import evaluate, policy_iteration
from reworld_baselines.mctvmdp.trust_region import trust_region
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP


def random_mdp(seed, states=4, actions=2, of_transitions=False):
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(states, actions, states) if of_transitions else (states, actions))
    return MDP(rng.dirichlet(np.full(states, 0.7), (states, actions)), rewards, 0.9)


def search():
    return Search("test", quiet=True)


@pytest.mark.parametrize("seed", range(10))
def test_with_two_states_it_is_the_best_of_all_ends_of_all_rows(seed):
    mdp, budget = random_mdp(seed, states=2), 0.7
    # Of two entries that change by u and -u the cost is 2 (exp(3 |u|) - 1).
    reach = math.log(1.0 + budget / 2.0) / 3.0
    first = mdp.kernel[..., 0]
    ends = [np.maximum(first - reach, 0.0), np.minimum(first + reach, 1.0)]
    best = -math.inf
    for choice in itertools.product((0, 1), repeat=4):
        p = np.where(np.array(choice).reshape(2, 2) == 1, ends[1], ends[0])
        model = mdp.with_kernel(np.stack([p, 1.0 - p], axis=-1))
        best = max(best, float(mdp.start @ policy_iteration(model).values))
    found = optimistic(TVCMDP(mdp, RowCost(), budget, "per_row"), search())
    assert found.value == pytest.approx(best, rel=1e-12)


@given(st.integers(0, 10**6), st.sampled_from(COSTS), st.sampled_from([0.0, 0.1, 1.0, None]), st.booleans())
def test_what_is_returned_has_the_value_that_is_certified(seed, kind, budget, of_transitions):
    mdp = random_mdp(seed, of_transitions=of_transitions)
    found = optimistic(TVCMDP(mdp, RowCost(kind), budget, "per_row"), search())
    assert found.certificate.kind == "optimal"
    assert 0.0 <= found.certificate.gap <= 1e-10
    assert found.value == pytest.approx(
        float(mdp.start @ evaluate(mdp.with_kernel(found.kernels), found.policies[0])), rel=1e-13
    )
    assert found.value >= found.nominal_value - 1e-12
    assert found.cost <= (math.inf if budget is None else budget * (1.0 + 1e-9))
    taken = np.arange(2) == found.policies[0][:, None]
    assert not found.configuration.reshape(mdp.kernel.shape)[~taken].any()


def test_no_climb_leads_higher():
    problem = TVCMDP(random_mdp(1), RowCost("quadratic"), 0.1, "per_row")
    assert optimistic(problem, search()).value >= trust_region(problem, search()).value - 1e-12


def test_it_is_the_limit_of_a_long_horizon():
    mdp = random_mdp(3)
    problem = TVCMDP(mdp, RowCost("kl"), 0.2, "per_row")
    staged = FiniteHorizonTVCMDP([mdp.kernel] * 300, mdp.rewards, 0.9, None, RowCost("kl"), 0.2, "per_row")
    assert optimistic(problem, search()).value == pytest.approx(optimistic_stages(staged)[2], rel=1e-10)


def test_a_larger_budget_of_any_row_does_no_harm():
    mdp, rng = random_mdp(2), np.random.default_rng(0)
    budgets = rng.random((4, 2))
    values = [optimistic(TVCMDP(mdp, RowCost(), share * budgets, "per_row"), search()).value for share in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(float(mdp.start @ policy_iteration(mdp).values), rel=1e-13)


def test_what_may_not_change_stays():
    mdp, changeable = random_mdp(2), np.zeros((4, 2), bool)
    changeable[1] = True
    found = optimistic(TVCMDP(mdp, RowCost(), 1.0, "per_row", changeable=changeable), search())
    moved = np.abs(found.kernels - mdp.kernel).max(axis=-1) > 1e-12
    assert moved.any()
    assert not moved[~changeable].any()


def test_constraints_of_each_row_hold_and_those_that_tie_rows_are_refused():
    def own(constraints):
        return OwnCost(lambda change, rows: cp.sum(cp.square(change), axis=1), constraints)

    mdp = random_mdp(3)
    found = optimistic(TVCMDP(mdp, own(lambda change, rows: [change <= 0.1]), 0.5, "per_row"), search())
    bounded = optimistic(TVCMDP(mdp, RowCost("quadratic"), 0.5, "per_row", high=np.minimum(mdp.kernel + 0.1, 1.0)), search())
    assert found.value == pytest.approx(bounded.value, rel=1e-6)
    tied = own(lambda change, rows: [cp.sum(cp.abs(change)) <= 0.1])  # Shared by all rows, it is better spent on one.
    with pytest.raises(InvalidOption, match="Constraint 0 of the cost ties rows to one another"):
        optimistic(TVCMDP(mdp, tied, 0.5, "per_row"), search())


def test_another_class_of_budget_is_refused():
    with pytest.raises(InvalidOption, match="is for budget_class='per_row', and this is 'one_off'"):
        optimistic(TVCMDP(random_mdp(0), RowCost(), 1.0), search())
