"""The upper level over ranges."""

from types import SimpleNamespace

import numpy as np
import pytest
from tqdm import tqdm

import reworld
from reworld.changing.recommended.platform import without
from reworld.finite import Reals
from reworld_baselines.mctvmdp.deep.ranges import BayesianSettings, ChangedStage, CrossEntropySettings, bayesian, cross_entropy
from reworld_baselines.mctvmdp.deep.task import Ranges

PLATFORM = "reworld/ConfigurablePlatform-v0"
PROBLEM = Ranges.of_environment(PLATFORM)
PEAK = np.array([0.8, 0.1])


def hill(points: Reals) -> Reals:
    return 1.0 - ((points - PEAK) ** 2).sum(axis=1)


def rules(observations, configurations):
    """The best known policy of Platform as a lower level."""
    chosen, parameters = np.zeros(len(observations), np.int64), np.zeros((3, len(observations), 1), np.float32)
    for i, observation in enumerate(observations):
        chosen[i], x = without(observation)
        parameters[chosen[i], i] = x
    return chosen, tuple(parameters)


def play(targets, episodes=300, act=rules):
    stage = ChangedStage(PROBLEM, SimpleNamespace(act=act), episodes, seed=0)
    return stage.play(np.tile(np.array(targets, float), (episodes, 1)))


def test_what_is_known_to_be_best_returns_what_is_known():
    reference = reworld.reference(PLATFORM).configuring
    returns = play((15.65, 214.3, 219.0))
    assert abs(returns.mean() - reference.mean) < 4.0 * returns.std() / 300**0.5


def test_nothing_is_paid_where_nothing_changes():
    reference = reworld.reference(PLATFORM).without
    returns = play((17.0, 225.0, 235.0))
    assert abs(returns.mean() - reference.mean) < 4.0 * returns.std() / 300**0.5


def test_the_lower_level_is_told_what_is_in_force_and_not_what_was_meant():
    seen = []

    def note(observations, configurations):
        seen.append(configurations.copy())
        return rules(observations, configurations)

    # Half of the range of gravity costs 0.05 (exp(3) - 1) = 0.95, beyond the budget of 0.5.
    returns = play((10.0, 214.3, 219.0), episodes=2, act=note)
    names = [parameter.name for parameter in PROBLEM.world.base.parameters]
    in_force = dict(zip(names, seen[0][0], strict=True))
    assert (in_force["gravity"], in_force["gap1"]) == (17.0, pytest.approx(214.3))
    assert (returns > -0.5).all()


@pytest.mark.parametrize(
    ("search", "settings"),
    [
        (cross_entropy, CrossEntropySettings(generations=8, population=30, elite=5)),
        (bayesian, BayesianSettings(candidates=15)),
    ],
)
def test_a_search_finds_the_top_of_a_hill(search, settings):
    start = np.array([0.0, 1.0])
    with tqdm(disable=True) as bar:
        finalists = search(hill, start, settings, 0, bar)
        again = search(hill, start, settings, 0, bar)
    np.testing.assert_array_equal(finalists, again)
    assert ((finalists >= 0.0) & (finalists <= 1.0)).all()
    assert np.abs(finalists[hill(finalists).argmax()] - PEAK).max() < 0.1
