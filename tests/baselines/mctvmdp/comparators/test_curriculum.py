"""The teacher ALP-GMM."""

import gymnasium
import numpy as np
import pytest

from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.comparators.curriculum import ALPGMM, fit_mixture

LOW, HIGH = np.array([0.0, -10.0]), np.array([1.0, 10.0])


class Learner:
    """Earns more with each episode in which the first parameter is below 0.3, `lessons` times, and then above 0.7."""

    def __init__(self, lessons):
        self.lessons, self.easy, self.hard = lessons, 0, 0

    def earn(self, place):
        if place < 0.3:
            self.easy = min(self.easy + 1, self.lessons)
            return self.easy / 100.0
        if place > 0.7 and self.easy == self.lessons:
            self.hard += 1
        return self.hard / 100.0 if place > 0.7 else 0.0


def taught(teacher, batches=100, size=20, lessons=10_000):
    learner, proposed = Learner(lessons), []
    for _ in range(batches):
        configurations = teacher.propose(size)
        teacher.tell(configurations, np.array([learner.earn(place) for place, _ in configurations]))
        proposed.append(configurations)
    return np.concatenate(proposed)


def test_it_proposes_where_the_learner_makes_progress():
    proposed = taught(ALPGMM(LOW, HIGH))
    assert np.mean(proposed[:250, 0] < 0.3) == pytest.approx(0.3, abs=0.1)
    assert np.mean(proposed[-1000:, 0] < 0.3) > 0.6


def test_it_goes_on_to_where_progress_is_next():
    proposed = taught(ALPGMM(LOW, HIGH), batches=125, lessons=200)
    assert np.mean(proposed[250:500, 0] < 0.3) > 0.5
    assert np.mean(proposed[-500:, 0] > 0.7) > 0.5


def test_some_proposals_are_drawn_from_the_whole_box():
    proposed = taught(ALPGMM(LOW, HIGH))
    assert np.mean(proposed[-1000:, 0] > 0.5) == pytest.approx(0.2 * 0.5, abs=0.06)
    assert (proposed >= LOW).all()
    assert (proposed <= HIGH).all()


def test_a_batch_of_environments_takes_what_is_proposed():
    envs = gymnasium.make_vec("reworld/CartPole-v0", num_envs=4, vectorization_mode="vector_entry_point")
    teacher = ALPGMM(np.array([5.0, 0.3]), np.array([15.0, 0.8]))
    proposed = teacher.propose(4)
    envs.reset(seed=0, options={"configuration": dict(zip(("gravity", "half_length"), proposed.T, strict=True))})
    *_, infos = envs.step(envs.action_space.sample())
    teacher.tell(proposed, np.ones(4))
    names = [parameter.name for parameter in envs.unwrapped.world.parameters]
    assert infos["configuration"][:, names.index("gravity")] == pytest.approx(proposed[:, 0])
    envs.close()


def test_the_same_seed_proposes_the_same():
    assert np.array_equal(taught(ALPGMM(LOW, HIGH, seed=4), 40), taught(ALPGMM(LOW, HIGH, seed=4), 40))
    assert not np.array_equal(taught(ALPGMM(LOW, HIGH, seed=4), 2), taught(ALPGMM(LOW, HIGH, seed=5), 2))


def test_without_progress_all_components_are_alike():
    teacher = ALPGMM(LOW, HIGH)
    for _ in range(2):
        teacher.tell(teacher.propose(250), np.ones(250))
    assert teacher.propose(10).shape == (10, 2)


def test_a_mixture_is_found_again():
    rng = np.random.default_rng(0)
    centres, scale = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]]), np.array([1.0, 0.3])
    points = centres[rng.choice(3, size=600, p=[0.5, 0.3, 0.2])] + scale * rng.normal(size=(600, 2))
    fits = [fit_mixture(points, k, rng) for k in range(1, 7)]
    best = min(fits, key=lambda each: each.aic)
    assert best is fits[2]
    order = np.lexsort((best.means[:, 0].round(), best.means[:, 1].round()))
    assert best.means[order] == pytest.approx(centres, abs=0.2)
    assert best.weights[order] == pytest.approx([0.5, 0.3, 0.2], abs=0.06)
    assert best.covariances[order] == pytest.approx(np.broadcast_to(np.diag(scale**2), (3, 2, 2)), abs=0.25)


def test_one_law_is_the_mean_and_the_covariance():
    points = np.random.default_rng(0).normal(size=(100, 2))
    fit = fit_mixture(points, 1, np.random.default_rng(0))
    assert fit.means[0] == pytest.approx(points.mean(axis=0))
    assert fit.covariances[0] == pytest.approx(np.cov(points.T, bias=True), abs=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InvalidOption, match="the one less than the other"):
        ALPGMM(HIGH, LOW)
    with pytest.raises(InvalidOption, match="exploration=2"):
        ALPGMM(LOW, HIGH, exploration=2.0)
    with pytest.raises(InvalidOption, match=r"returns \(3,\)"):
        ALPGMM(LOW, HIGH).tell(np.zeros((2, 2)), np.zeros(3))
    with pytest.raises(InvalidOption, match=r"configurations has shape \(2, 3\)"):
        ALPGMM(LOW, HIGH).tell(np.zeros((2, 3)), np.zeros(2))
