"""The command line of the benchmarks: ``python -m reworld_baselines.benchmark speed``, ``references`` or ``changing``."""

from collections.abc import Callable
from pathlib import Path

import tyro
from rich.console import Console
from rich.markdown import Markdown

from reworld_baselines.benchmark import changing, references, speed


def main() -> None:
    """Run what the command line asks for."""
    commands: dict[str, Callable[..., None]] = {"speed": _speed, "references": _references, "changing": _changing}
    tyro.extras.subcommand_cli_from_dict(commands, description=__doc__)


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


if __name__ == "__main__":
    main()
