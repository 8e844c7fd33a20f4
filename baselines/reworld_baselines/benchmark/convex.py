"""Time of the convex step in closed form, beside a solver of convex programs that is given the same steps.

Both take their turn in every round, in one process on one core. Times are CPU seconds, so that another process does not distort
them; the ratio is the median over rounds of the ratios within a round. The program is compiled before the first round, and then
solved again with other slopes.
"""

import contextlib
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from reworld.changing.setup import COSTS
from reworld.finite import Reals
from reworld_baselines.mctvmdp.configurable import SolverFailed
from reworld_baselines.mctvmdp.convex import convex_step
from reworld_baselines.mctvmdp.costs import RowCost
from reworld_baselines.mctvmdp.programs import StepProgram
from reworld_baselines.provenance import commit, versions

BUDGETS = {"exponential": 0.5, "l1": 0.05, "quadratic": 0.01, "kl": 0.05, "wasserstein": 0.1}
"""For each row: what neither leaves all rows as they are, nor lets them change freely."""

_WITH_SOLVER = (6, 10, 20)
_ALONE = (50, 100, 200, 500)


def measure(rounds: int, output: Path) -> dict[str, Any]:
    """Measure a step of S rows of S entries, for every kind of cost and several S.

    Args:
        rounds: How many steps, each with slopes of its own.
        output: JSON file to store the result in; a page with the table is written beside it.

    Returns:
        What was stored: for each cost and S the seconds of the closed form and of the solver (medians; None where none was run,
        or it did not solve a step), the ratio, and by how much more of the objective's size either finds.
    """
    with contextlib.suppress(AttributeError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cases = [(kind, states) for kind in COSTS for states in (*_WITH_SOLVER, *_ALONE)]
    outcome = {
        "rows": [_measure(kind, states, rounds) for kind, states in track(cases, description="measuring")],
        "rounds": rounds,
        "versions": versions(),
        "commit": commit(),
        "command": f"python -m reworld_baselines.benchmark convex --rounds {rounds}",
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(outcome, indent=1) + "\n")
    output.with_suffix(".md").write_text(to_markdown(outcome))
    return outcome


def _measure(kind: str, states: int, rounds: int) -> dict[str, Any]:
    rng = np.random.default_rng(states)
    nominal = rng.dirichlet(np.ones(states), states)
    cost, budget, low, high = RowCost(kind), BUDGETS[kind] * states, -nominal, 1.0 - nominal
    program = StepProgram(nominal, cost) if states in _WITH_SOLVER else None
    closed, solved, ratios, more = [], [], [], []
    for k in range(-1, rounds):
        slopes = rng.random((states, 1)) * rng.normal(size=(states, states))  # Some states are visited more often.
        # The mean of some, as one of a few states is too short for the clock.
        repeats = max(1, 5000 // states**2)
        start = time.process_time()
        for _ in range(repeats):
            step = convex_step(slopes, nominal, cost, budget, low, high)
        seconds = (time.process_time() - start) / repeats
        by_solver = _solve(program, slopes, low, high, budget) if program else None
        if k < 0:
            continue  # By now everything is compiled.
        closed.append(seconds)
        if by_solver:
            solved.append(by_solver[0])
            ratios.append(by_solver[0] / seconds)
            more.append((step.objective - by_solver[1]) / step.objective)
    return {
        "cost": kind,
        "states": states,
        "seconds": statistics.median(closed),
        "seconds_of_solver": statistics.median(solved) if solved else None,
        "unsolved": rounds - len(solved) if program else 0,
        "ratio": statistics.median(ratios) if ratios else None,
        "difference": [min(more), max(more)] if more else None,
    }


def _solve(program: StepProgram, slopes: Reals, low: Reals, high: Reals, budget: float) -> tuple[float, float] | None:
    """Time the solver at its own tolerances, and take the objective at the narrowest that it reaches."""
    try:
        step = program.solve(slopes, low, high, budget)
    except SolverFailed:
        return None
    linear = program.problem.is_qp()
    start = time.process_time()
    program.problem.solve(solver="HIGHS" if linear else "CLARABEL")
    return time.process_time() - start, step.objective


def to_markdown(outcome: dict[str, Any]) -> str:
    """Lay out what `measure` returned as a page."""
    version = outcome["commit"] or {"hash": "unknown", "dirty": False}
    lines = [
        "# The convex step",
        "",
        "CPU time of a convex step of S rows of S entries, on one core: in closed form, and by CVXPY, which has compiled the",
        "program before (HiGHS for `l1` and `wasserstein`, else Clarabel, at their own tolerances). The difference is by how",
        "much the objective of the closed form is larger than the solver's at the narrowest tolerance that it reaches, as a",
        f"share of it: least and largest of {outcome['rounds']} steps; times are medians. `{outcome['command']}`",
        f"at commit {version['hash'][:10]}{' (changed)' if version['dirty'] else ''}, with "
        + ", ".join(f"{name} {outcome['versions'][name]}" for name in ("python", "numba", "cvxpy", "clarabel", "highspy"))
        + ".",
        "",
        "| cost | S | closed form | solver | ratio | difference |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in outcome["rows"]:
        solver, ratio, difference = "", "", ""
        if row["seconds_of_solver"] is not None:
            solver, ratio = f"{1e3 * row['seconds_of_solver']:.1f} ms", f"{row['ratio']:,.0f}"
            difference = " to ".join(f"{share:.0e}" for share in row["difference"])
        if row["unsolved"]:
            solver += f" ({row['unsolved']} not solved)"
        cells = (f"`{row['cost']}`", str(row["states"]), f"{1e3 * row['seconds']:.3g} ms", solver, ratio, difference)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
