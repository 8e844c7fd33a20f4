"""A floor that gets more slippery by itself, and a level that may dry it: planning, greed, and doing nothing.

Level 0 walks through Block-world, in one of 1000 degrees of slip. Level 1 shifts the slip before each episode, at a price that
grows exponentially with the shift, against a drift that it has no hand in. Greed stops half way, where drying the floor a
little more is not worth its price. `python examples/block_world_levels.py [FILE]` solves all of it, and draws it.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reworld.changing.levels import Level
from reworld.worlds.block_world import block_world
from reworld_baselines.mctvmdp import MDP, MultiLevelMDP, solve
from reworld_baselines.mctvmdp.tabular import evaluate

DEGREES, DECISIONS = 1000, 40
SHIFTS = np.array([-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100])
DRIFT = {0: 0.5, 5: 0.3, 20: 0.2}

slips = np.linspace(0.0, 1.0, DEGREES)
here = np.arange(DEGREES)
kernel = np.zeros((len(SHIFTS), DEGREES, DEGREES))
for u, shift in enumerate(SHIFTS):
    for drift, probability in DRIFT.items():
        kernel[u, here, np.clip(here + shift + drift, 0, DEGREES - 1)] += probability
price = 0.05 * (np.exp(8.0 * np.abs(SHIFTS) / (DEGREES - 1)) - 1.0)
level = Level(kernel, np.tile(price, (DEGREES, 1)), start=here == 799, discount=0.95)
problem = MultiLevelMDP(MDP.of_world(block_world(), 0.99, {"slip": slips}), [level])

figure = Figure(figsize=(11.0, 4.0), layout="constrained")
worth, drying = figure.subplots(1, 2)
for method, colour in {"none": "grey", "random": "#E69F00", "myopic": "#D55E00", "levels": "#0072B2"}.items():
    result = solve(problem, method)
    print(f"{method:8} value {result.value:8.4f}, of which is paid {result.cost:.4f}")
    policy = result.policies[1][0]
    moves = kernel[policy, here] if policy.ndim == 1 else np.einsum("iu,uij->ij", policy, kernel)
    law, slip = level.start, []
    for _ in range(DECISIONS):
        law = law @ moves
        slip.append(law @ slips)
    drying.plot(range(1, DECISIONS + 1), slip, color=colour, label=f"{method}: {result.value:.3f}")
print(f"oracle   value {solve(problem, 'oracle').value:8.4f}, in the best degree from the start, for nothing")

values = np.einsum("is,is->i", problem.worlds.start, evaluate(problem.worlds, result.policies[0]))
worth.plot(slips, values, color="black")
worth.plot(slips[799], values[799], "o", color="#D55E00")
worth.annotate("where it begins", (slips[799], values[799]), (0.62, 0.05), arrowprops={"arrowstyle": "->"})
worth.set(xlabel="slip", ylabel="value of an episode", title="What a degree of slip is worth")
drying.set(xlabel="decision of level 1", ylabel="mean slip", title="What level 1 makes of it, and what that is worth")
drying.legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.62))
for axes in (worth, drying):
    axes.spines[["top", "right"]].set_visible(False)
file = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/block_world_levels.png")
file.parent.mkdir(exist_ok=True)
figure.savefig(file, dpi=110)
