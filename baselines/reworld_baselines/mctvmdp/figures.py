"""Figures of what solvers found: how they got there, the kernel before and after, and what each unit of a budget is worth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reworld.finite import Reals
from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP
from reworld_baselines.mctvmdp.multi_level import MultiLevelMDP
from reworld_baselines.mctvmdp.parametric import ParametricMDP
from reworld_baselines.mctvmdp.results import Result
from reworld_baselines.mctvmdp.tabular import evaluate, policy_iteration
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP

# Of Okabe and Ito: to be told apart by everyone.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def draw(result: Result, file: Path | None = None) -> Figure:
    """Draw a result: its convergence, and what was changed.

    Args:
        result: Of any method.
        file: Where to write it, if anywhere; its ending says in which format.
    """
    if isinstance(result.problem, TVCMDP | ParametricMDP):
        figure = Figure(figsize=(13.0, 4.0), layout="constrained")
        convergence, before, after = figure.subplots(1, 3, width_ratios=(1.2, 1.0, 1.0))
        _draw_convergence(convergence, result)
        nominal = result.problem.model(result.problem.nominal).kernel
        _draw_kernel(before, "before", _played(nominal, result), None)
        image = _draw_kernel(after, "after", _played(result.kernels, result), _played(result.kernels - nominal, result))
        figure.colorbar(image, ax=[before, after], label="probability, of the action that is taken", shrink=0.8)
    elif isinstance(result.problem, FiniteHorizonTVCMDP):
        figure = Figure(figsize=(10.0, 4.0), layout="constrained")
        convergence, change = figure.subplots(1, 2)
        _draw_convergence(convergence, result)
        _draw_stages(figure, change, result)
    elif isinstance(result.problem, MultiLevelMDP):
        figure = Figure(figsize=(9.0, 4.0), layout="constrained")
        _draw_level(figure.subplots(), result)
    else:
        figure = Figure(figsize=(6.0, 4.0), layout="constrained")
        _draw_convergence(figure.subplots(), result)
    figure.suptitle(f"{result.method}: value {result.value:.6g}, {result.nominal_value:.6g} if nothing is changed")
    if file:
        figure.savefig(file, dpi=150)
    return figure


def draw_budgets(results: Mapping[str, Sequence[Result]], file: Path | None = None) -> Figure:
    """Draw the value against the budget, for each method.

    Args:
        results: As `reworld_baselines.mctvmdp.solving.solve_for_budgets` returns them.
        file: Where to write it, if anywhere.
    """
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    axes = figure.subplots()
    for colour, (method, solved) in zip(_COLOURS, results.items(), strict=False):
        budgets = [result.problem.budget for result in solved]
        axes.plot(budgets, [result.value for result in solved], color=colour, marker="o", markersize=4, label=method)
        if any(result.predicted is not None for result in solved):
            predicted = [np.nan if result.predicted is None else result.predicted for result in solved]
            axes.plot(budgets, predicted, color=colour, linestyle=":", label=f"{method}, as it predicts")
    first = next(iter(results.values()))
    if any(result.certificate.upper_bound is not None for result in first):
        bounds = [np.nan if (bound := result.certificate.upper_bound) is None else bound for result in first]
        axes.plot(budgets, bounds, color="tab:grey", linestyle="--", label="no more is possible")
    axes.axhline(first[0].nominal_value, color="tab:grey", linewidth=0.8, label="nothing changed")
    axes.set(xlabel="budget", ylabel="value")
    _clean(axes)
    axes.legend(frameon=False, fontsize="small")
    if file:
        figure.savefig(file, dpi=150)
    return figure


def _draw_convergence(axes: Axes, result: Result) -> None:
    _, solves, values, _ = result.trace.T
    axes.step(solves, values, where="post", color=_COLOURS[0], marker="o", markersize=3.5, label="true value")
    axes.axhline(result.nominal_value, color="tab:grey", linewidth=0.8, label="nothing changed")
    if result.predicted is not None:
        axes.axhline(result.predicted, color=_COLOURS[1], linestyle=":", label="predicted")
    if result.certificate.upper_bound is not None:
        axes.axhline(result.certificate.upper_bound, color="tab:grey", linestyle="--", label="no more is possible")
    axes.set(title="convergence", xlabel="decision processes solved", ylabel="value")
    _clean(axes)
    axes.legend(frameon=False)


def _played(kernel: Reals, result: Result) -> Reals:
    """The rows of the actions that are taken, shape (…, S, S)."""
    policy = result.policies[0]
    if policy.shape == kernel.shape[:-1]:
        rows: Reals = np.einsum("...sa,...sat->...st", policy, kernel)
        return rows
    rows = np.take_along_axis(kernel, policy[..., None, None], axis=-2)[..., 0, :]
    return rows


def _draw_kernel(axes: Axes, title: str, rows: Reals, changes: Reals | None) -> Any:
    """Paint a kernel, and write down in each entry by how much it was changed."""
    image = axes.imshow(rows, cmap="Blues", vmin=0.0, vmax=1.0)
    if changes is not None and len(rows) <= 12:
        for s, t in np.argwhere(np.abs(changes) >= 0.005):
            colour = "white" if rows[s, t] > 0.6 else "black"
            text = f"{changes[s, t]:+.2f}".replace("0.", ".").replace("-", "\N{MINUS SIGN}")
            axes.text(t, s, text, ha="center", va="center", color=colour, fontsize=7)
    axes.set(title=title, xlabel="next state", ylabel="state")
    return image


def _draw_stages(figure: Figure, axes: Axes, result: Result) -> None:
    moved = 0.5 * np.abs(_played(result.kernels - result.problem.kernels, result)).sum(axis=-1)
    image = axes.imshow(moved.T, cmap="Blues", vmin=0.0, aspect="auto")
    axes.set(title="what was changed", xlabel="stage", ylabel="state")
    figure.colorbar(image, ax=axes, label="probability moved, of the action that is taken")


def _draw_level(axes: Axes, result: Result) -> None:
    """Draw what each kernel of level 0 is worth, and where level 1 goes from there, in the kernel that is in force first."""
    problem, lower = result.problem, result.policies[0]
    if lower.shape != problem.worlds.start.shape:  # Of the flat process, or of epochs.
        lower = policy_iteration(problem.worlds).policy
    worth = np.einsum("is,is->i", problem.worlds.start, evaluate(problem.worlds, lower))
    here, few = np.arange(len(worth)), len(worth) <= 30
    axes.plot(here, worth, color=_COLOURS[0], marker="o" if few else None, label="value of an episode in this configuration")
    axes.set(xlabel="configuration", ylabel="value", title="What each configuration is worth, and where level 1 goes")
    chosen = result.policies[1] if len(result.policies) > 1 else None
    if chosen is not None and chosen.ndim == 2 and chosen.shape[-1] == len(worth):
        law = problem.levels[0].kernel[0, chosen[0], here]
        if few:
            for i, j in enumerate(law.argmax(axis=-1)):
                arrow = {"arrowstyle": "-|>", "color": _COLOURS[1], "connectionstyle": "arc3,rad=-0.25", "shrinkB": 4}
                if i != j:
                    axes.annotate("", (j, worth[j]), (i, worth[i]), arrowprops=arrow)
        else:
            moves = axes.twinx()
            moves.plot(here, law @ here - here, color=_COLOURS[1], linewidth=0.8)
            moves.set_ylabel("mean move of level 1", color=_COLOURS[1])
    if few:
        axes.set_xticks(here, problem.names, rotation=0 if len("".join(problem.names)) < 60 else 20)
    _clean(axes)
    axes.legend(frameon=False)


def _clean(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
