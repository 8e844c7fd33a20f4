import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.logger import Logger

from reworld.actions import VectorDiscreteAction, VectorFlatBoxAction
from reworld_baselines.evaluation import evaluate, make_batch
from reworld_baselines.stable_baselines3 import GymnasiumVecEnv, PPOAgent, PPOSettings

PLATFORM, CARTPOLE = "reworld/Platform-v0", "reworld/CartPole-v0"
SMALL = PPOSettings(n_envs=4, n_steps=16, batch_size=32, n_epochs=2)


def learn(agent, steps, at_boundary=lambda: None):
    agent.learn(steps, Logger(None, []), at_boundary)


def assert_equal(state, other):
    assert state.keys() == other.keys()
    for name in state:
        np.testing.assert_array_equal(state[name], other[name], err_msg=name, strict=True)


def test_the_adapter_gives_what_monitored_single_environments_give():
    env = GymnasiumVecEnv(VectorFlatBoxAction(make_batch(CARTPOLE, 2)))
    env.seed(4)
    observations = env.reset()
    singles = [gymnasium.make(CARTPOLE) for _ in range(2)]
    for i, single in enumerate(singles):
        np.testing.assert_array_equal(single.reset(seed=4 + i)[0], observations[i])
    length = np.zeros(2, int)
    for _ in range(60):
        observations, rewards, ends, infos = env.step(np.array([[0.0, 1.0], [1.0, 0.0]]))
        length += 1
        for i, single in enumerate(singles):
            observation, reward, terminated, _, _ = single.step(1 - i)
            assert (reward, terminated) == (rewards[i], ends[i])
            if terminated:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], observation)
                assert infos[i]["TimeLimit.truncated"] is False
                assert infos[i]["is_success"] is False
                assert (infos[i]["episode"]["r"], infos[i]["episode"]["l"]) == (length[i], length[i])
                length[i] = 0
                observation, _ = single.reset()
            else:
                assert infos[i] == {}
            np.testing.assert_array_equal(observations[i], observation)
    env.close()


def test_the_adapter_gives_the_masks_that_maskable_ppo_asks_for():
    env = GymnasiumVecEnv(
        VectorDiscreteAction(make_batch(CARTPOLE, 2, changing={"parameters": ["gravity"], "epoch": "episode"}))
    )
    env.reset()
    assert env.has_attr("action_masks")
    assert [mask.tolist() for mask in env.env_method("action_masks")] == [[True] * 7] * 2
    env.step(np.array([0, 2]))
    assert [mask.tolist() for mask in env.env_method("action_masks", indices=[1, 0])] == [[True] * 7, [True] * 2 + [False] * 5]
    with pytest.raises(NotImplementedError, match="no single environments"):
        env.env_method("reset")


def test_the_adapter_tells_a_truncation_from_a_termination():
    batch = gymnasium.make_vec(
        CARTPOLE,
        num_envs=1,
        max_episode_steps=3,
        vectorization_mode="vector_entry_point",
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    env = GymnasiumVecEnv(VectorFlatBoxAction(batch))
    env.reset()
    for _ in range(3):
        _, _, ends, infos = env.step(np.zeros((1, 2)))
    assert ends.tolist() == [True]
    assert infos[0]["TimeLimit.truncated"] is True
    assert infos[0]["is_success"] is True


def test_the_adapter_refuses_another_autoreset():
    batch = gymnasium.make_vec(CARTPOLE, num_envs=1, vectorization_mode="vector_entry_point")
    with pytest.raises(ValueError, match=r"make the environment with autoreset_mode=AutoresetMode.SAME_STEP"):
        GymnasiumVecEnv(batch)


@pytest.mark.parametrize("environment", [PLATFORM, CARTPOLE])
def test_actions_are_the_world_s_own(environment):
    agent = PPOAgent(environment, SMALL, seed=0)
    batch = make_batch(environment, 5)
    observations, _ = batch.reset(seed=0)
    assert batch.action_space.contains(agent.act(observations))
    assert batch.action_space.contains(agent.act(observations, deterministic=False))


def test_the_same_seed_learns_the_same_and_another_does_not():
    states = []
    for seed in (1, 1, 2):
        agent = PPOAgent(PLATFORM, SMALL, seed)
        learn(agent, 256)
        states.append(agent.get_state())
    assert_equal(states[0], states[1])
    assert not np.array_equal(states[0]["policy/action_net.weight"], states[2]["policy/action_net.weight"])


@pytest.mark.parametrize("environment", [PLATFORM, CARTPOLE])
def test_every_boundary_can_be_gone_on_from(environment):
    whole = PPOAgent(environment, SMALL, seed=0)
    states = []
    learn(whole, 256, lambda: states.append({name: array.copy() for name, array in whole.get_state().items()}))
    assert [state["counters"][0] for state in states] == [0, 64, 128, 192, 256]
    for state in states[1:]:
        resumed = PPOAgent(environment, SMALL, seed=77)
        resumed.set_state(state)
        learn(resumed, 256)
        assert resumed.steps == 256
        assert_equal(resumed.get_state(), whole.get_state())


def test_evaluating_in_between_changes_nothing():
    batch = make_batch(PLATFORM, 3)
    plain, watched = PPOAgent(PLATFORM, SMALL, seed=0), None
    learn(plain, 192)
    watched = PPOAgent(PLATFORM, SMALL, seed=0)
    learn(watched, 192, lambda: evaluate(watched, batch))
    assert_equal(plain.get_state(), watched.get_state())


@pytest.mark.slow
def test_ppo_solves_cartpole():
    agent = PPOAgent(CARTPOLE, PPOSettings(), seed=0)
    learn(agent, 60_000)
    assert evaluate(agent, make_batch(CARTPOLE, 100)).mean >= 475.0


@pytest.mark.slow
def test_ppo_crosses_the_platforms():
    agent = PPOAgent(PLATFORM, PPOSettings(), seed=0)
    learn(agent, 100_000)
    assert evaluate(agent, make_batch(PLATFORM, 100)).mean >= 0.95
