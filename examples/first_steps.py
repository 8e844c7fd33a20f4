"""Play Platform with random actions, then see what a batch of a thousand does in ever stronger gravity."""

import gymnasium
import numpy as np

import reworld  # noqa: F401  (registers the worlds)

env = gymnasium.make("reworld/Platform-v0")
observation, info = env.reset(seed=0)
env.action_space.seed(0)
terminated = truncated = False
while not (terminated or truncated):
    branch, parameters = env.action_space.sample()
    observation, reward, terminated, truncated, info = env.step((branch, parameters))
    print(f"{env.unwrapped.world.branches[branch].name:5s} {parameters[branch]}  reward {reward:.3f}")

gravities = np.repeat([5.0, 9.8, 20.0], 400)
envs = gymnasium.make_vec(
    "reworld/Platform-v0",
    num_envs=len(gravities),
    vectorization_mode="vector_entry_point",
    configuration={"gravity": gravities},
)
envs.reset(seed=0)
hop = np.ones(len(gravities), int)
parameters = tuple(np.full((len(gravities), 1), distance) for distance in (10.0, 300.0, 200.0))
observations, rewards, terminations, truncations, infos = envs.step((hop, parameters))
for gravity in np.unique(gravities):
    print(f"gravity {gravity:4.1f}: a hop gains {rewards[gravities == gravity].mean() * 1035:.0f} units")
