"""Bayesian optimisation: fit a Gaussian process to the values of the configurations tried, and try the most promising one.

Source: Snoek, Larochelle, Adams, "Practical Bayesian Optimization of Machine Learning Algorithms" (NeurIPS 2012), by Optuna's
sampler of Gaussian processes, in the unit cube that `Configurable.decode` stretches over the set. It is meant for inner solves
that are dear and numbers that are few: of exactly solved processes most of the time goes into the Gaussian process.
"""

import warnings

import numpy as np

from reworld_baselines.mctvmdp.configurable import Configurable, result_of, solve_at
from reworld_baselines.mctvmdp.results import Certificate, Result, Search


def bayesian(problem: Configurable, search: Search, *, seed: int = 0, trials: int = 60) -> Result:
    """Try configurations, of which the first 10 are drawn by chance, and keep the best.

    Guarantees nothing.

    Args:
        problem: Which one.
        search: Where progress is noted.
        seed: Of what is drawn.
        trials: How many configurations are tried.
    """
    import optuna

    best = solve_at(problem, problem.nominal, search)
    search.record(best.objective, best.cost)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # The sampler's interface may change yet.
        sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=10, deterministic_objective=True)
    loudness = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(sampler=sampler, direction="maximize")
        cube: dict[str, optuna.distributions.BaseDistribution]
        cube = {str(i): optuna.distributions.FloatDistribution(0.0, 1.0) for i in range(problem.dimension)}
        for _ in range(trials):
            trial = study.ask(cube)
            point = np.array([trial.params[name] for name in cube])
            solved = solve_at(problem, problem.decode(point), search)
            study.tell(trial, solved.objective)
            if solved.objective > best.objective:
                best = solved
                search.record(best.objective, best.cost)
    finally:
        optuna.logging.set_verbosity(loudness)
    return result_of(problem, "bayesian", best, Certificate("none"), search)
