"""Instances: problems with known values, which come with reworld, and those in files of a user's own.

All were made for this project; the matrices and settings of arXiv 2510.15056 are not public. The folder ``instances`` holds
their arrays and settings, with the value of each, exact or best known.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from reworld.changing.levels import Level, Levels
from reworld.errors import InvalidOption, nearest
from reworld.finite import Reals
from reworld.worlds.block_world import block_world
from reworld_baselines.mctvmdp.costs import RowCost
from reworld_baselines.mctvmdp.finite_horizon import FiniteHorizonTVCMDP
from reworld_baselines.mctvmdp.mdp import MDP, SparseKernel
from reworld_baselines.mctvmdp.multi_level import MultiLevelMDP
from reworld_baselines.mctvmdp.parametric import mixture
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP

_FOLDER = files("reworld_baselines.mctvmdp") / "instances"
_ONE_OFF = ("random_s6a2", "random_s20a4", "stepping_stones5", "two_doors")


@dataclass(frozen=True, eq=False)
class Instance:
    """A problem, and what is known of it.

    Args:
        name: Such as ``"two_doors:B=2"``.
        problem: The problem.
        best_known: Its value; None if nothing is known.
        exact: Whether that is the optimum, and not merely the best that was found.
        known: Other figures of it by name, such as ``"oneshot"``.
    """

    name: str
    problem: Any
    best_known: float | None = None
    exact: bool = False
    known: Mapping[str, float] = field(default_factory=dict)


def names() -> list[str]:
    """Name every instance that comes with reworld."""
    return [name for file in _READERS for name in _rows(file)]


def load(name: str) -> Instance:
    """Make an instance.

    Args:
        name: One of `names`, such as ``"bilevel_6state"`` or ``"random_s6a2:B=5"``; or ``"module:NAME"`` of a problem, of
            `reworld.changing.levels.Levels`, or of a function that makes either; or the path of a file of one's own: an
            ``.npz`` with the arrays ``kernel`` (S, A, S), ``rewards`` and, if it is not uniform, ``start``, and the settings
            ``discount``, ``cost`` (kind), ``scale``, ``rate``, ``budget``, ``budget_class`` and ``penalty`` of its `TVCMDP`, of
            which only the discount must be given.

    Raises:
        InvalidOption: If there is none of this name, or the file holds none.
    """
    if name.endswith(".npz"):
        return Instance(name, _read_own(Path(name)))
    file, _, attribute = name.partition(":")
    if "." in file and attribute:
        return Instance(name, _find(file, attribute))
    if file not in _READERS:
        raise InvalidOption(f"There is no instance {name!r}. {nearest(file, _READERS)} Or give the path of an .npz.")
    rows = _rows(file)
    if name not in rows:
        raise InvalidOption(f"There is no instance {name!r}: of {file} there are {', '.join(rows)}.")
    return _READERS[file](name, rows[name])  # type: ignore[no-any-return]


def arrays_of(file: str) -> dict[str, Any]:
    """Read the arrays of an instance file.

    Args:
        file: Such as ``"two_doors"``.
    """
    with as_file(_FOLDER / f"{file}.npz") as path, np.load(path) as arrays:
        return dict(arrays)


@cache
def settings_of(file: str) -> dict[str, Any]:
    """Read the settings of an instance file, and its values.

    Args:
        file: Such as ``"two_doors"``.
    """
    settings: dict[str, Any] = json.loads((_FOLDER / f"{file}.json").read_text())
    return settings


def _rows(file: str) -> dict[str, dict[str, Any]]:
    """The figures of each instance of a file, by name."""
    settings = settings_of(file)
    if "rows" not in settings:
        return {file: settings}
    keys = [key for key in ("seed", "A", "B") if key in settings["rows"][0] and not (file == "class_b" and key == "A")]
    return {f"{file}:{','.join(f'{key}={row[key]:g}' for key in keys)}": row for row in settings["rows"]}


def _figures(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if isinstance(value, float)}


def _cost(settings: dict[str, Any]) -> RowCost:
    return RowCost("exponential", scale=settings["cost"]["alpha"], rate=settings["cost"]["beta"])


def _one_off(name: str, row: dict[str, Any]) -> Instance:
    file = name.partition(":")[0]
    settings, arrays = settings_of(file), arrays_of(file)
    mdp = MDP(arrays["P"], arrays["r"], settings["gamma"], arrays.get("mu"))
    return Instance(name, TVCMDP(mdp, _cost(settings), row["B"]), row["best_known"], False, _figures(row))


def _tiny(name: str, row: dict[str, Any]) -> Instance:
    settings, arrays = settings_of("tiny_s2"), arrays_of("tiny_s2")
    key = f"{row['seed']}_{row['A']}"
    mdp = MDP(arrays[f"P_{key}"], arrays[f"r_{key}"], settings["gamma"], settings["mu"])
    return Instance(name, TVCMDP(mdp, _cost(settings), row["B"]), row["optimum"], True, _figures(row))


def _class_b(name: str, row: dict[str, Any]) -> Instance:
    settings, arrays = settings_of("class_b"), arrays_of("class_b")
    mdp = MDP(arrays[f"P_{row['seed']}"], arrays[f"r_{row['seed']}"], settings["gamma"])
    problem = TVCMDP(mdp, _cost(settings), row["B"], "per_use")
    return Instance(name, problem, row["optimum"], True, _figures(row))


def _finite_horizon(name: str, row: dict[str, Any]) -> Instance:
    settings, arrays = settings_of("finite_horizon"), arrays_of("finite_horizon")
    kernels = np.stack([arrays["P2" if stage % 2 else "P1"] for stage in range(settings["H"])])
    problem = FiniteHorizonTVCMDP(kernels, arrays["r"], settings["gamma"], arrays["mu"], _cost(settings), row["B"])
    return Instance(name, problem, row["block"], False, _figures(row))


def _hull(name: str, row: dict[str, Any]) -> Instance:
    arrays = arrays_of(name)
    problem = mixture(arrays["P"], arrays["r"], row["gamma"], arrays["mu"])
    return Instance(name, problem, row["best_known"], False, _figures(row))


def _six_states(name: str, row: dict[str, Any]) -> Instance:
    arrays = arrays_of(name)
    kernels = [np.stack([arrays[key] for key in sorted(arrays) if key.startswith(f"T{k}_")]) for k in (1, 2)[: len(row["lam"])]]
    levels = [
        Level(kernel, arrays[f"c{k}"], arrays[f"nu{k}"], discount)
        for k, (kernel, discount) in enumerate(zip(kernels, row["lam"], strict=True), 1)
    ]
    worlds = MDP(arrays["P"], arrays["r"], row["gamma"], arrays["mu"])
    value = float(levels[-1].start @ row["top_value"])
    return Instance(name, MultiLevelMDP(worlds, levels), value, True, _figures(row))


def _persistent_gap(name: str, row: dict[str, Any]) -> Instance:
    arrays = arrays_of(name)
    worlds = MDP(arrays["P"], arrays["r"], row["gamma"], arrays["mu"])
    problem = MultiLevelMDP(worlds, [Level(arrays["T"], arrays["c"], discount=row["lam"])], persistent=True)
    return Instance(name, problem, row["flat_persistent"], True, _figures(row))


def _block_world(name: str, row: dict[str, Any]) -> Instance:
    arrays = arrays_of(name)
    count = len(arrays["W"])
    worlds = MDP.of_world(block_world(row["map"]), row["gamma"], {"slip": np.arange(count) / (count - 1)})
    worlds = MDP(SparseKernel.of(worlds.kernel), worlds.expected_rewards, worlds.discount, worlds.start)
    start = np.eye(count)[row["i0"]]
    level = Level(drifting(count, arrays["deltas"], row["drift"]), np.tile(arrays["cost"], (count, 1)), start, row["lam"])
    return Instance(name, MultiLevelMDP(worlds, [level]), row["bilevel"], True, _figures(row))


def drifting(count: int, shifts: Any, drift: Any) -> Reals:
    """Make the kernel of a level whose actions shift a number from 0 to count - 1, and which then drifts.

    Args:
        count: How many numbers.
        shifts: By how much each action shifts, shape (U,).
        drift: Pairs of a further shift, and its probability.

    Returns:
        Shape (U, count, count).
    """
    here, kernel = np.arange(count), np.zeros((len(shifts), count, count))
    for u, shift in enumerate(shifts):
        for further, probability in drift:
            kernel[u, here, np.clip(here + shift + further, 0, count - 1)] += probability
    return kernel


def _cartpole(name: str, row: dict[str, Any]) -> Instance:
    names = list(row["configs"])
    moves: dict[str, list[str]] = {each: [] for each in names}
    for i, j in row["edges"]:
        moves[names[i]].append(names[j])
        moves[names[j]].append(names[i])
    level = Level.graph(moves, price=row["move_cost"], success=row["success"], discount=row["lam"])
    problem = MultiLevelMDP(None, [level], values=row["upper"]["W"])
    return Instance(name, problem, row["upper"]["bilevel"], True, _figures(row["upper"]))


_READERS: dict[str, Any] = {
    "tiny_s2": _tiny,
    **dict.fromkeys(_ONE_OFF, _one_off),
    "class_b": _class_b,
    "finite_horizon": _finite_horizon,
    "hull_s12": _hull,
    "hull_s12_trap": _hull,
    "bilevel_6state": _six_states,
    "three_level": _six_states,
    "persistent_gap": _persistent_gap,
    "blockworld10": _block_world,
    "cartpole4": _cartpole,
}

_SETTINGS = ("discount", "cost", "scale", "rate", "budget", "budget_class", "penalty")


def _find(module: str, name: str) -> Any:
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InvalidOption(f"There is no problem '{module}:{name}': name it as 'package.module:NAME'. ({error})") from error
    found = found() if callable(found) else found
    finite = isinstance(found, Levels) and found.world.states is not None and found.world.tabulate is not None
    return MultiLevelMDP.of_levels(found) if finite else found


def _read_own(path: Path) -> TVCMDP:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError) as error:
        raise InvalidOption(f"{path} cannot be read as an .npz of arrays, and was left as it is. ({error})") from error
    for name in arrays:
        if name not in ("kernel", "rewards", "start", *_SETTINGS):
            raise InvalidOption(f"{path} holds {name!r}. {nearest(name, ('kernel', 'rewards', 'start', *_SETTINGS))}")
    missing = [name for name in ("kernel", "rewards", "discount") if name not in arrays]
    if missing:
        raise InvalidOption(f"{path} lacks {', '.join(missing)}: it has {', '.join(arrays) or 'nothing'}.")
    for name in _SETTINGS:
        if name in arrays and arrays[name].ndim and name != "budget":
            raise InvalidOption(f"{name} in {path} has shape {arrays[name].shape}: give a single one.")
    settings = {name: arrays[name].item() for name in _SETTINGS if name in arrays and arrays[name].ndim == 0}
    mdp = MDP(arrays["kernel"], arrays["rewards"], settings.pop("discount", None), arrays.get("start"))
    terms = {name: settings.pop(name) for name in ("scale", "rate") if name in settings}
    cost = RowCost(settings.pop("cost", "exponential"), **terms)
    return TVCMDP(mdp, cost, **{**settings, **({"budget": arrays["budget"]} if "budget" in arrays else {})})
