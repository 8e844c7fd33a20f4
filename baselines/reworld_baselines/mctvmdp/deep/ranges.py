"""The upper level over ranges: the configuration that an episode is best begun with, by what a trained lower level makes of it.

A candidate is brought about by the world's own model-changing actions, and then played: its value is the mean return, costs
included, of that many episodes. Nothing is trained again. Candidates come from the cross-entropy method (de Boer, Kroese,
Mannor, Rubinstein, "A Tutorial on the Cross-Entropy Method", 2005) or from Bayesian optimisation with a Gaussian process
(`optuna.samplers.GPSampler`). As the best of many noisy values is too good, the finalists play new episodes.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.finite import Reals
from reworld_baselines.mctvmdp.deep.lower import LowerLevel, play_out
from reworld_baselines.mctvmdp.deep.task import Ranges

Value = Callable[[Reals], Reals]
"""From points of the unit cube, shape (m, d), to the mean return of each, shape (m,)."""


@dataclass(frozen=True)
class CrossEntropySettings:
    """How the cross-entropy method searches."""

    generations: int = 12
    """How many there are."""
    population: int = 40
    """Candidates of each."""
    elite: int = 8
    """How many of them the next generation is made from."""
    episodes: int = 200
    """That each candidate plays."""


@dataclass(frozen=True)
class BayesianSettings:
    """How Bayesian optimisation searches."""

    candidates: int = 60
    """How many are tried."""
    episodes: int = 500
    """That each plays."""


class ChangedStage:
    """Environments of a changeable world side by side, in each of which an episode begins with a change of configuration.

    Args:
        problem: Which world.
        lower: Who plays in it, without exploration.
        num_envs: How many.
        seed: Environment i begins with ``seed + i``.

    Attributes:
        changed: Which changes came about in the last episodes, bool of shape (num_envs, parameters that may be changed).
    """

    def __init__(self, problem: Ranges, lower: LowerLevel, num_envs: int, seed: int) -> None:
        self._problem, self._lower = problem, lower
        self._batch = problem.batch(num_envs)
        self._batch.reset(seed=seed)

    def play(self, targets: Reals) -> Reals:
        """Play one episode in every environment, costs included.

        Args:
            targets: What is to be in force, by the parameters that may be changed, shape (num_envs, number of them). What is
                not possible, such as a change beyond the budget, is left as it is.

        Returns:
            Return of each, shape (num_envs,).
        """
        batch = self._batch
        observations, _ = batch.reset()
        returns, playing = np.zeros(batch.num_envs), np.ones(batch.num_envs, np.bool_)
        self.changed = np.zeros(targets.shape, np.bool_)
        for k, values in enumerate(targets.T):
            observations, rewards, terminations, truncations, info = self._problem.set(batch, k, values)
            self.changed[:, k] = info["configured"]
            returns[playing] += rewards[playing]
            playing &= ~(terminations | truncations)
        return returns + play_out(batch, observations, self._act, playing=playing)

    def _act(self, observations: Any) -> Any:
        action = self._lower.act(observations, self._batch.configuration)
        branches, own = action if isinstance(action, tuple) else (action, ())
        parameters = np.zeros((self._batch.num_envs, self._problem.world.branch_offsets[-1]), np.float32)
        if own:
            played = np.concatenate(own, axis=1)
            parameters[:, : played.shape[1]] = played
        return branches, parameters


def cross_entropy(value: Value, start: Reals, settings: CrossEntropySettings, seed: int, bar: Any) -> Reals:
    """Search from a point by normal laws, each of which is fitted to the elite of the one before.

    Args:
        value: What is maximised.
        start: Where the first law is centred, shape (d,); its deviation is half of the cube.
        settings: How.
        seed: Of what is drawn.
        bar: What is told how many candidates were tried.

    Returns:
        The finalists, the last mean first, then the best candidate of each generation, shape (m, d).
    """
    rng = np.random.default_rng(seed)
    mean, deviation, finalists = start, np.full(len(start), 0.5), []
    for _ in range(settings.generations):
        points = np.clip(rng.normal(mean, deviation, (settings.population, len(start))), 0.0, 1.0)
        elite = points[np.argsort(-value(points))[: settings.elite]]
        mean, deviation = elite.mean(axis=0), elite.std(axis=0)
        finalists.append(elite[0])
        bar.update(settings.population)
    return np.array([mean, *finalists])


def bayesian(value: Value, start: Reals, settings: BayesianSettings, seed: int, bar: Any) -> Reals:
    """Search by the expected improvement of a Gaussian process, beginning with a point: otherwise as `cross_entropy`.

    Returns:
        The finalists, the tenth of the candidates that was best, shape (m, d).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GPSampler(seed=seed))
    space: dict[str, Any] = {str(k): optuna.distributions.FloatDistribution(0.0, 1.0) for k in range(len(start))}
    study.enqueue_trial({name: float(x) for name, x in zip(space, start, strict=True)})
    points, values = [], []
    for _ in range(settings.candidates):
        trial = study.ask(space)
        points.append([trial.params[name] for name in space])
        values.append(float(value(np.array(points[-1:]))[0]))
        study.tell(trial, values[-1])
        bar.update(1)
    best = np.argsort(values)[::-1][: max(settings.candidates // 10, 1)]
    return np.array(points)[best]
