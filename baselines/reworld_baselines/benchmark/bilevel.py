"""What bi-level agents make of choosing their world: CartPole in a gale, Block-world on 1000 kinds of ice, Platform."""

import json
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats
from tqdm import tqdm

import reworld
from reworld.changing.levels import Level, find_levels
from reworld.finite import Reals
from reworld_baselines.evaluation import mean_interval
from reworld_baselines.mctvmdp.deep import BilevelAgent, BilevelSettings, LevelsReport, RangesReport, upper
from reworld_baselines.mctvmdp.instances import load, settings_of
from reworld_baselines.mctvmdp.multi_level import levels, myopic, none, random
from reworld_baselines.mctvmdp.tabular import policy_iteration_along
from reworld_baselines.provenance import commit, versions
from reworld_baselines.runs import write_whole

CARTPOLE = "reworld.changing.levels.games:cartpole_levels"
PLATFORM = "reworld/ConfigurablePlatform-v0"

BLOCK_WORLD_DECISIONS = 40_000

_EPISODES, _GAMES, _RANGES_EPISODES = 500, 200, 2000
_LOWER_STEPS = {"conditioned": 1_000_000, "per_configuration": 2_000_000}
_PLATFORM_STEPS = 1_000_000

_BARS = ("none", "random", "myopic", "agent", "levels", "oracle")
_COLOURS = ("#999999", "#56B4E9", "#E69F00", "#D55E00", "#0072B2", "#009E73")


def measure(seeds: int, output: Path, agents: Path = Path("runs/bilevel"), only: str = "") -> dict[str, Any]:
    """Let agents learn, and measure them. What is in the output already is not done again; nor is what an agent has learned.

    Args:
        seeds: How many of each, from 0 on.
        output: JSON file to store the result in, after every agent; in the end a page and a figure are written beside it.
        agents: Directory to store the agents in.
        only: Do only studies whose name contains this.

    Returns:
        What was stored.
    """
    rows: list[dict[str, Any]] = json.loads(output.read_text())["rows"] if output.exists() else []
    done = [_key(row) for row in rows]
    due = [case for case in _cases(seeds) if only in case["study"] and _key(case) not in done]
    output.parent.mkdir(parents=True, exist_ok=True)
    for case in tqdm(due, desc="agents"):
        started = time.process_time()
        found = {"cartpole": _cartpole, "block_world": _block_world, "platform": _platform}[case["study"]](case, agents)
        rows.append({**case, **found, "cpu_seconds": time.process_time() - started})
        write_whole(output, (json.dumps(_outcome(rows), indent=1) + "\n").encode())
    outcome = _outcome(rows)
    output.with_suffix(".md").write_text(to_markdown(outcome))
    draw(outcome, output.with_suffix(".png"))
    return outcome


def _cases(seeds: int) -> Iterator[dict[str, Any]]:
    for study, lower, name in (
        *(("cartpole", lower, name) for lower in ("conditioned", "per_configuration") for name in ("value_iteration", "dqn")),
        ("block_world", "exact", "dqn"),
        *(("platform", "conditioned", name) for name in ("cross_entropy", "bayesian")),
    ):
        for seed in range(seeds):
            yield {"study": study, "seed": seed, "lower": lower, "upper": name}


def _key(case: dict[str, Any]) -> tuple[Any, ...]:
    return case["study"], case["seed"], case["lower"], case["upper"]


def _outcome(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    version = commit()
    return {
        "rows": sorted(rows, key=_key),
        "versions": versions(),
        "commit": version["hash"] + (" (changed)" if version["dirty"] else "") if version else "unknown",
        "command": f"python -m reworld_baselines.benchmark bilevel --seeds {1 + max(row['seed'] for row in rows)}",
    }


def _learned(problem: Any, case: dict[str, Any], agents: Path, first: str, **settings: Any) -> BilevelAgent:
    """Learn, with the lower level of the agent whose upper level is `first`, which differs in nothing else."""
    own = BilevelSettings(lower=case["lower"], upper=case["upper"], **settings)
    agent = BilevelAgent(problem, own, case["seed"])
    names = [f"{case['study']}-{case['lower']}-{name}-{case['seed']}" for name in (first, case["upper"])]
    if case["upper"] != first:
        agent.lower = BilevelAgent.load(agents / names[0], problem).lower
    agent.learn(agents / names[1], quiet=True)
    return agent


def _cartpole(case: dict[str, Any], agents: Path) -> dict[str, Any]:
    agent = _learned(find_levels(CARTPOLE), case, agents, "value_iteration", lower_steps=_LOWER_STEPS[case["lower"]])
    report = agent.evaluate(_EPISODES, _GAMES)
    assert isinstance(report, LevelsReport)
    return {
        "values": dict(zip(report.names, report.values.tolist(), strict=True)),
        "intervals": dict(zip(report.names, report.intervals.tolist(), strict=True)),
        "policy": agent.policy.tolist(),
        "worth": {name: each.value for name, each in report.worth.items()},
        "error": report.worth["agent"].error,
        "games": [float(report.games.mean()), *mean_interval(report.games)],
    }


def _block_world(case: dict[str, Any], agents: Path) -> dict[str, Any]:
    level, values = _ice()
    settings = BilevelSettings().dqn
    shares = np.linspace(0.0, 1.0, len(values), dtype=np.float32)[:, None]
    games = upper.UpperGames(level, shares, lambda which: values[which], settings.n_envs, case["seed"], decisions=100)
    with tqdm(disable=True) as bar:
        policy = upper.learn_dqn(games, settings, BLOCK_WORLD_DECISIONS, case["seed"], "cpu", bar)
    exact = np.zeros(len(values))
    policies = {"agent": policy, **upper.policies_for(level, values, levels, none, random, myopic)}
    worth = {name: upper.execute(level, each, values, exact).value for name, each in policies.items()}
    return {"decisions": BLOCK_WORLD_DECISIONS, "worth": {**worth, "oracle": values.max() / (1.0 - level.discount)}}


@cache
def _ice() -> tuple[Level, Reals]:
    """The level above Block-world on ice, and what each of its worlds is worth."""
    problem = load("blockworld10").problem
    values: Reals = np.einsum("...s,...s->...", problem.worlds.start, policy_iteration_along(problem.worlds).values)
    return problem.levels[0], values


def _platform(case: dict[str, Any], agents: Path) -> dict[str, Any]:
    agent = _learned(PLATFORM, case, agents, "cross_entropy", lower_steps=_PLATFORM_STEPS)
    report = agent.evaluate(_RANGES_EPISODES)
    assert isinstance(report, RangesReport)
    returns = {"agent": report.agent, "none": report.nominal}
    return {
        "targets": dict(report.targets),
        "worth": {name: float(each.mean()) for name, each in returns.items()},
        "intervals": {name: mean_interval(each) for name, each in returns.items()},
    }


def to_markdown(outcome: dict[str, Any]) -> str:
    """Lay out what `measure` returned as a page.

    Args:
        outcome: As it was returned.
    """
    lines = [
        "# Bi-level agents",
        "",
        "An upper level chooses the configuration that a lower level then plays in. Means over seeds, ± half their 95 %",
        "interval. Settings were chosen on seed 0, which is one of them. Upper levels over the same lower level share its",
        "networks and the episodes that they are measured by: where they decide alike, their figures are equal.",
        f"`{outcome['command']}` at commit {outcome['commit'][:10]}{outcome['commit'][40:]}.",
    ]
    for section in (_cartpole_page, _block_world_page, _platform_page):
        lines += section(outcome["rows"])
    lines += ["", "![What every way to choose is worth, a dot for each seed](bilevel.png)"]
    return "\n".join(lines) + "\n"


def _cartpole_page(rows: Sequence[dict[str, Any]]) -> list[str]:
    groups = _groups(rows, "cartpole")
    if not groups:
        return []
    names = list(next(iter(groups.values()))[0]["values"])
    lines = [
        "",
        "## CartPole in a gale",
        "",
        f"Mean return of the lower level, PPO, in each configuration, {_EPISODES} new episodes each, and by how much the best",
        "is above the gale, in the worst seed.",
        "",
        f"| lower level | seeds | {' | '.join(names)} | best above gale |",
        "|---" * (len(names) + 3) + "|",
    ]
    for (lower, name), group in groups.items():
        if name == "value_iteration":
            above = min(max(row["values"].values()) / row["values"][names[0]] - 1.0 for row in group)
            cells = [_spread([row["values"][each] for row in group], 1) for each in names]
            lines.append(f"| {lower.replace('_', ' ')} | {len(group)} | {' | '.join(cells)} | {100.0 * above:.0f} % |")
    known = settings_of("cartpole4")["upper"]["bilevel"]
    lines += [
        "",
        f"What upper levels make of it, from the gale; {known:.0f} is the best known (linear lower policies, planned exactly),",
        "of which the worst seed has the given share, by its returns and in its games. *planned* is optimal for the same",
        f"returns. Of the agent {_GAMES} games of each seed were played, too.",
        "",
        "| lower level | upper level | none | random | myopic | agent | agent's games | planned | oracle | worst seed |",
        "|---" * 10 + "|",
    ]
    for (lower, name), group in groups.items():
        cells = [_spread([row["worth"][each] for row in group], 0) for each in ("none", "random", "myopic", "agent")]
        cells.append(_spread([row["games"][0] for row in group], 0))
        cells += [_spread([row["worth"][each] for row in group], 0) for each in ("levels", "oracle")]
        worst = min(min(row["worth"]["agent"], row["games"][0]) for row in group) / known
        title = f"{lower.replace('_', ' ')} | {_TITLES[name]}"
        lines.append(f"| {title} | {' | '.join(cells)} | {100.0 * worst:.1f} % |")
    return lines


def _block_world_page(rows: Sequence[dict[str, Any]]) -> list[str]:
    groups = _groups(rows, "block_world")
    if not groups:
        return []
    group = groups["exact", "dqn"]
    worth = group[0]["worth"]
    shares = [(row["worth"]["agent"] - worth["none"]) / (worth["levels"] - worth["none"]) for row in group]
    return [
        "",
        "## Block-world, 1000 kinds of ice",
        "",
        f"DQN as the upper level, {group[0]['decisions']:,} decisions, over exactly solved lower levels; its greedy policy is",
        "evaluated by a linear solve.",
        "",
        "| seeds | none | random | myopic | DQN | value iteration | oracle | DQN's share of the gain, worst seed |",
        "|---" * 8 + "|",
        f"| {len(group)} | {worth['none']:.4f} | {worth['random']:.4f} | {worth['myopic']:.4f} "
        f"| {_spread([row['worth']['agent'] for row in group], 4)} | {worth['levels']:.4f} | {worth['oracle']:.4f} "
        f"| {100.0 * min(shares):.1f} % |",
    ]


def _platform_page(rows: Sequence[dict[str, Any]]) -> list[str]:
    groups = _groups(rows, "platform")
    if not groups:
        return []
    reference = reworld.reference(PLATFORM)
    lines = [
        "",
        "## Platform, within ranges",
        "",
        f"One conditioned policy over gravity and both gaps; {_RANGES_EPISODES:,} episodes, costs included. The best known",
        f"returns are {reference.without.mean:.3g} without any change and {reference.configuring.mean:.3g} with.",
        "",
        "| upper level | seeds | no change | agent | score |",
        "|---" * 5 + "|",
    ]
    for (_, name), group in groups.items():
        mine = [row["worth"]["agent"] for row in group]
        cells = [_spread([row["worth"]["none"] for row in group], 3), _spread(mine, 3)]
        cells.append(_spread([reference.score(each) for each in mine], 2))
        lines.append(f"| {_TITLES[name]} | {len(group)} | {' | '.join(cells)} |")
    return lines


_TITLES = {
    "value_iteration": "value iteration",
    "dqn": "DQN",
    "cross_entropy": "cross-entropy method",
    "bayesian": "Bayesian optimisation",
}


def _groups(rows: Sequence[dict[str, Any]], study: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The rows of a study by lower and upper level."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["study"] == study:
            groups.setdefault((row["lower"], row["upper"]), []).append(row)
    return groups


def _spread(values: Sequence[float], digits: int) -> str:
    """The mean, and half the width of its 95 % interval, by Student's law."""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {stats.t.ppf(0.975, len(values) - 1) * stats.sem(values):.{digits}f}"


def draw(outcome: dict[str, Any], file: Path) -> None:
    """Draw what every way to choose is worth, a dot for each seed.

    Args:
        outcome: As `measure` returned it.
        file: Where to.
    """
    figure = Figure(figsize=(11.0, 3.8), layout="constrained")
    cartpole, block_world, platform = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1.0))
    _draw_worth(cartpole, "CartPole in a gale", _groups(outcome["rows"], "cartpole"), "conditioned")
    _draw_worth(block_world, "Block-world, 1000 kinds of ice", _groups(outcome["rows"], "block_world"), "exact")
    _draw_worth(platform, "Platform, within ranges", _groups(outcome["rows"], "platform"), "conditioned")
    reference = reworld.reference(PLATFORM)
    for name, known in (("best without change", reference.without), ("best known", reference.configuring)):
        platform.axhline(known.mean, color="#0072B2", linestyle=":", linewidth=1.0)
        platform.text(-0.4, known.mean, name, va="bottom", fontsize=8, color="#0072B2")
    figure.savefig(file, dpi=150)


def _draw_worth(axes: Axes, title: str, groups: dict[tuple[str, str], list[dict[str, Any]]], lower: str) -> None:
    bars: list[tuple[str, str, list[float]]] = []
    mine = {name: group for (each, name), group in groups.items() if each == lower}
    if not mine:
        return
    some = mine.get("value_iteration", next(iter(mine.values())))
    for name, colour in zip(_BARS, _COLOURS, strict=True):
        if name == "agent":
            for learner, group in mine.items():
                if learner != "value_iteration":
                    bars.append((_TITLES[learner], colour, [row["worth"]["agent"] for row in group]))
        elif name in some[0]["worth"]:
            planned = "agent" if name == "levels" and "value_iteration" in mine else name
            shown = _TITLES["value_iteration"] if name == "levels" else name
            bars.append((shown, colour, [row["worth"][planned] for row in some]))
    for k, (_, colour, values) in enumerate(bars):
        axes.bar(k, np.mean(values), color=colour, alpha=0.55, width=0.7)
        axes.plot(np.full(len(values), k), values, color=colour, marker="o", markersize=4, linestyle="none")
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_xticks(range(len(bars)), [name for name, _, _ in bars], rotation=30, ha="right", fontsize=8)
    axes.set(title=title, ylabel="value, costs included")
    axes.spines[["top", "right"]].set_visible(False)
