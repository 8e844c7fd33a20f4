"""The convex step: it is within its bounds and budget, it is the best such step, and it is what a solver finds."""

import json
import math
from importlib import resources
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.convex import convex_step, row_steps
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.programs import StepProgram

KINDS = pytest.mark.parametrize("kind", COSTS)
SEEDS = st.integers(0, 2**32 - 1)


class Task(NamedTuple):
    """Some rows with their bounds: low <= centre <= high, and the centre keeps the rows' sums."""

    slopes: Any
    nominal: Any
    low: Any
    high: Any
    weights: Any
    centre: Any


def draw_task(seed: int, kind: str, boxed: bool) -> Task:
    """Rows with impossible transitions, equal slopes and free rows among them; a box may exclude that nothing changes."""
    rng = np.random.default_rng(seed)
    n, states = rng.integers(1, 5), rng.integers(2, 6)
    nominal = rng.dirichlet(np.ones(states), n) * (rng.random((n, states)) < 0.8)
    nominal[:, 0] += 0.05
    nominal /= nominal.sum(axis=1, keepdims=True)
    slopes = rng.normal(size=(n, states))
    if rng.random() < 0.3:
        slopes = np.round(slopes)
    weights = rng.choice([0.3, 1.0, 2.5], n)
    low, high, centre = -nominal, 1.0 - nominal, np.zeros((n, states))
    if kind == "kl":
        high = np.where(nominal > 0.0, high, 0.0)
    if boxed:
        other = nominal * rng.random((n, states)) + 1e-3 * nominal
        centre = rng.choice([0.0, 0.8]) * (other / other.sum(axis=1, keepdims=True) - nominal)
        centre -= nominal / nominal.sum(axis=1, keepdims=True) * centre.sum(axis=1, keepdims=True)
        radius = rng.uniform(0.01, 0.3)
        low, high = np.maximum(low, centre - radius), np.minimum(high, centre + radius)
    return Task(slopes, nominal, low, high, weights, centre)


def draw_budget(seed: int, cost: RowCost, task: Task) -> float:
    """A budget that the centre is within."""
    spread = 10.0 ** np.random.default_rng(seed).uniform(-3.0, 1.0)
    return float(task.weights @ cost.of_rows(task.centre, task.nominal) + spread)


def instances() -> list[Any]:
    files = resources.files("reworld_baselines.mctvmdp") / "instances"
    rows = json.loads((files / "convex_step.json").read_text())["rows"]
    with (files / "convex_step.npz").open("rb") as file:
        arrays = dict(np.load(file))
    return [(row, arrays[f"G_{row['S']}_{row['seed']}"], arrays[f"P0_{row['S']}_{row['seed']}"]) for row in rows]


class TestInstances:
    @pytest.mark.parametrize(("row", "slopes", "nominal"), instances())
    def test_exponential(self, row: Any, slopes: Any, nominal: Any) -> None:
        cost = RowCost(scale=row["alpha"], rate=row["beta"])
        step = convex_step(slopes, nominal, cost, row["B"], -nominal, 1.0 - nominal)
        assert step.objective == pytest.approx(row["objective"], rel=1e-12)
        assert step.multiplier == pytest.approx(row["multiplier"], rel=1e-9)
        assert cost.of_rows(step.change, nominal).sum() <= row["B"] * (1.0 + 1e-12)
        assert np.abs(step.change.sum(axis=1)).max() <= 1e-14
        assert (nominal + step.change).min() >= -1e-15

    @pytest.mark.parametrize(("row", "slopes", "nominal"), instances())
    def test_l1(self, row: Any, slopes: Any, nominal: Any) -> None:
        step = convex_step(slopes, nominal, RowCost("l1"), row["l1_budget"], -nominal, 1.0 - nominal)
        assert step.objective == pytest.approx(row["l1_objective"], rel=1e-12)


class TestWhatHoldsOfEveryStep:
    @KINDS
    @given(seed=SEEDS, boxed=st.booleans(), penalty=st.sampled_from([0.0, 0.3]))
    @settings(max_examples=60, deadline=None)
    def test_it_is_a_kernel_within_bounds_and_budget(self, kind: str, seed: int, boxed: bool, penalty: float) -> None:
        boxed = boxed and kind != "wasserstein"
        cost, task = RowCost(kind), draw_task(seed, kind, boxed)
        budget = draw_budget(seed, cost, task)
        step = convex_step(task.slopes, task.nominal, cost, budget, task.low, task.high, penalty, task.weights)
        assert np.abs(step.change.sum(axis=1)).max() <= 1e-14
        assert (step.change >= task.low - 1e-15).all()
        assert (step.change <= task.high + 1e-15).all()
        spent = task.weights @ cost.of_rows(step.change, task.nominal)
        assert spent <= budget * (1.0 + 1e-12)
        worth = (task.slopes * step.change).sum() - penalty * spent
        assert step.objective == pytest.approx(worth, rel=1e-9, abs=1e-12)
        # A price above 0 says that no budget is left, which is lost if the wrong end of a search comes back.
        assert step.multiplier == 0.0 or spent >= budget * (1.0 - 1e-9)

    @KINDS
    @given(seed=SEEDS, boxed=st.booleans(), penalty=st.sampled_from([0.0, 0.3]))
    @settings(max_examples=60, deadline=None)
    def test_its_multiplier_proves_that_none_is_better(self, kind: str, seed: int, boxed: bool, penalty: float) -> None:
        """Weak duality: at any price, the best of the penalised steps and the price of the budget are together no less."""
        boxed = boxed and kind != "wasserstein"
        cost, task = RowCost(kind), draw_task(seed, kind, boxed)
        budget = draw_budget(seed, cost, task)
        step = convex_step(task.slopes, task.nominal, cost, budget, task.low, task.high, penalty, task.weights)
        assume(step.multiplier < math.inf)
        priced = convex_step(
            task.slopes, task.nominal, cost, None, task.low, task.high, penalty + step.multiplier, task.weights
        )
        assert step.objective == pytest.approx(priced.objective + step.multiplier * budget, rel=1e-10, abs=1e-10)

    @KINDS
    @given(seed=SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_without_a_budget_nothing_changes(self, kind: str, seed: int) -> None:
        task = draw_task(seed, kind, boxed=False)
        step = convex_step(task.slopes, task.nominal, RowCost(kind), 0.0, task.low, task.high)
        np.testing.assert_array_equal(step.change, 0.0)
        assert step.objective == 0.0

    @KINDS
    @given(seed=SEEDS)
    @settings(max_examples=20, deadline=None)
    def test_rows_of_equal_slopes_stay(self, kind: str, seed: int) -> None:
        task = draw_task(seed, kind, boxed=False)
        task.slopes[0] = 0.7
        for budget in (0.1, None):
            step = convex_step(task.slopes, task.nominal, RowCost(kind), budget, task.low, task.high)
            np.testing.assert_array_equal(step.change[0], 0.0)

    @KINDS
    @given(seed=SEEDS, shift=st.floats(-1e3, 1e3))
    @settings(max_examples=20, deadline=None)
    def test_a_constant_is_worth_nothing_to_a_row(self, kind: str, seed: int, shift: float) -> None:
        task = draw_task(seed, kind, boxed=False)
        one, other = (
            convex_step(slopes, task.nominal, RowCost(kind), 0.5, task.low, task.high)
            for slopes in (task.slopes, task.slopes + shift)
        )
        assert (task.slopes * other.change).sum() == pytest.approx(one.objective, rel=1e-8, abs=1e-9)

    @KINDS
    def test_the_same_whatever_the_units(self, kind: str) -> None:
        task = draw_task(7, kind, boxed=False)
        one = convex_step(task.slopes, task.nominal, RowCost(kind), 0.2, task.low, task.high)
        for unit in (1e-9, 1e9):
            other = convex_step(unit * task.slopes, task.nominal, RowCost(kind, scale=unit), unit * 0.2, task.low, task.high)
            np.testing.assert_allclose(other.change, one.change, rtol=1e-9, atol=1e-12)

    @KINDS
    def test_a_tiny_budget_is_spent_on_the_best(self, kind: str) -> None:
        """Where costs begin in proportion, a budget is worth its multiplier; the others are worth more at first."""
        task = draw_task(3, kind, boxed=False)
        cost = RowCost(kind)
        step = convex_step(task.slopes, task.nominal, cost, 1e-10, task.low, task.high)
        assert cost.of_rows(step.change, task.nominal).sum() == pytest.approx(1e-10, rel=1e-6)
        share = {"exponential": 1.0, "l1": 1.0, "wasserstein": 1.0, "quadratic": 0.5, "kl": 0.5}[kind]
        assert step.multiplier * 1e-10 == pytest.approx(share * step.objective, rel=1e-3)

    @KINDS
    def test_budgets_that_suffice_cost_nothing(self, kind: str) -> None:
        task = draw_task(5, kind, boxed=False)
        any_amount = convex_step(task.slopes, task.nominal, RowCost(kind), None, task.low, task.high)
        plenty = convex_step(task.slopes, task.nominal, RowCost(kind), 1e9, task.low, task.high)
        np.testing.assert_array_equal(plenty.change, any_amount.change)
        assert plenty.multiplier == any_amount.multiplier == 0.0
        best = np.where(task.high + task.nominal > 0.0, task.slopes, -math.inf).max(axis=1)
        assert any_amount.objective == pytest.approx((best - (task.nominal * task.slopes).sum(axis=1)).sum())

    @pytest.mark.parametrize("kind", ["exponential", "quadratic"])
    def test_of_equally_good_changes_the_cheapest(self, kind: str) -> None:
        """Else a budget that suffices would seem not to."""
        nominal, slopes = np.array([[0.2, 0.2, 0.6]]), np.array([[1.0, 1.0, 0.0]])
        step = convex_step(slopes, nominal, RowCost(kind), None, -nominal, 1.0 - nominal)
        np.testing.assert_allclose(step.change, [[0.3, 0.3, -0.6]], atol=1e-12)

    def test_rows_that_cost_nothing_are_changed_freely(self) -> None:
        nominal = np.full((2, 2), 0.5)
        step = convex_step(
            np.array([[1.0, 0.0], [1.0, 0.0]]), nominal, RowCost("l1"), 0.4, -nominal, nominal, weights=np.array([0.0, 1.0])
        )
        np.testing.assert_allclose(step.change, [[0.5, -0.5], [0.2, -0.2]])

    def test_costs_of_rate_zero_are_none(self) -> None:
        nominal = np.full((1, 2), 0.5)
        step = convex_step(np.array([[1.0, 0.0]]), nominal, RowCost(rate=0.0), 0.0, -nominal, nominal)
        np.testing.assert_allclose(step.change, [[0.5, -0.5]])


class TestAgainstASolver:
    @KINDS
    @given(seed=SEEDS, boxed=st.booleans(), penalty=st.sampled_from([0.0, 0.3]))
    @settings(max_examples=12, deadline=None)
    def test_no_step_of_a_solver_is_better(self, kind: str, seed: int, boxed: bool, penalty: float) -> None:
        boxed = boxed and kind != "wasserstein"
        cost, task = RowCost(kind), draw_task(seed, kind, boxed)
        budget = draw_budget(seed, cost, task)
        step = convex_step(task.slopes, task.nominal, cost, budget, task.low, task.high, penalty, task.weights)
        solved = StepProgram(task.nominal, cost, task.weights).solve(task.slopes, task.low, task.high, budget, penalty)
        # The solver's own tolerance is on its side only: it may fall short.
        assert step.objective >= solved.objective - 1e-9 * max(1.0, abs(solved.objective))
        assert step.objective == pytest.approx(solved.objective, rel=1e-5, abs=1e-5)

    @given(seed=SEEDS)
    @settings(max_examples=10, deadline=None)
    def test_any_metric(self, seed: int) -> None:
        task = draw_task(seed, "wasserstein", boxed=False)
        points = np.random.default_rng(seed).random((task.nominal.shape[1], 2))
        cost = RowCost("wasserstein", metric=np.linalg.norm(points[:, None] - points[None], axis=2))
        step = convex_step(task.slopes, task.nominal, cost, 0.2, task.low, task.high)
        solved = StepProgram(task.nominal, cost).solve(task.slopes, task.low, task.high, 0.2)
        assert step.objective == pytest.approx(solved.objective, rel=1e-9)
        assert cost.of_rows(step.change, task.nominal).sum() <= 0.2 * (1.0 + 1e-9)

    def test_a_box_of_all_laws_is_none(self) -> None:
        """Around a row that is all in one state, too, where such a box misses the bounds of a law by rounding."""
        task = draw_task(1, "wasserstein", boxed=False)
        cost = RowCost("wasserstein")
        centre = convex_step(task.slopes, task.nominal, cost, None, task.low, task.high).change
        low, high = np.maximum(task.low, centre - 1.0), np.minimum(task.high, centre + 1.0)
        boxed, free = (
            convex_step(task.slopes, task.nominal, cost, 0.2, *bounds) for bounds in ((low, high), (task.low, task.high))
        )
        np.testing.assert_allclose(boxed.change, free.change, atol=1e-14)

    def test_a_wasserstein_cost_within_a_box_is_a_linear_program(self) -> None:
        nominal, slopes = np.full((1, 4), 0.25), np.array([[0.0, 1.0, 2.0, 4.0]])
        # From 2 to 3 a unit of way is worth 2, and then from 1 to 3 it is worth 1.5.
        free = convex_step(slopes, nominal, RowCost("wasserstein"), 0.3, -nominal, 1.0 - nominal)
        assert free.objective == pytest.approx(0.25 * 2.0 + 0.05 * 1.5, rel=1e-12)
        # Only 0.1 may come to 3 and to 2 each, for a way of 0.2 at least: the best vertices spend 0.2 for 0.3, or 0.4 for 0.5.
        boxed = convex_step(slopes, nominal, RowCost("wasserstein"), 0.3, np.full((1, 4), -0.1), np.full((1, 4), 0.1))
        assert boxed.objective == pytest.approx(0.4, abs=1e-9)
        assert np.abs(boxed.change).max() <= 0.1


class TestPrices:
    @given(seed=SEEDS)
    @settings(max_examples=40, deadline=None)
    def test_an_entry_is_worth_its_price(self, seed: int) -> None:
        """Stationarity: slope less the row's number is the price of what an entry that is free to move costs more."""
        task = draw_task(seed, "exponential", boxed=False)
        cost = RowCost(scale=0.7, rate=2.0)
        step = convex_step(task.slopes, task.nominal, cost, 0.5, task.low, task.high, weights=task.weights)
        assume(0.0 < step.multiplier < math.inf)
        marginal = step.multiplier * task.weights[:, None] * 0.7 * 2.0 * np.exp(2.0 * np.abs(step.change))
        for i, row in enumerate(step.change):
            moves = (np.abs(row) > 1e-9) & (row > task.low[i] + 1e-9) & (row < task.high[i] - 1e-9)
            numbers = (task.slopes[i] - np.sign(row) * marginal[i])[moves]
            if len(numbers):
                np.testing.assert_allclose(numbers, numbers[0], atol=1e-7)


class TestBudgetsOfRows:
    @KINDS
    @given(seed=SEEDS, penalty=st.sampled_from([0.0, 0.3]))
    @settings(max_examples=20, deadline=None)
    def test_each_row_is_a_step_of_its_own(self, kind: str, seed: int, penalty: float) -> None:
        task, cost = draw_task(seed, kind, boxed=False), RowCost(kind)
        budgets = np.random.default_rng(seed).choice([0.0, 0.1, 1.0, math.inf], len(task.nominal))
        together = row_steps(task.slopes, task.nominal, cost, budgets, task.low, task.high, penalty, task.weights)
        for i, budget in enumerate(budgets):
            k = slice(i, i + 1)
            alone = convex_step(
                task.slopes[k], task.nominal[k], cost, budget, task.low[k], task.high[k], penalty, task.weights[k]
            )
            np.testing.assert_array_equal(together.change[k], alone.change)
            assert together.multiplier[i] == alone.multiplier
            assert together.objective[i] == pytest.approx(alone.objective, rel=1e-12, abs=1e-15)

    def test_one_number_is_the_budget_of_every_row(self) -> None:
        nominal = np.full((2, 2), 0.5)
        step = row_steps(np.array([[1.0, 0.0], [0.0, 3.0]]), nominal, RowCost("l1"), 0.4, -nominal, nominal)
        np.testing.assert_allclose(step.change, [[0.2, -0.2], [-0.2, 0.2]])
        np.testing.assert_allclose(step.multiplier, [0.5, 1.5])

    def test_rows_of_a_cost_of_ones_own(self) -> None:
        task = draw_task(11, "l1", boxed=False)
        own = OwnCost(lambda change, kernel: cp.norm1(change, axis=1))
        budgets = np.full(len(task.nominal), 0.3)
        budgets[0] = math.inf
        mine = row_steps(task.slopes, task.nominal, own, budgets, task.low, task.high)
        closed = row_steps(task.slopes, task.nominal, RowCost("l1"), budgets, task.low, task.high)
        np.testing.assert_allclose(mine.objective, closed.objective, atol=1e-7)


class TestOwnCosts:
    @given(seed=SEEDS)
    @settings(max_examples=8, deadline=None)
    def test_are_solved_for(self, seed: int) -> None:
        task = draw_task(seed, "quadratic", boxed=False)
        own = OwnCost(lambda change, kernel: cp.sum(cp.square(change), axis=1))
        mine = convex_step(task.slopes, task.nominal, own, 0.1, task.low, task.high)
        closed = convex_step(task.slopes, task.nominal, RowCost("quadratic"), 0.1, task.low, task.high)
        assert mine.objective == pytest.approx(closed.objective, rel=1e-6)
        assert own.of_rows(mine.change, task.nominal).sum() <= 0.1 * (1.0 + 1e-12)

    def test_come_with_constraints(self) -> None:
        nominal = np.full((2, 2), 0.5)
        own = OwnCost(lambda change, kernel: cp.norm1(change, axis=1), lambda change, kernel: [change[0] == change[1]])
        step = convex_step(np.array([[3.0, 0.0], [0.0, 1.0]]), nominal, own, None, -nominal, nominal)
        np.testing.assert_allclose(step.change, [[0.5, -0.5], [0.5, -0.5]], atol=1e-7)


class TestWhatIsRefused:
    @KINDS
    @pytest.mark.parametrize("low", [0.1, -0.1])
    def test_bounds_between_which_no_row_sums_to_zero(self, kind: str, low: float) -> None:
        nominal = np.full((1, 2), 0.5)
        bounds = np.full((1, 2), low), np.full((1, 2), low + 0.05)
        if kind == "wasserstein":
            bounds = bounds[0] - 1.0, bounds[1] - 1.0
        with pytest.raises((InvalidOption, RuntimeError), match=r"No change is within the bounds|infeasible"):
            convex_step(np.ones((1, 2)), nominal, RowCost(kind), 1.0, *bounds)

    @pytest.mark.parametrize("kind", ["exponential", "l1", "quadratic", "kl"])
    def test_a_budget_that_the_bounds_overspend(self, kind: str) -> None:
        nominal = np.full((1, 2), 0.5)
        low, high = np.array([[0.2, -0.5]]), np.array([[0.5, 0.5]])
        with pytest.raises(InvalidOption, match=r"at most budget=0\.001"):
            convex_step(np.array([[0.0, 1.0]]), nominal, RowCost(kind), 1e-3, low, high)

    def test_weights_of_other_rows(self) -> None:
        nominal = np.full((2, 2), 0.5)
        with pytest.raises(InvalidOption, match="1 weights of the cost, and 2 rows"):
            convex_step(nominal, nominal, RowCost(weights=[[1.0]]), 1.0, -nominal, nominal)
