"""Gradient through value."""

import numpy as np
import pytest

from reworld_baselines.mctvmdp.configurable import slopes_at, solve_at
from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.solving import solve


@pytest.mark.parametrize("name", ["hull_s12", "random_s6a2:B=20", "finite_horizon:B=2"])
def test_the_slopes_are_those_of_finite_differences(name):
    problem, search = load(name).problem, Search("", quiet=True)
    rng = np.random.default_rng(0)
    around = [problem.decode(rng.random(problem.dimension)) for _ in range(8)]
    middle = np.mean(around, axis=0)
    solved = solve_at(problem, middle, search)
    for place in around[:5]:
        direction = place - middle
        slope = slopes_at(problem, solved) @ direction
        after, before = (solve_at(problem, middle + step * direction, search).value for step in (1e-6, -1e-6))
        assert (after - before) / 2e-6 == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("name", "within"), [("hull_s12", 1e-9), ("hull_s12_trap", 1e-9), ("stepping_stones5:B=2", 1e-9)])
def test_it_finds_the_best_known_value_where_slopes_lead_there(name, within):
    instance = load(name)
    assert solve(instance.problem, "value_gradient", quiet=True).value == pytest.approx(instance.best_known, abs=within)


def test_it_stays_in_the_trap_that_slopes_lead_to():
    instance = load("two_doors:B=1")
    found = solve(instance.problem, "value_gradient", quiet=True).value
    assert found == pytest.approx(instance.known["proto_scp_from_zero"], abs=1e-4)
