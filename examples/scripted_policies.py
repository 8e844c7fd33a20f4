"""Every world, played by chance and by its own scripted policy: `python examples/scripted_policies.py [EPISODES]`."""

import sys

import gymnasium

import reworld
from reworld.policies import scripted_policy

episodes = int(sys.argv[1]) if len(sys.argv) > 1 else 10

print(f"{'mean return (successes)':24s}{'random':>24s}{'scripted':>24s}")
for entry in reworld.list_worlds():
    env = gymnasium.make(entry.spec.id)
    env.action_space.seed(0)
    cells = []
    for policy in (lambda observation, env=env: env.action_space.sample(), scripted_policy(env.unwrapped.world)):
        total, successes = 0.0, 0
        for seed in range(episodes):
            observation, info = env.reset(seed=seed)
            terminated = truncated = False
            while not (terminated or truncated):
                observation, reward, terminated, truncated, info = env.step(policy(observation))
                total += reward
            successes += info["success"]
        cells.append(f"{total / episodes:.2f} ({successes} of {episodes})")
    print(f"{entry.spec.id:24s}{cells[0]:>24s}{cells[1]:>24s}")
