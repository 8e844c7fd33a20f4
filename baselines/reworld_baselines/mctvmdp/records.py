"""Records: the directory in which a result is kept.

- ``result.json``: what was asked for, with which code, the value and what is known of it;
- ``result.npz``: policies, kernels, configuration and trace;
- ``result.png``: `Result.plot`;
- ``budgets.png``: the value against the budget, if that was asked for.
"""

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reworld_baselines import runs
from reworld_baselines.mctvmdp import figures
from reworld_baselines.mctvmdp.instances import Instance
from reworld_baselines.mctvmdp.results import Result
from reworld_baselines.provenance import commit, versions


def new_directory(instance: str, method: str, seed: int) -> Path:
    """Name a directory after a solution and the time: ``runs/two_doors-B2-multistart-0-20260131-235959``."""
    name = Path(instance).name.replace(":", "-").replace("=", "").replace(",", "-").removesuffix(".npz")
    return Path("runs") / f"{name}-{method}-{seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def check_new(directory: Path) -> None:
    """Refuse a directory that holds something.

    Args:
        directory: It need not exist.

    Raises:
        RunError: If it does.
    """
    if directory.exists() and any(directory.iterdir()):
        raise runs.RunError(f"{directory} holds something already, which was left as it is: give another directory.")


def keep(directory: Path, instance: Instance, result: Result, seed: int, budgets: Mapping[str, Sequence[Result]]) -> None:
    """Write down a result.

    Args:
        directory: It is made, if need be.
        instance: What was solved.
        result: The solution.
        seed: It was found with.
        budgets: Results for many budgets, by method; they may be none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    content = {
        "instance": instance.name,
        "best_known": instance.best_known,
        "exact": instance.exact,
        "seed": seed,
        **_figures(result),
        "budgets": {method: [_figures(each) for each in results] for method, results in budgets.items()},
        "command": shlex.join(sys.orig_argv),
        "versions": versions(),
        "commit": commit(),
    }
    runs.write_whole(directory / "result.json", json.dumps(content, indent=1).encode())
    arrays: dict[str, Any] = {f"policy_{level}": policy for level, policy in enumerate(result.policies)}
    if result.configuration is not None:
        arrays["configuration"] = result.configuration
    if isinstance(result.kernels, np.ndarray):
        arrays["kernels"] = result.kernels
    np.savez_compressed(directory / "result.npz", trace=result.trace, **arrays)
    figures.draw(result, directory / "result.png")
    if budgets:
        figures.draw_budgets(budgets, directory / "budgets.png")


def _figures(result: Result) -> dict[str, object]:
    names = ("method", "value", "nominal_value", "predicted", "cost", "solves", "seconds")
    budget = {"budget": result.problem.budget} if isinstance(getattr(result.problem, "budget", None), float) else {}
    found = {name: getattr(result, name) for name in names}
    return {**found, **budget, "certificate": dataclasses.asdict(result.certificate)}
