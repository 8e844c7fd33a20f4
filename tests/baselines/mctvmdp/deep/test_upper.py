"""The upper level over named configurations."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import VecNormalize
from tqdm import tqdm

from reworld.changing.levels import Level
from reworld.changing.levels.games import cartpole_levels, river_swim_levels
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.deep.upper import (
    DQNSettings,
    UpperGames,
    execute,
    idle,
    learn_dqn,
    learn_ppo,
    only_level,
    plan,
    play_games,
    policies_for,
    regret_bound,
)
from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.multi_level import levels, myopic, none, random
from reworld_baselines.mctvmdp.tabular import policy_iteration_along
from reworld_baselines.stable_baselines3 import PPOSettings

# To the right everything gets better, but not at once.
LINE = Level.graph({"a": ["b"], "b": ["a", "c"], "c": ["b"]}, price=0.5, success=0.8, discount=0.9)
WORTH = np.array([1.0, 0.0, 3.0])
FEATURES = np.eye(3, dtype=np.float32)


def random_level(seed, states=4, actions=3):
    rng = np.random.default_rng(seed)
    allowed = rng.random((states, actions)) < 0.7
    allowed[:, 0] = True
    kernel = rng.dirichlet(np.full(states, 0.5), (actions, states))
    return Level(kernel, rng.random((states, actions)), rng.dirichlet(np.ones(states)), rng.uniform(0.3, 0.95), allowed=allowed)


def random_policy(level, seed):
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(np.flatnonzero(possible)) for possible in level.allowed])


seeds = st.integers(0, 10_000)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_no_policy_is_worth_more_than_the_plan(seed):
    level = random_level(seed)
    values = np.random.default_rng(seed).normal(size=4)
    policy = plan(level, values)
    assert level.allowed[np.arange(4), policy].all()
    best = execute(level, policy, values, np.zeros(4)).value
    for other in range(20):
        assert execute(level, random_policy(level, other), values, np.zeros(4)).value <= best + 1e-10


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_error_of_a_value_is_carried_on_from_each_return(seed):
    level, rng = random_level(seed), np.random.default_rng(seed)
    values, errors, policy = rng.normal(size=4), rng.random(4), random_policy(level, seed)
    result = execute(level, policy, values, errors)
    # The value is linear in the returns.
    moved = [execute(level, policy, values + error, errors).value - result.value for error in np.diag(errors)]
    assert result.error == pytest.approx(np.linalg.norm(moved), rel=1e-9)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_a_value_is_what_episodes_return_less_what_is_paid(seed):
    level, policy = random_level(seed), random_policy(random_level(seed), seed)
    values = np.random.default_rng(seed).normal(size=4)
    with_costs = execute(level, policy, values, np.zeros(4))
    free = dataclasses.replace(level, costs=np.zeros_like(level.costs))
    assert execute(free, policy, values, np.zeros(4)).value - with_costs.cost == pytest.approx(with_costs.value, abs=1e-9)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_a_plan_on_measured_returns_loses_no_more_than_the_bound(seed):
    level, rng = random_level(seed), np.random.default_rng(seed)
    true, errors = rng.normal(size=4), np.full(4, 0.1)
    bound = regret_bound(level, errors)
    # 2.4977 is the quantile of the normal law at 1 - 0.05 / 8.
    assert bound == pytest.approx(2.0 * 2.4977 * 0.1 / (1.0 - level.discount), rel=1e-4)
    measured = true + rng.uniform(-2.4977, 2.4977, size=4) * errors
    best = execute(level, plan(level, true), true, errors).value
    assert best - execute(level, plan(level, measured), true, errors).value <= bound


def test_block_world_is_worth_what_is_known():
    problem = load("blockworld10").problem
    level, worlds = problem.levels[0], problem.worlds
    values = np.einsum("...s,...s->...", worlds.start, policy_iteration_along(worlds).values)
    policies = policies_for(level, values, levels, none, random, myopic)
    worth = {name: execute(level, policy, values, np.zeros(1000)).value for name, policy in policies.items()}
    assert worth == pytest.approx(
        {"levels": 8.8172940979, "none": -4.1512596949, "random": -3.9077507985, "myopic": 0.6475804787}, abs=1e-9
    )


def test_games_return_the_value_in_the_mean():
    policy = plan(LINE, WORTH)
    expected = execute(LINE, policy, WORTH, np.zeros(3))
    returns = play_games(LINE, policy, lambda which: WORTH[which], games=4000, seed=0)
    assert abs(returns.mean() - expected.value) < 4.0 * returns.std() / 4000**0.5 + 1e-3
    assert returns.std() > 0.1


def test_what_is_not_possible_changes_nothing_and_costs_nothing():
    games = UpperGames(LINE, FEATURES, lambda which: WORTH[which], 5, seed=0, decisions=1000)
    games.reset()
    for _ in range(10):
        seen, rewards, _, _ = games.step(np.full(5, 2))  # From a to c there is no way.
        np.testing.assert_array_equal(seen, np.tile(FEATURES[0], (5, 1)))
        np.testing.assert_array_equal(rewards, np.full(5, 1.0))


def test_a_decision_leads_where_the_kernel_says_and_is_rewarded_by_an_episode_there():
    games = UpperGames(LINE, FEATURES, lambda which: WORTH[which], 20_000, seed=0, decisions=10**9)
    games.reset()
    seen, rewards, _, _ = games.step(np.full(20_000, 1))
    moved = seen[:, 1] == 1.0
    assert abs(moved.mean() - 0.8) < 4.0 * (0.8 * 0.2 / 20_000) ** 0.5
    np.testing.assert_allclose(rewards, np.where(moved, 0.0, 1.0) - 0.5)


def test_games_are_cut_off_and_say_so():
    games = UpperGames(LINE, FEATURES, lambda which: WORTH[which], 3, seed=0, decisions=4)
    games.reset()
    ends = np.zeros((8, 3), bool)
    for step in range(8):
        before = games.here.copy()
        seen, _, ends[step], infos = games.step(np.array([0, 1, 2]))
        for i in np.flatnonzero(ends[step]):
            assert infos[i]["TimeLimit.truncated"]
            np.testing.assert_array_equal(seen[i], FEATURES[0])
            assert infos[i]["terminal_observation"] @ FEATURES[before[i]] >= 0.0
    assert (ends.sum(axis=0) == 2).all()


@pytest.mark.parametrize("learn", [learn_dqn, learn_ppo])
def test_a_learner_finds_the_way_through_the_valley(learn):
    options = {
        learn_dqn: DQNSettings(n_envs=8, gradient_steps=4, learning_starts=100, target_update_interval=100, hidden=(32,)),
        learn_ppo: PPOSettings(n_envs=8, n_steps=32, batch_size=64, n_epochs=5, learning_rate=3e-3, ent_coef=0.02),
    }
    games = UpperGames(LINE, FEATURES, lambda which: WORTH[which], 8, seed=0, decisions=40)
    policy = learn(games, options[learn], 2500, 0, "cpu", tqdm(disable=True))
    assert policy.tolist() == plan(LINE, WORTH).tolist() == [1, 2, 2]
    assert policies_for(LINE, WORTH, myopic)["myopic"].tolist()[0] == 0


def test_games_are_what_stable_baselines3_normalises():
    games = VecNormalize(UpperGames(LINE, FEATURES, lambda which: WORTH[which], 2, seed=0, decisions=5), norm_obs=False)
    games.reset()
    assert games.step(np.zeros(2, int))[0].shape == (2, 3)
    assert games.env_is_wrapped(VecNormalize) == [False, False]
    with pytest.raises(NotImplementedError):
        games.env_method("reset")


def test_idle_is_to_stay():
    np.testing.assert_array_equal(idle(LINE), [0, 1, 2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": river_swim_levels}, "MultiLevelMDP"),
        ({"persistent": True}, "leave out persistent"),
        ({"discount": 1.0}, "discount below 1"),
        ({"steps": 5}, "no steps"),
    ],
)
def test_the_upper_level_is_one_discounted_process(changes, message):
    problem = changes["levels"]() if "levels" in changes else cartpole_levels()
    if "persistent" in changes:
        problem = dataclasses.replace(problem, persistent=True)
    elif "levels" not in changes:
        level = dataclasses.replace(problem.levels[0], **{"steps": 5, **changes})
        problem = dataclasses.replace(problem, levels=[level])
    with pytest.raises(InvalidOption, match=message):
        only_level(problem)


@pytest.mark.slow
def test_dqn_finds_nearly_all_that_block_world_has_to_gain():
    problem = load("blockworld10").problem
    level, worlds = problem.levels[0], problem.worlds
    values = np.einsum("...s,...s->...", worlds.start, policy_iteration_along(worlds).values)
    shares = np.linspace(0.0, 1.0, 1000, dtype=np.float32)[:, None]
    games = UpperGames(level, shares, lambda which: values[which], DQNSettings().n_envs, seed=0, decisions=100)
    policy = learn_dqn(games, DQNSettings(), 40_000, 0, "cpu", tqdm(disable=True))
    gain = execute(level, policy, values, np.zeros(1000)).value + 4.1512596949
    assert gain >= 0.95 * (8.8172940979 + 4.1512596949)
