"""The convex programs: policy and kernel chosen together where a change is paid for by use, and what a solver cannot do."""

import json
from importlib import resources
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.configurable import SolverFailed
from reworld_baselines.mctvmdp.convex import convex_step
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.programs import StepProgram, flow_program
from reworld_baselines.mctvmdp.tabular import evaluate, occupancy, policy_iteration

KINDS = pytest.mark.parametrize("kind", COSTS)


def random_mdp(seed: int, states: int = 4, actions: int = 2, of_transitions: bool = False) -> MDP:
    rng = np.random.default_rng(seed)
    kernel = rng.dirichlet(np.ones(states), (states, actions))
    rewards = rng.random((states, actions, states) if of_transitions else (states, actions))
    return MDP(kernel, rewards, 0.9, rng.dirichlet(np.ones(states)))


def bounds(mdp: MDP) -> tuple[Any, Any]:
    return -mdp.kernel, 1.0 - mdp.kernel


def true_value(mdp: MDP, flow: Any) -> float:
    return float(mdp.start @ evaluate(mdp.with_kernel(flow.kernel), flow.policy))


def true_cost(mdp: MDP, flow: Any, cost: RowCost) -> float:
    uses = occupancy(mdp.with_kernel(flow.kernel), flow.policy)[:, None] * flow.policy
    return float((uses * cost.of_rows(flow.kernel - mdp.kernel, mdp.kernel)).sum())


def optimum(mdp: MDP) -> float:
    return float(mdp.start @ policy_iteration(mdp).values)


def instances() -> list[Any]:
    files = resources.files("reworld_baselines.mctvmdp") / "instances"
    stored = json.loads((files / "class_b.json").read_text())
    with (files / "class_b.npz").open("rb") as file:
        arrays = dict(np.load(file))
    return [(row, MDP(arrays[f"P_{row['seed']}"], arrays[f"r_{row['seed']}"], stored["gamma"])) for row in stored["rows"]]


class TestFlows:
    @pytest.mark.parametrize(("row", "mdp"), instances())
    def test_instances(self, row: Any, mdp: MDP) -> None:
        flow = flow_program(mdp, RowCost(), row["B"], *bounds(mdp))
        assert flow.value == pytest.approx(row["optimum"], rel=1e-8)
        assert true_value(mdp, flow) == pytest.approx(row["optimum"], rel=1e-8)
        assert true_cost(mdp, flow, RowCost()) == pytest.approx(row["B"], rel=1e-6)
        assert flow.multiplier == pytest.approx(row["lam"], rel=1e-4)

    @KINDS
    @given(seed=st.integers(0, 2**32 - 1), of_transitions=st.booleans(), penalty=st.sampled_from([0.0, 0.1]))
    @settings(max_examples=6, deadline=None)
    def test_what_comes_back_is_worth_and_costs_what_it_says(
        self, kind: str, seed: int, of_transitions: bool, penalty: float
    ) -> None:
        mdp, cost = random_mdp(seed, of_transitions=of_transitions), RowCost(kind)
        flow = flow_program(mdp, cost, 0.5, *bounds(mdp), penalty=penalty)
        assert true_value(mdp, flow) == pytest.approx(flow.value, rel=1e-6)
        assert true_cost(mdp, flow, cost) == pytest.approx(flow.cost, rel=1e-5, abs=1e-6)
        assert flow.cost <= 0.5 * (1.0 + 1e-5)
        assert flow.value - penalty * flow.cost >= optimum(mdp) - 1e-6
        assert (np.sort(flow.policy, axis=1)[:, -1] < 1.0 - 1e-4).sum() <= 1

    @KINDS
    def test_a_lagrangian_dual_proves_that_none_is_better(self, kind: str) -> None:
        """At any price, the optimum of the process that pays it and the price of the budget are together no less."""
        mdp, cost = random_mdp(3), RowCost(kind)
        flow = flow_program(mdp, cost, 0.5, *bounds(mdp))
        rows = mdp.kernel.reshape(-1, mdp.states)
        low, high = (bound.reshape(rows.shape) for bound in bounds(mdp))
        values = np.zeros(mdp.states)
        for _ in range(300):
            slopes = np.tile(mdp.discount * values, (len(rows), 1))
            change = convex_step(slopes, rows, cost, None, low, high, flow.multiplier).change.reshape(mdp.kernel.shape)
            spent = flow.multiplier * cost.of_rows(change, mdp.kernel)
            values = (mdp.rewards - spent + mdp.discount * (mdp.kernel + change) @ values).max(axis=1)
        assert mdp.start @ values + flow.multiplier * 0.5 == pytest.approx(flow.value, rel=1e-6)

    @KINDS
    def test_nothing_to_spend_is_the_nominal_process(self, kind: str) -> None:
        mdp = random_mdp(4)
        flow = flow_program(mdp, RowCost(kind), 0.0, *bounds(mdp))
        assert true_value(mdp, flow) == pytest.approx(optimum(mdp), rel=1e-5)

    @KINDS
    def test_any_amount_to_spend_is_the_best_kernel_within_the_bounds(self, kind: str) -> None:
        mdp = random_mdp(5)
        flow = flow_program(mdp, RowCost(kind), None, *bounds(mdp))
        # Every row may lead to the best state for certain, and every action to where another is best.
        best = np.zeros(mdp.states)
        for _ in range(500):
            best = mdp.rewards.max(axis=1) + mdp.discount * best.max()
        assert flow.value == pytest.approx(mdp.start @ best, rel=1e-6)
        assert flow.multiplier == 0.0

    def test_rows_that_must_stay_do(self) -> None:
        mdp = random_mdp(6)
        low, high = bounds(mdp)
        low[:, 0], high[:, 0] = 0.0, 0.0
        flow = flow_program(mdp, RowCost("l1"), 1.0, low, high)
        np.testing.assert_allclose(flow.kernel[:, 0], mdp.kernel[:, 0], atol=1e-9)
        assert flow.value > optimum(mdp) + 1e-3

    def test_what_is_not_used_keeps_its_kernel(self) -> None:
        mdp = random_mdp(7)
        flow = flow_program(mdp, RowCost("l1"), 1.0, *bounds(mdp))
        unused = flow.policy == 0.0
        assert unused.any()
        np.testing.assert_array_equal(flow.kernel[unused], mdp.kernel[unused])

    def test_rows_cost_by_their_weights(self) -> None:
        mdp = random_mdp(8)
        one = flow_program(mdp, RowCost("quadratic"), 0.5, *bounds(mdp))
        other = flow_program(mdp, RowCost("quadratic", weights=np.full((4, 2), 2.0)), 1.0, *bounds(mdp))
        assert other.value == pytest.approx(one.value, rel=1e-7)
        assert other.cost == pytest.approx(2.0 * one.cost, rel=1e-5)

    def test_a_cost_of_ones_own_has_no_known_perspective(self) -> None:
        mdp, own = random_mdp(9), OwnCost(lambda change, kernel: cp.norm1(change, axis=1))
        with pytest.raises(InvalidOption, match="leave out OwnCost"):
            flow_program(mdp, own, 1.0, *bounds(mdp))  # type: ignore[arg-type]


class TestStepPrograms:
    @KINDS
    def test_one_program_serves_many_steps(self, kind: str) -> None:
        rng = np.random.default_rng(0)
        nominal = rng.dirichlet(np.ones(4), 3)
        program, cost = StepProgram(nominal, RowCost(kind)), RowCost(kind)
        for budget in (0.1, 0.4):
            slopes = rng.normal(size=nominal.shape)
            solved = program.solve(slopes, -nominal, 1.0 - nominal, budget)
            step = convex_step(slopes, nominal, cost, budget, -nominal, 1.0 - nominal)
            assert solved.objective == pytest.approx(step.objective, rel=1e-7)
            assert solved.multiplier == pytest.approx(step.multiplier, rel=1e-3)

    @KINDS
    def test_are_compiled_once(self, kind: str) -> None:
        program = StepProgram(np.full((2, 2), 0.5), RowCost(kind))
        assert program.problem.is_dcp(dpp=True)

    def test_say_that_bounds_are_infeasible(self) -> None:
        nominal = np.full((1, 2), 0.5)
        with pytest.raises(SolverFailed, match=r"infeasible.*widen the bounds"):
            StepProgram(nominal, RowCost()).solve(nominal, nominal, 2.0 * nominal)

    @pytest.mark.parametrize("budget", [0.0, 1e-12])
    def test_a_budget_below_the_precision_of_the_solver_is_kept(self, budget: float) -> None:
        nominal = np.full((2, 3), 1 / 3)
        cost = OwnCost(lambda change, rows: cp.sum(cp.abs(change), axis=1))
        slopes = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])
        step = StepProgram(nominal, cost).solve(slopes, -nominal, 1.0 - nominal, budget)
        assert cost.of_rows(step.change, nominal).sum() <= budget

    @pytest.mark.parametrize("slope", [0.0, 1.0])
    def test_a_budget_that_is_more_than_can_be_spent_is_none(self, slope: float) -> None:
        nominal = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
        cost = OwnCost(lambda change, rows: cp.sum(cp.square(change), axis=1), lambda change, rows: [change <= 0.2])
        slopes = slope * np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        step = StepProgram(nominal, cost).solve(slopes, -0.5 * nominal, 0.3 * (1.0 - nominal), 1e9)
        assert step.objective == pytest.approx(0.8 * slope, abs=1e-7)
