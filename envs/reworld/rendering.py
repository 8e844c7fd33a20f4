"""Drawing worlds, the same way for all of them.

`Canvas` is what a world's `draw` paints on: shapes in the world's own coordinates. `Film` decides what is drawn when: one
picture of the present state, or every sub-step since the last look. pygame is imported at the first picture only.
"""

from collections.abc import Sequence
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

SKY: Color = (247, 249, 252)
INK: Color = (43, 48, 58)
FAINT: Color = (150, 158, 170)
GROUND: Color = (88, 110, 117)
AGENT: Color = (38, 110, 190)
DANGER: Color = (208, 73, 61)
GOAL: Color = (67, 150, 90)
WOOD: Color = (202, 152, 101)

WIDTH, HEIGHT = 720, 300
_CAPTION = 44
_FINE = 2  # Shapes are painted this many times larger and scaled down, which smooths their edges.


class Canvas:
    """A picture of 720 x 300 pixels, painted in the coordinates of a world.

    The upper 44 pixels hold the caption. Below them, `look_at` says what part of the world is shown.
    """

    def __init__(self) -> None:
        self._pygame = _import_pygame()
        self._pygame.font.init()
        self._surface = self._pygame.Surface((WIDTH * _FINE, HEIGHT * _FINE))
        self._fonts: dict[int, Any] = {}
        self.look_at(0.0, 1.0, 0.0)

    def look_at(self, left: float, right: float, bottom: float) -> None:
        """Choose what is shown: x from `left` to `right`, y upwards from `bottom`, both to the same scale."""
        self._left, self._bottom = left, bottom
        self._scale = WIDTH * _FINE / (right - left)

    def clear(self, color: Color = SKY) -> None:
        """Paint over everything."""
        self._surface.fill(color)

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Fill the polygon through these points of the world."""
        self._pygame.draw.polygon(self._surface, color, [self._pixel(point) for point in points])

    def box(self, left: float, bottom: float, width: float, height: float, color: Color) -> None:
        """Fill a rectangle, given by its lower left corner and its size in the world."""
        right, top = left + width, bottom + height
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], color)

    def circle(self, center: Point, radius: float, color: Color) -> None:
        """Fill a circle, its radius in the world's units."""
        self._pygame.draw.circle(self._surface, color, self._pixel(center), radius * self._scale)

    def line(self, points: Sequence[Point], color: Color, pixels: float = 2.0) -> None:
        """Draw a line through these points of the world, `pixels` wide on the picture."""
        width = max(1, round(pixels * _FINE))
        self._pygame.draw.lines(self._surface, color, False, [self._pixel(point) for point in points], width)

    def label(self, text: str, point: Point, color: Color = INK, pixels: int = 13) -> None:
        """Write a line of text centred above a point of the world."""
        image = self._text(text, color, pixels)
        x, y = self._pixel(point)
        self._surface.blit(image, (x - image.get_width() / 2, y - image.get_height()))

    def caption(self, left: str, right: str, below: str) -> None:
        """Write what the picture shows: two texts at the top, a fainter one below them."""
        self._pygame.draw.rect(self._surface, (255, 255, 255), (0, 0, WIDTH * _FINE, _CAPTION * _FINE))
        margin = 12 * _FINE
        self._surface.blit(self._text(left, INK, 16), (margin, 5 * _FINE))
        image = self._text(right, INK, 16)
        self._surface.blit(image, (WIDTH * _FINE - margin - image.get_width(), 5 * _FINE))
        self._surface.blit(self._text(below, FAINT, 12), (margin, 25 * _FINE))

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


class Film:
    """What is drawn of one environment, and when.

    Args:
        world: Whose states are drawn.
        mode: ``"human"``, ``"rgb_array"`` or ``"rgb_array_list"``.

    Raises:
        InvalidOption: If the mode is unknown.
        gymnasium.error.DependencyNotInstalled: If pygame is missing.
        gymnasium.error.Error: If a window is asked for and there is no display.
    """

    def __init__(self, world: World, mode: str) -> None:
        if mode not in {"human", "rgb_array", "rgb_array_list"}:
            raise InvalidOption(f"render_mode={mode!r} is unknown: give 'human', 'rgb_array', 'rgb_array_list' or None.")
        self._world = world
        self._mode = mode
        self._canvas: Canvas | None = None
        self._window: Any = None
        self._action = ""
        self._return = 0.0
        self._unseen: list[tuple[Any, str, float]] = []
        if mode == "human":
            _open_display(_import_pygame())

    def begin(self, instance: Record) -> None:
        """Start an episode with this instance."""
        self._action, self._return, self._unseen = "", 0.0, []
        self._remember(instance)

    def watch(self, instance: Record, branch: int, x: Vector) -> None:
        """Note an action that is about to be taken, and follow its sub-steps."""
        chosen = self._world.branches[branch]
        self._action = " ".join([chosen.name, *(f"{value:.3g}" for value in x)])
        if self._mode != "rgb_array" and self._world.substep is not None:
            for frame in _substeps(self._world, instance, branch, x)[:-1]:
                self._remember(frame)

    def take(self, instance: Record, reward: float) -> None:
        """Note what the action led to."""
        self._return += reward
        self._remember(instance)

    def show(self, instance: Record) -> Picture | list[Picture] | None:
        """Give what `WorldEnv.render` returns in this mode."""
        if self._mode == "rgb_array":
            return self.picture(instance)
        if self._mode == "rgb_array_list":
            pictures = [self._paint(*frame) for frame in self._unseen]
            self._unseen = []
            return pictures
        return None

    def picture(self, instance: Record) -> Picture:
        """Draw the present state."""
        return self._paint(instance, self._action, self._return)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            _import_pygame().display.quit()
            self._window = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_canvas": None, "_window": None}

    def _remember(self, instance: Record) -> None:
        if self._mode == "rgb_array_list":
            self._unseen.append((instance.copy(), self._action, self._return))
        elif self._mode == "human":
            self._project(self._paint(instance, self._action, self._return))

    def _paint(self, instance: Record, action: str, gained: float) -> Picture:
        self._canvas = self._canvas or Canvas()
        self._canvas.clear()
        state, configuration = _by_attribute(instance["state"]), _by_attribute(instance["configuration"])
        self._world.draw(self._canvas, state, configuration)
        changed = [
            f"{parameter.name} {instance['configuration'][parameter.name]:.4g}"
            for parameter in self._world.parameters
            if instance["configuration"][parameter.name] != parameter.default
        ]
        self._canvas.caption(
            f"{self._world.name}   {action}", f"return {gained:.2f}", "   ".join(changed) or "default configuration"
        )
        return self._canvas.picture()

    def _project(self, picture: Picture) -> None:
        pygame = _import_pygame()
        if self._window is None:
            self._window = pygame.display.set_mode((WIDTH, HEIGHT))
            pygame.display.set_caption(f"reworld {self._world.name}")
            self._clock = pygame.time.Clock()
        self._window.blit(pygame.surfarray.make_surface(np.transpose(picture, (1, 0, 2))), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._world.frames_per_second)


def _substeps(world: World, instance: Record, branch: int, x: Vector) -> list[Any]:
    """The instance after each sub-step of an action, from running it once more on a copy, uncompiled."""
    copy = _by_attribute(instance)
    seen: list[Any] = []
    substep = world.substep

    def watched(*arguments: Any) -> Any:
        result = substep(*arguments)  # type: ignore[misc]
        seen.append(copy.copy())
        return result

    link(world.step, {substep: watched})(copy.state, branch, x, copy.configuration, copy.generator)
    return seen


def _by_attribute(record: Record) -> Any:
    """Copy a record so that its fields can be read as attributes."""
    return np.array([record], dtype=record.dtype).view(np.recarray)[0]


def _import_pygame() -> ModuleType:
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled('Drawing needs pygame: pip install "reworld[render]".') from error
    return pygame


def _open_display(pygame: ModuleType) -> None:
    try:
        pygame.display.init()
    except pygame.error as error:
        raise Error(
            f"render_mode='human' opens a window, and there is no display here ({error}). "
            "Use render_mode='rgb_array', or 'rgb_array_list' with gymnasium.wrappers.RecordVideo."
        ) from error
