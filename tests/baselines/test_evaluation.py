import gymnasium
import numpy as np
import pytest
from gymnasium.error import Error

from reworld_baselines.evaluation import RandomAgent, evaluate, make_batch, mean_interval

PLATFORM, CARTPOLE = "reworld/Platform-v0", "reworld/CartPole-v0"


class AlwaysRight:
    def act(self, observations, *, deterministic=True):
        return np.ones(len(observations), np.int64)


def test_every_environment_plays_exactly_one_episode():
    result = evaluate(AlwaysRight(), make_batch(CARTPOLE, 7), seed=3)
    expected = []
    for seed in range(3, 10):
        env = gymnasium.make(CARTPOLE)
        env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(1)
            total, ended = total + reward, terminated or truncated
        expected.append(total)
    assert list(result.returns) == expected
    assert result.mean == np.mean(expected)
    assert result.success_rate == 0.0
    assert result.low <= result.mean <= result.high


def test_an_evaluation_repeats_itself_on_the_same_batch():
    batch = make_batch(PLATFORM, 10)
    first, second = (evaluate(RandomAgent(batch.action_space, 5), batch) for _ in range(2))
    assert first == second
    assert evaluate(RandomAgent(batch.action_space, 6), batch) != first


def test_the_random_agent_leaves_the_space_that_it_is_given_alone():
    batch = make_batch(PLATFORM, 2)
    batch.action_space.seed(1)
    before = repr(batch.action_space.np_random.bit_generator.state)
    RandomAgent(batch.action_space, 5).act(np.zeros((2, 9)))
    assert repr(batch.action_space.np_random.bit_generator.state) == before


def test_the_interval_of_equal_values_is_that_value():
    assert mean_interval(np.full(10, 500.0)) == (500.0, 500.0)


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.normal(1.0, 2.0, 50)) for _ in range(100)]
    assert 88 <= sum(low <= 1.0 <= high for low, high in intervals) <= 100


def test_an_environment_of_others_is_refused():
    with pytest.raises(Error, match="no environment of reworld"):
        make_batch("CartPole-v1", 2)
    with pytest.raises(Error, match="Did you mean: `Platform`"):
        make_batch("reworld/Platfrom-v0", 2)
