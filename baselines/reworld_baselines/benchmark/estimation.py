"""What samples are worth: the error of values on estimated kernels, against the number of samples, and the bounds of theory.

All kernels of the instance ``bilevel_6state`` are estimated, those of its world and that of its level, each from n samples of
every action in every state, many times over. Rewards and costs are known.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from reworld.finite import Reals
from reworld_baselines.mctvmdp.estimation import (
    Counts,
    estimate,
    estimate_kernel,
    hoeffding_radius,
    level_error_bounds,
    value_error_bounds,
    weissman_radius,
)
from reworld_baselines.mctvmdp.instances import load
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.tabular import evaluate, policy_iteration
from reworld_baselines.provenance import commit, versions

SAMPLES = (10, 30, 100, 300, 1000, 3000, 10_000)
DELTA = 0.05
BOUNDS = ("tight", "coarse", "hoeffding", "weissman")

_LABELS = {"tight": "deterministic", "coarse": "by the kernels' distance", "hoeffding": "Hoeffding", "weissman": "Weissman"}
_COLOURS = {"error": "#000000", "tight": "#0072B2", "coarse": "#56B4E9", "hoeffding": "#D55E00", "weissman": "#E69F00"}


def measure(output: Path, replicates: int = 200, seed: int = 0) -> dict[str, Any]:
    """Estimate, solve, and compare with the truth.

    Args:
        output: JSON file to store the result in; a page with the table and a figure are written beside it.
        replicates: How many estimates for each number of samples.
        seed: Of all samples.

    Returns:
        What was stored: for each level and number of samples the mean error of the optimal values (the largest of any state),
        the mean of every bound, how often each was exceeded, the largest regret and how often its bound was exceeded, and by
        how much the value at the start was overestimated, also with fresh samples; and for each level the slope of the error
        on a double logarithmic scale.
    """
    rng = np.random.default_rng(seed)
    rows = [row for n in SAMPLES for row in _measure(n, replicates, rng)]
    outcome = {
        "rows": rows,
        "slopes": {name: _slope([row for row in rows if row["level"] == name]) for name in ("world", "level")},
        "replicates": replicates,
        "delta": DELTA,
        "seed": seed,
        "versions": versions(),
        "commit": commit(),
        "command": f"python -m reworld_baselines.benchmark estimation --replicates {replicates} --seed {seed}",
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(outcome, indent=1) + "\n")
    output.with_suffix(".md").write_text(to_markdown(outcome))
    draw(outcome, output.with_suffix(".png"))
    return outcome


def _measure(n: int, replicates: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The row of the world and that of the level, for so many samples of each action in each state."""
    problem = load("bilevel_6state").problem
    worlds, level = problem.worlds, problem.levels[0]
    moves = np.moveaxis(level.kernel[0], 0, 1)

    def level_of(kernel: Reals, worth: Reals) -> MDP:
        rewards = np.einsum("...iuj,...j->...iu", kernel, worth) - level.costs
        return MDP(kernel, rewards, level.discount, level.start)

    def estimate_moves() -> Reals:
        return estimate_kernel(rng.multinomial(n, moves, (replicates, *moves.shape[:2])))[0]

    true = policy_iteration(worlds)
    worth = _at_start(worlds, true.values)
    top = policy_iteration(level_of(moves, worth))
    lower = _estimate_worlds(worlds, n, replicates, rng)
    found = policy_iteration(lower)
    promised = _at_start(worlds, found.values)
    above = level_of(estimate_moves(), promised)
    best = policy_iteration(above)
    kept = _at_start(worlds, evaluate(worlds, found.policy))
    fresh = _estimate_worlds(worlds, n, replicates, rng)
    fresh_above = level_of(estimate_moves(), _at_start(worlds, evaluate(fresh, found.policy)))
    exact = value_error_bounds(lower, worlds, true.values)
    far, span = worlds.discount / (1.0 - worlds.discount), float(np.ptp(true.values, axis=-1).max())
    rows = math.prod(worlds.kernel.shape[:-1])
    of_world = {"tight": exact.tight.max(axis=1), "coarse": exact.coarse.max(axis=1)}
    of_world |= {name: far * radius for name, radius in _probable(n, rows, worlds.states, span, DELTA).items()}
    # Each of the two levels may fail with half the probability.
    worth_errors = {name: far * radius for name, radius in _probable(n, rows, worlds.states, span, 0.5 * DELTA).items()}
    ahead = float(np.ptp(worth + level.discount * top.values))
    own = _probable(n, level.costs.size, level.states, ahead, 0.5 * DELTA)
    known = {"worth": worth, "values": top.values, "discount": level.discount}
    errors = np.abs(promised - worth).max(axis=1)
    of_level = {
        "tight": level_error_bounds(above.kernel, moves, worth_error=errors, **known).tight,
        "coarse": level_error_bounds(above.kernel, moves, worth_error=of_world["coarse"], **known).coarse,
        **{name: (worth_errors[name] + own[name]) / (1.0 - level.discount) for name in own},
    }
    regret = (exact.tight + value_error_bounds(lower, worlds, found.values).tight).max(axis=1)
    known |= {"worth": promised, "values": best.values, "worth_error": np.abs(promised - kept).max(axis=1)}
    regret_above = of_level["tight"] + level_error_bounds(above.kernel, moves, **known).tight
    return [
        _row("world", n, worlds, true.values, found, fresh, of_world, regret),
        _row("level", n, level_of(moves, kept), top.values, best, fresh_above, of_level, regret_above),
    ]


def _probable(n: int, rows: int, states: int, span: float, delta: float) -> dict[str, float]:
    """By how much the mean of numbers of some span may differ under the true and the estimated law of any of some rows."""
    visits = np.full(rows, n)
    return {
        "hoeffding": float(hoeffding_radius(visits, span, delta).max()),
        "weissman": float(0.5 * span * weissman_radius(visits, states, delta).max()),
    }


def _estimate_worlds(worlds: MDP, n: int, replicates: int, rng: np.random.Generator) -> MDP:
    transitions = rng.multinomial(n, worlds.kernel, (replicates, *worlds.kernel.shape[:-1]))
    shape = transitions.shape[:2]
    counts = Counts(
        transitions=transitions,
        rewards=np.broadcast_to(n * worlds.expected_rewards, transitions.shape[:-1]),
        starts=np.zeros((*shape, worlds.states), np.int64),
        terminal=np.zeros((*shape, worlds.states), np.bool_),
        reward_range=(float(worlds.rewards.min()), float(worlds.rewards.max())),
    )
    return estimate(counts, worlds.discount).mdp


def _row(
    name: str, n: int, truth: MDP, values: Reals, found: Any, fresh: MDP, bounds: dict[str, Any], regret_bound: Reals
) -> dict[str, Any]:
    """Compare a stack of estimates with the truth, in which their policies are executed; its first axis is the replicates'."""
    axes = tuple(range(1, found.values.ndim))
    errors = np.abs(found.values - values).max(axis=axes)
    executed = evaluate(truth, found.policy)
    bounds = {bound: np.broadcast_to(bounds[bound], errors.shape) for bound in BOUNDS}
    return {
        "level": name,
        "samples": n,
        "error": float(errors.mean()),
        "bounds": {bound: float(numbers.mean()) for bound, numbers in bounds.items()},
        "exceeded": {bound: int((errors > numbers * (1.0 + 1e-9)).sum()) for bound, numbers in bounds.items()},
        "regret": float((values - executed).max()),
        "regret_exceeded": int(((values - executed).max(axis=axes) > regret_bound * (1.0 + 1e-9)).sum()),
        "optimism": float(_at_start(truth, found.values - executed).mean()),
        "optimism_fresh": float(_at_start(truth, evaluate(fresh, found.policy) - executed).mean()),
    }


def _at_start(mdp: MDP, values: Reals) -> Reals:
    worth: Reals = (mdp.start * values).sum(axis=-1)
    return worth


def _slope(rows: list[dict[str, Any]]) -> float:
    """By which power of the number of samples the error falls."""
    samples, errors = ([math.log(row[key]) for row in rows] for key in ("samples", "error"))
    return float(np.polyfit(samples, errors, 1)[0])


def to_markdown(outcome: dict[str, Any]) -> str:
    """Lay out what `measure` returned as a page."""
    version = outcome["commit"] or {"hash": "unknown", "dirty": False}
    lines = [
        "# What samples are worth",
        "",
        "All kernels of `bilevel_6state`, those of its world and that of the level above, are estimated from n samples of each",
        f"action in each state; means of {outcome['replicates']} estimates. The error is the largest of any optimal value, and",
        "bounds are given as multiples of it, with how many estimates exceed them in brackets. Those of Hoeffding and Weissman",
        f"hold with a probability of {1.0 - outcome['delta']:g}, the others always. Regret is the largest of any estimate's",
        "optimal policy; optimism is by how much the value of that policy, at the start, is overestimated on average: on the",
        "samples that it was computed from, and on fresh ones.",
        f"`{outcome['command']}` at commit {version['hash'][:10]}" + (" (changed)." if version["dirty"] else "."),
        "",
        "![Errors of optimal values, and their bounds, against the number of samples](estimation.png)",
        "",
    ]
    for name, title in (("world", "The world (level 0)"), ("level", "The level above")):
        bounds = [_LABELS[bound] for bound in BOUNDS]
        lines += [
            f"## {title}",
            "",
            f"The error falls with n to the power of {outcome['slopes'][name]:.3f}.",
            "",
            f"| n | error | {' | '.join(bounds)} | regret | optimism | on fresh samples |",
            "|---:|" + "---:|" * (len(bounds) + 4),
        ]
        for row in outcome["rows"]:
            if row["level"] == name:
                ratios = [f"{row['bounds'][bound] / row['error']:.1f}× ({row['exceeded'][bound]})" for bound in BOUNDS]
                rest = [f"{row[key]:+.4f}" for key in ("optimism", "optimism_fresh")]
                cells = [f"{row['samples']:,}", f"{row['error']:.4f}", *ratios, f"{row['regret']:.4f}", *rest]
                lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def draw(outcome: dict[str, Any], file: Path) -> None:
    """Draw errors and bounds against the number of samples.

    Args:
        outcome: What `measure` returned.
        file: Where to; its ending says in which format.
    """
    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(1, 2), (("world", "world (level 0)"), ("level", "level 1")), strict=True):
        rows = [row for row in outcome["rows"] if row["level"] == name]
        samples, errors = (np.array([row[key] for row in rows], np.float64) for key in ("samples", "error"))
        axes.loglog(samples, errors, color=_COLOURS["error"], marker="o", markersize=4, label="error")
        for bound in BOUNDS:
            bounds = [row["bounds"][bound] for row in rows]
            axes.loglog(samples, bounds, color=_COLOURS[bound], marker="s", markersize=3, label=_LABELS[bound])
        middle = np.exp(np.log(errors * np.sqrt(samples)).mean())
        axes.loglog(samples, middle / np.sqrt(samples), color="tab:grey", linestyle="--", label="slope \N{MINUS SIGN}1/2")
        axes.set(title=title, xlabel="samples of each action in each state", ylabel="largest error of a value")
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"Optimal values of estimates: mean of {outcome['replicates']}, and bounds of the error")
    figure.savefig(file, dpi=150)
