"""What every solver makes of every instance: value, time, and how many decision processes it solves on the way."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from reworld_baselines.mctvmdp import instances
from reworld_baselines.mctvmdp.configurable import SolverFailed
from reworld_baselines.mctvmdp.solving import methods_of, solve
from reworld_baselines.provenance import commit, versions

# Its aim is another one: the best policy in the worst world.
_LEFT_OUT = ("worst_case",)
_CHANCE = ("multistart", "cross_entropy")
_ONCE = ("bayesian",)  # Draws by chance, too, but takes too long to be run more than once.


def measure(output: Path, only: str = "", seeds: int = 3) -> dict[str, Any]:
    """Solve every instance by every method, one after the other, in one process.

    Args:
        output: JSON file to store the result in; a page with the tables, and a figure, are written beside it.
        only: Solve only instances whose name contains this.
        seeds: How often a method that draws by chance is run, with the seeds 0, 1, ….

    Returns:
        What was stored: for every instance, method and seed the value, what it predicted, the cost, solves and seconds.
    """
    names = [name for name in instances.names() if only in name]
    rows = [row for name in tqdm(names, desc="instances", unit="instance") for row in _solve_all(instances.load(name), seeds)]
    outcome = {
        "rows": rows,
        "seeds": seeds,
        "versions": versions(),
        "commit": commit(),
        "command": f"python -m reworld_baselines.benchmark solvers --seeds {seeds}",
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(outcome, indent=1) + "\n")
    output.with_suffix(".md").write_text(to_markdown(outcome))
    draw_budgets(rows, output.with_suffix(".png"))
    return outcome


def _solve_all(instance: instances.Instance, seeds: int) -> Iterable[dict[str, Any]]:
    for method in methods_of(instance.problem):
        if method in _LEFT_OUT:
            continue
        for seed in range(seeds if method in _CHANCE else 1):
            row = {"instance": instance.name, "method": method, "seed": seed, "best_known": instance.best_known}
            try:
                result = solve(instance.problem, method, seed=seed, quiet=True)
            except SolverFailed as error:
                yield {**row, "failed": str(error)}
                continue
            found = ("value", "nominal_value", "predicted", "cost", "solves", "seconds")
            bound = result.certificate.upper_bound
            yield {**row, "exact": instance.exact, "upper_bound": bound, **{name: getattr(result, name) for name in found}}


def share(row: dict[str, Any]) -> float:
    """Say which share of the gain that is known to be possible a result has."""
    possible = row["best_known"] - row["nominal_value"]
    return float((row["value"] - row["nominal_value"]) / possible) if possible else 1.0


def to_markdown(outcome: dict[str, Any]) -> str:
    """Lay out what `measure` returned as a page."""
    version = outcome["commit"] or {"hash": "unknown", "dirty": False}
    solved = [row for row in outcome["rows"] if "failed" not in row]
    lines = [
        "# Solvers",
        "",
        f"What every solver makes of every instance that comes with reworld. {' and '.join(_CHANCE)} draw by chance:",
        f"they ran with {outcome['seeds']} seeds, of which the mean is given, and the worst in brackets where it differs;",
        f"{_ONCE[0]} ran with one.",
        f"`{outcome['command']}` at commit {version['hash'][:10]}" + (" (changed)." if version["dirty"] else "."),
        "",
        "## The gain from a change that is paid once",
        "",
        "![Gain against budget](solvers.png)",
        "",
        "Values: without a change; of the paper's linearisation, as it predicts and as it is; of trust-region successive",
        "convex programming from no change, and from many starts; the best known; and an upper bound.",
        "",
        *_gain_table(solved),
        "",
        "## Which share of the best known gain each solver finds",
        "",
        *_share_tables(solved),
        "",
        "## What it takes",
        "",
        "Median over the instances of a file: decision processes solved / seconds.",
        "",
        *_effort_table(solved),
        "",
        "## Levels and budgets per use",
        "",
        *_value_table(solved),
    ]
    failed = [row for row in outcome["rows"] if "failed" in row]
    if failed:
        lines += ["", "## Not solved", "", *(f"- {row['instance']} by {row['method']}: {row['failed']}" for row in failed)]
    return "\n".join(lines) + "\n"


def _gain_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "| instance | unchanged | linearised: predicted | true | trust region | many starts | best known | at most |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, of in _by(rows, "instance").items():
        methods = _by(of, "method")
        if "linearised" not in methods or name.startswith("tiny"):
            continue
        once = {method: found[0] for method, found in methods.items()}
        bounds = [row["upper_bound"] for row in of if row["upper_bound"] is not None]
        numbers = [
            once["linearised"]["nominal_value"],
            once["linearised"]["predicted"],
            once["linearised"]["value"],
            once["trust_region"]["value"],
            max(row["value"] for row in methods["multistart"]),
            once["linearised"]["best_known"],
        ]
        cells = [*(f"{number:.6f}" for number in numbers), f"{min(bounds):.4f}" if bounds else ""]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _share_tables(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One row for each instance; those of tiny_s2 together."""
    configurable = [row for row in rows if row["method"] in _methods(rows)]
    methods = _methods(rows)
    lines = ["| instance | " + " | ".join(methods) + " |", "|---|" + "---:|" * len(methods)]
    groups = _by(configurable, lambda row: "tiny_s2 (all)" if row["instance"].startswith("tiny_s2") else row["instance"])
    for name, of in groups.items():
        cells = []
        for method in methods:
            shares = [100.0 * share(row) for row in of if row["method"] == method]
            worst = f" [{min(shares):.1f}]" if shares and np.mean(shares) - min(shares) >= 0.05 else ""
            cells.append(f"{np.mean(shares):.1f} %{worst}" if shares else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _effort_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    methods = _methods(rows)
    lines = ["| file | " + " | ".join(methods) + " |", "|---|" + "---:|" * len(methods)]
    for file, of in _by(rows, lambda row: row["instance"].partition(":")[0]).items():
        by_method = _by(of, "method")
        if "linearised" not in by_method:
            continue
        cells = [
            f"{np.median([row['solves'] for row in by_method[method]]):.0f} / "
            f"{np.median([row['seconds'] for row in by_method[method]]):.2g} s"
            if method in by_method
            else ""
            for method in methods
        ]
        lines.append(f"| {file} | " + " | ".join(cells) + " |")
    return lines


def _value_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| instance | method | value | optimum | solves | seconds |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        if row["method"] not in _methods(rows):
            lines.append(
                f"| {row['instance']} | {row['method']} | {row['value']:.10f} | {row['best_known']:.10f} | {row['solves']} | "
                f"{row['seconds']:.2g} |"
            )
    return lines


def _methods(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The methods of instances that the paper's linearisation applies to."""
    names = {row["instance"] for row in rows if row["method"] == "linearised"}
    return list(dict.fromkeys(row["method"] for row in rows if row["instance"] in names))


def _by(rows: Sequence[dict[str, Any]], key: Any) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(key(row) if callable(key) else row[key], []).append(row)
    return groups


def draw_budgets(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw the gain against the budget, for the linearisation, the trust region, many starts, and the best known.

    Args:
        rows: Of `measure`.
        file: Where to, a PNG.
    """
    files = _by([row for row in rows if ":B=" in row["instance"] and "failed" not in row], _file_of)
    figure = Figure(figsize=(4.0 * len(files) or 4.0, 3.8), layout="constrained")
    for axes, (name, of) in zip(figure.subplots(1, len(files) or 1, squeeze=False)[0], files.items(), strict=False):
        for method, style in {
            "linearised": {"color": "#D55E00", "marker": "s"},
            "trust_region": {"color": "#0072B2", "marker": "o"},
            "multistart": {"color": "#009E73", "marker": "^", "linestyle": "--"},
        }.items():
            found = sorted(
                (float(row["instance"].rpartition("=")[2]), row["value"] - row["nominal_value"])
                for row in of
                if row["method"] == method and row["seed"] == 0
            )
            if found:
                axes.plot(*zip(*found, strict=True), label=method, markersize=4, **style)
        predicted = sorted(
            (float(row["instance"].rpartition("=")[2]), row["predicted"] - row["nominal_value"])
            for row in of
            if row["method"] == "linearised"
        )
        if predicted:
            axes.plot(*zip(*predicted, strict=True), color="#D55E00", linestyle=":", label="linearised, as it predicts")
        axes.set(title=name, xlabel="budget", ylabel="gain in value")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=150)


def _file_of(row: dict[str, Any]) -> str:
    return str(row["instance"].partition(":")[0])
