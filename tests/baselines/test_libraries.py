"""Every algorithm of Stable-Baselines3 learns on the form of action that it takes: a few hundred steps, saved and loaded again.

How well they learn is another matter, for which see the docs.
"""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_vec_env

import reworld
from reworld.actions import (
    DictAction,
    DiscreteAction,
    FlatBoxAction,
    FlatTupleAction,
    MultiDiscreteAction,
    OneOfAction,
    RescaleParameters,
    VectorDiscreteAction,
    VectorFlatBoxAction,
)
from reworld_baselines.stable_baselines3 import GymnasiumVecEnv

PANEL, PLATFORM, CARTPOLE = "tests/Panel-v0", "reworld/Platform-v0", "reworld/CartPole-v0"
ON_POLICY = {"n_steps": 64}
OFF_POLICY = {"learning_starts": 100, "buffer_size": 1000, "batch_size": 32, "train_freq": 8}
PAIRS = [
    (PPO, FlatBoxAction, {**ON_POLICY, "batch_size": 64}),
    (A2C, FlatBoxAction, ON_POLICY),
    (SAC, FlatBoxAction, OFF_POLICY),
    (TD3, FlatBoxAction, OFF_POLICY),
    (DDPG, FlatBoxAction, OFF_POLICY),
    (DQN, DiscreteAction, OFF_POLICY),
    (PPO, DiscreteAction, {**ON_POLICY, "batch_size": 64}),
    (PPO, MultiDiscreteAction, {**ON_POLICY, "batch_size": 64}),
    (A2C, MultiDiscreteAction, ON_POLICY),
]


@pytest.fixture(autouse=True)
def _register():
    reworld.register(PANEL, "worlds.panel:WORLD", max_episode_steps=20)


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks as small as these are slower on several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("id", [PLATFORM, CARTPOLE, PANEL])
@pytest.mark.parametrize(
    ("algorithm", "wrapper", "settings"), PAIRS, ids=[f"{algorithm.__name__}-{form.__name__}" for algorithm, form, _ in PAIRS]
)
def test_learns(algorithm, wrapper, settings, id, tmp_path):
    env = wrapper(gymnasium.make(id))
    model = algorithm("MlpPolicy", env, seed=0, device="cpu", **settings)
    untrained = torch.nn.utils.parameters_to_vector(model.policy.parameters())
    model.learn(256)
    assert not torch.equal(torch.nn.utils.parameters_to_vector(model.policy.parameters()), untrained)
    observation, _ = env.reset(seed=0)
    action, _ = model.predict(observation, deterministic=True)
    assert env.action_space.contains(action)
    env.step(action)
    model.save(tmp_path / "model")
    again = algorithm.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(again.predict(observation, deterministic=True)[0], action)


@pytest.mark.parametrize("id", [PLATFORM, CARTPOLE, PANEL])
@pytest.mark.parametrize("wrapper", [FlatBoxAction, DiscreteAction, MultiDiscreteAction])
def test_its_own_checker_is_content(id, wrapper):
    check_env(wrapper(gymnasium.make(id)))


def test_its_own_vector_environments_hold_it():
    envs = make_vec_env(PLATFORM, n_envs=2, wrapper_class=DiscreteAction, wrapper_kwargs={"bins": 3})
    DQN("MlpPolicy", envs, seed=0, device="cpu", **OFF_POLICY).learn(200)


@pytest.mark.parametrize(("algorithm", "vector"), [(SAC, VectorFlatBoxAction), (DQN, VectorDiscreteAction)])
def test_learns_on_a_native_batch(algorithm, vector):
    batch = gymnasium.make_vec(
        PLATFORM, num_envs=8, vectorization_mode="vector_entry_point", autoreset_mode=AutoresetMode.SAME_STEP
    )
    model = algorithm("MlpPolicy", GymnasiumVecEnv(vector(batch)), seed=0, device="cpu", **OFF_POLICY)
    assert model.learn(512).num_timesteps == 512


@pytest.mark.parametrize("wrapper", [RescaleParameters, FlatTupleAction, DictAction, OneOfAction])
def test_the_other_forms_are_not_for_it(wrapper):
    with pytest.raises(AssertionError, match="only supports"):
        PPO("MlpPolicy", wrapper(gymnasium.make(PLATFORM)), device="cpu")
