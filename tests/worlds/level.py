"""How good a world's scripted policy is."""

from typing import Any

from reworld.environment import WorldEnv
from reworld.policies import scripted_policy


def level(world: Any, episodes: int) -> float:
    """Share of episodes that the scripted policy wins."""
    env, act, won = WorldEnv(world), scripted_policy(world), 0
    for seed in range(episodes):
        observation, info = env.reset(seed=seed)
        for _ in range(100):
            observation, _, terminated, _, info = env.step(act(observation))
            if terminated:
                break
        won += bool(info["success"])
    return won / episodes
