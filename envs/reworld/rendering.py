"""Drawing worlds, the same way for all of them.

`Canvas` is what a world's `draw` paints on: shapes in the world's own coordinates. `Film` decides what is drawn when: one
picture of the present state, or every sub-step since the last look. It remembers states, and paints them when somebody
looks. pygame is imported at the first picture only.
"""

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled, Error

from reworld.engine.kernels import plain
from reworld.engine.tracing import trace
from reworld.errors import InvalidOption
from reworld.world import Record, Vector, World

Color = tuple[int, int, int]
Point = tuple[float, float]
Picture = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]

# Agent, danger, goal and wood are of Okabe and Ito's palette, which colour-blind people can tell apart.
PAPER: Color = (250, 251, 252)
SKY: Color = (203, 224, 240)
HAZE: Color = (250, 243, 232)
INK: Color = (43, 48, 58)
FAINT: Color = (110, 120, 135)
GROUND: Color = (92, 100, 112)
GRASS: Color = (124, 166, 104)
AGENT: Color = (0, 114, 178)
TRAIL: Color = (112, 172, 208)
DANGER: Color = (213, 94, 0)
GOAL: Color = (0, 158, 115)
WOOD: Color = (230, 159, 0)

_EMPTY: Color = (226, 230, 235)

_CHANGE: Color = (252, 236, 200)  # A caption is written on it while the configuration is changed.

_CAPTION = 48
_FINE = 2  # Shapes are painted this many times larger and scaled down, which smooths their edges.
_BAR = 64  # Width of the bar of a budget.
_TRANSITION = 12  # Pictures between two configurations.
_LONGEST_FILM = 10_000  # Actions that a film which nobody looks at remembers.
_LONGEST_TRAIL = 200  # Actions whose outcome a picture may show.


class Canvas:
    """A picture, painted in the coordinates of a world.

    The upper 48 pixels hold the caption. Below them, `look_at` says what part of the world is shown.

    Args:
        size: Width and height in pixels.

    Attributes:
        top: The largest y that the caption does not hide, in the world's units.
        past: States that the action under way, or else the last one, has passed through, the oldest first.
        trail: States after the actions of this episode before that one, the oldest first; the first is where it began.
        action: The branch and the parameters of the action under way, or else of the last one; None before the first.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._pygame = import_pygame()
        self._pygame.font.init()
        self._size = size
        self._width, self._height = size[0] * _FINE, size[1] * _FINE
        self._surface = self._pygame.Surface((self._width, self._height))
        self._landscape: Any = None
        self._fonts: dict[int, Any] = {}
        self.past: Sequence[Record] = ()
        self.trail: Sequence[Record] = ()
        self.action: tuple[int, Vector] | None = None
        self.look_at(0.0, 1.0, 0.0)

    def look_at(self, left: float, right: float, bottom: float) -> None:
        """Choose what is shown: x from `left` to `right`, y upwards from `bottom`, both to the same scale."""
        self._left, self._bottom = left, bottom
        self._scale = self._width / (right - left)
        self.top = bottom + (self._height - _CAPTION * _FINE) / self._scale

    def clear(self) -> None:
        """Paint over everything."""
        self._surface.fill(PAPER)

    def landscape(self) -> None:
        """Paint over everything with a sky and distant hills."""
        if self._landscape is None:
            self._landscape = self._paint_landscape()
        self._surface.blit(self._landscape, (0, 0))

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Fill the polygon through these points of the world."""
        self._pygame.draw.polygon(self._surface, color, [self._pixel(point) for point in points])

    def box(self, left: float, bottom: float, width: float, height: float, color: Color, rounding: float = 0.0) -> None:
        """Fill a rectangle, given by its lower left corner, its size and the radius of its corners in the world."""
        x0, y0 = self._pixel((left, bottom + height))
        x1, y1 = self._pixel((left + width, bottom))
        rectangle = (round(x0), round(y0), round(x1) - round(x0), round(y1) - round(y0))
        self._pygame.draw.rect(self._surface, color, rectangle, border_radius=round(rounding * self._scale))

    def circle(self, center: Point, radius: float, color: Color) -> None:
        """Fill a circle, its radius in the world's units."""
        self._pygame.draw.circle(self._surface, color, self._pixel(center), radius * self._scale)

    def ring(self, center: Point, radius: float, color: Color, pixels: float = 2.0) -> None:
        """Draw a circle, its radius in the world's units, its line `pixels` wide on the picture."""
        width = max(1, round(pixels * _FINE))
        self._pygame.draw.circle(self._surface, color, self._pixel(center), radius * self._scale, width)

    def arrow(self, start: Point, end: Point, color: Color, pixels: float = 3.0) -> None:
        """Draw an arrow between two points of the world, its shaft `pixels` wide on the picture; none if they are equal."""
        length = math.dist(start, end)
        if length == 0.0:
            return
        along = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        head = min(length, 4.0 * pixels * _FINE / self._scale)
        neck = end[0] - head * along[0], end[1] - head * along[1]
        self.line([start, neck], color, pixels)
        sides = [(neck[0] - side * along[1], neck[1] + side * along[0]) for side in (-0.5 * head, 0.5 * head)]
        self.polygon([end, *sides], color)

    def text(self, center: Point, text: str, color: Color, pixels: int = 13) -> None:
        """Write a text, `pixels` high on the picture, around a point of the world."""
        image = self._text(text, color, pixels)
        x, y = self._pixel(center)
        self._surface.blit(image, (x - 0.5 * image.get_width(), y - 0.5 * image.get_height()))

    def line(self, points: Sequence[Point], color: Color, pixels: float = 2.0) -> None:
        """Draw a line through these points of the world, `pixels` wide on the picture; none through fewer than two."""
        if len(points) < 2:
            return
        width = max(1, round(pixels * _FINE))
        self._pygame.draw.lines(self._surface, color, False, [self._pixel(point) for point in points], width)

    def caption(
        self,
        left: Sequence[str],
        right: str,
        below: Sequence[str],
        bill: str = "",
        share: float | None = None,
        paper: Color = PAPER,
    ) -> None:
        """Write what the picture shows.

        Args:
            left: At the top: the first of these for which there is room, or the last one, smaller.
            right: At the top.
            below: A list below them, of which as much as there is room for.
            bill: What has been paid, at the right of the list.
            share: How much of a budget is left, in [0, 1], as a bar beside the bill.
            paper: What it is written on.
        """
        self._pygame.draw.rect(self._surface, paper, (0, 0, self._width, _CAPTION * _FINE))
        margin = 12 * _FINE
        room = self._width - 3 * margin - self._font(16).size(right)[0]
        title = next((text for text in left if self._font(16).size(text)[0] <= room), left[-1])
        pixels = next((each for each in (16, 13, 11) if self._font(each).size(title)[0] <= room), 9)
        self._surface.blit(self._text(title, INK, pixels), (margin, (6 + (16 - pixels) // 2) * _FINE))
        image = self._text(right, INK, 16)
        self._surface.blit(image, (self._width - margin - image.get_width(), 6 * _FINE))
        end = self._width - margin
        if share is not None:
            bar = (end - _BAR * _FINE, 29 * _FINE, _BAR * _FINE, 9 * _FINE)
            self._pygame.draw.rect(self._surface, _EMPTY, bar, border_radius=4 * _FINE)
            self._pygame.draw.rect(self._surface, WOOD, (*bar[:2], round(share * bar[2]), bar[3]), border_radius=4 * _FINE)
            end = bar[0] - margin // 2
        if bill:
            image = self._text(bill, WOOD, 13)
            end -= image.get_width()
            self._surface.blit(image, (end, 27 * _FINE))
        shown = 0
        while shown < len(below) and self._font(13).size(_list(below, shown + 1))[0] <= end - 2 * margin:
            shown += 1
        self._surface.blit(self._text(_list(below, shown), FAINT, 13), (margin, 27 * _FINE))

    def picture(self) -> Picture:
        """Copy what was painted, uint8 of shape (height, width, 3)."""
        small = self._pygame.transform.smoothscale(self._surface, self._size)
        return np.ascontiguousarray(np.transpose(self._pygame.surfarray.pixels3d(small), (1, 0, 2)))

    def _pixel(self, point: Point) -> Point:
        return (point[0] - self._left) * self._scale, self._height - (point[1] - self._bottom) * self._scale

    def _text(self, text: str, color: Color, pixels: int) -> Any:
        return self._font(pixels).render(text, True, color)

    def _font(self, pixels: int) -> Any:
        if pixels not in self._fonts:
            self._fonts[pixels] = self._pygame.font.Font(None, round(1.35 * pixels * _FINE))
        return self._fonts[pixels]

    def _paint_landscape(self) -> Any:
        surface = self._surface.copy()
        width, height = surface.get_size()
        colors = np.linspace(SKY, HAZE, height).astype(np.uint8)
        self._pygame.surfarray.blit_array(surface, np.broadcast_to(colors, (width, height, 3)))
        for level, swing, waves, color in ((0.66, 0.05, 2.3, (196, 213, 219)), (0.76, 0.04, 3.7, (172, 196, 198))):
            ridge = [
                (x, height * (level - swing * (math.sin(waves * x / 229) + 0.4 * math.sin(2.7 * waves * x / 229))))
                for x in range(0, width + 8, 8)
            ]
            self._pygame.draw.polygon(surface, color, [*ridge, (width, height), (0, height)])
        return surface


def _list(texts: Sequence[str], shown: int) -> str:
    """Say the first texts, and how many there are beside them."""
    return "    ".join([*texts[:shown], *([f"and {len(texts) - shown} more"] if shown < len(texts) else [])])


@dataclass(frozen=True)
class _Shot:
    """The beginning of an episode, or one action of it: enough to paint all its pictures."""

    after: Record
    gained: float = 0.0  # The return before the action.
    reward: float = 0.0
    cause: tuple[Record, int, Vector] | None = None  # The instance before the action, and the action.
    age: int = 0  # How many actions of the episode came before.


class Film:
    """What is drawn of one environment, and when.

    Args:
        world: Whose states are drawn.
        mode: ``"human"``, ``"rgb_array"`` or ``"rgb_array_list"``.

    Raises:
        InvalidOption: If the mode is unknown.
        gymnasium.error.DependencyNotInstalled: If a window is asked for and pygame is missing.
        gymnasium.error.Error: If a window is asked for and there is no display.
    """

    def __init__(self, world: World, mode: str) -> None:
        if mode not in {"human", "rgb_array", "rgb_array_list"}:
            raise InvalidOption(f"render_mode={mode!r} is unknown: give 'human', 'rgb_array', 'rgb_array_list' or None.")
        self._world = world
        self._mode = mode
        self._default = world.default_configuration
        self._canvas: Canvas | None = None
        self._window: Any = None
        self._clock: Any = None
        self._cause: tuple[Record, int, Vector] | None = None
        self._last: _Shot | None = None
        self._unseen: deque[_Shot] = deque(maxlen=_LONGEST_FILM)
        self._history: deque[Record] = deque(maxlen=_LONGEST_FILM)  # The state before each action of the episode.
        self._age = 0
        if mode == "human":
            open_display()

    def begin(self, instance: Record) -> None:
        """Start an episode with this instance."""
        self._unseen.clear()
        self._history.clear()
        self._age = 0
        self._remember(_Shot(instance.copy()))

    def watch(self, instance: Record, branch: int, x: Vector) -> None:
        """Note an action that is about to be taken."""
        self._cause = instance.copy(), branch, x.copy()

    def take(self, instance: Record, reward: float) -> None:
        """Note what the action led to."""
        gained = self._last.gained + self._last.reward if self._last else 0.0
        self._remember(_Shot(instance.copy(), gained, reward, self._cause, self._age))
        if self._cause:
            self._history.append(self._cause[0]["state"])
            self._age += 1

    def show(self, instance: Record) -> Picture | list[Picture] | None:
        """Give what `WorldEnv.render` returns in this mode."""
        if self._mode == "rgb_array":
            return self.picture(instance)
        if self._mode == "rgb_array_list":
            pictures = [picture for shot in self._unseen for picture in self._develop(shot)]
            self._unseen.clear()
            return pictures
        return None

    def picture(self, instance: Record) -> Picture:
        """Draw the present state."""
        if self._last is None:
            return self._paint(instance, _Shot(instance), [], [], finished=True)
        *past, _ = (_Fields(frame["state"]) for frame in self._frames(self._last))
        return self._paint(instance, self._last, past, self._trail(self._last), finished=True)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            import_pygame().display.quit()
            self._window = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_canvas": None, "_window": None, "_clock": None}

    def _remember(self, shot: _Shot) -> None:
        self._last = shot
        if self._mode == "rgb_array_list":
            self._unseen.append(shot)
        elif self._mode == "human":
            for picture in self._develop(shot):
                self._project(picture)

    def _project(self, picture: Picture) -> None:
        """Show a picture in the window until it is time for the next one."""
        pygame = import_pygame()
        if self._window is None:
            self._window = pygame.display.set_mode(self._world.picture)
            pygame.display.set_caption(f"reworld {self._world.name}")
            self._clock = pygame.time.Clock()
        pygame.surfarray.blit_array(self._window, np.transpose(picture, (1, 0, 2)))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._world.frames_per_second)

    def _develop(self, shot: _Shot) -> Iterator[Picture]:
        """Paint every picture of a shot."""
        frames = self._frames(shot)
        states = [_Fields(frame["state"]) for frame in frames]
        trail = self._trail(shot)
        for k in range(1 if shot.cause else 0, len(frames)):
            yield self._paint(frames[k], shot, states[:k], trail, finished=k == len(frames) - 1)

    def _frames(self, shot: _Shot) -> list[Record]:
        """The instance before an action, after each sub-step, on its way to another configuration, and at last."""
        if shot.cause is None:
            return [shot.after]
        before = shot.cause[0]
        return [before, *trace(self._world, *shot.cause)[:-1], *self._transition(before, shot.after), shot.after]

    def _transition(self, before: Record, after: Record) -> Iterator[Record]:
        """What lies between two configurations, so that one sees what changes."""
        old, new = before["configuration"]["values"], after["configuration"]["values"]
        if self._mode != "rgb_array" and not np.array_equal(old, new):
            for share in np.linspace(0.0, 1.0, _TRANSITION, endpoint=False):
                frame = after.copy()
                frame["configuration"]["values"][:] = old + share * (new - old)
                yield frame

    def _trail(self, shot: _Shot) -> list[Any]:
        """The states before the actions that came before a shot's."""
        end = len(self._history) - self._age + shot.age
        return [_Fields(state) for state in islice(self._history, max(0, end - _LONGEST_TRAIL), max(0, end))]

    def _texts(self, shot: _Shot, finished: bool) -> tuple[str, str]:
        """What a caption says of the action and of the return."""
        gained = f"return {shot.gained + shot.reward if finished else shot.gained:.2f}"
        if shot.cause is None:
            return "", gained
        before, number, x = shot.cause
        branch = self._world.branches[number]
        if number >= self._world.own_branches:
            return f"{branch.name}: {self._world.change_of(before, shot.after)}", gained
        own = [f"{p.name} {value:.3g} {p.unit}" for p, value in zip(branch.parameters, x, strict=True)]
        return ", ".join([branch.name, *own]), gained

    def _paint(self, instance: Record, shot: _Shot, past: Sequence[Any], trail: Sequence[Any], *, finished: bool) -> Picture:
        self._canvas = self._canvas or Canvas(self._world.picture)
        self._canvas.past, self._canvas.trail = past, trail
        acted = shot.cause is not None and shot.cause[1] < self._world.own_branches
        self._canvas.action = shot.cause[1:] if shot.cause and acted else None
        self._canvas.clear()
        state, configuration = _Fields(instance["state"]), _Fields(instance["configuration"])
        plain(self._world, self._world.draw)(self._canvas, state, configuration)
        action, gained = self._texts(shot, finished)
        if instance["ended"]:
            succeeded = plain(self._world, self._world.succeeded)(state, configuration)
            gained = f"{'success' if succeeded else 'failure'}    {gained}"
        values = instance["configuration"]["values"]
        differing = ((self._world.parameters[k], values[k]) for k in np.flatnonzero(values != self._default))
        changed = [f"{p.name} {p.default:.4g} -> {value:.4g}" for p, value in differing]
        bill, left = self._world.bill_of(instance)
        paper = _CHANGE if shot.cause and shot.cause[1] >= self._world.own_branches else PAPER
        titles = f"{self._world.name}    {action}", action
        self._canvas.caption(titles, gained, changed or ["default configuration"], bill, left, paper)
        return self._canvas.picture()


class _Fields:
    """A view of a record whose fields are attributes, as they are in compiled code; NumPy's own takes twice as long."""

    __slots__ = ("_record",)

    def __init__(self, record: Record) -> None:
        object.__setattr__(self, "_record", record)

    def __getattr__(self, name: str) -> Any:
        value = self._record[name]
        return _Fields(value) if isinstance(value, np.void) else value

    def __setattr__(self, name: str, value: Any) -> None:
        self._record[name] = value


def import_pygame() -> ModuleType:
    """Import pygame, or say how to install it.

    Raises:
        gymnasium.error.DependencyNotInstalled: If it is missing.
    """
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled('Drawing needs pygame: pip install "reworld[render]".') from error
    return pygame


def open_display() -> ModuleType:
    """Make pygame ready for a window.

    Returns:
        pygame.

    Raises:
        gymnasium.error.DependencyNotInstalled: If it is missing.
        gymnasium.error.Error: If there is no display.
    """
    pygame = import_pygame()
    try:
        pygame.display.init()
        driver = pygame.display.get_driver()
    except pygame.error:
        driver = "dummy"
    # Where there is no display, SDL takes a driver that shows nothing, even if nobody asked for it.
    if driver in {"dummy", "offscreen"} and driver not in os.environ.get("SDL_VIDEODRIVER", ""):
        pygame.display.quit()
        raise Error(
            "render_mode='human' opens a window, and there is no display here: use render_mode='rgb_array', or "
            "'rgb_array_list' with gymnasium.utils.save_video.save_video."
        )
    return pygame
