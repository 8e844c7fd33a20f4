"""Bounds of what one budget can buy, and of what a linearisation misses."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

from reworld_baselines.mctvmdp.bounds import flow_bound, rectangular_bound, remainder_bounds, upper_bound
from reworld_baselines.mctvmdp.configurable import solve_at
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP
from reworld_baselines.mctvmdp.instances import load, names
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.parametric import mixture
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.tabular import evaluate, kernel_slopes, policy_iteration
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP

ONE_OFF = [name for name in names() if name.startswith(("two_doors", "random_s6a2", "stepping_stones5", "random_s20a4"))]


def random_mdp(seed, states=4, actions=2, of_transitions=False):
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(states, actions, states) if of_transitions else (states, actions))
    return MDP(rng.dirichlet(np.full(states, 0.7), (states, actions)), rewards, 0.9)


def search():
    return Search("test", quiet=True)


@pytest.mark.parametrize("name", ONE_OFF)
def test_the_rectangular_bound_is_the_stored_one(name):
    instance = load(name)
    assert rectangular_bound(instance.problem, search()) == pytest.approx(instance.known["upper_bound_rect"], rel=1e-9)


@pytest.mark.parametrize("name", [name for name in ONE_OFF if "s20" not in name])
def test_the_flow_bound_is_between_the_best_known_value_and_the_rectangular_bound(name):
    instance = load(name)
    bound = flow_bound(instance.problem, search())
    assert instance.best_known - 1e-9 <= bound <= instance.known["upper_bound_rect"] * (1.0 + 1e-12)


def test_the_flow_bound_of_a_small_budget_is_much_tighter():
    problem = replace(load("random_s6a2:B=0.5").problem, budget=1.0)
    assert 13.38 < flow_bound(problem, search()) < 13.64
    assert rectangular_bound(problem, search()) == pytest.approx(14.19, abs=0.005)


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("tiny_s2")][::5])
def test_no_bound_is_below_a_certified_optimum(name):
    instance = load(name)
    assert flow_bound(instance.problem, search()) >= instance.best_known - 1e-9


def test_no_feasible_change_is_worth_more_than_a_bound():
    rng = np.random.default_rng(0)
    problem = TVCMDP(random_mdp(0), RowCost("l1"), 0.5)
    bound = flow_bound(problem, search())
    values = [solve_at(problem, problem.decode(rng.random(problem.dimension)), search()).value for _ in range(50)]
    assert max(values) <= bound


def test_where_no_weights_are_possible_or_no_budget_is_given_the_flow_bound_is_the_rectangular_one():
    own = TVCMDP(random_mdp(3), OwnCost(lambda change, rows: cp.sum(cp.square(change), axis=1)), 100.0)
    assert flow_bound(own, search()) == pytest.approx(rectangular_bound(own, search()), rel=1e-9)
    free = TVCMDP(random_mdp(0), RowCost())
    assert flow_bound(free, search()) == rectangular_bound(free, search())


def test_no_bound_is_known_of_kernels_of_other_numbers_of_changes_that_persist_or_of_costs_of_ones_own():
    kernels = np.stack([random_mdp(0).kernel, random_mdp(1).kernel])
    own = OwnCost(lambda change, rows: cp.sum(cp.square(change), axis=1))
    problems = [
        mixture(kernels, np.zeros((4, 2)), 0.9),
        TVCMDP(random_mdp(0), own, 1.0),
        FiniteHorizonTVCMDP(kernels, np.zeros((4, 2)), 0.9, cost=own, budget=1.0),
        FiniteHorizonTVCMDP(kernels, np.zeros((4, 2)), 0.9, budget=1.0, persistent=True),
    ]
    assert [upper_bound(problem, search()) for problem in problems] == [None] * 4


@pytest.mark.parametrize("of_transitions", [False, True])
def test_what_a_linearisation_misses_is_within_all_bounds(of_transitions):
    for seed in range(100):
        mdp, rng = random_mdp(seed, of_transitions=of_transitions), np.random.default_rng(seed)
        policy = policy_iteration(mdp).policy
        share = rng.random()
        kernel = (1.0 - share) * mdp.kernel + share * rng.dirichlet(np.full(4, 0.5), (4, 2))
        known = remainder_bounds(mdp, policy, kernel)
        remainder = known.value - known.linear
        assert abs(remainder) <= known.a_posteriori <= known.a_priori * (1.0 + 1e-12)
        assert known.a_priori <= known.coarse * (1.0 + 1e-12)
        slopes, values = kernel_slopes(mdp, policy), evaluate(mdp, policy)
        linear = float(mdp.start @ values + (slopes * (kernel - mdp.kernel)).sum())
        assert known.linear == pytest.approx(linear, rel=1e-10, abs=1e-10)
        # The remainder is discount * d @ x @ (V' - V), exactly.
        states = np.arange(4)
        chain = mdp.kernel[states, policy]
        visits = np.linalg.solve(np.eye(4) - 0.9 * chain.T, mdp.start)
        x = (kernel - mdp.kernel)[states, policy]
        exact = 0.9 * visits @ x @ (evaluate(mdp.with_kernel(kernel), policy) - values)
        assert remainder == pytest.approx(exact, rel=1e-9, abs=1e-11)
