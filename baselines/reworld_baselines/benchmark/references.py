"""What a random agent and a world's own rules reach: the scale on which learning agents are read."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import gymnasium
from rich.progress import track

import reworld  # noqa: F401  (registers the worlds)
from reworld.policies import scripted_policy
from reworld_baselines.evaluation import RandomAgent, evaluate, evaluate_policy, make_batch
from reworld_baselines.provenance import commit, versions

MEMBERS: dict[str, tuple[dict[str, Any], ...]] = {
    "reworld/HardMove-v0": tuple({"n": n} for n in (4, 6, 8, 10)),
}
"""Which members of a family are measured; of all others, the default one."""


def measure(episodes: int, output: Path, only: str = "", workers: int = 1) -> dict[str, Any]:
    """Let both agents play the same episodes of every world, each once and to its end.

    Args:
        episodes: How many.
        output: JSON file to store the result in; a page with the table is written beside it.
        only: Measure only worlds whose id contains this.
        workers: Number of processes.

    Returns:
        What was stored: for every world and agent the mean return with its 95 % bootstrap interval, and the success rate.
    """
    ids = [
        id
        for id, spec in gymnasium.registry.items()
        if id.startswith("reworld/") and only in id and "changing" not in spec.kwargs
    ]
    members = [(id, arguments, episodes) for id in ids for arguments in MEMBERS.get(id, ({},))]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        played = track(pool.imap(_play, members), description="playing", total=len(members))
        rows = [row for pair in played for row in pair]
    outcome = {
        "episodes": episodes,
        "rows": rows,
        "versions": versions(),
        "commit": commit(),
        "command": f"python -m reworld_baselines.benchmark references --episodes {episodes}",
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(outcome, indent=1) + "\n")
    output.with_suffix(".md").write_text(to_markdown(outcome))
    return outcome


def _play(member: tuple[str, dict[str, Any], int]) -> list[dict[str, Any]]:
    id, arguments, episodes = member
    batch = make_batch(id, episodes, **arguments)
    env: Any = gymnasium.make(id, **arguments)
    results = {
        "random": evaluate(RandomAgent(batch.action_space, seed=0), batch),
        "scripted": evaluate_policy(scripted_policy(env.unwrapped.world), env, episodes),
    }
    return [
        {
            "world": id,
            "arguments": arguments,
            "agent": agent,
            "mean_return": result.mean,
            "interval": [result.low, result.high],
            "success_rate": result.success_rate,
        }
        for agent, result in results.items()
    ]


def to_markdown(outcome: dict[str, Any]) -> str:
    """Lay out what `measure` returned as a page."""
    version = outcome["commit"] or {"hash": "unknown", "dirty": False}
    lines = [
        "# Random and scripted agents",
        "",
        f"Mean return of {outcome['episodes']:,} episodes with its 95 % bootstrap interval, and the share of successes; both",
        f"agents play the same episodes, each once and to its end. `{outcome['command']}` at commit {version['hash'][:10]}"
        + (" (changed)." if version["dirty"] else "."),
        "",
        "| world | random: return | success | scripted: return | success |",
        "|---|---:|---:|---:|---:|",
    ]
    for random, scripted in zip(outcome["rows"][::2], outcome["rows"][1::2], strict=True):
        arguments = "".join(f", {key}={value}" for key, value in random["arguments"].items())
        cells = [f"`{random['world']}`{arguments}", *_cells(random), *_cells(scripted)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = row["interval"]
    return [f"{row['mean_return']:.3f} [{low:.3f}, {high:.3f}]", f"{100.0 * row['success_rate']:.1f} %"]
