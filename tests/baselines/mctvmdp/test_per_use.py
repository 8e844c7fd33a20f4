"""Budgets per use: the optimum is certain, and two algorithms find it."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.configurable import SolverFailed
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.instances import load, names
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.per_row import optimistic
from reworld_baselines.mctvmdp.per_use import dual, flow
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.tabular import evaluate, occupancy
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP


def random_mdp(seed, states=4, actions=3, of_transitions=False):
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(states, actions, states) if of_transitions else (states, actions))
    return MDP(rng.dirichlet(np.full(states, 0.6), (states, actions)), rewards, 0.9)


def search():
    return Search("test", quiet=True)


def spent(problem, result):
    """What is spent, from the kernel and the policy alone."""
    law = result.policies[0]
    law = law if law.ndim == 2 else np.eye(problem.mdp.actions)[law]
    uses = occupancy(problem.mdp.with_kernel(result.kernels), law)[:, None] * law
    return float((uses * problem.cost.of_rows(result.kernels - problem.mdp.kernel, problem.mdp.kernel)).sum())


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("class_b")])
@pytest.mark.parametrize(("method", "precision"), [(dual, 1e-8), (flow, 1e-6)])
def test_the_stored_optimum_is_found_and_is_what_kernel_and_policy_are_worth(name, method, precision):
    instance = load(name)
    found = method(instance.problem, search())
    assert found.value == pytest.approx(instance.best_known, abs=precision)
    model = instance.problem.mdp.with_kernel(found.kernels)
    assert found.value == pytest.approx(float(model.start @ evaluate(model, found.policies[0])), rel=1e-13)
    assert spent(instance.problem, found) == pytest.approx(found.cost, abs=1e-8)
    assert instance.problem.budget * (1.0 - precision) <= found.cost <= instance.problem.budget * (1.0 + 1e-12)
    assert found.certificate.kind == "optimal"
    assert 0.0 <= found.certificate.gap <= precision


@settings(max_examples=50)
@given(
    st.integers(0, 10**6), st.sampled_from(COSTS), st.sampled_from([0.1, 1.0, 4.0]), st.sampled_from([0.0, 0.05]), st.booleans()
)
def test_the_gap_closes_with_a_mixture_in_one_state_at_most(seed, kind, budget, penalty, of_transitions):
    problem = TVCMDP(random_mdp(seed, of_transitions=of_transitions), RowCost(kind), budget, "per_use", penalty)
    found = dual(problem, search())
    assert found.certificate.gap <= 1e-10
    assert found.value - penalty * found.cost == pytest.approx(found.certificate.upper_bound, abs=1e-10)
    assert found.cost <= budget * (1.0 + 1e-12)
    assert spent(problem, found) == pytest.approx(found.cost, abs=1e-8)
    law = found.policies[0]
    assert law.ndim == 1 or (law.max(axis=1) < 1.0).sum() == 1


@pytest.mark.parametrize(("seed", "kind", "budget"), [(3, "wasserstein", 1.0), (6, "l1", 1.0), (6, "kl", 1.0)])
def test_the_optimum_may_be_to_chance(seed, kind, budget):
    problem = TVCMDP(random_mdp(seed, of_transitions=True), RowCost(kind), budget, "per_use")
    found = dual(problem, search())
    assert found.policies[0].shape == (4, 3)
    np.testing.assert_allclose(found.policies[0].sum(axis=1), 1.0, rtol=1e-14)
    assert found.cost == pytest.approx(budget, rel=1e-12)
    # No certain policy spends the whole budget: with the mixture's state certain, too little or too much is spent.
    costs = []
    state = int((found.policies[0].max(axis=1) < 1.0).argmax())
    for action in np.flatnonzero(found.policies[0][state]):
        law = found.policies[0].copy()
        law[state] = np.eye(3)[action]
        costs.append(spent(problem, replace(found, policies=(law,))))
    assert min(costs) < budget < max(costs)


@pytest.mark.parametrize("kind", COSTS)
def test_both_methods_agree(kind):
    problem = TVCMDP(random_mdp(7), RowCost(kind), 1.0, "per_use", penalty=0.02)
    by_price, by_program = dual(problem, search()), flow(problem, search())
    assert by_price.value - 0.02 * by_price.cost == pytest.approx(by_program.value - 0.02 * by_program.cost, abs=1e-6)


@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_without_budget_nothing_changes(kind, penalty):
    problem = TVCMDP(random_mdp(1), RowCost(kind), 0.0, "per_use", penalty)
    found = dual(problem, search())
    assert not found.configuration.any()
    assert found.value == found.nominal_value
    assert found.cost == 0.0
    by_program = flow(problem, search())
    assert by_program.cost == 0.0
    assert by_program.certificate.upper_bound == pytest.approx(found.value, rel=1e-12)


@pytest.mark.parametrize("method", [dual, flow])
def test_what_is_free_may_change_without_budget(method):
    weights = np.ones((4, 3))
    weights[2] = 0.0
    found = method(TVCMDP(random_mdp(1), RowCost(weights=weights), 0.0, "per_use"), search())
    assert found.gain > 0.0
    assert found.certificate.gap <= 1e-6
    assert found.cost == 0.0
    assert not found.configuration.reshape(4, 3, 4)[[0, 1, 3]].any()


def test_with_any_amount_it_is_the_best_kernel_of_all():
    mdp = random_mdp(3)
    free = dual(TVCMDP(mdp, RowCost(), None, "per_use"), search())
    assert free.value == pytest.approx(optimistic(TVCMDP(mdp, RowCost(), None, "per_row"), search()).value, rel=1e-12)
    ample = dual(TVCMDP(mdp, RowCost(), 1e6, "per_use"), search())
    assert ample.value == pytest.approx(free.value, rel=1e-12)


def test_a_penalty_is_what_the_same_price_of_a_budget_makes():
    mdp = random_mdp(5)
    penalised = dual(TVCMDP(mdp, RowCost(), None, "per_use", penalty=0.05), search())
    budgeted = dual(TVCMDP(mdp, RowCost(), penalised.cost, "per_use"), search())
    assert budgeted.value == pytest.approx(penalised.value, rel=1e-9)


def test_a_cost_of_ones_own_is_as_the_one_that_it_repeats_but_has_no_program_in_flows():
    own = OwnCost(lambda change, rows: cp.sum(cp.square(change), axis=1))
    values = [dual(TVCMDP(random_mdp(3), cost, 1.0, "per_use"), search()).value for cost in (own, RowCost("quadratic"))]
    assert values[0] == pytest.approx(values[1], rel=1e-7)
    with pytest.raises(InvalidOption, match="OwnCost"):
        flow(TVCMDP(random_mdp(3), own, 1.0, "per_use"), search())


def test_constraints_that_tie_rows_are_refused_where_rows_break_them():
    own = OwnCost(lambda change, rows: cp.sum(cp.square(change), axis=1), lambda change, rows: [cp.sum(cp.abs(change)) <= 0.1])
    with pytest.raises(InvalidOption, match="Constraint 0 of the cost ties rows"):
        dual(TVCMDP(random_mdp(3), own, 1.0, "per_use"), search())


def test_a_program_does_no_harm():
    mdp = MDP(np.full((4, 2, 4), 0.25), np.random.default_rng(0).normal(size=(4, 2, 4)), 0.99)
    found = flow(TVCMDP(mdp, RowCost(scale=100.0), 1e-3, "per_use", penalty=10.0), search())
    assert found.value - 10.0 * found.cost >= found.nominal_value
    mdp = MDP(np.ones((1, 3, 1)), [[0.0, 1e-6, 2e-6]], 0.9)
    found = flow(TVCMDP(mdp, RowCost("kl", scale=0.01), 1e-12, "per_use", penalty=0.1), search())
    assert found.value >= found.nominal_value * (1.0 - 1e-12)


def test_a_program_takes_budgets_of_more_than_can_be_spent():
    kernel = random_mdp(5, states=6, actions=2).kernel.copy()
    kernel[5], rewards = np.eye(6)[5], np.zeros((6, 2))
    for rate in (1.0, 3.0):
        problem = TVCMDP(MDP(kernel, rewards, 0.99), RowCost(rate=rate), 1e9, "per_use")
        assert flow(problem, search()).value == pytest.approx(0.0, abs=1e-9)


def test_a_budget_that_no_price_meets_is_an_error():
    with pytest.raises(SolverFailed, match="give a larger budget, or 0"):
        dual(TVCMDP(random_mdp(1), RowCost("quadratic"), 1e-60, "per_use"), search())


@pytest.mark.parametrize("method", [dual, flow])
def test_another_class_of_budget_is_refused(method):
    with pytest.raises(InvalidOption, match="is for budget_class='per_use', and this is 'one_off'"):
        method(TVCMDP(random_mdp(0), RowCost(), 1.0), search())
