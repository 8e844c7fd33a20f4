"""Relative entropy model policy search."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.comparators.remps import (
    better_visits,
    likelihood_slopes,
    log_likelihood,
    remps,
    transition_shares,
)
from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.solving import solve


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), divergence=st.sampled_from([0.01, 0.1, 0.5]))
def test_better_visits_spend_the_divergence_and_no_other_law_earns_more(seed, divergence):
    rng = np.random.default_rng(seed)
    visits, rewards = rng.dirichlet(np.ones(12)).reshape(3, 2, 2), rng.normal(size=(3, 2, 2))
    found = better_visits(visits, rewards, divergence)
    spent, earned = rel_entr(found, visits).sum(), (found * rewards).sum()
    assert spent <= divergence + 1e-4
    assert found.sum() == pytest.approx(1.0)
    if visits[rewards == rewards.max()].sum() < np.exp(-divergence):  # Or else all of it is not to be spent.
        assert spent == pytest.approx(divergence, abs=1e-4)
    for other in rng.dirichlet(found.ravel() * 200.0, 50).reshape(-1, 3, 2, 2):
        if rel_entr(other, visits).sum() <= spent:
            assert (other * rewards).sum() <= earned + 1e-4


def test_visits_that_all_earn_the_same_are_as_good_as_any():
    visits = np.array([0.2, 0.8])
    assert np.array_equal(better_visits(visits, np.ones(2), 0.1), visits)


@pytest.mark.parametrize("name", ["hull_s12", "finite_horizon:B=2"])
def test_slopes_of_the_likelihood_are_those_of_finite_differences(name):
    problem, rng = load(name).problem, np.random.default_rng(0)
    around = [problem.decode(rng.random(problem.dimension)) for _ in range(4)]
    middle = np.mean(around, axis=0)
    shape = problem.model(middle).kernel.shape
    law, other = rng.dirichlet(np.ones(shape[-2]), (2, *shape[:-2]))
    wanted = transition_shares(problem.model(around[1]), other) + transition_shares(problem.model(middle), law)
    of_law, of_kernel = likelihood_slopes(problem.model(middle), law, wanted)

    def fit(step):
        model = problem.model(middle + step * (around[0] - middle))
        return log_likelihood(wanted, transition_shares(model, law + step * (other - law)))

    slope = (of_law * (other - law)).sum() + problem.pull_back(middle, of_kernel) @ (around[0] - middle)
    assert (fit(1e-5) - fit(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize(("name", "share"), [("hull_s12", 0.86), ("stepping_stones5:B=2", 0.999), ("two_doors:B=1", 0.85)])
def test_it_gains_a_share_of_what_the_best_known_does(name, share):
    instance = load(name)
    result = solve(instance.problem, "remps", quiet=True)
    assert result.gain >= share * (instance.best_known - result.nominal_value)


def test_a_penalty_is_refused():
    with pytest.raises(InvalidOption, match="knows no price"):
        remps(replace(load("hull_s12").problem, penalty=0.1), Search("", quiet=True))
