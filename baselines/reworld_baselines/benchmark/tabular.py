"""How long exact solvers take for a thousand kernels of Block-world, and how many sweeps each stop of value iteration needs.

Seconds are those of the CPU, of one core, and on a CUDA device those of the clock: the least of all rounds, from kernels that
are already in arrays to values and policies.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from reworld.worlds.block_world import SLIP_LEVELS, block_world
from reworld_baselines.mctvmdp.instances import arrays_of, settings_of
from reworld_baselines.mctvmdp.mdp import MDP, SparseKernel
from reworld_baselines.mctvmdp.tabular import (
    Solution,
    action_values,
    policy_iteration,
    policy_iteration_along,
    soft_policy_iteration,
    value_iteration,
)
from reworld_baselines.provenance import commit, versions

MANY = 99_901  # Of which every hundredth is one of the thousand.
SWEEPS = 1000

_ENOUGH = 10.0  # A case that took so many seconds is not measured again.
_NAIVE_SWEEPS = 10  # Of the naive sweeps so many are timed: they all take the same time.
_SIZES = ((6, 2), (20, 4), (50, 4), (200, 4))
_STOPS = (
    "bilevel_6state",
    "random_s6a2",
    "random_s20a4",
    "stepping_stones5",
    "two_doors",
    "three_level",
    "hull_s12",
    "blockworld10",
)


@dataclass(frozen=True)
class Case:
    """One way to solve a family.

    Args:
        name: What the table calls it.
        arrays: What computes.
        mdp: The family.
        solve: How; None for the naive sweeps.
    """

    name: str
    arrays: str
    mdp: MDP
    solve: Callable[[MDP], Solution] | None


def measure(rounds: int, output: Path) -> dict[str, Any]:
    """Measure all, on one core.

    Args:
        rounds: How often every case is measured.
        output: JSON file to store the result in; a page with the tables is written beside it.

    Returns:
        What was stored.
    """
    with contextlib.suppress(AttributeError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    outcome = {
        "family": [_time(case, rounds) for case in tqdm(list(_cases()), desc="families", unit="case")],
        "single": [_time_single(states, actions, rounds) for states, actions in _SIZES],
        "stops": [_count(name) for name in _STOPS],
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": versions(),
        "commit": commit(),
        "command": f"OMP_NUM_THREADS=1 python -m reworld_baselines.benchmark tabular --rounds {rounds}",
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(outcome, indent=1) + "\n")
    output.with_suffix(".md").write_text(to_markdown(outcome))
    return outcome


def to_markdown(outcome: dict[str, Any]) -> str:
    """Lay out what `measure` returned as a page."""
    version = outcome["commit"] or {"hash": "unknown", "dirty": False}
    lines = [
        "# Exact solvers",
        "",
        f"`{outcome['command']}` at commit {version['hash'][:10]}{' (changed)' if version['dirty'] else ''}, with "
        + ", ".join(f"{name} {outcome['versions'][name]}" for name in ("python", "numpy", "torch"))
        + ". Seconds are those of one core, on a CUDA device those of the clock; the least of all rounds.",
        "",
        "Block-world, 73 states and 4 actions, slip from 0 to 1, discount 0.99; error 1e-10 where it can be chosen. Iterations "
        "are those of the kernel that needs most; errors those of the value at the start, against the instance's own values.",
        "",
        "| kernels | method | arrays | seconds | iterations | largest error |",
        "|---:|---|---|---:|---:|---:|",
    ]
    for row in outcome["family"]:
        seconds = f"{row['seconds']:.3f}" + (f" (from {_NAIVE_SWEEPS} sweeps)" if row["extrapolated"] else "")
        error = "" if row["error"] is None else f"{row['error']:.1e}"
        cells = (f"{row['kernels']:,}", row["name"], row["arrays"], seconds, row["iterations"], error)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if outcome["device"] is None:
        lines += ["", "There was no CUDA device: rows of one are left out."]
    else:
        lines += ["", f"The CUDA device is an {outcome['device']}."]
    lines += [
        "",
        "A single process, random and dense, in NumPy; microseconds, mean over 50 of them, discount 0.9.",
        "",
        "| states | actions | policy iteration | from the optimal policy | value iteration, span | soft policy iteration |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in outcome["single"]:
        cells = (row["states"], row["actions"], *(f"{row[name]:,.0f}" for name in ("cold", "warm", "span", "soft")))
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        f"Sweeps of value iteration to an error of 1e-10, of the kernel that needs most, where {SWEEPS} are usual.",
        "",
        "| instance | discount | span | sup | span: times fewer than fixed | same policy | error: said | true |",
        "|---|---:|---:|---:|---:|---|---:|---:|",
    ]
    for row in outcome["stops"]:
        fewer = SWEEPS / row["span"]
        cells = (row["instance"], row["discount"], row["span"], row["sup"], f"{fewer:.1f}", "yes" if row["same"] else "NO")
        lines.append("| " + " | ".join(map(str, (*cells, f"{row['said']:.1e}", f"{row['true']:.1e}"))) + " |")
    return "\n".join(lines) + "\n"


def _cases() -> Iterator[Case]:
    settings = settings_of("blockworld10")
    dense = MDP.of_world(block_world(map=settings["map"]), settings["gamma"], {"slip": SLIP_LEVELS})
    dense = MDP(dense.kernel, dense.expected_rewards, dense.discount, dense.start)
    sparse = dense.with_kernel(SparseKernel.of(dense.kernel))
    fixed = f"value iteration, {SWEEPS} sweeps"
    yield Case(f"{fixed}, naive", "NumPy, dense", dense, None)
    yield Case(fixed, "NumPy, sparse", sparse, lambda mdp: value_iteration(mdp, stop="sweeps", sweeps=SWEEPS))
    for arrays, family in (("NumPy, dense", dense), ("NumPy, sparse", sparse), ("PyTorch on cpu, sparse", sparse.to("cpu"))):
        yield from _methods(arrays, family)
    many = _many(sparse)
    yield Case("policy iteration along", "NumPy, sparse", many, policy_iteration_along)
    if torch.cuda.is_available():
        yield from _methods("PyTorch on cuda, sparse", sparse.to("cuda"))
        yield from _methods("PyTorch on cuda, sparse", many.to("cuda"))


def _methods(arrays: str, family: MDP) -> Iterator[Case]:
    yield Case("value iteration, span", arrays, family, value_iteration)
    yield Case("policy iteration", arrays, family, policy_iteration)
    yield Case("policy iteration along", arrays, family, policy_iteration_along)


def _many(few: MDP) -> MDP:
    """The same family in finer steps: kernel and expected rewards are linear in the slip."""
    slips = np.linspace(0.0, 1.0, MANY)
    first, last = few.kernel.weights[[0, -1]]
    weights = first + slips[:, None, None, None] * (last - first)
    rewards = few.rewards[0] + slips[:, None, None] * (few.rewards[-1] - few.rewards[0])
    return MDP(SparseKernel(few.kernel.successors, weights), rewards, few.discount, few.start[0])


def _time(case: Case, rounds: int) -> dict[str, Any]:
    """Solve a family a few times, and take the least time."""
    on_device = "cuda" in case.arrays
    clock = time.perf_counter if on_device else time.process_time
    seconds: list[float] = []
    while not seconds or (len(seconds) < rounds and sum(seconds) < _ENOUGH):
        start = clock()
        if case.solve is None:
            _sweep_naively(case.mdp, _NAIVE_SWEEPS)
        else:
            solution = case.solve(case.mdp)
            if on_device:
                torch.cuda.synchronize()
        seconds.append(clock() - start)
    row = {"name": case.name, "arrays": case.arrays, "kernels": case.mdp.kernel.shape[0], "rounds": seconds}
    if case.solve is None:
        return {
            **row,
            "seconds": min(seconds) * SWEEPS / _NAIVE_SWEEPS,
            "extrapolated": True,
            "iterations": SWEEPS,
            "error": None,
        }
    found = (case.mdp.start * solution.values).sum(-1)[:: 1 if len(solution.values) == len(SLIP_LEVELS) else 100]
    error = float(np.abs(np.asarray(found.cpu() if on_device else found) - arrays_of("blockworld10")["W"]).max())
    return {**row, "seconds": min(seconds), "extrapolated": False, "iterations": solution.iterations, "error": error}


def _sweep_naively(mdp: MDP, sweeps: int) -> Any:
    """Value iteration as it is usually written down."""
    n, states, actions = mdp.rewards.shape
    rows, values = mdp.kernel.reshape(n, states * actions, states), np.zeros((n, states))
    for _ in range(sweeps):
        values = (mdp.rewards + mdp.discount * (rows @ values[..., None]).reshape(n, states, actions)).max(axis=-1)
    return values


def _time_single(states: int, actions: int, rounds: int) -> dict[str, Any]:
    """Microseconds of one solve of a random process."""
    rng = np.random.default_rng(0)
    draws = [(rng.dirichlet(np.ones(states), (states, actions)), rng.normal(size=(states, actions))) for _ in range(50)]
    processes = [MDP(kernel, rewards, 0.9) for kernel, rewards in draws]
    policies = [policy_iteration(mdp).policy for mdp in processes]

    def least(solve: Callable[[MDP, Any], Any]) -> float:
        seconds = []
        for _ in range(5 * rounds):
            start = time.process_time()
            for mdp, policy in zip(processes, policies, strict=True):
                solve(mdp, policy)
            seconds.append(time.process_time() - start)
        return 1e6 * min(seconds) / len(processes)

    return {
        "states": states,
        "actions": actions,
        "cold": least(lambda mdp, _: policy_iteration(mdp)),
        "warm": least(policy_iteration),
        "span": least(lambda mdp, _: value_iteration(mdp)),
        "soft": least(lambda mdp, _: soft_policy_iteration(mdp, 0.1)),
    }


def _count(name: str) -> dict[str, Any]:
    """Sweeps of value iteration with each stop."""
    settings = settings_of(name)
    if name == "blockworld10":
        mdp = MDP.of_world(block_world(map=settings["map"]), settings["gamma"], {"slip": SLIP_LEVELS[::100]})
    else:
        arrays = arrays_of(name)
        mdp = MDP(arrays["P"], arrays["r"], settings["gamma"])
    exact = policy_iteration(mdp)
    span, sup, fixed = (
        value_iteration(mdp),
        value_iteration(mdp, stop="sup"),
        value_iteration(mdp, stop="sweeps", sweeps=SWEEPS),
    )
    worth = action_values(mdp, exact.values)
    quick, slow = (np.take_along_axis(worth, each.policy[..., None], axis=-1) for each in (span, fixed))
    return {
        "instance": name,
        "discount": mdp.discount,
        "span": span.iterations,
        "sup": sup.iterations,
        # Where actions are equally good, rounding alone decides on the policy.
        "same": bool(np.allclose(quick, slow, rtol=0.0, atol=1e-12)),
        "said": float(np.max(span.error)),
        "true": float(np.abs(span.values - exact.values).max()),
    }
