"""Problems that are configured once: what they refuse, and what a change of the kernel means."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.configurable import slopes_at, solve_at
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP, changed, largest_share


def random_mdp(seed, states=4, actions=2, of_transitions=False):
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(states, actions, states) if of_transitions else (states, actions))
    return MDP(rng.dirichlet(np.full(states, 0.7), (states, actions)), rewards, 0.9)


def search():
    return Search("test", quiet=True)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("budget", -1.0, "budget is -1.0: give a finite number of at least 0"),
        ("budget", float("nan"), "budget is nan"),
        ("budget", float("inf"), "or None for any amount"),
        ("budget", "much", "budget='much' is no number"),
        ("budget", [1.0, 2.0], r"budget has shape \(2,\): give a number"),
        ("budget_class", "per_day", "give one of one_off, per_use, per_row"),
        ("penalty", -0.1, "penalty=-0.1"),
        ("penalty", float("nan"), "penalty=nan"),
        ("penalty", "dear", "penalty='dear': give a finite number of at least 0"),
        ("changeable", np.ones(4), "give bools of shape"),
        ("changeable", np.ones(4, bool), "give bools of shape"),
        ("low", np.zeros(3), r"low has shape \(3,\)"),
        ("high", float("nan"), "high is nan"),
    ],
)
def test_what_contradicts_itself_is_refused(field, value, says):
    with pytest.raises(InvalidOption, match=says):
        TVCMDP(random_mdp(0), RowCost(), **{field: value})


def test_a_budget_of_a_row_that_is_none_is_named_by_its_row():
    budgets = np.ones((4, 2))
    budgets[2, 1] = -3.0
    with pytest.raises(InvalidOption, match=r"budget\[2, 1\] is -3.0"):
        TVCMDP(random_mdp(0), RowCost(), budgets, "per_row")


def test_bounds_that_the_nominal_kernel_misses_are_named_by_row_and_value():
    mdp = random_mdp(0)
    high = np.ones(mdp.kernel.shape)
    high[1, 0, 2] = 0.5 * mdp.kernel[1, 0, 2]
    with pytest.raises(InvalidOption, match=rf"bounds of kernel\[1, 0, 2\] are 0 and {high[1, 0, 2]:g}, and it is"):
        TVCMDP(mdp, RowCost(), 1.0, high=high)


def test_a_penalty_does_not_go_with_budgets_of_rows():
    with pytest.raises(InvalidOption, match="which with budget_class='per_row' it is not"):
        TVCMDP(random_mdp(0), RowCost(), 1.0, "per_row", penalty=0.1)


def test_a_stack_is_refused():
    kernel = random_mdp(0).kernel
    for stack in (MDP(np.stack([kernel] * 2), np.zeros((4, 2)), 0.9), MDP(kernel, np.zeros((5, 4, 2)), 0.9)):
        with pytest.raises(InvalidOption, match="give a single MDP"):
            TVCMDP(stack, RowCost(), 1.0)


def test_a_kernel_alone_is_no_process():
    with pytest.raises(InvalidOption, match="mdp is of class ndarray: give an MDP"):
        TVCMDP(random_mdp(0).kernel, RowCost(), 1.0)


def test_a_cost_is_more_than_a_name():
    with pytest.raises(InvalidOption, match=r"cost='l1': give a RowCost"):
        TVCMDP(random_mdp(0), "l1", 1.0)


def test_rows_of_terminal_states_do_not_change_unless_asked_to():
    kernel = np.array([[[0.5, 0.5]], [[0.0, 1.0]]])
    mdp = MDP(kernel, np.array([[1.0], [0.0]]), 0.9)
    assert TVCMDP(mdp, RowCost(), 1.0).changeable.tolist() == [[True], [False]]
    assert TVCMDP(mdp, RowCost(), 1.0, changeable=np.ones((2, 1), bool)).changeable.all()
    # One that goes on paying is no end.
    assert TVCMDP(replace(mdp, rewards=np.ones((2, 1))), RowCost(), 1.0).changeable.all()


def test_what_is_impossible_stays_so_where_that_is_asked_for():
    kernel = random_mdp(0).kernel.copy()
    kernel[1, 0] = [0.5, 0.5, 0.0, 0.0]
    kept = TVCMDP(MDP(kernel, np.zeros((4, 2)), 0.9), RowCost("l1"), 4.0, keep_support=True)
    slopes = np.tile([0.0, 0.0, 1.0, 1.0], 8)
    assert not kept.best(slopes).reshape(kernel.shape)[1, 0].any()
    assert replace(kept, keep_support=False).best(slopes).reshape(kernel.shape)[1, 0].any()


@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize("budget_class", ["one_off", "per_row"])
def test_without_budget_nothing_changes(kind, budget_class):
    problem = TVCMDP(random_mdp(1), RowCost(kind), 0.0, budget_class)
    assert not problem.best(np.random.default_rng(0).normal(size=problem.dimension)).any()


@given(st.integers(0, 10**6), st.sampled_from(COSTS), st.sampled_from([0.1, 1.0, 10.0]), st.booleans())
def test_the_best_change_is_a_law_within_the_budget_and_the_region(seed, kind, budget, keep_support):
    mdp, rng = random_mdp(seed), np.random.default_rng(seed)
    problem = TVCMDP(mdp, RowCost(kind), budget, keep_support=keep_support, changeable=rng.random((4, 2)) < 0.7)
    slopes = rng.normal(size=problem.dimension)
    best = problem.best(slopes)
    assert problem.price(best) <= budget * (1.0 + 1e-9)
    near = problem.best(slopes, 0.5 * best, 0.1)
    for change in (best, near):
        kernel = problem.model(change).kernel
        assert kernel.min() >= 0.0
        np.testing.assert_allclose(kernel, mdp.kernel + change.reshape(kernel.shape), rtol=0, atol=1e-12)
        assert not change.reshape(kernel.shape)[~problem.changeable].any()
    assert np.abs(near - 0.5 * best).max() <= 0.1 + 1e-12
    assert slopes @ best >= slopes @ near - 1e-9 >= slopes @ (0.5 * best) - 2e-9


def test_a_budget_for_each_row_is_what_the_dearest_row_costs():
    problem = TVCMDP(random_mdp(2), RowCost("quadratic"), 0.05, "per_row")
    change = problem.best(np.random.default_rng(0).normal(size=problem.dimension))
    np.testing.assert_allclose(problem.row_prices(change), 0.05, rtol=1e-9)
    assert problem.price(change) == problem.row_prices(change).max()
    assert replace(problem, budget_class="one_off").price(change) == pytest.approx(8 * 0.05)


def test_with_a_budget_per_use_no_change_is_best_without_a_policy():
    problem = TVCMDP(random_mdp(0), RowCost(), 1.0, "per_use")
    with pytest.raises(InvalidOption, match="take the method 'dual' or 'flow'"):
        problem.best(problem.nominal)


def test_a_change_that_leaves_no_law_is_refused():
    kernel = random_mdp(0).kernel
    change = np.zeros(kernel.shape)
    change[3, 1] = [0.5, -2.0, 1.0, 0.5]
    with pytest.raises(InvalidOption, match=r"Row \[3, 1\] of the kernel becomes"):
        changed(kernel, change)
    change[3, 1] = [0.5, 0.0, 0.0, 0.0]
    with pytest.raises(InvalidOption, match="give a change that leaves a law"):
        changed(kernel, change)


@pytest.mark.parametrize("of_transitions", [False, True])
def test_slopes_are_those_of_the_optimal_value(of_transitions):
    mdp = random_mdp(3, of_transitions=of_transitions)
    problem, rng = TVCMDP(mdp, RowCost(), 1.0), np.random.default_rng(1)
    at = 0.3 * problem.best(rng.normal(size=problem.dimension))
    slopes = slopes_at(problem, solve_at(problem, at, search()))
    direction = rng.normal(size=mdp.kernel.shape)
    direction = (direction - direction.mean(axis=-1, keepdims=True)).reshape(-1) * 1e-6
    values = [solve_at(problem, at + sign * direction, search()).value for sign in (-1.0, 1.0)]
    assert (values[1] - values[0]) / 2.0 == pytest.approx(slopes @ direction, rel=1e-6)


def test_any_point_of_the_cube_is_a_change_within_the_budget():
    problem = TVCMDP(random_mdp(4), RowCost(), 2.0)
    for point in np.random.default_rng(0).random((20, problem.dimension)):
        assert problem.price(problem.decode(point)) == pytest.approx(2.0)


def test_a_cost_of_ones_own_is_as_the_one_that_it_repeats():
    own = OwnCost(lambda change, rows: 2.0 * cp.sum(cp.square(change), axis=1))
    mdp, slopes = random_mdp(5), np.random.default_rng(0).normal(size=4 * 2 * 4)
    changes = [TVCMDP(mdp, cost, 0.3).best(slopes) for cost in (own, RowCost("quadratic", scale=2.0))]
    np.testing.assert_allclose(changes[0], changes[1], atol=1e-5)


@given(st.floats(0.0, 2.0))
def test_the_largest_share_is_the_last_that_can_be_afforded(limit):
    share = largest_share(lambda share: share <= limit)
    assert share == min(limit, 1.0)
