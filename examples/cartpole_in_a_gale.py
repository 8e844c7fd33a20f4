"""CartPole in a gale, and an engineer who may rebuild it: one network plays every configuration, and a level above chooses.

`python examples/cartpole_in_a_gale.py [STEPS [SEED]]` trains the network on all four configurations at once, measures what is
returned in each, plans which one to bring about (a move costs 60, and succeeds nine times in ten), and draws it.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from reworld.changing.levels.games import cartpole_levels
from reworld_baselines.mctvmdp.deep import BilevelAgent, BilevelSettings

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
torch.set_num_threads(1)
agent = BilevelAgent(cartpole_levels(), BilevelSettings(lower_steps=steps), seed)
agent.learn()
report = agent.evaluate(episodes=500)
print(report)
for i, name in enumerate(report.names):
    print(f"in {name}: {'stay' if agent.policy[i] == i else 'go to ' + report.names[agent.policy[i]]}")

figure = Figure(figsize=(10.0, 3.8), layout="constrained")
returns, worth = figure.subplots(1, 2)
here = np.arange(len(report.names))
returns.bar(here, report.values, yerr=np.abs(report.intervals.T - report.values), color="#56B4E9", capsize=4)
for i, j in enumerate(agent.policy):
    if i != j:
        arrow = {"arrowstyle": "-|>", "color": "#D55E00", "connectionstyle": "arc3,rad=-0.3", "linewidth": 1.5}
        returns.annotate("", (j, report.values[j] + 15), (i, report.values[i] + 15), arrowprops=arrow)
returns.set(
    xticks=here, ylim=(0, 620), ylabel="mean return of an episode", title="Each configuration, and where the agent goes"
)
returns.set_xticklabels(report.names)
names = list(report.worth)
values = [report.worth[name].value for name in names]
bars = worth.barh(names, values, color=["#0072B2" if name == "agent" else "lightgrey" for name in names])
worth.bar_label(bars, fmt="{:,.0f}", padding=3)
worth.invert_yaxis()
worth.margins(x=0.15)
worth.set(title="What ways to choose are worth, costs included", xlabel="value from the gale")
for axes in (returns, worth):
    axes.spines[["top", "right"]].set_visible(False)
Path("runs").mkdir(exist_ok=True)
figure.savefig("runs/cartpole_in_a_gale.png", dpi=110)
