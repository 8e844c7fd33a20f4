"""Playing a world by the keyboard.

Gymnasium's own ``play`` maps each key to one whole action. Here keys make up an action, a branch and its parameters, until
another one takes it. `press` is what a key does to the choice; `play` is the window around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import gymnasium
import numpy as np

from reworld.catalogue import find_entry
from reworld.policies import compose_action
from reworld.rendering import AGENT, FAINT, INK, PAPER, SKY, Color, Picture, open_display
from reworld.world import Quantity, World

HELP = (
    ("number", "choose a branch: type it"),
    ("left, right", "change its first parameter"),
    ("up, down", "change its second parameter"),
    ("tab", "go on to the next parameters"),
    ("space, enter", "act; after the end, begin again"),
    ("r", "begin again"),
    ("n", "begin again in a random configuration"),
    ("h", "show or hide this help"),
    ("q, escape", "quit"),
)

_NOTCHES = 20  # Presses of an arrow key from one bound of a parameter to the other.
_PANEL = 64  # Pixels below the picture.
_DIGITS = {name: digit for digit in range(10) for name in (str(digit), f"[{digit}]")}  # The latter on the keypad.
_ARROWS = {"left": (0, -1), "right": (0, 1), "down": (1, -1), "up": (1, 1)}


@dataclass(frozen=True)
class Choice:
    """An action in the making.

    Args:
        values: The parameters of every branch.
        branch: The one chosen.
        first: Which of its parameters the keys left and right change; up and down change the next one.
        typing: Whether the last key was a digit, so that one more makes the number of the branch longer.
    """

    values: tuple[tuple[float, ...], ...]
    branch: int = 0
    first: int = 0
    typing: bool = False


def first_choice(world: World) -> Choice:
    """Begin with the first branch, and with every parameter in the middle of its bounds.

    Args:
        world: To be played.
    """
    return Choice(tuple(tuple(0.5 * (p.low + p.high) for p in branch.parameters) for branch in world.branches))


def press(world: World, choice: Choice, key: str) -> Choice:
    """Change a choice by one key.

    Args:
        world: To be played.
        choice: As it was.
        key: Its name, as pygame has it.

    Returns:
        The choice as it is now; the same one if the key means nothing.
    """
    parameters = world.branches[choice.branch].parameters
    if key in _DIGITS:
        longer = 10 * choice.branch + _DIGITS[key] if choice.typing else _DIGITS[key]
        branch = longer if longer < len(world.branches) else _DIGITS[key]
        return replace(choice, branch=branch, first=0, typing=True) if branch < len(world.branches) else choice
    if key == "tab" and parameters:
        return replace(choice, first=(choice.first + 2) % (2 * ((len(parameters) + 1) // 2)), typing=False)
    if key in _ARROWS and choice.first + _ARROWS[key][0] < len(parameters):
        index, direction = choice.first + _ARROWS[key][0], _ARROWS[key][1]
        own = list(choice.values[choice.branch])
        own[index] = _move(parameters[index], own[index], direction)
        values = list(choice.values)
        values[choice.branch] = tuple(own)
        return replace(choice, values=tuple(values), typing=False)
    return replace(choice, typing=False)


def _move(parameter: Quantity, value: float, direction: int) -> float:
    """Go to the next notch, so that both bounds and the middle are met exactly."""
    width = parameter.high - parameter.low
    notch = min(max(round(_NOTCHES * (value - parameter.low) / width) + direction, 0), _NOTCHES)
    return parameter.low + width * notch / _NOTCHES


def play(id: str, seed: int | None = None, **arguments: Any) -> None:
    """Play a world in a window, by the keyboard: the key h shows which keys there are.

    Args:
        id: Of a registered world, such as ``"reworld/Platform-v0"``.
        seed: Of the first episode.
        arguments: For ``gymnasium.make``, such as ``configuration={"gravity": 12.0}``, or ``n=6`` for a family.

    Raises:
        InvalidOption: If there is no world of that id.
        InvalidConfiguration: If the configuration is none of this world.
        gymnasium.error.DependencyNotInstalled: If pygame is missing.
        gymnasium.error.Error: If there is no display.
    """
    env = gymnasium.make(find_entry(id).spec, render_mode="rgb_array_list", **arguments)
    window = _Window(env.unwrapped.world, env.metadata["render_fps"])  # type: ignore[attr-defined]
    try:
        _play(env, window, seed)
    finally:
        window.close()
        env.close()


def _play(env: Any, window: "_Window", seed: int | None) -> None:
    world = env.unwrapped.world
    choice, running, helping = first_choice(world), True, False
    env.reset(seed=seed)
    window.film(env.render(), choice)
    while True:
        key = window.wait_for_key()
        if key in {"q", "escape"}:
            return
        helping = key == "h" and not helping
        if key in {"r", "n"} or (key in {"space", "return", "enter"} and not running):
            env.reset(options={"configuration": "random"} if key == "n" else None)
            running = True
            window.film(env.render(), choice)
        elif key in {"space", "return", "enter"}:
            action = compose_action(world, choice.branch, choice.values[choice.branch])
            _, _, terminated, truncated, _ = env.step(action)
            running = not (terminated or truncated)
            window.film(env.render(), choice)
        choice = press(world, choice, key)
        window.show(choice, running, helping)


class _Window:
    """The last picture, and below it the choice."""

    def __init__(self, world: World, frames_per_second: int) -> None:
        self._pygame = open_display()
        self._pygame.font.init()
        self._world, self._frames_per_second = world, frames_per_second
        self._width, self._height = world.picture
        self._surface = self._pygame.display.set_mode((self._width, self._height + _PANEL))
        self._pygame.display.set_caption(f"reworld {world.name}")
        self._pygame.key.set_repeat(300, 40)
        self._clock = self._pygame.time.Clock()
        self._picture: Any = None

    def wait_for_key(self) -> str:
        """The name of the next key; closing the window counts as escape."""
        while True:
            event = self._pygame.event.wait()
            if event.type == self._pygame.QUIT:
                return "escape"
            if event.type == self._pygame.KEYDOWN:
                return str(self._pygame.key.name(event.key))

    def film(self, pictures: Sequence[Picture], choice: Choice) -> None:
        """Show pictures one after the other; the next key skips to the last of them."""
        for picture in pictures:
            self._picture = self._pygame.surfarray.make_surface(np.transpose(picture, (1, 0, 2)))
            if not self._pygame.event.peek((self._pygame.KEYDOWN, self._pygame.QUIT)):
                self.show(choice)
                self._clock.tick(self._frames_per_second)

    def show(self, choice: Choice, running: bool = True, helping: bool = False) -> None:
        """Show the last picture and the choice, or the keys."""
        self._surface.fill(PAPER)
        self._surface.blit(self._picture, (0, 0))
        if helping:
            self._write_help()
        self._write_choice(choice, running)
        self._pygame.display.flip()

    def close(self) -> None:
        self._pygame.display.quit()

    def _write_choice(self, choice: Choice, running: bool) -> None:
        branch = self._world.branches[choice.branch]
        hint = "h: help" if running else "over    space: again    h: help"
        used = self._write(f"{choice.branch} {branch.name}", (12, self._height + 8), INK, 16)
        self._write(branch.meaning, (24 + used, self._height + 10), FAINT, 13)
        self._write(hint, (self._width - 12, self._height + 10), FAINT, 13, right=True)
        shown = list(zip(branch.parameters, choice.values[choice.branch], strict=True))[choice.first : choice.first + 2]
        for column, (parameter, value) in enumerate(shown):
            self._write_parameter(parameter, value, 12 + column * self._width // 2)
        if len(branch.parameters) > 2:
            rest = f"tab: {choice.first + 1} to {choice.first + len(shown)} of {len(branch.parameters)}"
            self._write(rest, (self._width - 12, self._height + 34), FAINT, 13, right=True)

    def _write_parameter(self, parameter: Quantity, value: float, left: int) -> None:
        """Write a parameter, and how far between its bounds it is."""
        top, length = self._height + 54, self._width // 4
        self._write(f"{parameter.name} {value:.3g} {parameter.unit}".rstrip(), (left, self._height + 34), INK, 13)
        self._pygame.draw.line(self._surface, SKY, (left, top), (left + length, top), 4)
        share = (value - parameter.low) / (parameter.high - parameter.low)
        self._pygame.draw.circle(self._surface, AGENT, (left + share * length, top), 5)

    def _write_help(self) -> None:
        """Write the keys, and below them as many branches as there is room for."""
        rows = (self._height - 68) // 18
        branches = ((f"{k} {branch.name}", branch.meaning) for k, branch in enumerate(self._world.branches))
        self._pygame.draw.rect(self._surface, PAPER, (12, 54, self._width - 24, self._height - 60), border_radius=8)
        for row, (term, meaning) in enumerate(islice(chain(HELP, branches), rows)):
            used = self._write(term, (24, 62 + 18 * row), INK, 13)
            self._write(meaning, (24 + max(96, used + 12), 62 + 18 * row), FAINT, 13)

    def _write(self, text: str, place: tuple[int, int], color: Color, pixels: int, right: bool = False) -> int:
        """Write a text that begins, or ends, at a place; return its width."""
        image = self._pygame.font.Font(None, round(1.35 * pixels)).render(text, True, color)
        self._surface.blit(image, (place[0] - (image.get_width() if right else 0), place[1]))
        return int(image.get_width())
