"""Incremental worst-case search."""

from itertools import product

import numpy as np
import pytest

from reworld_baselines.mctvmdp.configurable import functions_of
from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.parametric import between, mixture
from reworld_baselines.mctvmdp.solving import solve
from reworld_baselines.mctvmdp.tabular import evaluate, policy_iteration


def value_of(problem, configuration, policy):
    model = problem.model(configuration)
    return model.start @ evaluate(model, policy)


def test_the_worst_slip_is_the_worst_of_a_grid():
    world = "reworld.worlds.block_world:block_world"
    problem = between(world, {"slip": (0.0, 1.0)}, 0.95, map=("S...", ".#X.", "...G"))
    result = solve(problem, "worst_case", quiet=True)
    values = [value_of(problem, np.array([slip]), result.policies[0]) for slip in np.linspace(0.0, 1.0, 501)]
    assert result.value <= min(values) + 1e-12
    assert result.value == pytest.approx(min(values), abs=1e-4)


@pytest.mark.parametrize("name", ["hull_s12", "hull_s12_trap", "random_s6a2:B=5", "finite_horizon:B=2"])
def test_no_configuration_that_is_drawn_is_worse_than_the_worst(name):
    problem = load(name).problem
    result = solve(problem, "worst_case", quiet=True)
    rng = np.random.default_rng(0)
    assert result.value < result.nominal_value
    for _ in range(50):
        model = problem.model(problem.decode(rng.random(problem.dimension)))
        values = functions_of(model).evaluate(model, result.policies[0])
        assert model.start @ (values[0] if values.ndim == 2 else values) >= result.value - 1e-9


def test_the_policy_is_safer_than_that_which_is_optimal_nominally():
    problem = _gamble()
    result = solve(problem, "worst_case", quiet=True)
    trusting = policy_iteration(problem.mdp).policy
    assert trusting[0] == 1
    assert result.policies[0][0] == 0
    assert result.value == pytest.approx(1.0)
    assert min(value_of(problem, vertex, trusting) for vertex in np.eye(2)) == pytest.approx(0.0)
    assert result.certificate.notes == ["Under the nominal configuration the policy is worth 1."]


def test_no_policy_is_safer_where_the_worst_configuration_is_the_same_for_all():
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.ones(4), (4, 2))
    doom = np.zeros((4, 2, 4))
    doom[..., 3] = 1.0  # Where nothing is paid.
    rows[3] = doom[3]
    rewards = rng.uniform(0.5, 1.0, (4, 2))
    rewards[3] = 0.0
    problem = mixture(np.stack([rows, 0.5 * rows + 0.5 * doom]), rewards, 0.9)
    result = solve(problem, "worst_case", quiet=True)
    safest = max(
        min(value_of(problem, vertex, np.array(policy)) for vertex in np.eye(2)) for policy in product(range(2), repeat=4)
    )
    assert result.value == pytest.approx(safest, abs=1e-9)
    assert result.configuration == pytest.approx([0.0, 1.0])


def _gamble():
    """From state 0 one action pays 1 for certain; the other leads to 4 in one kernel, and to nothing in the other."""
    kernels = np.zeros((2, 3, 2, 3))
    kernels[:, 0, 0, 2] = kernels[:, 1, :, 2] = kernels[:, 2, :, 2] = 1.0
    kernels[0, 0, 1, 1] = kernels[1, 0, 1, 2] = 1.0
    return mixture(kernels, [[1.0, 0.0], [4.0, 4.0], [0.0, 0.0]], 0.9, [1.0, 0.0, 0.0])
