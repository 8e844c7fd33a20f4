"""What `reworld_baselines.benchmark.learning` found, as a page with tables and figures."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reworld_baselines.benchmark.learning import EPISODES, METHODS, WORLDS, Course, read_record, read_rows
from reworld_baselines.evaluation import Array, mean_interval
from reworld_baselines.runs import RunError

_LAST = 3
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@dataclass(frozen=True, eq=False)
class Curves:
    """What the seeds of a job reached.

    Args:
        world: A key of `learning.WORLDS`.
        method: Its name, and what was changed in it.
        steps: Of the evaluations, shape (n,).
        returns: Mean return of each seed, shape (seeds, n).
        successes: Success rate of each seed, likewise.
        seconds: CPU seconds of a seed per environment step after the random ones.
        commits: That made it.
    """

    world: str
    method: str
    steps: Array
    returns: Array
    successes: Array
    seconds: float
    commits: tuple[str, ...]

    @property
    def course(self) -> Course:
        """What is asked for on its world."""
        return WORLDS[self.world]

    @property
    def base(self) -> str:
        """The method that it is a variant of, or itself."""
        return self.method.partition("+")[0]

    @property
    def last(self) -> Array:
        """Return of each seed in its last three evaluations, shape (seeds,)."""
        last: Array = self.returns[:, -_LAST:].mean(1)
        return last

    @property
    def steps_to(self) -> float:
        """Median over seeds of the steps to the first evaluation that reaches what they are counted to; infinite if not."""
        reached = np.where(self.returns >= self.course.reached, self.steps, math.inf)
        return float(np.median(reached.min(1)))


def read(directory: Path) -> list[Curves]:
    """Read the results of all jobs of a directory, in the order of `learning.WORLDS` and `learning.METHODS`.

    Args:
        directory: Where they are.

    Raises:
        RunError: If there are none, or one cannot be read.
    """
    found = [_read(file) for file in sorted(directory.glob("*.csv"))]
    if all(each.method != each.base for each in found):
        raise RunError(
            f"{directory} holds no results of a method without changes: give the --output of a command that made some."
        )
    worlds, methods = list(WORLDS), list(METHODS)
    return sorted(found, key=lambda each: (worlds.index(each.world), methods.index(each.base), each.method))


def _read(file: Path) -> Curves:
    rows, record = read_rows(file), read_record(file.with_suffix(".json"))
    if not rows or rows[0].world not in WORLDS or rows[0].method.partition("+")[0] not in METHODS:
        raise RunError(f"{file} holds no results of a world and a method that there are. It was left as it is.")
    steps = sorted({row.steps for row in rows})
    seeds = sorted({row.seed for row in rows})
    figures = {(row.seed, row.steps): (row.mean_return, row.success_rate) for row in rows}
    table = np.array([[figures[seed, step] for step in steps] for seed in seeds])
    return Curves(
        world=rows[0].world,
        method=rows[0].method,
        steps=np.array(steps),
        returns=table[..., 0],
        successes=table[..., 1],
        seconds=rows[-1].cpu_seconds / max(1, steps[-1] - record["settings"]["random_steps"]),
        commits=tuple((start["commit"] or {"hash": "unknown"})["hash"][:10] for start in record["starts"]),
    )


def report(directory: Path, page: Path) -> str:
    """Write a page, and its figures beside it.

    Args:
        directory: Of the results.
        page: Where to.

    Returns:
        The page.

    Raises:
        RunError: If there are no results, or one cannot be read.
    """
    curves = read(directory)
    text = to_markdown(curves, page.stem)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text)
    draw_curves(curves, page.with_suffix(".png"))
    if _studies(curves):
        draw_ablations(curves, page.with_name(f"{page.stem}-ablations.png"))
    return text


def to_markdown(curves: Sequence[Curves], name: str) -> str:
    """Lay out results as a page.

    Args:
        curves: From `read`.
        name: Of the page, which its figures are called after.
    """
    commits = sorted({commit for each in curves for commit in each.commits})
    lines = [
        "# FLEXplore and DLPA",
        "",
        f"Every seed is evaluated by {EPISODES} episodes, in environments of their own and without exploration. Return",
        f"and success are means of its last {_LAST} evaluations, over seeds, each with a 95 % bootstrap interval. *Steps to*",
        "are the median over seeds of the environment steps to the first evaluation that reaches so much. CPU seconds are",
        "those of the training of one seed per environment step after the random ones, all seeds learning at once,",
        "evaluations not counted; DLPA's own code takes 0.65 to 0.72 of them on Platform, on such a machine. *Published* are",
        "returns of DLPA (ICML 2024), second-hand from a reproduction's README. Worlds that the agent may change ask for the",
        "return of the best known policy that never does.",
        "`python -m reworld_baselines.benchmark learning` at commit",
        f"{', '.join(commits)}.",
        "",
        "| world | method | seeds | steps | return | asked | published | success | steps to | CPU s per step |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in curves:
        if each.method == each.base:
            course, to = each.course, f"{_steps(each.steps_to)} (to {each.course.reached:.4g})"
            cells = [
                str(len(each.returns)),
                f"{each.steps[-1]:,}",
                _mean(each.last),
                f"{course.asked:.4g}",
                "" if course.published is None else f"{course.published:g}",
            ]
            cells += [_mean(each.successes[:, -_LAST:].mean(1), percent=True), to, f"{each.seconds:.3f}"]
            lines.append(f"| {each.world} | {each.method} | {' | '.join(cells)} |")
    lines += ["", f"![Learning curves: mean over seeds and its 95 % interval]({name}.png)"]
    lines += _along_the_way(curves)
    if studies := _studies(curves):
        lines += [
            "",
            "## What every setting is worth",
            "",
            "The same figures, and the difference to the unchanged method, seed by seed.",
        ]
        for base, variants in studies:
            lines += _ablation(base, variants)
        lines += ["", f"![Return with one setting changed: mean over seeds and its 95 % interval]({name}-ablations.png)"]
    return "\n".join(lines) + "\n"


def _along_the_way(curves: Sequence[Curves]) -> list[str]:
    lines = [
        "",
        "## Along the way",
        "",
        "Mean return over seeds, after so many environment steps; and by how much it is above that of `dlpa`, seed by seed.",
    ]
    for world, group in _by_world(curves).items():
        steps = sorted({int(step) for each in group for step in each.steps})
        lines += ["", f"| {world} | {' | '.join(f'{step:,}' for step in steps)} |", "|---|" + "---:|" * len(steps)]
        for each in group:
            means = {step: f"{mean:.3g}" for step, mean in zip(each.steps.tolist(), each.returns.mean(0), strict=True)}
            lines.append(f"| {each.method} | {' | '.join(means.get(step, '') for step in steps)} |")
        for dlpa in [each for each in group if each.method == "dlpa"]:
            for each in group:
                if each is not dlpa:
                    above = {
                        step: _mean(_difference(each, dlpa, step))
                        for step in steps
                        if step in each.steps and step in dlpa.steps
                    }
                    lines.append(f"| {each.method} above dlpa | {' | '.join(above.get(step, '') for step in steps)} |")
    return lines


def _difference(ours: Curves, theirs: Curves, step: int) -> Array:
    """Of the returns after so many steps, of each seed that both have."""
    seeds = min(len(ours.returns), len(theirs.returns))
    difference: Array = ours.returns[:seeds, ours.steps == step] - theirs.returns[:seeds, theirs.steps == step]
    return difference[:, 0]


def _by_world(curves: Iterable[Curves]) -> dict[str, list[Curves]]:
    """The methods without changes, by world."""
    groups: dict[str, list[Curves]] = {}
    for each in curves:
        if each.method == each.base:
            groups.setdefault(each.world, []).append(each)
    return groups


def _studies(curves: Sequence[Curves]) -> list[tuple[Curves, list[Curves]]]:
    """Each method that was changed on a world, with its variants there; none if there is nothing to compare them with."""
    studies = []
    for base in curves:
        variants = [each for each in curves if each.world == base.world and each.base == base.method != each.method]
        if variants:
            studies.append((base, variants))
    return studies


def _change(variant: Curves) -> str:
    return variant.method.removeprefix(f"{variant.base}+").replace("+", ", ")


def _ablation(base: Curves, variants: Sequence[Curves]) -> list[str]:
    lines = [
        "",
        f"| {base.world}, {base.method} | seeds | return | difference | success | steps to {base.course.reached:.4g} "
        "| CPU s per step |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for each in (base, *variants):
        paired = min(len(base.last), len(each.last))
        difference = "" if each is base else _mean(each.last[:paired] - base.last[:paired])
        cells = [str(len(each.returns)), _mean(each.last), difference, _mean(each.successes[:, -_LAST:].mean(1), percent=True)]
        title = "unchanged" if each is base else _change(each)
        lines.append(f"| {title} | {' | '.join(cells)} | {_steps(each.steps_to)} | {each.seconds:.3f} |")
    return lines


def _mean(values: Array, percent: bool = False) -> str:
    """The mean, and its 95 % interval."""
    numbers = [values.mean(), *(mean_interval(values) if len(values) > 1 else ())]
    mean, *interval = [f"{100.0 * each:.0f} %" if percent else f"{each:.3g}" for each in numbers]
    return f"{mean} [{', '.join(interval)}]" if interval else mean


def _steps(steps: float) -> str:
    return "not reached" if math.isinf(steps) else f"{steps:,.0f}"


def draw_curves(curves: Sequence[Curves], file: Path) -> None:
    """Draw the mean return over seeds against environment steps, one panel for each world.

    Args:
        curves: From `read`; variants are left out.
        file: Where to, a PNG.
    """
    groups = _by_world(curves)
    columns = min(4, len(groups))
    figure = Figure(figsize=(3.6 * columns, 3.0 * -(-len(groups) // columns)), layout="constrained")
    panels = figure.subplots(-(-len(groups) // columns), columns, squeeze=False).flat
    colours = dict(zip(METHODS, _COLOURS, strict=False))
    for (world, group), axes in zip(groups.items(), panels, strict=False):
        for each in group:
            mean, colour = each.returns.mean(0), colours[each.method]
            if len(each.returns) > 1:
                low, high = np.array([mean_interval(column) for column in each.returns.T]).T
                axes.fill_between(each.steps, low, high, color=colour, alpha=0.2, linewidth=0.0)
            axes.plot(each.steps, mean, color=colour, marker="o", markersize=3.0, label=each.method)
        level, name = WORLDS[world].published, "DLPA, published"
        if level is None:
            level, name = WORLDS[world].asked, "best without changes"
        axes.axhline(level, color="tab:grey", linestyle="--", linewidth=1.0, label=f"{name}: {level:.4g}")
        axes.set(title=world, xlabel="environment steps", ylabel="mean return")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="best", frameon=False, fontsize=8)
    for axes in panels:
        axes.set_visible(False)
    figure.savefig(file, dpi=150)


def draw_ablations(curves: Sequence[Curves], file: Path) -> None:
    """Draw the return of each method that was changed, and of its variants, one panel for each world and method.

    Args:
        curves: From `read`, among them variants.
        file: Where to, a PNG.
    """
    studies = _studies(curves)
    rows = max(1 + len(variants) for _, variants in studies)
    figure = Figure(figsize=(5.0 * len(studies), 1.2 + 0.28 * rows), layout="constrained")
    for axes, (base, variants) in zip(figure.subplots(1, len(studies), squeeze=False).flat, studies, strict=True):
        for k, each in enumerate((base, *variants)):
            colour = _COLOURS[0] if each is base else _COLOURS[1]
            axes.plot(each.last, np.full(len(each.last), k), color=colour, alpha=0.4, marker=".", linestyle="none")
            if len(each.last) > 1:
                axes.plot(mean_interval(each.last), (k, k), color=colour, linewidth=1.5)
            axes.plot(each.last.mean(), k, color=colour, marker="o")
        axes.axvline(base.last.mean(), color=_COLOURS[0], linestyle=":", linewidth=1.0)
        axes.set_yticks(range(1 + len(variants)), ["unchanged", *map(_change, variants)], fontsize=8)
        axes.invert_yaxis()
        axes.set(title=f"{base.world}, {base.method}", xlabel=f"mean return, last {_LAST} evaluations")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)
