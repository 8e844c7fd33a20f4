"""When to change the world, learned by planning: FLEXplore on Hard Move, where changes are branches like all others.

`python examples/flexplore_changes_the_world.py [STEPS [SEED [WORLD]]]` learns, tells what that is worth, and what was changed
when. By default it learns for so short a time that there is nothing to see: give it some thousand steps.
"""

import sys

import gymnasium
import torch

import reworld
from reworld_baselines.evaluation import evaluate, make_batch
from reworld_baselines.flexplore import FLEXplore, fast

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
id = f"reworld/Configurable{sys.argv[3] if len(sys.argv) > 3 else 'HardMove-v0'}"
torch.set_num_threads(1)
agent = FLEXplore(id, fast(feed="embedded", samples=512, elites=64), seed)
agent.learn(steps)

known, result = reworld.reference(id), evaluate(agent, make_batch(id, 20))
print(f"return {result.mean:.3g} [{result.low:.3g}, {result.high:.3g}], costs included")
print(f"best known without changes {known.without.mean:.3g}, with them {known.configuring.mean:.3g}: a score of", end=" ")
print(f"{known.score(result.mean):.2f}")

env = gymnasium.make(id)
branches = env.unwrapped.world.branches
observation, info = env.reset(seed=seed)
begins, ended, step = True, False, 0
while not ended:
    action, _ = agent.predict(observation, episode_start=begins)
    observation, reward, terminated, truncated, info = env.step(action)
    if info["configured"]:
        print(f"step {step}: {branches[action[0]].name} {action[1][action[0]]} for {info['cost']:.3g}")
    begins, ended, step = False, terminated or truncated, step + 1
print(f"ended after {step} steps, {'with' if info['success'] else 'without'} success")
