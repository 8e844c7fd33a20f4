"""Five stepping stones across a river: which of them to make firmer, and how much, within a budget?

`python examples/stepping_stones.py [FILE]` solves it by the linearisation of the paper and by steps that are checked by the true
value, prints what both get, and draws it.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reworld_baselines.mctvmdp import MDP, TVCMDP, RowCost, solve_for_budgets

STONES = 5
BUDGETS = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0)
COLOURS = {"linearised": "#D55E00", "trust_region": "#0072B2"}

kernel = np.zeros((STONES + 1, 1, STONES + 1))
for stone in range(STONES):
    kernel[stone, 0, [0, stone + 1]] = 0.9, 0.1  # Whoever slips begins anew.
kernel[STONES, 0, [0, STONES]] = 0.1, 0.9
rewards = np.eye(STONES + 1)[STONES][:, None]  # On the far bank each step pays 1.
river = TVCMDP(MDP(kernel, rewards, discount=0.95, start=np.eye(STONES + 1)[0]), RowCost("exponential", scale=1.0, rate=3.0))

solved = solve_for_budgets(river, BUDGETS, tuple(COLOURS))
print("budget  linearised: predicted    true  trust region")
for once, repeated in zip(*solved.values(), strict=True):
    print(f"{once.problem.budget:6g} {once.predicted:22.3f} {once.value:7.3f} {repeated.value:13.3f}")

figure = Figure(figsize=(11.0, 4.2), layout="constrained")
worth, firmness = figure.subplots(1, 2, width_ratios=(1.0, 1.2))
for method, results in solved.items():
    worth.plot(BUDGETS, [each.value for each in results], "o-", color=COLOURS[method], label=f"{method}: true value")
predicted = [each.predicted for each in solved["linearised"]]
worth.plot(BUDGETS, predicted, ":", color=COLOURS["linearised"], label="linearised: as it predicts")
worth.axhline(
    1.0 / (1.0 - river.mdp.discount), color="grey", linewidth=0.8, label="as if one began on the far bank, and stayed"
)
worth.set(xlabel="budget", ylabel="value", title="What the budget is worth")
worth.legend(frameon=False, fontsize=8)

stones = np.arange(STONES)
for offset, (method, results) in zip((-0.2, 0.2), solved.items(), strict=True):
    holds = results[BUDGETS.index(2.0)].kernels[stones, 0, stones + 1]
    firmness.bar(stones + offset, holds, width=0.38, color=COLOURS[method], label=method)
firmness.axhline(0.1, color="black", linestyle="--", linewidth=0.8, label="as they are")
firmness.set(xlabel="stone", ylabel="probability that it holds", title="What a budget of 2 is spent on", xticks=stones)
firmness.legend(frameon=False, fontsize=8)
for axes in (worth, firmness):
    axes.spines[["top", "right"]].set_visible(False)
file = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/stepping_stones.png")
file.parent.mkdir(exist_ok=True)
figure.savefig(file, dpi=110)
