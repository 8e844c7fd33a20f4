"""Hyper-gradient descent through a lower level with entropy."""

import numpy as np
import pytest

from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.comparators.hpgd import hpgd, kernel_hypergradient
from reworld_baselines.mctvmdp.configurable import functions_of
from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.solving import solve
from reworld_baselines.mctvmdp.staged import StagedMDP

RNG = np.random.default_rng(0)
MODELS = {
    "actions pay": MDP(RNG.dirichlet(np.ones(5), (5, 3)), RNG.normal(size=(5, 3)), 0.9),
    "transitions pay": MDP(RNG.dirichlet(np.ones(5), (5, 3)), RNG.normal(size=(5, 3, 5)), 0.9),
    "finite horizon": StagedMDP(
        RNG.dirichlet(np.ones(4), (6, 4, 3)), RNG.normal(size=(6, 4, 3)), 0.95, RNG.dirichlet(np.ones(4))
    ),
}


def with_kernel(model, kernel):
    if isinstance(model, MDP):
        return model.with_kernel(kernel)
    return StagedMDP(kernel, model.rewards, model.discount, model.start)


def upper_value(model, temperature, objective):
    functions = functions_of(model)
    values, law = functions.soft_policy_iteration(model, temperature)
    if objective == "value":
        values = functions.evaluate(model, law)
    return model.start @ (values[0] if isinstance(model, StagedMDP) else values)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("objective", ["value", "soft"])
def test_the_hypergradient_is_that_of_finite_differences(name, temperature, objective):
    model, rng = MODELS[name], np.random.default_rng(1)
    slopes = kernel_hypergradient(model, temperature, objective)
    for _ in range(5):
        direction = rng.dirichlet(np.ones(model.kernel.shape[-1]), model.kernel.shape[:-1]) - model.kernel
        after, before = (
            upper_value(with_kernel(model, model.kernel + step * direction), temperature, objective) for step in (1e-5, -1e-5)
        )
        assert (after - before) / 2e-5 == pytest.approx((slopes * direction).sum(), rel=1e-6, abs=1e-7)


def test_it_leaves_the_trap_that_the_value_of_one_policy_leads_to():
    instance = load("hull_s12_trap")
    result = solve(instance.problem, "hpgd", quiet=True)
    assert result.value > instance.known["fw_from_uniform"] + 0.1


@pytest.mark.parametrize("objective", ["value", "soft"])
def test_it_finds_the_best_known_mixture(objective):
    instance = load("hull_s12")
    result = solve(instance.problem, "hpgd", objective=objective, quiet=True)
    assert result.value == pytest.approx(instance.best_known, abs=1e-3)


def test_another_objective_is_refused():
    with pytest.raises(InvalidOption, match="give 'value' or 'soft'"):
        hpgd(load("hull_s12").problem, Search("", quiet=True), objective="values")
