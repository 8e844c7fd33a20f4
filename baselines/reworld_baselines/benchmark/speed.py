"""Steps per second of single and batched worlds, side by side with their peers in one run.

All cases take their turn in every round, on one core, with actions made beforehand and autoreset on. A figure is steps
per CPU second of the process, all its threads together; a ratio is the median over rounds of the ratios within a round, so that
a machine whose speed drifts does not distort it. A peer that is not installed is left out. Peers that only run on an old Gym
are measured by `reworld_baselines.benchmark.peers`, in a run of their own.
"""

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from rich.progress import track

from reworld.actions import read_layout
from reworld.environment import find_world
from reworld.policies import scripted_policy
from reworld_baselines.benchmark.changing import configurable_ids
from reworld_baselines.provenance import commit, versions

BATCH = 4096
_ACTIONS = 32
_MANY_BRANCHES = 16


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Args:
        world: What is simulated.
        name: Whose implementation, and how it is called.
        make: Builds the environment, single or batched, ready to step.
        size: Number of environments in it.
        baselines: Names of the cases of the same world that it is compared with.
        package: What must be installed.
        peer: Name of what it is compared with in the file of `reworld_baselines.benchmark.peers`.
    """

    world: str
    name: str
    make: Callable[[], Any]
    size: int = 1
    baselines: tuple[str, ...] = ()
    package: str = "reworld"
    peer: str = ""


def _both(world: str, peer: str = "", version: str = "v0", **arguments: Any) -> tuple[Case, Case]:
    """One environment and a batch of them."""
    id, name = f"reworld/{world}-{version}", ", ".join([world, *(f"{key}={value}" for key, value in arguments.items())])
    return (
        Case(name, "reworld, single", lambda: gymnasium.make(id, **arguments), peer=peer),
        Case(name, "reworld, batch", _batch(id, **arguments), BATCH, peer=peer),
    )


def _batch(id: str, **arguments: Any) -> Callable[[], Any]:
    return lambda: gymnasium.make_vec(id, num_envs=BATCH, vectorization_mode="vector_entry_point", **arguments)


def _twins(id: str) -> tuple[Case, Case]:
    """A world with its recommended model-changing actions, and the same world, in the same nominal configuration, without."""
    base = id.replace("Configurable", "")

    def without() -> Any:
        return _batch(base, configuration=find_world(**gymnasium.spec(id).kwargs).default_configuration)()

    return (
        Case(base.removeprefix("reworld/"), "reworld, batch, in the nominal configuration", without, BATCH),
        Case(
            base.removeprefix("reworld/"),
            "reworld, batch, with model-changing actions",
            _batch(id),
            BATCH,
            ("reworld, batch, in the nominal configuration",),
        ),
    )


def _peer_platform() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The peer declares float32 spaces from float64 bounds.
        import gym_platform  # noqa: F401

        return gymnasium.make("Platform-v0", disable_env_checker=True)


def _envpool_cartpole() -> Any:
    import envpool

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # As above.
        return envpool.make_gymnasium("CartPole-v1", num_envs=BATCH, num_threads=1)


_GRAVITIES = {"gravity": np.linspace(8.0, 12.0, BATCH)}

_BATCH_PEERS = ("Gymnasium, native batch", "EnvPool, batch")
_PLATFORM_PEER = ("hybrid-platform, single",)

CASES = (
    Case("CartPole", "Gymnasium, single", lambda: gymnasium.make("CartPole-v1")),
    Case("CartPole", "reworld, single", lambda: gymnasium.make("reworld/CartPole-v0"), baselines=("Gymnasium, single",)),
    Case("CartPole", "Gymnasium, SyncVectorEnv", lambda: gymnasium.make_vec("CartPole-v1", 16, "sync"), 16),
    Case("CartPole", "Gymnasium, native batch", _batch("CartPole-v1"), BATCH),
    Case("CartPole", "EnvPool, batch", _envpool_cartpole, BATCH, package="envpool"),
    Case("CartPole", "reworld, batch", _batch("reworld/CartPole-v0"), BATCH, _BATCH_PEERS),
    Case(
        "CartPole",
        "reworld, batch, a configuration each",
        _batch("reworld/CartPole-v0", configuration=_GRAVITIES),
        BATCH,
        _BATCH_PEERS,
    ),
    Case(
        "CartPole",
        "reworld, batch, a configuration each, reused arrays",
        _batch("reworld/CartPole-v0", configuration=_GRAVITIES, copy=False),
        BATCH,
        _BATCH_PEERS,
    ),
    Case("Platform", "hybrid-platform, single", _peer_platform, package="gym_platform"),
    Case("Platform", "reworld, single", lambda: gymnasium.make("reworld/Platform-v0"), baselines=_PLATFORM_PEER),
    Case("Platform", "reworld, batch", _batch("reworld/Platform-v0"), BATCH, _PLATFORM_PEER),
    *_both("Goal", "Goal"),
    *_both("HardGoal"),
    *_both("CatchPoint", "CatchPoint"),
    *(case for n in (4, 6, 8, 10) for case in _both("HardMove", f"HardMove n={n}", n=n)),
    *_both("Moving", "Moving"),
    *_both("Sliding", "Sliding"),
    *_both("BlockWorld"),
    *_both("Tabular"),
    *(case for id in configurable_ids() for case in _twins(id)),
)


def measure(seconds: float, rounds: int, output: Path, peers: Path | None = None) -> dict[str, Any]:
    """Measure every case whose package is installed, and the start-up of a fresh process.

    Args:
        seconds: CPU time of each measurement.
        rounds: How often every case is measured.
        output: JSON file to store the result in; a page with the tables is written beside it.
        peers: What `reworld_baselines.benchmark.peers` wrote, if it was run.

    Returns:
        What was stored: for each case its steps per CPU second in every round, its median and its ratios to its baselines;
        bytes of memory per further environment of a batch; seconds from the start of a process to its first step.
    """
    with contextlib.suppress(AttributeError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cases = [case for case in CASES if importlib.util.find_spec(case.package)]
    peer_rates: dict[str, float] = json.loads(peers.read_text()) if peers else {}
    runners = {case: _runner(case) for case in cases}
    rates: dict[Case, list[float]] = {case: [] for case in cases}
    for _ in track(range(rounds), description="measuring"):
        for case in cases:
            rates[case].append(runners[case](seconds))
    rows = []
    for case in cases:
        ratios = {
            base.name: statistics.median(ours / theirs for ours, theirs in zip(rates[case], rates[base], strict=True))
            for base in cases
            if base.world == case.world and base.name in case.baselines
        }
        rows.append(
            {
                "world": case.world,
                "case": case.name,
                "environments": case.size,
                "steps_per_second": rates[case],
                "median": statistics.median(rates[case]),
                "ratios": ratios,
                "peer": peer_rates.get(case.peer),
            }
        )
    result = {
        "cases": rows,
        "bytes_per_environment": {world: _bytes_per_environment(f"reworld/{world}-v0") for world in ("CartPole", "Platform")},
        "pictures_per_second": {id: _pictures_per_second(id) for id in gymnasium.registry if id.startswith("reworld/")},
        "start_up_seconds": _start_up(),
        "missing": sorted({case.package for case in CASES} - {case.package for case in cases}),
        "cpu": _cpu(),
        "versions": versions(),
        "commit": commit(),
        "command": f"python -m reworld_baselines.benchmark speed --seconds {seconds:g} --rounds {rounds}"
        + (f" --peers {peers}" if peers else ""),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    output.with_suffix(".md").write_text(to_markdown(result))
    return result


def to_markdown(result: dict[str, Any]) -> str:
    """Lay out what `measure` returned as a page."""
    version = result["commit"] or {"hash": "unknown", "dirty": False}
    lines = [
        "# Speed",
        "",
        f"Steps per second on one core of {result['cpu']}, all measured in one run of",
        f"`{result['command']}` at commit {version['hash'][:10]}{' (changed)' if version['dirty'] else ''}, with "
        + ", ".join(f"{name} {result['versions'][name]}" for name in ("python", "gymnasium", "numba", "numpy"))
        + ". A figure is steps per CPU second of the process; a ratio is the median over rounds of the ratios within a round.",
        "",
        "| world | case | environments | steps/s | as a multiple of |",
        "|---|---|---:|---:|---|",
    ]
    for row in result["cases"]:
        multiples = [f"{name}: {_multiple(ratio)}" for name, ratio in row["ratios"].items()]
        if row["peer"]:
            multiples.append(f"published code ({row['peer']:,.0f}/s): {_multiple(row['median'] / row['peer'])}")
        ratios = "; ".join(multiples)
        cells = (row["world"], row["case"], row["environments"], f"{row['median']:,.0f}", ratios)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if any(row["peer"] for row in result["cases"]):
        lines += ["", "Published code runs on an old Gym only: it was measured on the same machine, but not in the same run."]
    lines += [
        "",
        "A step of a batch that begins an environment's next episode counts as a step, as it does in Gymnasium's batches.",
    ]
    lines += ["", "| drawing, as `rgb_array`, a picture after every step | pictures/s |", "|---|---:|"]
    lines += [f"| `{id}` | {rate:.0f} |" for id, rate in result["pictures_per_second"].items()]
    lines += ["", "| in a fresh process | seconds |", "|---|---:|"]
    lines += [f"| {what} | {took:.2f} |" for what, took in result["start_up_seconds"].items()]
    lines += ["", "| memory of every further environment of a batch | bytes |", "|---|---:|"]
    lines += [f"| {world} | {size:.0f} |" for world, size in result["bytes_per_environment"].items()]
    if result["missing"]:
        lines += ["", f"Not installed, hence not measured: {', '.join(result['missing'])}."]
    return "\n".join(lines) + "\n"


def _multiple(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100.0 else f"{ratio:.3g}"


def _runner(case: Case) -> Callable[[float], float]:
    """Make the environment and its actions; the function returned measures steps per CPU second."""
    env = case.make()
    actions = _draw_actions(case, env)
    env.reset()
    single = case.size == 1
    if single:
        env.step(actions[0])
        env.reset()

    def run(seconds: float) -> float:
        steps = 0
        start = time.process_time()
        while time.process_time() - start < seconds:
            for action in actions[:_ACTIONS]:
                _, _, terminated, truncated, _ = env.step(action)
                if single and (terminated or truncated):
                    env.reset()
            steps += _ACTIONS
            if single:
                actions.append(actions.pop(0))
        return steps * case.size / (time.process_time() - start)

    run(0.1)
    return run


def _draw_actions(case: Case, env: Any) -> list[Any]:
    """Random actions; of a world with many branches with all parameters in one array, of which a few take turns."""
    count = _ACTIONS if case.size > 1 else 1024
    if case.package == "envpool":
        return list(np.random.default_rng(0).integers(0, 2, (count, BATCH), np.int32))
    layout = read_layout(getattr(env, "single_action_space", env.action_space))
    if not layout.hybrid or layout.branches <= _MANY_BRANCHES:
        env.action_space.seed(0)
        return [env.action_space.sample() for _ in range(count)]
    rng = np.random.default_rng(0)
    shape = () if case.size == 1 else (case.size,)
    few = []
    for _ in range(8):
        parameters = rng.uniform(layout.low, layout.high, (*shape, len(layout.low))).astype(np.float32)
        few.append((rng.integers(layout.branches, size=shape), parameters))
    return few * (count // len(few))


def _bytes_per_environment(id: str) -> float:
    """Memory of a batch of 4096 less that of a batch of one, for each environment more."""
    sizes = []
    tracemalloc.start()
    for count in (1, BATCH):
        before = tracemalloc.get_traced_memory()[0]
        batch = gymnasium.make_vec(id, num_envs=count, vectorization_mode="vector_entry_point")
        batch.reset(seed=0)
        batch.step(batch.action_space.sample())
        sizes.append(tracemalloc.get_traced_memory()[0] - before)
    tracemalloc.stop()
    return (sizes[1] - sizes[0]) / (BATCH - 1)


def _pictures_per_second(id: str, count: int = 100) -> float:
    """Pictures per CPU second, when a world's own rules play and every step is looked at; the time of the steps included."""
    env: Any = gymnasium.make(id, render_mode="rgb_array")
    policy = scripted_policy(env.unwrapped.world)
    observation, _ = env.reset(seed=0)
    start = 0.0
    for k in range(count + 1):
        observation, _, terminated, truncated, _ = env.step(policy(observation))
        env.render()
        if terminated or truncated:
            observation, _ = env.reset()
        if k == 0:  # By now everything is compiled.
            start = time.process_time()
    return count / (time.process_time() - start)


def _start_up() -> dict[str, float]:
    """Seconds from the start of a fresh process to the end of what it does, with an empty and with a full kernel cache."""
    step = (
        "import gymnasium; env = gymnasium.make('reworld:reworld/Platform-v0'); env.reset(); "
        "env.step(env.action_space.sample())"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        return {
            "import gymnasium": _seconds("import gymnasium", environment),
            "import reworld": _seconds("import reworld", environment),
            "first Platform step, kernels compiled": _seconds(step, environment),
            "first Platform step, kernels cached": min(_seconds(step, environment) for _ in range(3)),
        }


def _seconds(code: str, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "an unknown processor"
