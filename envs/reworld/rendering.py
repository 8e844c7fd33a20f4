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
from types import ModuleType
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled, Error

from reworld.engine.linking import link
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

WIDTH, HEIGHT = 720, 300
_CAPTION = 48
_FINE = 2  # Shapes are painted this many times larger and scaled down, which smooths their edges.
_LONGEST_FILM = 10_000  # Actions that a film which nobody looks at remembers.


class Canvas:
    """A picture of 720 x 300 pixels, painted in the coordinates of a world.

    The upper 48 pixels hold the caption. Below them, `look_at` says what part of the world is shown.

    Attributes:
        top: The largest y that the caption does not hide, in the world's units.
        past: States that the action under way, or else the last one, has passed through, the oldest first.
    """

    def __init__(self) -> None:
        self._pygame = _import_pygame()
        self._pygame.font.init()
        self._surface = self._pygame.Surface((WIDTH * _FINE, HEIGHT * _FINE))
        self._landscape: Any = None
        self._fonts: dict[int, Any] = {}
        self.past: Sequence[Record] = ()
        self.look_at(0.0, 1.0, 0.0)

    def look_at(self, left: float, right: float, bottom: float) -> None:
        """Choose what is shown: x from `left` to `right`, y upwards from `bottom`, both to the same scale."""
        self._left, self._bottom = left, bottom
        self._scale = WIDTH * _FINE / (right - left)
        self.top = bottom + (HEIGHT - _CAPTION) * _FINE / self._scale

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

    def line(self, points: Sequence[Point], color: Color, pixels: float = 2.0) -> None:
        """Draw a line through these points of the world, `pixels` wide on the picture."""
        width = max(1, round(pixels * _FINE))
        self._pygame.draw.lines(self._surface, color, False, [self._pixel(point) for point in points], width)

    def caption(self, left: str, right: str, below: Sequence[str]) -> None:
        """Write what the picture shows: two texts at the top, and a list below them, of which as much as there is room for."""
        self._pygame.draw.rect(self._surface, PAPER, (0, 0, WIDTH * _FINE, _CAPTION * _FINE))
        margin = 12 * _FINE
        self._surface.blit(self._text(left, INK, 16), (margin, 6 * _FINE))
        image = self._text(right, INK, 16)
        self._surface.blit(image, (WIDTH * _FINE - margin - image.get_width(), 6 * _FINE))
        for shown in range(len(below), -1, -1):
            rest = [f"and {len(below) - shown} more"] if shown < len(below) else []
            image = self._text("    ".join([*below[:shown], *rest]), FAINT, 13)
            if image.get_width() <= WIDTH * _FINE - 2 * margin:
                break
        self._surface.blit(image, (margin, 27 * _FINE))

    def picture(self) -> Picture:
        """Copy what was painted, uint8 of shape (300, 720, 3)."""
        small = self._pygame.transform.smoothscale(self._surface, (WIDTH, HEIGHT))
        return np.ascontiguousarray(np.transpose(self._pygame.surfarray.pixels3d(small), (1, 0, 2)))

    def _pixel(self, point: Point) -> Point:
        return (point[0] - self._left) * self._scale, HEIGHT * _FINE - (point[1] - self._bottom) * self._scale

    def _text(self, text: str, color: Color, pixels: int) -> Any:
        if pixels not in self._fonts:
            self._fonts[pixels] = self._pygame.font.Font(None, round(1.35 * pixels * _FINE))
        return self._fonts[pixels].render(text, True, color)

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


@dataclass(frozen=True)
class _Shot:
    """The beginning of an episode, or one action of it: enough to paint all its pictures."""

    after: Record
    gained: float = 0.0  # The return before the action.
    reward: float = 0.0
    cause: tuple[Record, int, Vector] | None = None  # The instance before the action, and the action.


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
        self._canvas: Canvas | None = None
        self._window: Any = None
        self._clock: Any = None
        self._cause: tuple[Record, int, Vector] | None = None
        self._last: _Shot | None = None
        self._unseen: deque[_Shot] = deque(maxlen=_LONGEST_FILM)
        if mode == "human":
            _open_display(_import_pygame())

    def begin(self, instance: Record) -> None:
        """Start an episode with this instance."""
        self._unseen.clear()
        self._remember(_Shot(instance.copy()))

    def watch(self, instance: Record, branch: int, x: Vector) -> None:
        """Note an action that is about to be taken."""
        self._cause = instance.copy(), branch, x.copy()

    def take(self, instance: Record, reward: float) -> None:
        """Note what the action led to."""
        gained = self._last.gained + self._last.reward if self._last else 0.0
        self._remember(_Shot(instance.copy(), gained, reward, self._cause))

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
            return self._paint(_Fields(instance), [], "", "")
        *past, _ = (frame.state for frame in self._frames(self._last))
        return self._paint(_Fields(instance), past, *self._texts(self._last, True))

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            _import_pygame().display.quit()
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
        pygame = _import_pygame()
        if self._window is None:
            self._window = pygame.display.set_mode((WIDTH, HEIGHT))
            pygame.display.set_caption(f"reworld {self._world.name}")
            self._clock = pygame.time.Clock()
        pygame.surfarray.blit_array(self._window, np.transpose(picture, (1, 0, 2)))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._world.frames_per_second)

    def _develop(self, shot: _Shot) -> Iterator[Picture]:
        """Paint every picture of a shot."""
        frames = self._frames(shot)
        states = [frame.state for frame in frames]
        for k in range(1 if shot.cause else 0, len(frames)):
            yield self._paint(frames[k], states[:k], *self._texts(shot, k == len(frames) - 1))

    def _frames(self, shot: _Shot) -> list[Any]:
        """The instance before an action, after each sub-step, and at last."""
        if shot.cause is None:
            return [_Fields(shot.after)]
        return [_Fields(frame) for frame in (shot.cause[0], *_substeps(self._world, *shot.cause)[:-1], shot.after)]

    def _texts(self, shot: _Shot, finished: bool) -> tuple[str, str]:
        """What a caption says of the action and of the return."""
        gained = f"return {shot.gained + shot.reward if finished else shot.gained:.2f}"
        if shot.cause is None:
            return "", gained
        _, number, x = shot.cause
        branch = self._world.branches[number]
        own = [f"{p.name} {value:.3g} {p.unit}" for p, value in zip(branch.parameters, x, strict=True)]
        return ", ".join([branch.name, *own]), gained

    def _paint(self, instance: Any, past: Sequence[Any], action: str, gained: str) -> Picture:
        self._canvas = self._canvas or Canvas()
        self._canvas.past = past
        self._canvas.clear()
        self._world.draw(self._canvas, instance.state, instance.configuration)
        if instance.ended:
            gained = f"{'success' if self._world.succeeded(instance.state, instance.configuration) else 'failure'}    {gained}"
        values = [(parameter, getattr(instance.configuration, parameter.name)) for parameter in self._world.parameters]
        changed = [f"{p.name} {p.default:.4g} -> {value:.4g}" for p, value in values if value != p.default]
        self._canvas.caption(f"{self._world.name}    {action}", gained, changed or ["default configuration"])
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


def _substeps(world: World, instance: Record, branch: int, x: Vector) -> list[Record]:
    """The instance after each sub-step of an action, from running it once more on a copy, uncompiled."""
    if world.substep is None:
        return []
    copy = instance.copy()
    seen: list[Record] = []
    substep = world.substep

    def watched(*arguments: Any) -> Any:
        result = substep(*arguments)
        seen.append(copy.copy())
        return result

    fields = _Fields(copy)
    link(world.step, {substep: watched})(fields.state, branch, x, fields.configuration, fields.generator)
    return seen


def _import_pygame() -> ModuleType:
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled('Drawing needs pygame: pip install "reworld[render]".') from error
    return pygame


def _open_display(pygame: ModuleType) -> None:
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
