"""Train Stable-Baselines3's own PPO on Platform, unmodified: `python examples/stable_baselines3_ppo.py [STEPS]`."""

import sys

import gymnasium
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import reworld  # noqa: F401  (registers the worlds)
from reworld.actions import FlatBoxAction

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
envs = make_vec_env(lambda: FlatBoxAction(gymnasium.make("reworld/Platform-v0")), n_envs=8)
model = PPO("MlpPolicy", envs, n_steps=128, seed=0, verbose=1).learn(steps)
mean, deviation = evaluate_policy(model, envs, n_eval_episodes=20)
print(f"return {mean:.2f} ± {deviation:.2f}")
