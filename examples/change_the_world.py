"""What is it worth to change the world? PPO on CartPole in a gale, without model-changing actions and with them.

`python examples/change_the_world.py [STEPS [SEED [WORLD]]]` trains PPO twice, alike, and leaves a plot in `runs`.
"""

import sys
from pathlib import Path

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

import reworld
from reworld.actions import VectorFlatBoxAction
from reworld_baselines.stable_baselines3 import GymnasiumVecEnv

# A change costs 40 at once, and pays over hundreds of steps: with the usual gamma of 0.99 none would be worth it.
PPO_TERMS = {"gamma": 0.999, "gae_lambda": 0.98, "n_steps": 64, "batch_size": 1024, "n_epochs": 5}


class Curve(BaseCallback):
    """Notes the mean return of the latest episodes after every collection."""

    def _on_training_start(self):
        self.steps, self.returns = [], []

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        if latest := [episode["r"] for episode in self.model.ep_info_buffer]:
            self.steps.append(self.num_timesteps)
            self.returns.append(np.mean(latest))


def batch(id, **arguments):
    """Make 64 environments; of the scores in an action the largest chooses, among the branches that are not masked."""
    mode = {"vectorization_mode": "vector_entry_point", "autoreset_mode": AutoresetMode.SAME_STEP}
    return GymnasiumVecEnv(VectorFlatBoxAction(gymnasium.make_vec(id, num_envs=64, **mode, **arguments)))


def train(steps, seed, id, **arguments):
    """Train on an environment, and evaluate over 500 new episodes."""
    envs = VecNormalize(batch(id, **arguments), norm_obs=False, gamma=PPO_TERMS["gamma"])
    network = {"log_std_init": -0.5}
    model = PPO("MlpPolicy", envs, lambda left: 1e-3 * left, **PPO_TERMS, policy_kwargs=network, seed=seed, device="cpu")
    curve = Curve()
    model.learn(steps, curve)
    test = batch(id, **arguments)
    test.seed(10_000 + seed)
    return evaluate_policy(model, test, n_eval_episodes=500, warn=False)[0], curve


steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
world = sys.argv[3] if len(sys.argv) > 3 else "CartPole-v0"
configurable = f"reworld/Configurable{world}"
torch.set_num_threads(1)
known = reworld.reference(configurable)
nominal = gymnasium.make(configurable).unwrapped.world.default_configuration
figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
for name, color, best, made_with in (
    ("without", "tab:grey", known.without, {"id": f"reworld/{world}", "configuration": nominal}),
    ("with", "tab:blue", known.configuring, {"id": configurable}),
):
    mean, curve = train(steps, seed, **made_with)
    print(f"PPO {name} model-changing actions: return {mean:.4g}, score {known.score(mean):.2f}")
    axes.plot(curve.steps, curve.returns, color=color, label=f"PPO {name} model-changing actions")
    axes.axhline(best.mean, color=color, linestyle=":", label=f"best known {name}")
axes.set(xlabel="environment steps", ylabel="return, costs included", title=configurable)
axes.legend()
Path("runs").mkdir(exist_ok=True)
figure.savefig("runs/change_the_world.png", dpi=150)
