"""What holds for every method from related work, on every class of problem that is configured once."""

from dataclasses import replace

import numpy as np
import pytest

from reworld_baselines.mctvmdp.configurable import functions_of
from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.solving import solve

QUICK = {
    "value_gradient": {"iterations": 30},
    "hpgd": {"iterations": 30},
    "spmi": {"iterations": 300},
    "remps": {"iterations": 5, "projections": 10},
    "cross_entropy": {"iterations": 5},
    "worst_case": {"size": 3, "steps": 50},
}
INSTANCES = ("hull_s12", "random_s6a2:B=5", "finite_horizon:B=2")

everywhere = pytest.mark.parametrize("name", INSTANCES)
by_any_method = pytest.mark.parametrize("method", QUICK)


def start_value(model, values):
    return model.start @ (values[0] if values.ndim > model.start.ndim else values)


@everywhere
@by_any_method
def test_the_value_is_that_of_the_policy_in_the_kernel_which_is_within_the_budget(name, method):
    problem = load(name).problem
    result = solve(problem, method, quiet=True, **QUICK[method])
    model = problem.model(result.configuration)
    assert np.array_equal(model.kernel, result.kernels)
    values = functions_of(model).evaluate(model, result.policies[0])
    assert result.value == pytest.approx(start_value(model, values), rel=1e-12)
    assert result.cost == problem.price(result.configuration)
    if name.startswith("random"):
        assert result.cost <= problem.budget * (1.0 + 1e-9)
    assert model.kernel.sum(axis=-1) == pytest.approx(1.0, abs=1e-12)


@everywhere
@by_any_method
def test_the_same_seed_gives_the_same_result_bit_for_bit(name, method):
    problem = load(name).problem
    one, other = (solve(problem, method, quiet=True, seed=3, **QUICK[method]) for _ in range(2))
    assert one.value == other.value
    assert np.array_equal(one.configuration, other.configuration)
    assert np.array_equal(one.trace[:, 1:], other.trace[:, 1:])
    assert one.solves == other.solves


@everywhere
@pytest.mark.parametrize("method", sorted(set(QUICK) - {"worst_case"}))
def test_changing_the_world_does_no_harm_and_is_no_better_than_the_best_known(name, method):
    instance = load(name)
    result = solve(instance.problem, method, quiet=True, **QUICK[method])
    assert result.nominal_value <= result.value <= instance.best_known + 1e-6
    assert result.value > result.nominal_value


@pytest.mark.parametrize("method", sorted(set(QUICK) - {"worst_case", "remps"}))
def test_what_is_not_worth_its_price_is_not_changed(method):
    dear = replace(load("hull_s12").problem, penalty=1000.0)
    result = solve(dear, method, quiet=True, **QUICK[method])
    assert result.configuration == pytest.approx(dear.nominal, abs=1e-12)
    assert result.value == pytest.approx(result.nominal_value, rel=1e-12)
