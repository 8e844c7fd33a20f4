"""The cross-entropy method."""

import pytest

from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.solving import solve


@pytest.mark.parametrize("name", ["hull_s12", "hull_s12_trap"])
@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_best_known_mixture(name, seed):
    instance = load(name)
    result = solve(instance.problem, "cross_entropy", seed=seed, quiet=True)
    assert result.value == pytest.approx(instance.best_known, abs=8e-4)
    assert result.solves == 802


def test_another_seed_draws_something_else():
    problem = load("random_s6a2:B=5").problem
    one, other = (solve(problem, "cross_entropy", seed=seed, iterations=2, quiet=True) for seed in (0, 1))
    assert one.value != other.value
