"""Pictures of levels: what each has in force, did and received, to stand below that of the world; and a window for both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.rendering import AGENT, FAINT, INK, PAPER, WOOD, Canvas, Color, Picture, import_pygame, open_display

_HEIGHT = 40  # Of a row, in pixels.
_LEFT, _RIGHT = 74.0, 158.0  # Widths of what stands beside the choices.
_LETTER = 6.4  # Width of a letter.
_TURN: Color = (253, 242, 220)
_EDGE: Color = (222, 228, 234)


@dataclass(frozen=True)
class Row:
    """What is shown of one level.

    Args:
        label: Its name.
        due: Whether it decides next.
        choices: Names of what it chooses from.
        chosen: Which of them is in force.
        action: Name of its last action; empty before the first.
        cost: What that action cost.
        gained: What it has received in its episode.
    """

    label: str
    due: bool
    choices: Sequence[str]
    chosen: int
    action: str
    cost: float
    gained: float


class Strip:
    """Paints rows below one another, the highest level first.

    Args:
        width: In pixels.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._canvas: Canvas | None = None

    def picture(self, rows: Sequence[Row]) -> Picture:
        """Paint every level.

        Args:
            rows: Level 0 first.

        Returns:
            uint8 of shape (height, width, 3).
        """
        self._canvas = canvas = self._canvas or Canvas((self._width, _HEIGHT * len(rows)))
        canvas.look_at(0.0, float(self._width), 0.0)
        canvas.clear()
        for k, row in enumerate(rows):
            self._paint(canvas, row, float(k * _HEIGHT))
        return canvas.picture()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_canvas": None}

    def _paint(self, canvas: Canvas, row: Row, bottom: float) -> None:
        middle, width = bottom + 0.5 * _HEIGHT, float(self._width)
        if row.due:
            canvas.box(0.0, bottom, width, _HEIGHT, _TURN)
            canvas.box(0.0, bottom, 5.0, _HEIGHT, WOOD)
        canvas.line([(0.0, bottom + _HEIGHT), (width, bottom + _HEIGHT)], _EDGE, 1.0)
        canvas.text((0.5 * _LEFT, middle), row.label, INK, 14)
        if row.choices:
            self._paint_choices(canvas, row, middle)
        did = f"{row.action}, cost {row.cost:g}" if row.cost else row.action
        canvas.text((width - 0.5 * _RIGHT, middle + 8.0), did, FAINT, 12)
        canvas.text((width - 0.5 * _RIGHT, middle - 8.0), f"return {row.gained:.2f}", INK, 12)

    def _paint_choices(self, canvas: Canvas, row: Row, middle: float) -> None:
        """Paint a box for each choice, the one in force filled, one that failed framed; or, where they are many, a scale."""
        left, count = _LEFT, len(row.choices)
        room = (self._width - _LEFT - _RIGHT) / count
        if room >= 16.0 + _LETTER * max(map(len, row.choices)):
            for k, name in enumerate(row.choices):
                chosen = k == row.chosen
                if name == row.action and not chosen:  # It was asked for, and did not come about.
                    canvas.box(left + k * room + 1.0, middle - 15.0, room - 2.0, 30.0, WOOD, 8.0)
                canvas.box(left + k * room + 3.0, middle - 13.0, room - 6.0, 26.0, AGENT if chosen else _EDGE, 6.0)
                canvas.text((left + (k + 0.5) * room, middle), name, PAPER if chosen else INK, 12)
            return
        start, end = left + 12.0, left + count * room - 12.0
        place = start + (end - start) * row.chosen / max(1, count - 1)
        canvas.line([(start, middle - 8.0), (end, middle - 8.0)], _EDGE, 4.0)
        canvas.circle((place, middle - 8.0), 6.0, AGENT)
        name = row.choices[row.chosen]
        edge = 0.5 * _LETTER * len(name)
        canvas.text((min(max(place, left + edge), end + 12.0 - edge), middle + 8.0), name, AGENT, 12)


class Window:
    """Shows pictures of one size, one after the other.

    Args:
        title: What is written above it.
        frames_per_second: How many it shows in a second of real time.

    Raises:
        gymnasium.error.DependencyNotInstalled: If pygame is missing.
        gymnasium.error.Error: If there is no display.
    """

    def __init__(self, title: str, frames_per_second: int) -> None:
        open_display()
        self._title, self._rate = title, frames_per_second
        self._surface: Any = None
        self._clock: Any = None

    def show(self, picture: Picture) -> None:
        """Show a picture until it is time for the next one.

        Args:
            picture: uint8 of shape (height, width, 3).
        """
        pygame = import_pygame()
        if self._surface is None:
            self._surface = pygame.display.set_mode(picture.shape[1::-1])
            pygame.display.set_caption(self._title)
            self._clock = pygame.time.Clock()
        pygame.surfarray.blit_array(self._surface, np.transpose(picture, (1, 0, 2)))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._rate)

    def close(self) -> None:
        """Close the window."""
        if self._surface is not None:
            import_pygame().display.quit()
            self._surface = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_surface": None, "_clock": None}
