"""The directory of a run: what was asked for, with which code, and how far it came.

    run.json                  this module: all that is needed to repeat the run
    checkpoint.safetensors    `reworld_baselines.checkpoints`: all that is needed to continue it
    progress.csv, events…     the figures of every update, the latter for TensorBoard
    evaluation.json           the returns of the trained agent and of a random one, episode by episode
    learning_curve.png, episode.mp4

The last three are made when the training is done.
"""

import json
import os
import shlex
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from reworld_baselines.provenance import commit, versions


class RunError(Exception):
    """A run, or its directory, cannot be used; the message says why in a sentence."""


@dataclass(frozen=True)
class Run:
    """What a run was asked for, and how far it came.

    Args:
        environment: Id, such as ``"reworld/Platform-v0"``.
        agent: Name of the agent, such as ``"ppo"``.
        settings: The agent's settings, as JSON holds them.
        seed: Seed of everything in the training.
        steps: Environment steps to learn from.
        evaluation_episodes: Episodes of the final evaluation.
        device: ``"cpu"``, ``"cuda"`` or ``"auto"``.
        steps_done: Environment steps learned from so far.
        command: The command line that started it.
        started: When, in local time.
        versions: Versions of Python and of the packages that matter; None for one that is not installed.
        commit: Commit of the checkout that holds this code, and whether it was changed; None outside a checkout.

    Raises:
        RunError: If a number is out of range.
    """

    environment: str
    agent: str
    settings: dict[str, Any]
    seed: int
    steps: int
    evaluation_episodes: int
    device: str
    steps_done: int = 0
    command: str = field(default_factory=lambda: shlex.join(sys.orig_argv))
    started: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))
    versions: dict[str, str | None] = field(default_factory=versions)
    commit: dict[str, Any] | None = field(default_factory=commit)

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        for name, value, low, high in (
            ("seed", self.seed, 0, 2**32 - 1),
            ("steps", self.steps, 1, 2**53),
            ("evaluation_episodes", self.evaluation_episodes, 2, 100_000),
        ):
            if not low <= value <= high:
                raise RunError(f"{name} is {value}: give a number from {low} to {high}.")


def new_directory(run: Run) -> Path:
    """Name a directory after a run and the time: ``runs/Platform-v0-ppo-0-20260131-235959``."""
    name = run.environment.rpartition("/")[2]
    return Path("runs") / f"{name}-{run.agent}-{run.seed}-{time.strftime('%Y%m%d-%H%M%S')}"


def create(directory: Path, run: Run) -> None:
    """Make the directory of a new run.

    Args:
        directory: Where; it may exist if it is empty.
        run: What is asked for.

    Raises:
        RunError: If there is something already.
    """
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise RunError(f"{directory} exists and is not empty: give another --run-dir, or continue that run with --resume.")
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory, run)


def read(directory: Path) -> Run:
    """Read what a run was asked for.

    Args:
        directory: Where it is.

    Raises:
        RunError: If it is not the directory of a run.
    """
    file = directory / "run.json"
    try:
        return Run(**json.loads(file.read_bytes()))
    except OSError as error:
        raise RunError(f"{directory} is no run directory: its run.json cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError) as error:
        raise RunError(f"{file} is damaged, or of another version of reworld ({error}). It was left as it is.") from error


def record_steps(directory: Path, steps_done: int) -> None:
    """Write down how far a run came.

    Args:
        directory: Where it is.
        steps_done: Environment steps learned from so far.
    """
    _write(directory, replace(read(directory), steps_done=steps_done))


def write_whole(file: Path, content: bytes) -> None:
    """Write a file so that, whenever the program is killed, either the old content is there or the new.

    Args:
        file: Where.
        content: All of it.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, file)


def _write(directory: Path, run: Run) -> None:
    write_whole(directory / "run.json", json.dumps(asdict(run), indent=2, ensure_ascii=False).encode())
