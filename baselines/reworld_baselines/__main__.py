"""The command line: ``python -m reworld_baselines train --env reworld/Platform-v0`` and ``… evaluate RUN_DIR``."""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from gymnasium.error import Error
from tyro.conf import Positional, arg, subcommand

from reworld_baselines import runs
from reworld_baselines.runs import Run, RunError
from reworld_baselines.stable_baselines3 import PPOSettings
from reworld_baselines.training import evaluate_run, resume, train


@dataclass(frozen=True)
class Train:
    """Train an agent, evaluate it beside a random one, and keep everything in one directory."""

    env: Annotated[str | None, arg(metavar="ID")] = None
    """Id of the environment, such as reworld/Platform-v0."""
    agent: str = "ppo"
    """The agent: ppo."""
    steps: int = 100_000
    """Environment steps to learn from."""
    seed: int = 0
    """Seed of everything in the training."""
    run_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """Where the run is kept; runs/ENV-AGENT-SEED-TIME if left out."""
    evaluation_episodes: int = 100
    """Episodes of the final evaluation."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """Where the networks live. For some as small as PPO's, Stable-Baselines3 advises a CPU."""
    resume: Annotated[Path | None, arg(metavar="DIR")] = None
    """Continue this run instead from its last checkpoint, with its own options."""
    ppo: PPOSettings = field(default_factory=PPOSettings)
    """What PPO is trained with."""


@dataclass(frozen=True)
class Evaluate:
    """Evaluate the agent of a run beside a random one."""

    run_dir: Positional[Path]
    """Where the run is."""
    episodes: int = 100
    """How many."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Those of the command line, by default.

    Returns:
        Exit status: 0, 2 if what was asked for cannot be done, 130 after Ctrl-C.
    """
    # Networks as small as these are slower on more threads.
    torch.set_num_threads(1)
    command = tyro.cli(
        Annotated[Train, subcommand("train")] | Annotated[Evaluate, subcommand("evaluate")],
        args=arguments,
        prog="python -m reworld_baselines",
        description="The reference agents of reworld.",
    )
    try:
        if isinstance(command, Train):
            return _train(command)
        print(evaluate_run(command.run_dir, command.episodes))
        return 0
    except (Error, RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _train(command: Train) -> int:
    run = _read_run(command)
    directory = command.resume or command.run_dir or runs.new_directory(run)
    try:
        report = resume(directory) if command.resume else train(directory, run)
    except KeyboardInterrupt:
        if not (directory / "run.json").exists():
            raise
        done = runs.read(directory).steps_done
        again = f"python -m reworld_baselines train --resume {shlex.quote(str(directory))}"
        print(f"Interrupted after {done:,} steps, which are kept. Continue with: {again}", file=sys.stderr)
        return 130
    print(f"{report}\nKept in {directory}")
    return 0


def _read_run(command: Train) -> Run:
    if command.resume:
        if command != Train(resume=command.resume):
            raise RunError("A resumed run keeps its own options: give --resume alone.")
        return runs.read(command.resume)
    if command.env is None:
        raise RunError("Say what to train on, as in --env reworld/Platform-v0, or what to --resume.")
    return Run(
        environment=command.env,
        agent=command.agent,
        settings=dataclasses.asdict(command.ppo),
        seed=command.seed,
        steps=command.steps,
        evaluation_episodes=command.evaluation_episodes,
        device=command.device,
    )


if __name__ == "__main__":
    sys.exit(main())
