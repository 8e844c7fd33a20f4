"""Networks that play in every configuration."""

import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from tqdm import tqdm

from reworld.actions import read_flat, read_layout
from reworld.changing.levels.games import cartpole_levels
from reworld_baselines.mctvmdp.deep.lower import LowerLevel, Stage
from reworld_baselines.mctvmdp.deep.task import Ranges, Task
from reworld_baselines.stable_baselines3 import PPOSettings

SMALL = PPOSettings(n_envs=8, n_steps=16, batch_size=64, n_epochs=2)
CARTPOLE = Task.of(cartpole_levels())
PLATFORM = Task.of(Ranges.of_environment("reworld/ConfigurablePlatform-v0"))


def trained(task, conditioned, steps=128, seed=0, settings=SMALL):
    lower = LowerLevel(task, conditioned, settings, seed, "cpu")
    while len(lower.networks) < lower.size:
        lower.train(steps, tqdm(disable=True))
    return lower


def weights(lower):
    return [lower.get_state(j)["action_net.weight"] for j in range(lower.size)]


def test_there_is_one_network_for_all_configurations_or_one_for_each():
    assert LowerLevel(CARTPOLE, True, SMALL, 0, "cpu").size == 1
    assert LowerLevel(CARTPOLE, False, SMALL, 0, "cpu").size == 4


def test_a_conditioned_network_acts_by_the_configuration():
    lower = trained(CARTPOLE, True)
    observations = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    expected = [
        lower.networks[0].predict(np.concatenate([observations, np.tile(share, (200, 1))], axis=1), deterministic=True)[0]
        for share in CARTPOLE.shares(CARTPOLE.values)
    ]
    for values, actions in zip(CARTPOLE.values, expected, strict=True):
        np.testing.assert_array_equal(lower.act(observations, np.tile(values, (200, 1))), actions)
    assert (expected[0] != expected[3]).any()


def test_in_each_configuration_its_own_network_acts():
    lower = trained(CARTPOLE, False)
    rng = np.random.default_rng(0)
    observations, which = rng.normal(size=(300, 4)).astype(np.float32), rng.integers(4, size=300)
    actions = lower.act(observations, CARTPOLE.values[which])
    for j, network in enumerate(lower.networks):
        np.testing.assert_array_equal(actions[which == j], network.predict(observations[which == j], deterministic=True)[0])
    assert (lower.networks[0].predict(observations)[0] != actions).any()


def test_actions_of_a_hybrid_world_are_its_own():
    lower = trained(PLATFORM, True)
    batch = PLATFORM.batch(5)
    observations, _ = batch.reset(seed=0)
    actions = lower.act(observations, batch.configuration)
    assert batch.action_space.contains(actions)
    seen = np.concatenate([observations, PLATFORM.shares(batch.configuration)], axis=1)
    flat, _ = lower.networks[0].predict(seen, deterministic=True)
    branches, parameters = read_flat(read_layout(batch.single_action_space), flat, (5,))
    np.testing.assert_array_equal(actions[0], branches)
    np.testing.assert_array_equal(np.concatenate(actions[1], axis=1), np.concatenate(parameters, axis=1))


def test_a_stage_plays_the_episodes_of_single_environments():
    lower = trained(CARTPOLE, True)
    which = np.array([3, 0, 0, 2])
    returns = Stage(lower, 4, seed=7).play(CARTPOLE.values[which])
    for i, values in enumerate(CARTPOLE.values[which]):
        env = gymnasium.make("reworld/CartPole-v0")
        env.reset(seed=7 + i)  # The stage's first episode follows one in which nothing is done.
        observation, _ = env.reset(options={"configuration": values})
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(int(lower.act(observation[None], values[None])[0]))
            total, ended = total + reward, terminated or truncated
        assert total == returns[i]


def test_an_episode_that_goes_on_by_chance_is_discounted_instead():
    lower = trained(CARTPOLE, True)
    configurations = CARTPOLE.values[[0, 1, 2, 3]]
    lengths = Stage(lower, 4, seed=0).play(configurations)
    discounted = LowerLevel(dataclasses.replace(CARTPOLE, discount=0.9), True, SMALL, 0, "cpu")
    discounted.add(lower.get_state(0))
    np.testing.assert_allclose(Stage(discounted, 4, seed=0).play(configurations), (1.0 - 0.9**lengths) / 0.1)


@pytest.mark.parametrize("conditioned", [True, False])
def test_the_same_seed_learns_the_same_and_another_does_not(conditioned):
    once, again, other = (weights(trained(CARTPOLE, conditioned, seed=seed)) for seed in (1, 1, 2))
    for a, b, c in zip(once, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


def test_weights_can_be_taken_and_given():
    lower = trained(PLATFORM, True)
    other = LowerLevel(PLATFORM, True, SMALL, 5, "cpu")
    other.add(lower.get_state(0))
    batch = PLATFORM.batch(20)
    observations, _ = batch.reset(seed=0)
    np.testing.assert_array_equal(
        np.concatenate(lower.act(observations, batch.configuration)[1], axis=1),
        np.concatenate(other.act(observations, batch.configuration)[1], axis=1),
    )
    with pytest.raises(RuntimeError):
        LowerLevel(CARTPOLE, True, SMALL, 0, "cpu").add(lower.get_state(0))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_networks_live_where_they_are_told_to():
    lower = LowerLevel(CARTPOLE, True, SMALL, 0, "cuda")
    lower.train(128, tqdm(disable=True))
    assert lower.networks[0].device.type == "cuda"
    moved = LowerLevel(CARTPOLE, True, SMALL, 0, "cuda")
    moved.add(lower.get_state(0))
    assert moved.networks[0].device.type == "cuda"
    np.testing.assert_array_equal(Stage(lower, 4, seed=0).play(CARTPOLE.values), Stage(moved, 4, seed=0).play(CARTPOLE.values))
