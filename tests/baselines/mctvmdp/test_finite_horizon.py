"""Finite horizons: exact passes, stages that are improved one after the other, and changes that persist."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recording import Recording
from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp import staged, tabular
from reworld_baselines.mctvmdp.bounds import upper_bound
from reworld_baselines.mctvmdp.configurable import slopes_at, solve_at
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP, stages
from reworld_baselines.mctvmdp.instances import load, names
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.trust_region import linearised, multistart, trust_region

STORED = [name for name in names() if name.startswith("finite_horizon")]


def random_problem(seed, horizon=4, states=3, actions=2, stationary=False, **options):
    rng = np.random.default_rng(seed)
    kernels = rng.dirichlet(np.full(states, 0.7), (1 if stationary else horizon, states, actions))
    kernels = np.broadcast_to(kernels, (horizon, states, actions, states))
    rewards, start = rng.normal(size=(horizon, states, actions)), rng.dirichlet(np.ones(states))
    return FiniteHorizonTVCMDP(kernels, rewards, **{"discount": 0.9, "start": start, "budget": 0.5, **options})


def search():
    return Search("test", quiet=True)


def expanded(mdp):
    """The same process, with stage and state as the state, and an end."""
    horizon, states, actions, _ = mdp.kernel.shape
    size = horizon * states + 1
    kernel, rewards, start = np.zeros((size, actions, size)), np.zeros((size, actions)), np.zeros(size)
    for t in range(horizon):
        here = slice(t * states, (t + 1) * states)
        rewards[here] = mdp.rewards[t]
        if t + 1 < horizon:
            kernel[here, :, (t + 1) * states : (t + 2) * states] = mdp.kernel[t]
        else:
            kernel[here, :, -1] = 1.0
    kernel[-1, :, -1] = 1.0
    start[:states] = mdp.start
    return MDP(kernel, rewards, mdp.discount, start)


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_passes_over_stages_are_the_solvers_of_the_expanded_process(seed):
    problem = random_problem(seed)
    one, other = problem.model(problem.nominal), expanded(problem.model(problem.nominal))
    shape = (4, 3)
    solution, known = staged.policy_iteration(one), tabular.policy_iteration(other)
    np.testing.assert_allclose(solution.values[:4], known.values[:-1].reshape(shape), atol=1e-12)
    np.testing.assert_array_equal(solution.policy, known.policy[:-1].reshape(shape))
    values, law = staged.soft_policy_iteration(one, 0.3)
    soft_values, soft_law = tabular.soft_policy_iteration(other, 0.3)
    # The end goes on without reward, but not without entropy.
    after = soft_values[-1] * 0.9 ** np.arange(4, 0, -1)
    np.testing.assert_allclose(values[:4], soft_values[:-1].reshape(shape) - after[:, None], atol=1e-9)
    np.testing.assert_allclose(law, soft_law[:-1].reshape(4, 3, 2), atol=1e-9)
    for policy, other_policy in ((solution.policy, known.policy), (law, soft_law)):
        np.testing.assert_allclose(staged.evaluate(one, policy)[:4], tabular.evaluate(other, other_policy)[:-1].reshape(shape))
        visits = tabular.occupancy(other, other_policy)[:-1].reshape(shape)
        np.testing.assert_allclose(staged.occupancy(one, policy), visits, atol=1e-12)
    slopes = tabular.kernel_slopes(other, known.policy)
    for t in range(3):
        part = slopes[t * 3 : (t + 1) * 3, :, (t + 1) * 3 : (t + 2) * 3]
        np.testing.assert_allclose(staged.kernel_slopes(one, solution.policy)[t], part, atol=1e-12)
    np.testing.assert_allclose(
        staged.action_values(one, solution.values), tabular.action_values(other, known.values)[:-1].reshape(4, 3, 2), atol=1e-12
    )


def test_of_equally_good_actions_that_of_the_policy_before_stays():
    problem = replace(random_problem(0), rewards=np.zeros((3, 2)))
    policy = np.random.default_rng(0).integers(2, size=(4, 3))
    np.testing.assert_array_equal(staged.policy_iteration(problem.model(problem.nominal), policy).policy, policy)


@pytest.mark.parametrize("name", STORED)
def test_stages_reach_the_stored_value_and_never_fall(name):
    instance = load(name)
    found = stages(instance.problem, search())
    assert found.nominal_value == pytest.approx(instance.known["J0"], rel=1e-12)
    assert found.value >= instance.best_known - 1e-6
    assert found.trace[1, 2] == pytest.approx(instance.known["first_sweep"], rel=1e-3)
    assert (np.diff(found.trace[:, 2]) > 0.0).all()
    assert found.value >= linearised(instance.problem, search()).value
    assert found.certificate.gap <= 1e-8
    assert found.value <= found.certificate.upper_bound
    assert trust_region(instance.problem, search()).value == pytest.approx(found.value, abs=1e-6)


@given(st.integers(0, 10**6), st.sampled_from(COSTS), st.sampled_from([0.0, 0.1]), st.sampled_from([0.9, 1.0]))
@settings(max_examples=30)
def test_no_sweep_falls_and_none_spends_more_than_a_stage_has(seed, kind, penalty, discount):
    problem = random_problem(seed, cost=RowCost(kind), penalty=penalty, discount=discount, budget=[0.1, 0.5, 0.0, 2.0])
    recording = Recording()
    found = stages(problem, recording)
    assert (np.diff(recording.recorded) >= -1e-13).all()
    spent = problem.row_prices(found.configuration).sum(axis=(1, 2))
    assert (spent <= np.array([0.1, 0.5, 0.0, 2.0]) * (1.0 + 1e-9)).all()
    assert not found.configuration.reshape(problem.kernels.shape)[2].any()
    assert found.value == pytest.approx(solve_at(problem, found.configuration, search()).value, rel=1e-13)
    assert found.value <= found.certificate.upper_bound + 1e-12


@pytest.mark.parametrize("kind", COSTS)
def test_with_a_budget_for_each_row_one_sweep_is_enough(kind):
    budgets = np.random.default_rng(0).random((4, 3, 2)) * 0.1
    problem = random_problem(1, cost=RowCost(kind), budget=budgets, budget_class="per_row")
    found = stages(problem, search())
    assert found.certificate.kind == "optimal"
    assert found.certificate.gap <= 1e-12
    assert (problem.row_prices(found.configuration) <= budgets * (1.0 + 1e-9)).all()
    rng = np.random.default_rng(1)
    others = [solve_at(problem, problem.decode(rng.random(problem.dimension)), search()).value for _ in range(30)]
    assert found.value >= max([*others, trust_region(problem, search()).value]) - 1e-9


def test_one_budget_for_all_stages_is_worth_more_than_its_shares():
    problem = load(STORED[1]).problem
    whole = replace(problem, budget=problem.budget * problem.horizon, budget_class="one_off")
    found = trust_region(whole, search())
    assert found.value > stages(problem, search()).value + 0.01
    assert found.cost <= whole.budget * (1.0 + 1e-9)
    assert found.certificate.gap <= 1e-8
    many = multistart(whole, search(), starts=3)
    assert found.value - 1e-9 <= many.value <= upper_bound(whole, search())


@pytest.mark.parametrize("budget_class", ["one_off", "per_stage", "per_row"])
@pytest.mark.parametrize("kind", ["exponential", "l1", "quadratic", "wasserstein"])
def test_changes_may_persist(kind, budget_class):
    options = {"cost": RowCost(kind), "budget_class": budget_class, "persistent": True, "discount": 1.0}
    problem = random_problem(2, 3, stationary=True, **options)
    found = trust_region(problem, search())
    rng = np.random.default_rng(0)
    others = [solve_at(problem, problem.decode(rng.random(problem.dimension)), search()).value for _ in range(5)]
    assert found.value >= max([*others, linearised(problem, search()).value]) - 1e-9
    change = found.configuration.reshape(problem.kernels.shape)
    np.testing.assert_allclose(found.kernels, problem.kernels + np.cumsum(change, axis=0), atol=1e-7)
    prices = problem.row_prices(found.configuration)
    dearest = {"one_off": prices.sum(), "per_stage": prices.sum(axis=(1, 2)).max(), "per_row": prices.max()}[budget_class]
    assert dearest <= 0.5 * (1.0 + 1e-9)
    assert found.certificate.gap <= 1e-4


def test_a_persistent_change_is_bought_before_it_is_used():
    # One row, of which every stage after the first pays what it leads to: it is changed at the first stage alone.
    kernels = np.broadcast_to(np.full((2, 1, 2), 0.5), (6, 2, 1, 2))
    problem = FiniteHorizonTVCMDP(kernels, [[0.0], [1.0]], 1.0, [1.0, 0.0], RowCost("l1"), 0.4, "one_off", persistent=True)
    change = trust_region(problem, search()).configuration.reshape(6, 2, 1, 2)
    assert np.abs(change[0]).sum() + np.abs(change[1]).sum() == pytest.approx(0.4, abs=1e-6)
    assert np.abs(change[2:]).max() <= 1e-6


@pytest.mark.parametrize("persistent", [False, True])
def test_slopes_are_those_of_the_optimal_value(persistent):
    problem = random_problem(3, persistent=persistent)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=problem.kernels.shape)
    direction = 1e-7 * (direction - direction.mean(axis=-1, keepdims=True)).reshape(-1)
    slopes = slopes_at(problem, solve_at(problem, problem.nominal, search()))
    values = [solve_at(problem, sign * direction, search()).value for sign in (-1.0, 1.0)]
    assert (values[1] - values[0]) / 2.0 == pytest.approx(slopes @ direction, rel=1e-5)


@pytest.mark.parametrize("budget_class", ["one_off", "per_stage"])
def test_a_cost_of_ones_own_is_as_the_one_that_it_repeats(budget_class):
    own = OwnCost(lambda change, rows: 2.0 * cp.sum(cp.square(change), axis=1))
    values = [
        trust_region(random_problem(4, 3, cost=cost, budget_class=budget_class), search()).value
        for cost in (own, RowCost("quadratic", scale=2.0))
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_constraints_that_tie_rows_are_refused_where_rows_break_them():
    own = OwnCost(lambda change, rows: cp.sum(cp.square(change), axis=1), lambda change, rows: [cp.sum(cp.abs(change)) <= 0.1])
    with pytest.raises(InvalidOption, match="Constraint 0 of the cost ties rows"):
        stages(random_problem(4, 2, cost=own, budget_class="per_row"), search())


@pytest.mark.parametrize("budget_class", ["per_stage", "one_off", "per_row"])
@pytest.mark.parametrize("budget", [0.0, 1e9])
def test_persistent_changes_keep_no_budget_and_use_any(budget_class, budget):
    problem = random_problem(3, 2, persistent=True, budget=budget, budget_class=budget_class)
    found = linearised(problem, search())
    assert found.configuration.any() == (budget > 0.0)
    assert found.cost <= budget


def test_weights_of_rows_count_at_every_stage():
    weights = np.ones((3, 2))
    weights[0] = 100.0
    for budget_class in ("one_off", "per_stage"):
        problem = random_problem(5, cost=RowCost("l1", weights=weights), budget_class=budget_class)
        found = trust_region(problem, search())
        assert found.cost <= (0.5 if budget_class == "one_off" else 2.0) * (1.0 + 1e-9)
        assert np.abs(found.configuration.reshape(4, 3, 2, 3)[:, 0]).sum() <= 0.005 * 4


@pytest.mark.parametrize("budget_class", ["one_off", "per_stage", "per_row"])
def test_without_budget_nothing_changes(budget_class):
    problem = random_problem(0, budget=0.0, budget_class=budget_class)
    found = trust_region(problem, search()) if budget_class == "one_off" else stages(problem, search())
    assert not found.configuration.any()
    assert found.value == found.nominal_value


def test_rows_of_terminal_states_do_not_change_unless_asked_to():
    kernels = np.broadcast_to([[[0.5, 0.5]], [[0.0, 1.0]]], (3, 2, 1, 2))
    problem = FiniteHorizonTVCMDP(kernels, [[1.0], [0.0]], 1.0, budget=1.0)
    assert problem.changeable.tolist() == [[[True], [False]]] * 3
    assert replace(problem, changeable=np.ones((2, 1), bool)).changeable.all()


@pytest.mark.parametrize("options", [{"budget_class": "one_off"}, {"persistent": True}])
def test_stages_that_are_coupled_are_refused(options):
    with pytest.raises(InvalidOption, match="take 'trust_region' or 'multistart'"):
        stages(random_problem(0, **options), search())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"budget": -1.0}, "budget is -1.0"),
        ({"budget": [1.0, 2.0, float("nan"), 1.0]}, r"budget\[2\] is nan"),
        ({"budget": [1.0, 2.0]}, r"budget has shape \(2,\): give a number, or \(4,\) of them"),
        ({"budget": [1.0] * 4, "budget_class": "one_off"}, "give a number"),
        ({"budget_class": "per_use"}, "give one of per_stage, one_off, per_row"),
        ({"discount": 1.5}, "discount=1.5"),
        ({"discount": float("nan")}, "discount=nan"),
        ({"penalty": -1.0}, "penalty=-1.0"),
        ({"penalty": 1.0, "budget_class": "per_row"}, "give 'per_stage' or 'one_off'"),
        ({"start": [1.0, 0.0]}, "start has shape"),
        ({"start": [0.7, 0.2, 0.0]}, "start is .* give probabilities of sum 1"),
        ({"changeable": np.ones(3)}, "changeable: give bools"),
        ({"persistent": True, "cost": RowCost("kl")}, "give another cost, or an OwnCost"),
    ],
)
def test_what_contradicts_itself_is_refused(options, says):
    with pytest.raises(InvalidOption, match=says):
        random_problem(0, **options)


def test_kernels_and_rewards_of_another_shape_are_refused():
    with pytest.raises(InvalidOption, match=r"give kernels\[t, s, a, s'\]"):
        FiniteHorizonTVCMDP(np.ones((2, 1, 2)) / 2.0, np.ones((2, 1)), 0.9)
    with pytest.raises(InvalidOption, match=r"rewards has shape \(3, 1\): give one of \(2, 1\) or \(5, 2, 1\)"):
        FiniteHorizonTVCMDP(np.full((5, 2, 1, 2), 0.5), np.ones((3, 1)), 0.9)
