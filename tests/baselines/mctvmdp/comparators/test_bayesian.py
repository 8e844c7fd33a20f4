"""Bayesian optimisation."""

import numpy as np
import optuna
import pytest

from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.solving import solve


def test_it_finds_the_mixture_of_the_trap_in_a_few_trials_and_says_nothing(capfd):
    instance = load("hull_s12_trap")
    loudness = optuna.logging.get_verbosity()
    one, other = (solve(instance.problem, "bayesian", seed=1, trials=16, quiet=True) for _ in range(2))
    assert one.value == pytest.approx(instance.best_known, abs=8e-4)
    assert one.solves == 18
    assert (one.value, one.solves) == (other.value, other.solves)
    assert np.array_equal(one.configuration, other.configuration)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == loudness
