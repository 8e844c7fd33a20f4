"""The worlds from the command line: ``python -m reworld list``, ``describe``, ``render`` and ``play``."""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import gymnasium

from reworld.catalogue import bound, describe_observation, find_entry, list_worlds, table
from reworld.errors import InvalidOption
from reworld.keyboard import play
from reworld.policies import scripted_policy
from reworld.video import film_episode, save_film
from reworld.world import World

_MOST_BRANCHES = 32  # That a description lists.


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        arguments: What follows ``python -m reworld``; by default that of this process.

    Returns:
        The exit code: 2 if something was refused, after one line that says what.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except gymnasium.error.Error as error:
        # Gymnasium adds where an error came from.
        message = str(error).partition(" was raised from the environment creator")[0]
        print(f"reworld: {message}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m reworld", description="Gymnasium worlds that the agent can change.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: Callable[[argparse.Namespace], None], name: str, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.set_defaults(command=command)
        return added

    def add_world(command: argparse.ArgumentParser) -> None:
        command.add_argument("id", metavar="ID", help="such as reworld/Platform-v0")
        command.add_argument("--arguments", nargs="+", default=[], metavar="NAME=VALUE", help="of a family, such as n=6")

    def add_episode(command: argparse.ArgumentParser) -> None:
        command.add_argument("--seed", type=int, default=0, help="of the episode (default: 0)")
        command.add_argument(
            "--configuration", nargs="+", metavar="NAME=VALUE", help="of the dynamics, such as gravity=12; or: random"
        )

    add(_list, "list", "List all worlds.")
    add_world(add(_describe, "describe", "Say what a world's actions, observations and parameters are."))
    render = add(_render, "render", "Film an episode, or show it in a window.")
    add_world(render)
    add_episode(render)
    render.add_argument("--policy", choices=("scripted", "random"), default="scripted", help="who plays (default: scripted)")
    where = render.add_mutually_exclusive_group(required=True)
    where.add_argument("--output", type=Path, metavar="FILE", help="a film, .mp4 or .gif; or the last picture, .png")
    where.add_argument("--human", action="store_true", help="show it in a window")
    by_keyboard = add(_play, "play", "Play a world by the keyboard: h shows the keys.")
    add_world(by_keyboard)
    add_episode(by_keyboard)
    return parser


def _list(options: argparse.Namespace) -> None:
    print(list_worlds())


def _describe(options: argparse.Namespace) -> None:
    entry = find_entry(options.id, **_pairs(options.arguments))
    world, set_up = entry.world, entry.spec.kwargs.get("changing")
    modules = [entry.spec.kwargs["world"], *([set_up] if isinstance(set_up, str) else [])]
    print(
        *(
            entry.spec.id,
            *(inspect.cleandoc(sys.modules[each.partition(":")[0]].__doc__ or "") for each in modules),
            f"Time limit: {_or_none(entry.spec.max_episode_steps)}. "
            f"Solved from a mean return of: {_or_none(entry.spec.reward_threshold)}.",
            f"Action: a branch, with parameters of its own.\n{_actions(world)}",
            f"Observation: {describe_observation(world.observation)}.\n{_observations(world)}".rstrip(),
            f"Configuration: {len(world.parameters)} parameters.\n{_parameters(world)}",
        ),
        sep="\n\n",
    )


def _render(options: argparse.Namespace) -> None:
    spec = find_entry(options.id).spec
    mode = "human" if options.human else "rgb_array_list"
    env: Any = gymnasium.make(spec, render_mode=mode, **_made_with(options))
    if options.policy == "random":
        env.action_space.seed(options.seed)
        pictures = film_episode(env, lambda _: env.action_space.sample(), options.seed)
    else:
        pictures = film_episode(env, scripted_policy(env.unwrapped.world), options.seed)
    if options.human:
        for _ in pictures:
            pass
    else:
        count = save_film(options.output, pictures, env.metadata["render_fps"])
        print(f"{options.output}: {count} pictures")
    env.close()


def _play(options: argparse.Namespace) -> None:
    play(options.id, options.seed, **_made_with(options))


def _made_with(options: argparse.Namespace) -> dict[str, Any]:
    """What an environment is made with."""
    request = options.configuration
    if request is not None:
        request = "random" if request == ["random"] else _pairs(request)
    return {**_pairs(options.arguments), "configuration": request}


def _pairs(texts: Iterable[str]) -> dict[str, Any]:
    """Read texts such as ``n=6``, ``gravity=[5,10]`` or ``name=text``."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InvalidOption(f"{text!r} is not understood: write NAME=VALUE, without spaces.")
        try:
            pairs[name] = json.loads(value)
        except json.JSONDecodeError:
            pairs[name] = value
    return pairs


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _actions(world: World) -> str:
    rows: list[tuple[str, ...]] = []
    for k, branch in enumerate(world.branches[:_MOST_BRANCHES]):
        own = [(p.name, f"{p.low:.4g}", f"{p.high:.4g}", p.unit, p.meaning) for p in branch.parameters] or [("",) * 5]
        names = [(str(k), branch.name, branch.meaning), *[("", "", "")] * (len(own) - 1)]
        rows += [(*name, *cells) for name, cells in zip(names, own, strict=True)]
    text = table(("", "branch", "", "parameter", "low", "high", "unit", ""), rows)
    return text if len(world.branches) <= _MOST_BRANCHES else f"{text}\nand {len(world.branches) - _MOST_BRANCHES} more"


def _observations(world: World) -> str:
    entries = [entry for part in world.observed.values() if not isinstance(part, int) for entry in part]
    if not entries:
        return ""
    rows = [(str(k), q.name, bound(q.low), bound(q.high), q.unit, q.meaning) for k, q in enumerate(entries)]
    return table(("", "name", "low", "high", "unit", ""), rows)


def _parameters(world: World) -> str:
    rows = [(p.name, f"{p.default:.6g}", f"{p.low:.4g}", f"{p.high:.4g}", p.unit, p.meaning) for p in world.parameters]
    return table(("parameter", "default", "low", "high", "unit", ""), rows)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # Whoever reads, such as `head`, has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
