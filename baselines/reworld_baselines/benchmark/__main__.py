"""The command line of the benchmarks: ``python -m reworld_baselines.benchmark speed``, ``references`` and so on."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro
from gymnasium.error import Error
from rich.console import Console
from rich.markdown import Markdown
from tyro.conf import arg

from reworld_baselines.benchmark import (
    bilevel,
    changing,
    convex,
    estimation,
    learning,
    learning_report,
    planning,
    references,
    solvers,
    speed,
    tabular,
)
from reworld_baselines.process import set_up_process
from reworld_baselines.runs import RunError


def main() -> None:
    """Run what the command line asks for."""
    commands: dict[str, Callable[..., None]] = {
        "speed": _speed,
        "references": _references,
        "changing": _changing,
        "solvers": _solvers,
        "bilevel": _bilevel,
        "tabular": _tabular,
        "convex": _convex,
        "estimation": _estimation,
        "learning": _learning,
        "planning": _planning,
    }
    set_up_process()
    try:
        tyro.extras.subcommand_cli_from_dict(commands, description=__doc__)
    except (Error, RunError) as error:
        raise SystemExit(f"error: {error}") from error


def _speed(seconds: float = 1.0, rounds: int = 5, output: Path = Path("runs/speed.json"), peers: Path | None = None) -> None:
    """Steps per second of the worlds and their peers, on one core, in one run.

    Args:
        seconds: CPU time of each measurement.
        rounds: How often every case is measured, in turn; medians are shown.
        output: Where to store all measurements, as JSON; a page with the tables is written beside it.
        peers: What `reworld_baselines.benchmark.peers` wrote of those that only run on an old Gym.
    """
    Console().print(Markdown(speed.to_markdown(speed.measure(seconds, rounds, output, peers))))


def _references(episodes: int = 10_000, output: Path = Path("runs/references.json"), only: str = "", workers: int = 1) -> None:
    """What a random agent and a world's own rules reach.

    Args:
        episodes: How many, the same ones for both.
        output: Where to store the result, as JSON; a page with the table is written beside it.
        only: Measure only worlds whose id contains this.
        workers: Number of processes.
    """
    Console().print(Markdown(references.to_markdown(references.measure(episodes, output, only, workers))))


def _changing(
    episodes: int = 10_000, output: Path = changing.PACKAGED, page: Path | None = None, only: str = "", workers: int = 1
) -> None:
    """What the best known policies with and without model-changing actions reach in every recommended set-up.

    Args:
        episodes: How many, the same ones for all.
        output: Where to store the result, as JSON; by default where `reworld.reference` reads it.
        page: Where to write the table, if anywhere.
        only: Measure only worlds whose id contains this.
        workers: Number of processes.
    """
    text = changing.to_markdown(changing.measure(episodes, output, workers, only))
    if page:
        page.write_text(text)
    Console().print(Markdown(text))


def _solvers(output: Path = Path("runs/solvers.json"), only: str = "", seeds: int = 3) -> None:
    """What every solver makes of every instance: value, time, decision processes solved.

    Args:
        output: Where to store the result, as JSON; a page with the tables, and a figure, are written beside it.
        only: Solve only instances whose name contains this.
        seeds: How often a method that draws by chance is run.
    """
    Console().print(Markdown(solvers.to_markdown(solvers.measure(output, only, seeds))))


def _bilevel(
    seeds: int = 5, output: Path = Path("runs/bilevel.json"), agents: Path = Path("runs/bilevel"), only: str = ""
) -> None:
    """What the deep bi-level agent makes of CartPole in a gale, Block-world and Platform, beside simpler upper levels.

    Args:
        seeds: How many agents of each kind.
        output: Where to store the result, as JSON; what is in it already is not done again.
        agents: Where to keep the agents.
        only: Do only studies whose name contains this.
    """
    Console().print(Markdown(bilevel.to_markdown(bilevel.measure(seeds, output, agents, only))))


def _tabular(rounds: int = 5, output: Path = Path("runs/tabular.json")) -> None:
    """How long a thousand kernels of Block-world take, and how many sweeps value iteration needs, on one core.

    Args:
        rounds: How often each is measured; the least time is shown.
        output: Where to store the result, as JSON; a page with the tables is written beside it.
    """
    Console().print(Markdown(tabular.to_markdown(tabular.measure(rounds, output))))


def _convex(rounds: int = 5, output: Path = Path("runs/convex.json")) -> None:
    """How long a convex step takes in closed form, and by a general solver.

    Args:
        rounds: How often each is measured; the median is shown.
        output: Where to store the result, as JSON; a page with the table is written beside it.
    """
    Console().print(Markdown(convex.to_markdown(convex.measure(rounds, output))))


def _estimation(output: Path = Path("runs/estimation.json"), replicates: int = 200, seed: int = 0) -> None:
    """How far a plan that is made from samples is from the truth, and from the bounds.

    Args:
        output: Where to store the result, as JSON; a page with the table, and a figure, are written beside it.
        replicates: How many estimates of each number of samples.
        seed: Of the samples.
    """
    Console().print(Markdown(estimation.to_markdown(estimation.measure(output, replicates, seed))))


def _learning(
    worlds: tuple[str, ...] = tuple(learning.WORLDS),
    methods: tuple[str, ...] = ("fast",),
    changes: Annotated[tuple[str, ...], arg(name="set", metavar="NAME=VALUE")] = (),
    seeds: int = 5,
    output: Path = Path("runs/learning"),
    device: Literal["cpu", "cuda"] = "cpu",
    report: Path | None = None,
    page: Path = Path("docs/results/flexplore.md"),
) -> None:
    """Learning curves of FLEXplore. A command that was killed goes on when it is given again.

    Args:
        worlds: On which; arguments follow a colon, as in HardMove-v0:n=6.
        methods: Settings by name: fast, ideas, faithful or dlpa.
        changes: Settings that shall be others, such as horizon=5; the results are named after them.
        seeds: How many learn at once.
        output: Directory of the results, a CSV and a JSON for each world and method.
        device: Where they learn.
        report: Learn nothing, but lay out the results of this directory as a page, with figures beside it.
        page: Where to write that page.
    """
    if report:
        Console().print(Markdown(learning_report.report(report, page)))
        return
    learning.measure(worlds, methods, seeds, output, changes, device)


def _planning(rounds: int = 5, output: Path = Path("runs/planning.json")) -> None:
    """What a plan, an update and an environment step of FLEXplore cost, also on CUDA where there is a device.

    Args:
        rounds: How often each is measured; medians are shown.
        output: Where to store the result, as JSON; a page with the tables is written beside it.
    """
    Console().print(Markdown(planning.to_markdown(planning.measure(rounds, output))))


if __name__ == "__main__":
    main()
