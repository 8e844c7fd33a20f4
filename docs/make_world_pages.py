"""Write the page of every world, `docs/worlds/*.md`, from its own file: what is documented there is not written twice."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import gymnasium

import reworld
from reworld.environment import find_world

FOLDER = Path(__file__).parent / "worlds"


def page(id: str) -> str:
    """Write the page of a registered world.

    Args:
        id: As it is registered.

    Returns:
        Markdown.
    """
    spec = gymnasium.spec(id)
    reference = spec.kwargs["world"]
    world = find_world(reference)
    description = importlib.import_module(reference.partition(":")[0]).__doc__ or ""
    image = f"../images/{world.name.lower()}.gif"
    space = gymnasium.make(id).action_space
    parts = [
        f"# {world.name}",
        f"![{world.name}]({image})",
        description.strip().partition(": ")[2][:1].upper() + description.strip().partition(": ")[2][1:],
        f"`gymnasium.make({id!r})`: {spec.max_episode_steps} steps at most; solved from a mean return of "
        f"{spec.reward_threshold:g} on.",
        "## Action",
        f"`{space}`",
        _table(
            ("branch", "", "parameter", "low", "high", "unit", ""),
            [
                (f"{k} `{branch.name}`", branch.meaning, *cells)
                for k, branch in enumerate(world.branches)
                for cells in (
                    [(f"`{p.name}`", f"{p.low:g}", f"{p.high:g}", p.unit, p.meaning) for p in branch.parameters] or [("",) * 5]
                )
            ],
        ),
        "## Observation",
        f"float32, shape ({len(world.observation)},).",
        _table(
            ("", "name", "low", "high", "unit", ""),
            [
                (str(k), f"`{q.name}`", f"{q.low:.4g}", f"{q.high:.4g}", q.unit, q.meaning)
                for k, q in enumerate(world.observation)
            ],
        ),
        "## Configuration",
        "Every parameter of the dynamics. Give some at `make`, as `configuration={…}`, or at a reset.",
        _table(
            ("parameter", "default", "low", "high", "unit", ""),
            [(f"`{p.name}`", f"{p.default:.6g}", f"{p.low:.4g}", f"{p.high:.4g}", p.unit, p.meaning) for p in world.parameters],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def pages() -> dict[Path, str]:
    """Every page, by the file that it belongs in."""
    reworld.register_all()
    ids = [id for id in gymnasium.registry if id.startswith("reworld/")]
    return {FOLDER / f"{gymnasium.spec(id).name.lower()}.md": page(id) for id in ids}


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text)
        print(file)
