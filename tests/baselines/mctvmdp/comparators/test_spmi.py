"""Safe policy-model iteration."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.comparators.spmi import spmi
from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.parametric import mixture, softmax
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.tabular import policy_iteration


class Progress(Search):
    """Keeps what is no better, too."""

    def record(self, value, cost=0.0):
        self.values = [*getattr(self, "values", []), value]
        super().record(value, cost)


def progress_of(problem, **options):
    search = Progress("", quiet=True)
    return spmi(problem, search, **options), np.array(search.values)


@pytest.mark.parametrize(
    "name", ["hull_s12", "hull_s12_trap", "random_s6a2:B=5", "two_doors:B=1", "stepping_stones5:B=2", "finite_horizon:B=2"]
)
def test_every_step_raises_the_value_and_none_exceeds_the_best_known(name):
    instance = load(name)
    result, values = progress_of(instance.problem, iterations=300)
    assert (np.diff(values) >= -1e-12 * np.abs(values).max()).all()
    assert values[-1] > values[0]
    assert result.value == values[-1]
    assert result.value <= instance.best_known + 1e-9


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), discount=st.sampled_from([0.0, 0.5, 0.9]), penalty=st.sampled_from([0.0, 0.2]))
def test_every_step_raises_the_objective_also_where_transitions_pay_and_configurations_cost(seed, discount, penalty):
    rng = np.random.default_rng(seed)
    kernels, rewards = rng.dirichlet(np.full(4, 0.3), (3, 4, 2)), rng.normal(size=(4, 2, 4))
    _, objectives = progress_of(mixture(kernels, rewards, discount, penalty=penalty), iterations=60)
    assert (np.diff(objectives) >= -1e-12 * np.abs(objectives).max()).all()


@pytest.mark.parametrize("penalty", [0.0, 0.004])
def test_it_does_not_overshoot_where_neither_kernel_alone_is_any_good(penalty):
    """Only the one kernel leads from 0 to 1, and only the other from 1 to 2, which pays."""
    kernels = np.zeros((2, 3, 1, 3))
    kernels[0, [0, 1, 2], 0, [1, 0, 0]] = kernels[1, [0, 1, 2], 0, [0, 2, 0]] = 1.0
    problem = mixture(kernels, [[0.0], [0.0], [1.0]], 0.5, [1.0, 0.0, 0.0], nominal=[0.3, 0.7], penalty=penalty)
    _, objectives = progress_of(problem)
    assert (np.diff(objectives) >= -1e-15).all()
    grid = [start_value(problem, np.array([w, 1.0 - w])) for w in np.linspace(0.0, 1.0, 1001)]
    assert objectives[-1] == pytest.approx(max(grid), abs=1e-6)


def start_value(problem, weights):
    model = problem.model(weights)
    return model.start @ policy_iteration(model).values - problem.penalty * problem.price(weights)


def test_it_may_leave_a_trap_as_it_begins_with_a_policy_that_takes_all_actions():
    instance = load("two_doors:B=1")
    result, _ = progress_of(instance.problem)
    assert result.value == pytest.approx(instance.best_known, abs=1e-6)


def test_a_penalty_holds_changes_back():
    problem = load("random_s6a2:B=5").problem
    free, _ = progress_of(problem)
    dear, _ = progress_of(replace(problem, penalty=0.2))
    assert 0.0 < dear.cost < free.cost


def test_a_kernel_that_is_not_linear_is_refused():
    problem = load("hull_s12").problem
    with pytest.raises(InvalidOption, match="not linear in its configuration"):
        spmi(softmax(problem.mdp), Search("", quiet=True))
