"""A river with five stepping stones, a budget to change the way across, and two ways to spend it.

Each stone holds one time in ten; who slips begins anew. On the far bank each step pays 1, but one time in ten one is swept
back. `python examples/stepping_stones.py [FILE]` solves it by the linearisation of the paper and by steps that are checked by
the true value, prints what both get, and draws it.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reworld_baselines.mctvmdp import MDP, TVCMDP, RowCost, solve_for_budgets

STONES, HOLDS = 5, 0.1
BUDGETS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0)
SHOWN = 2.0
COLOURS = {"linearised": "#D55E00", "trust_region": "#0072B2"}

kernel = np.zeros((STONES + 1, 1, STONES + 1))
for stone in range(STONES):
    kernel[stone, 0, [0, stone + 1]] = 1.0 - HOLDS, HOLDS
kernel[STONES, 0, [0, STONES]] = 0.1, 0.9
rewards = np.eye(STONES + 1)[STONES][:, None]
mdp = MDP(kernel, rewards, discount=0.95, start=np.eye(STONES + 1)[0])
river = TVCMDP(mdp, RowCost("exponential", scale=1.0, rate=3.0))

solved = solve_for_budgets(river, BUDGETS, tuple(COLOURS))
print("budget  linearised: predicted    true  trust region")
for once, repeated in zip(*solved.values(), strict=True):
    print(f"{once.problem.budget:6g} {once.predicted:22.3f} {once.value:7.3f} {repeated.value:13.3f}")

figure = Figure(figsize=(11.0, 4.0), layout="constrained")
worth, spent = figure.subplots(1, 2, width_ratios=(1.2, 1.0))
predicted = [each.predicted for each in solved["linearised"]]
worth.plot(BUDGETS, predicted, ":", color=COLOURS["linearised"], label="linearised, as it predicts")
for method, results in reversed(solved.items()):
    worth.plot(BUDGETS, [each.value for each in results], "o-", color=COLOURS[method], label=f"{method}, true value")
worth.axhline(1.0 / (1.0 - mdp.discount), color="grey", linewidth=0.8, label="to be across from the start, and stay")
worth.set(xlabel="budget", ylabel="value", title="What a budget is worth", ylim=(0.0, 40.0))
worth.legend(frameon=False, loc="upper right", fontsize=9)

ways = {"crosses in one bound": (0, STONES), "stays across": (STONES, STONES), "first stone holds": (0, 1)}
for offset, (method, results) in zip((-0.2, 0.2), solved.items(), strict=True):
    change = results[BUDGETS.index(SHOWN)].kernels - kernel
    heights = [change[s, 0, t] for s, t in ways.values()]
    bars = spent.bar(np.arange(len(ways)) + offset, heights, width=0.38, color=COLOURS[method], label=method)
    spent.bar_label(bars, fmt="{:+.3f}", padding=2, fontsize=9)
spent.axhline(0.0, color="black", linewidth=0.8)
spent.set(title=f"What a budget of {SHOWN:g} is spent on", ylabel="change of probability", xticks=range(len(ways)))
spent.set_xticklabels(ways)
spent.margins(y=0.12)
spent.legend(frameon=False)
for axes in (worth, spent):
    axes.spines[["top", "right"]].set_visible(False)
file = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/stepping_stones.png")
file.parent.mkdir(exist_ok=True)
figure.savefig(file, dpi=110)
