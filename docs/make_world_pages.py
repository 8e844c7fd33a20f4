"""Write the page of every world and their overview, ``docs/worlds/*.md``: ``python docs/make_world_pages.py``.

A page is made from the world's own file and from what was measured of it: what is documented there is not written twice.
"""

import dataclasses
import importlib
import inspect
import json
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

import reworld
from reworld.catalogue import bound
from reworld.changing import ChangeableWorld, Changing, Cost
from reworld.environment import find_world
from reworld.world import World

FOLDER = Path(__file__).parent / "worlds"
REFERENCES = Path(__file__).parent / "results" / "references.json"
_LONGEST = 32  # Rows that a table shows.


def pages() -> dict[Path, str]:
    """Every page, by the file that it belongs in."""
    reworld.register_all()
    modules: dict[str, list[EnvSpec]] = {}
    for id, spec in gymnasium.registry.items():
        if id.startswith("reworld/") and "changing" not in spec.kwargs:
            modules.setdefault(_module(spec), []).append(spec)
    written = {FOLDER / f"{_stem(module)}.md": _page(module, specs) for module, specs in modules.items()}
    return {**written, FOLDER / "index.md": _overview(modules)}


def _stem(module: str) -> str:
    return module.rpartition(".")[2]


def _overview(modules: dict[str, list[EnvSpec]]) -> str:
    parts = ["# Worlds", "Every picture is one episode of the world's own scripted policy, drawn by the environment."]
    for module, specs in modules.items():
        name, summary = _description(module)[:2]
        ids = ", ".join(f"`{spec.id}`" for spec in specs)
        parts += [f"## [{name}]({_stem(module)}.md)", f"{summary} {ids}", f"![{name}](../images/{_stem(module)}.gif)"]
    names = "\n".join(_stem(module) for module in modules)
    return "\n\n".join([*parts, f"```{{toctree}}\n:hidden:\n\n{names}\n```"]) + "\n"


def _description(module: str) -> tuple[str, str, str]:
    """The name of a world, its first sentence, and what else its file says of it."""
    text = inspect.cleandoc(importlib.import_module(module).__doc__ or "")
    head, _, rest = text.partition("\n\n")
    name, _, summary = head.replace("\n", " ").partition(": ")
    return name, summary[:1].upper() + summary[1:], rest


def _page(module: str, specs: Sequence[EnvSpec]) -> str:
    name, summary, rest = _description(module)
    worlds = {spec.id: find_world(spec.kwargs["world"]) for spec in specs}
    return (
        "\n\n".join(
            [
                f"# {name}",
                f"![{name}](../images/{_stem(module)}.gif)",
                summary,
                _versions(specs),
                rest,
                *_measured(worlds),
                *_section("Action", worlds, _action),
                *_section("Observation", worlds, _observation),
                *_section("Configuration", worlds, _configuration),
                *_changing(module),
            ]
        )
        + "\n"
    )


def _versions(specs: Sequence[EnvSpec]) -> str:
    rows = []
    for spec in specs:
        limit = "none but the world's own" if spec.max_episode_steps is None else f"{spec.max_episode_steps} steps"
        threshold = "" if spec.reward_threshold is None else f"{spec.reward_threshold:g}"
        rows.append((f"`{spec.id}`", _family(spec), limit, threshold))
    return _table(("`gymnasium.make`", "arguments", "time limit", "solved from a mean return of"), rows)


def _family(spec: EnvSpec) -> str:
    module, _, name = spec.kwargs["world"].partition(":")
    found = getattr(importlib.import_module(module), name)
    if isinstance(found, World):
        return ""
    return ", ".join(f"`{argument.name}={argument.default!r}`" for argument in inspect.signature(found).parameters.values())


def _measured(worlds: dict[str, World]) -> list[str]:
    """What the references reach, if that was measured."""
    if not REFERENCES.exists():
        return []
    outcome = json.loads(REFERENCES.read_text())
    rows = []
    for row in outcome["rows"]:
        if row["world"] in worlds:
            arguments = "".join(f", {key}={value}" for key, value in row["arguments"].items())
            low, high = row["interval"]
            result = f"{row['mean_return']:.3f} [{low:.3f}, {high:.3f}]"
            rows.append((f"`{row['world']}`{arguments}", row["agent"], result, f"{100.0 * row['success_rate']:.1f} %"))
    if not rows:
        return []
    table = _table(("", "agent", "mean return [95 % interval]", "success"), rows)
    return [
        "## What can be reached",
        table,
        f"{outcome['episodes']:,} episodes each: [how measured](../results/references.md).",
    ]


def _section(title: str, worlds: dict[str, World], describe: Callable[[World], list[str]]) -> list[str]:
    """Describe every version, those that are alike together."""
    versions: dict[tuple[str, ...], list[str]] = {}
    for id, world in worlds.items():
        versions.setdefault(tuple(describe(world)), []).append(id)
    if len(versions) == 1:
        return [f"## {title}", *next(iter(versions))]
    parts = [f"## {title}"]
    for description, ids in versions.items():
        parts += [f"### {title} of {', '.join(f'`{id}`' for id in ids)}", *description]
    return parts


def _action(world: World, first: int = 0) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for k, branch in list(enumerate(world.branches))[first:]:
        own = [(f"`{p.name}`", f"{p.low:g}", f"{p.high:g}", p.unit, p.meaning) for p in branch.parameters] or [("",) * 5]
        rows += [(f"{k} `{branch.name}`", branch.meaning, *cells) for cells in own]
    if any(branch.parameters for branch in world.branches):
        form = f"`Tuple((Discrete({len(world.branches)}), Tuple((…))))`, with one Box for each branch, in physical units."
    else:
        form = f"`Discrete({len(world.branches)})`."
    return [form, _table(("branch", "", "parameter", "low", "high", "unit", ""), rows)]


def _observation(world: World) -> list[str]:
    if isinstance(world.observation, int):
        return [f"`Discrete({world.observation})`: the number of the state."]
    assert isinstance(world.observation, tuple), "No world has a Dict of its own."
    rows = [(str(k), f"`{q.name}`", bound(q.low), bound(q.high), q.unit, q.meaning) for k, q in enumerate(world.observation)]
    return [f"float32, shape ({len(world.observation)},).", _table(("", "name", "low", "high", "unit", ""), rows)]


def _configuration(world: World) -> list[str]:
    rows = [(f"`{p.name}`", f"{p.default:.6g}", f"{p.low:.4g}", f"{p.high:.4g}", p.unit, p.meaning) for p in world.parameters]
    return [
        "Every parameter of the dynamics. Give some at `make`, as `configuration={…}`, or at a reset.",
        _table(("parameter", "default", "low", "high", "unit", ""), rows),
    ]


def _changing(module: str) -> list[str]:
    """The recommended model-changing set-up of a world."""
    specs = [spec for spec in gymnasium.registry.values() if "changing" in spec.kwargs and _module(spec) == module]
    parts = []
    for spec in specs:
        set_up = spec.kwargs["changing"].partition(":")[0]
        head, _, rest = inspect.cleandoc(importlib.import_module(set_up).__doc__ or "").partition("\n\n")
        world = find_world(**spec.kwargs)
        assert isinstance(world, ChangeableWorld)
        known = reworld.reference(spec.id)
        rows = [
            (
                agent,
                f"{each.mean:.4g}" + (" exact" if each.exact else f" [{each.low:.4g}, {each.high:.4g}]"),
                f"{each.cost:.4g}",
            )
            for agent, each in (
                ("random actions", known.random),
                ("best known without configuring", known.without),
                ("best known with", known.configuring),
            )
        ]
        parts += [
            f"## Changing it: `{spec.id}`",
            f"![{spec.id}](../images/configurable_{_stem(module)}.gif)",
            head.replace("\n", " "),
            rest,
            _table(("", "mean return", "pays per episode"), rows),
            "[How measured](../results/changing.md), and [what a model-changing action is](../changing_the_world.md).",
            *_action(world, first=world.own_branches),
            "Its terms, as in `gymnasium.make(…, changing={…})`:",
            _table(("field", "value"), _terms(world.changing)),
        ]
    return parts


def _terms(changing: Changing) -> list[tuple[str, str]]:
    """The fields of a set-up that differ from their defaults, in the order of the dataclass."""
    known = {each.name: each.default for each in dataclasses.fields(changing) if each.default is not dataclasses.MISSING}
    terms = dataclasses.asdict(changing)
    told_of_cost = {"kind", "scale", "weights", "measured_from"} | ({"rate"} if changing.cost.kind == "exponential" else set())
    terms["cost"] = {} if changing.cost == Cost() else {n: v for n, v in terms["cost"].items() if n in told_of_cost and v}
    told = {name: value for name, value in terms.items() if value != known.get(name) and value not in ({}, (), None)}
    return [(f"`{name}`", f"`{textwrap.shorten(repr(value), 240, placeholder=' …')}`") for name, value in told.items()]


def _module(spec: EnvSpec) -> str:
    return str(spec.kwargs["world"]).partition(":")[0]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    shown: list[Sequence[Any]] = [*rows[:_LONGEST]]
    if len(rows) > _LONGEST:
        shown.append([f"and {len(rows) - _LONGEST} more", *[""] * (len(head) - 1)])
    lines = [head, ["---"] * len(head), *shown]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text)
        print(file)
