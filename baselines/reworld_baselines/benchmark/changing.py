"""What it is worth to change the world: the best known return with and without model-changing actions, for every set-up."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from rich.progress import track
from scipy.sparse import csr_array

import reworld
from reworld.changing.change import ChangeableWorld
from reworld.changing.flat import FlatMDP, flat_model
from reworld.changing.setup import Policy, SetUp, read_changing
from reworld.errors import InvalidOption
from reworld.policies import compose_action
from reworld_baselines.evaluation import Evaluation, RandomAgent, evaluate, evaluate_policy, make_batch
from reworld_baselines.provenance import commit, versions

PACKAGED = Path(reworld.__file__).parent / "changing" / "references.json"
"""What `reworld.reference` reads."""


def configurable_ids() -> list[str]:
    """The ids of all worlds of reworld with a recommended set-up."""
    return [id for id, spec in gymnasium.registry.items() if id.startswith("reworld/") and "changing" in spec.kwargs]


def measure(episodes: int, output: Path, workers: int = 1, only: str = "") -> dict[str, Any]:
    """Let the best known policies, with and without configuring, and random actions play the same episodes of every set-up.

    Where a world's model is finite the two optima are computed instead, for its time limit.

    Args:
        episodes: How many.
        output: JSON file to store the result in.
        workers: Number of processes.
        only: Measure only worlds whose id contains this.

    Returns:
        What was stored.
    """
    ids = [id for id in configurable_ids() if only in id]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        played = track(pool.imap(_measure, [(id, episodes) for id in ids]), description="playing", total=len(ids))
        rows = list(played)
    version = commit()
    outcome = {
        "episodes": episodes,
        "rows": rows,
        "versions": versions(),
        "commit": version["hash"] + (" (changed)" if version["dirty"] else "") if version else "unknown",
        "command": f"python -m reworld_baselines.benchmark changing --episodes {episodes}",
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(outcome, indent=1) + "\n")
    return outcome


def _measure(member: tuple[str, int]) -> dict[str, Any]:
    id, episodes = member
    env: Any = gymnasium.make(id)
    set_up = read_changing(gymnasium.spec(id).kwargs["changing"])
    assert isinstance(set_up, SetUp)
    random = make_batch(id, episodes)
    row: dict[str, Any] = {
        "world": id,
        "without": _described(evaluate_policy(_acting(env, set_up.without), env, episodes)),
        "configuring": _described(evaluate_policy(_acting(env, set_up.configuring), env, episodes)),
        "random": _described(evaluate(RandomAgent(random.action_space, seed=0), random)),
    }
    try:
        flat = flat_model(env.unwrapped.world)
    except InvalidOption:
        return row
    for name, value in optima(flat, env.unwrapped.world, env.spec.max_episode_steps).items():
        row[name] |= {"mean": value, "low": value, "high": value, "exact": True}
    return row


def optima(flat: FlatMDP, world: ChangeableWorld, steps: int) -> dict[str, float]:
    """Compute the largest mean returns of episodes of so many steps.

    Args:
        flat: The model, without discount.
        world: Which it is of.
        steps: Time limit.

    Returns:
        Of policies that never configure, ``"without"``, and of all, ``"configuring"``.
    """
    matrix = csr_array((flat.weights, flat.successors, flat.indptr), (len(flat.rewards), len(flat.states)))
    primitive = flat.actions < len(world.base.branches)
    found = {}
    for name, bonus in (("without", np.where(primitive, 0.0, -np.inf)), ("configuring", np.zeros(len(primitive)))):
        values = np.zeros(len(flat.states))
        for _ in range(steps):
            values = np.maximum.reduceat(flat.rewards + bonus + matrix @ values, flat.first[:-1])
        found[name] = float(flat.start @ values)
    return found


def _acting(env: Any, policy: Policy) -> Callable[[Any], Any]:
    return lambda observation: compose_action(env.unwrapped.world, *policy(observation))


def _described(evaluation: Evaluation) -> dict[str, Any]:
    mean_cost = float(np.mean(evaluation.costs))
    return {"mean": evaluation.mean, "low": evaluation.low, "high": evaluation.high, "cost": mean_cost, "exact": False}


def to_markdown(outcome: dict[str, Any]) -> str:
    """Lay out what `measure` returned as a page."""
    lines = [
        "# What it is worth to change the world",
        "",
        f"Mean undiscounted return of {outcome['episodes']:,} episodes with its 95 % bootstrap interval, costs in the reward,",
        "of the best known policies of every recommended set-up: one never configures, the other does (in brackets: what it",
        "pays per episode). *exact*: the optimum, from the exact model with its time limit. The gap is the difference, as a",
        "share of the better return. How each was found is written in its file in `envs/reworld/changing/recommended`.",
        f"`{outcome['command']}` at commit {outcome['commit'][:10]}{outcome['commit'][40:]}.",
        "",
        "`reworld.reference(id).score(mean_return)` is 0 for the best without and 1 for the best with configuring.",
        "",
        "| world | random actions | best without configuring | best with (pays) | gap |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in outcome["rows"]:
        without, configuring = row["without"], row["configuring"]
        gap = (configuring["mean"] - without["mean"]) / abs(configuring["mean"])
        cells = [
            f"`{row['world']}`",
            _cell(row["random"]),
            _cell(without),
            f"{_cell(configuring)} ({configuring['cost']:.4g})",
            f"{100.0 * gap:.0f} %",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(figure: dict[str, Any]) -> str:
    if figure["exact"]:
        return f"{figure['mean']:.6g} exact"
    return f"{figure['mean']:.4g} [{figure['low']:.4g}, {figure['high']:.4g}]"
