"""Learning curves of FLEXplore: worlds by methods, each a job that goes on where it was killed.

A job is one world with one method. Its seeds learn at once, in one process; now and then every one of them plays the evaluation
episodes, in environments of their own and without exploration. A job leaves

    WORLD-METHOD.csv                what came out, a row for each evaluation of each seed
    WORLD-METHOD.json               what was asked for, and what made it
    checkpoints/WORLD-METHOD/       the agents as they were at the last evaluation

A job that is started again goes on from its last evaluation: its rows are then, on a CPU, those of a job that was never killed.
"""

import csv
import dataclasses
import io
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

import reworld
from reworld.errors import nearest
from reworld_baselines.evaluation import EVALUATION_SEED, evaluate, make_batch
from reworld_baselines.flexplore.agent import FLEXplore
from reworld_baselines.flexplore.config import FLEXploreSettings, dlpa, fast
from reworld_baselines.provenance import commit, versions
from reworld_baselines.runs import RunError, write_whole

EPISODES = 100
"""Of the evaluation of a seed."""


@dataclass(frozen=True)
class Course:
    """How long is learned on a world, and what is asked for.

    Args:
        steps: Environment steps of each seed.
        every: Those from one evaluation to the next.
        random_steps: Those before anything is learned, whatever the method.
        published: Mean return that DLPA (ICML 2024) reached, second-hand from the README of a reproduction; None where it was
            not tried.
        asked: Mean return that is asked for; in a world that the agent may change, that of the best known policy that never
            does.
        reached: Mean return that the steps are counted to.
    """

    steps: int
    every: int
    random_steps: int
    published: float | None
    asked: float
    reached: float


def _changed(id: str) -> Course:
    """The course of a world that the agent may change."""
    without = reworld.reference(f"reworld/{id}").without.mean
    return Course(8_000, 1_000, 500, published=None, asked=without, reached=without)


WORLDS = {
    "Platform-v0": Course(5_000, 500, 125, published=0.92, asked=0.95, reached=0.9),
    "Goal-v0": Course(40_000, 2_000, 1_000, published=28.75, asked=28.75, reached=28.75),
    "HardGoal-v0": Course(40_000, 2_000, 1_000, published=28.38, asked=28.38, reached=28.38),
    "CatchPoint-v1": Course(8_000, 1_000, 250, published=7.56, asked=8.1, reached=7.56),
    "HardMove-v0:n=4": Course(5_000, 1_000, 250, published=6.29, asked=6.29, reached=6.29),
    "HardMove-v0:n=6": Course(6_000, 1_000, 250, published=8.48, asked=8.48, reached=8.48),
    "HardMove-v0:n=8": Course(6_000, 1_000, 250, published=7.80, asked=7.80, reached=7.80),
    "HardMove-v0:n=10": Course(10_000, 1_000, 250, published=6.35, asked=6.35, reached=6.35),
    **{id: _changed(id) for id in ("ConfigurablePlatform-v0", "ConfigurableCatchPoint-v1", "ConfigurableHardMove-v0")},
}
"""What is learned on: ids without ``reworld/``, with the arguments of the world after a colon."""


def _faithful(world: str) -> FLEXploreSettings:
    return FLEXploreSettings()


def _fast(world: str) -> FLEXploreSettings:
    if "CatchPoint" in world:
        # Every step costs something until the point is caught: a value that knows this, and not yet how to catch, gives up. And
        # the mean of two headings, one on either side of the back, points ahead.
        return fast(feed="embedded", horizon=8, terminal_value=False, evaluate_by="best")
    if "HardMove" in world:
        # Most of its choices push as others do.
        return fast(feed="embedded", samples=512, elites=64)
    if "Goal" in world:
        # What a shot leads to depends on chance: it takes more data, and not more learning from each of them.
        return fast(n_envs=4, random_share=0.2, updates=10, samples=512, elites=64)
    return fast()


def _ideas(world: str) -> FLEXploreSettings:
    """The three ideas of the paper, for what `_fast` costs: what single ones are worth is asked of these."""
    return dataclasses.replace(_fast(world), head="likelihood", flexibility=0.3, smoothing_from=10_000, information_weight=0.01)


def _dlpa(world: str) -> FLEXploreSettings:
    """What DLPA's authors ran on each world."""
    if world.startswith("Platform"):
        return dlpa(feed="masking", horizon=10, two_rewards=False)
    if world.startswith("HardMove"):
        return dlpa(feed="parallel", horizon=5)
    return dlpa(feed="sequential", horizon=8, two_rewards=world.startswith("CatchPoint"))


METHODS: dict[str, Callable[[str], FLEXploreSettings]] = {
    "fast": _fast,
    "ideas": _ideas,
    "faithful": _faithful,
    "dlpa": _dlpa,
}
"""Settings by the name of a world."""


class Row(NamedTuple):
    """One evaluation of one seed.

    Args:
        world: A key of `WORLDS`.
        method: A key of `METHODS`, and what was changed in it, as in ``"fast+horizon=5"``.
        seed: Of the training.
        steps: Environment steps learned from.
        mean_return: Of the episodes.
        low: Lower end of its 95 % interval over episodes.
        high: Upper end.
        success_rate: Share of the episodes that were a success.
        cpu_seconds: Of the training so far, all threads together, divided by the number of seeds.
    """

    world: str
    method: str
    seed: int
    steps: int
    mean_return: float
    low: float
    high: float
    success_rate: float
    cpu_seconds: float


@dataclass(frozen=True)
class Job:
    """One world with one method.

    Args:
        world: A key of `WORLDS`.
        method: As in `Row`.
        settings: What is learned with.
        seeds: That learn at once.
        output: Directory of the results.
        device: ``"cpu"`` or ``"cuda"``.
    """

    world: str
    method: str
    settings: FLEXploreSettings
    seeds: tuple[int, ...]
    output: Path
    device: str

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.world.replace(':', '-')}-{self.method}"

    @property
    def results(self) -> Path:
        """Its CSV."""
        return self.output / f"{self.name}.csv"

    @property
    def record(self) -> Path:
        """Its JSON."""
        return self.output / f"{self.name}.json"

    @property
    def checkpoint(self) -> Path:
        """The directory of its agents."""
        return self.output / "checkpoints" / self.name


def measure(
    worlds: Sequence[str],
    methods: Sequence[str],
    seeds: int,
    output: Path,
    changes: Sequence[str] = (),
    device: str = "cpu",
) -> None:
    """Do the jobs of these worlds and methods that are not done yet, one after another.

    Args:
        worlds: Keys of `WORLDS`.
        methods: Keys of `METHODS`.
        seeds: How many, from 0 on.
        output: Directory of the results.
        changes: Settings that shall be others than the methods say, each as ``NAME=VALUE``.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        RunError: If there is no such world, method or setting, or the results of a job in the directory are not of these
            settings and seeds.
    """
    changed = dict(map(_read_assignment, changes))
    jobs = [
        Job(world, "+".join([method, *changes]), _settings(world, method, changed), tuple(range(seeds)), output, device)
        for world in worlds
        for method in methods
    ]
    for job in jobs:
        _check(job)
    for job in jobs:
        _do(job)


def _read_assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise RunError(f"{text!r}: give NAME=VALUE, such as horizon=5.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def environment_of(world: str) -> tuple[str, dict[str, Any]]:
    """Take the name of a world apart.

    Args:
        world: Such as ``"HardMove-v0:n=6"``.

    Returns:
        Id and arguments of the environment: ``"reworld/HardMove-v0"`` and ``{"n": 6}``.
    """
    id, _, arguments = world.partition(":")
    return f"reworld/{id}", dict(map(_read_assignment, filter(None, arguments.split(","))))


def _settings(world: str, method: str, changes: dict[str, Any]) -> FLEXploreSettings:
    if world not in WORLDS:
        raise RunError(f"There is no world {world!r}. {nearest(world, WORLDS)}")
    if method not in METHODS:
        raise RunError(f"There is no method {method!r}. {nearest(method, METHODS)}")
    known = [field.name for field in dataclasses.fields(FLEXploreSettings)]
    for name in changes:
        if name not in known:
            raise RunError(f"There is no setting {name!r}. {nearest(name, known)}")
    try:
        return dataclasses.replace(METHODS[method](world), **{"random_steps": WORLDS[world].random_steps, **changes})
    except (TypeError, ValueError) as error:
        raise RunError(f"These are no settings of {method}: {error}") from error


def _question(job: Job) -> dict[str, Any]:
    """What the rows of a job depend on."""
    return {
        "seeds": list(job.seeds),
        "every": WORLDS[job.world].every,
        "episodes": EPISODES,
        "first_evaluation_seed": EVALUATION_SEED,
        "settings": dataclasses.asdict(job.settings),
    }


def read_record(file: Path) -> dict[str, Any]:
    """Read the JSON of a job.

    Args:
        file: Where it is.

    Raises:
        RunError: If it cannot be read. It is left as it is.
    """
    try:
        return json.loads(file.read_bytes())  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}). It was left as it is.") from error


def _check(job: Job) -> None:
    """Refuse to go on with what was begun in another way."""
    if not job.record.exists():
        return
    record, asked = read_record(job.record), _question(job)
    # A setting that did not exist at the time is taken for off.
    asked["settings"] = {name: asked["settings"].get(name) for name in record["settings"]}
    for name, value in asked.items():
        if record[name] != value:
            raise RunError(
                f"{job.results} was made with {name} {record[name]}, and not {value}: give another --output, or remove it, its "
                ".json and its checkpoint."
            )


def _do(job: Job) -> None:
    """Learn and evaluate until the job is done."""
    course = WORLDS[job.world]
    rows = read_rows(job.results) if job.results.exists() else []
    if rows and rows[-1].steps >= course.steps:
        return
    id, arguments = environment_of(job.world)
    if job.settings.compiled:
        # There is a limit to how often the same code is compiled for another agent.
        torch.compiler.reset()
    # Its JSON is written last, once.
    if (job.checkpoint / "agent.json").exists():
        agent = FLEXplore.load(job.checkpoint, job.device)
    else:
        agent = FLEXplore(id, job.settings, job.seeds, job.device, **arguments)
    rows = [row for row in rows if row.steps <= agent.steps]
    seconds = rows[-1].cpu_seconds if rows else 0.0
    job.output.mkdir(parents=True, exist_ok=True)
    _record_start(job, agent.steps)
    batch = make_batch(id, EPISODES, **arguments)
    with tqdm(total=course.steps, initial=agent.steps, desc=f"{job.method} on {job.world}", unit=" steps") as bar:
        for target in (*range(course.every, course.steps, course.every), course.steps):
            if agent.steps >= target:
                continue
            started = time.process_time()
            agent.learn(target, at_boundary=lambda: bar.update(agent.steps - bar.n))
            seconds += (time.process_time() - started) / len(job.seeds)
            for seed, player in zip(job.seeds, agent.players, strict=True):
                result = evaluate(player, batch)
                figures = result.mean, result.low, result.high, result.success_rate, round(seconds, 2)
                rows.append(Row(job.world, job.method, seed, agent.steps, *figures))
            bar.set_postfix_str(f"return {sum(row.mean_return for row in rows[-len(job.seeds) :]) / len(job.seeds):.3g}")
            # In this order, so that there is never a checkpoint beyond the rows.
            write_whole(job.results, _to_csv(rows))
            agent.save(job.checkpoint)


def _record_start(job: Job, steps: int) -> None:
    """Write down what is asked for, and what makes it from these steps on."""
    starts = read_record(job.record)["starts"] if job.record.exists() else []
    start = {
        "steps_before": steps,
        "command": shlex.join(sys.orig_argv),
        "commit": commit(),
        "versions": versions(),
        "device": torch.cuda.get_device_name() if job.device == "cuda" else job.device,
        "threads": torch.get_num_threads(),
    }
    content = {
        "world": job.world,
        "method": job.method,
        "steps": WORLDS[job.world].steps,
        **_question(job),
        "starts": [*(each for each in starts if each["steps_before"] < steps), start],
    }
    write_whole(job.record, (json.dumps(content, indent=1) + "\n").encode())


def read_rows(file: Path) -> list[Row]:
    """Read the CSV of a job.

    Args:
        file: Where it is.

    Raises:
        RunError: If it is none. It is left as it is.
    """
    try:
        with file.open(newline="") as lines:
            return [Row(*(Row.__annotations__[name](row[name]) for name in Row._fields)) for row in csv.DictReader(lines)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} holds no results ({error!r}). It was left as it is.") from error


def _to_csv(rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([Row._fields, *rows])
    return text.getvalue().encode()
