"""Block-world: find the way to the goal, past walls and pits, on ground where a move may slip to either side.

Source: Lu, Hassibi, Lai, Xu, "Learn to Change the World: Multi-level Reinforcement Learning with Model-Changing Actions",
arXiv 2510.15056, whose upper agent chooses how slippery a gridworld is, from 1000 levels: here k / 999, `SLIP_LEVELS`. Their
map and costs are not public; those here are reworld's own. The default slip, 0.2, is that of Russell and Norvig's gridworld.

An action is a move to the north, east, south or west. With probability ``slip`` it goes to the left or to the right instead.
A move into a wall or out of the map ends where it began. Moves that fail and wind are added, both 0 by default.

The states are the cells that are no walls, in reading order. The reward of the goal, 1, is the unit of all costs: a pit and
every other landing cost what the configuration says. An episode terminates at the goal, which is a success, or in a pit.
"""

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from reworld.errors import InvalidOption
from reworld.finite import Integers, exact_model, optimal_actions
from reworld.generator import Generator, uniform
from reworld.rendering import AGENT, DANGER, FAINT, GOAL, GROUND, INK, PAPER, TRAIL, WOOD, Canvas, Color
from reworld.world import Branch, Parameter, Record, Vector, World

PARAMETERS = (
    Parameter("slip", 0.0, 1.0, "", "probability that a move goes to one of its sides", 0.2),
    Parameter("slip_left", 0.0, 1.0, "", "share of the slips that go to the left", 0.5),
    Parameter("stay", 0.0, 1.0, "", "probability that a move fails, and the agent stays", 0.0),
    Parameter("wind", 0.0, 1.0, "", "probability that a move which does not fail is one to the south, as the wind blows", 0.0),
    Parameter("step_cost", 0.0, 1.0, "", "cost of a move that ends neither at the goal nor in a pit", 0.01),
    Parameter("pit_cost", 0.0, 10.0, "", "cost of falling into a pit", 1.0),
)

SLIP_LEVELS = np.arange(1000) / 999
"""The values of ``slip`` in the paper's chain of 1000 configurations."""

STATE = ("cell",)

BRANCHES = tuple(Branch(name, f"one cell to the {name}") for name in ("north", "east", "south", "west"))

SOUTH = 2

MAP = (
    "S.........",
    ".##.#.##.#",
    ".#....#...",
    "...##...X.",
    ".X.#..##..",
    "...#.#....",
    "##...X.##.",
    "...#...#..",
    ".#.##.X..#",
    ".#....#..G",
)

# Constants of the worlds, beside their map: the cell that each move leads to, what is in each cell, where episodes begin.
NEIGHBOURS = np.empty((0, 4), np.int64)
KINDS = np.empty(0, np.int64)
STARTS = np.empty(0, np.int64)

FREE, AT_GOAL, IN_PIT = 0, 1, 2

# What can become of a move.
FAILS, BLOWN, LEFT, RIGHT, STRAIGHT = 0, 1, 2, 3, 4


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Start in one of the cells marked for it, all alike."""
    state.cell = STARTS[int(uniform(rng, 0.0, len(STARTS)))]


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Move by one cell, or as it happens."""
    outcome = STRAIGHT
    left = uniform(rng, 0.0, 1.0)
    for each in range(5):
        probability = _probability(each, c)
        if probability > 0.0:
            outcome = each
            left -= probability
            if left < 0.0:
                break
    cell = _landing(int(state.cell), branch, outcome)
    state.cell = cell
    return _reward(cell, c), KINDS[cell] != FREE


def succeeded(state: Record, c: Record) -> bool:
    """Whether the agent is at the goal."""
    return KINDS[int(state.cell)] == AT_GOAL


def observe(state: Record, c: Record, out: Any) -> None:
    """Show the cell."""
    out[0] = int(state.cell)


def tabulate(c: Record, kernel: Any, rewards: Any, start: Any) -> None:
    """Fill in the exact model. What a landing pays depends on the cell alone, reached or not."""
    for k in range(len(STARTS)):
        start[STARTS[k]] = 1.0 / len(STARTS)
    for cell in range(len(KINDS)):
        if KINDS[cell] != FREE:
            continue
        for branch in range(4):
            for outcome in range(5):
                kernel[cell, branch, _landing(cell, branch, outcome)] += _probability(outcome, c)
            for landing in range(len(KINDS)):
                rewards[cell, branch, landing] = _reward(landing, c)


def _probability(outcome: int, c: Record) -> float:
    if outcome == FAILS:
        return c.stay
    if outcome == BLOWN:
        return (1.0 - c.stay) * c.wind
    moves = (1.0 - c.stay) * (1.0 - c.wind)
    if outcome == LEFT:
        return moves * c.slip * c.slip_left
    if outcome == RIGHT:
        return moves * c.slip * (1.0 - c.slip_left)
    return moves * (1.0 - c.slip)


def _landing(cell: int, branch: int, outcome: int) -> int:
    if outcome == FAILS:
        return cell
    if outcome == BLOWN:
        return NEIGHBOURS[cell, SOUTH]
    turn = 3 if outcome == LEFT else 1 if outcome == RIGHT else 0
    return NEIGHBOURS[cell, (branch + turn) % 4]


def _reward(cell: int, c: Record) -> float:
    if KINDS[cell] == AT_GOAL:
        return 1.0
    return -c.pit_cost if KINDS[cell] == IN_PIT else -c.step_cost


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Make the move that is optimal in the default configuration, with the discount 0.99."""
    return int(_plan(MAP)[observation]), ()


@cache
def _plan(map: tuple[str, ...]) -> Integers:
    return optimal_actions(exact_model(_world(map)), 0.99)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the map, bluer the more slippery, the way so far, the move that was meant, and the one that came of it."""
    rows, columns = len(MAP), len(MAP[0])
    span = max(rows, columns) + 0.4
    canvas.look_at(0.5 * (columns - span), 0.5 * (columns + span), 0.5 * (rows - span))
    canvas.box(-0.1, -0.1, columns + 0.2, rows + 0.2, GROUND, 0.1)
    red, green, blue = (round(dry + c.slip * (ice - dry)) for dry, ice in zip(PAPER, _ICE, strict=True))
    canvas.box(0.0, 0.0, columns, rows, (red, green, blue))
    for column in range(1, columns):
        canvas.line([(column, 0.0), (column, rows)], _GRID, 1.0)
    for row in range(1, rows):
        canvas.line([(0.0, row), (columns, row)], _GRID, 1.0)
    places = []
    for row in range(rows):
        for column in range(columns):
            _draw_cell(canvas, column + 0.5, rows - row - 0.5, MAP[row][column])
            if MAP[row][column] != "#":
                places.append((column + 0.5, rows - row - 0.5))
    if c.wind > 0.0:
        for x, y in places:
            canvas.arrow((x + 0.38, y + 0.38), (x + 0.38, y + 0.38 - 0.7 * c.wind), FAINT, 1.0)
    way = [places[int(earlier.cell)] for earlier in (*canvas.trail, *canvas.past, state)]
    here = way[-1]
    if len(way) > 1:
        canvas.line(way, TRAIL, 5.0)
    canvas.circle(here, 0.3, AGENT)
    for side in (-0.1, 0.1):
        canvas.circle((here[0] + side, here[1] + 0.06), 0.07, PAPER)
        canvas.circle((here[0] + side, here[1] + 0.06), 0.035, INK)
    if canvas.action:
        (x, y), (east, north) = way[-2], _DIRECTIONS[canvas.action[0]]
        if here not in {(x, y), (x + east, y + north)}:
            canvas.arrow((x, y), (x + 0.7 * (here[0] - x), y + 0.7 * (here[1] - y)), DANGER, 4.0)
        canvas.arrow((x, y), (x + 0.7 * east, y + 0.7 * north), WOOD, 4.0)


_ICE: Color = (176, 216, 244)
_GRID: Color = (208, 215, 222)
_GOAL_CELL: Color = (188, 226, 212)
_DIRECTIONS = ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0))


def _draw_cell(canvas: Canvas, x: float, y: float, kind: str) -> None:
    if kind == "#":
        canvas.box(x - 0.5, y - 0.5, 1.0, 1.0, GROUND)
    elif kind == "X":
        canvas.circle((x, y), 0.42, DANGER)
        canvas.circle((x, y), 0.34, INK)
    elif kind == "G":
        canvas.box(x - 0.47, y - 0.47, 0.94, 0.94, _GOAL_CELL)
        canvas.line([(x - 0.36, y - 0.4), (x - 0.36, y + 0.42)], INK, 2.5)
        canvas.polygon([(x - 0.36, y + 0.42), (x + 0.2, y + 0.22), (x - 0.36, y + 0.02)], GOAL)
    elif kind == "S":
        canvas.ring((x, y), 0.38, FAINT, 1.5)


def block_world(map: Sequence[str] | None = None, size: int | None = None, walls: float = 0.25, layout: int = 0) -> World:
    """Make the world of a map.

    Args:
        map: Its rows from north to south: ``#`` a wall, ``S`` a start, ``G`` a goal, ``X`` a pit, ``.`` any other cell. Of
            several starts each is as likely. None for the map of this file.
        size: In place of a map, the side of a square drawn by chance: from the north-western corner to a goal in the
            south-eastern one, which can be reached. A 25th of its cells are pits.
        walls: The share of its cells that are walls.
        layout: Which such square, any integer.

    Returns:
        The same world at every call.

    Raises:
        InvalidOption: If the map is none, or no square of this size and share of walls is found.
    """
    if map is not None and size is not None:
        raise InvalidOption("Both a map and a size were given: give map=[…], or size=… for one drawn by chance.")
    if size is not None:
        return _world(_draw_lots(size, walls, layout))
    return _world(_checked(MAP if map is None else map))


@cache
def _world(map: tuple[str, ...]) -> World:
    cells = {(row, column): kind for row, line in enumerate(map) for column, kind in enumerate(line) if kind != "#"}
    numbers = {place: number for number, place in enumerate(cells)}
    neighbours = [[numbers.get(place, here) for place in _around(place)] for place, here in numbers.items()]
    return World(
        name="BlockWorld",
        parameters=PARAMETERS,
        state=STATE,
        observation=len(cells),
        branches=BRANCHES,
        reset=reset,
        step=step,
        observe=observe,
        succeeded=succeeded,
        draw=draw,
        frames_per_second=5,
        policy=policy,
        tabulate=tabulate,
        constants={
            "MAP": map,
            "NEIGHBOURS": np.array(neighbours),
            "KINDS": np.array([{"G": AT_GOAL, "X": IN_PIT}.get(kind, FREE) for kind in cells.values()]),
            "STARTS": np.array([number for place, number in numbers.items() if cells[place] == "S"]),
        },
        picture=(480, 528),
    )


def _around(place: tuple[int, int]) -> list[tuple[int, int]]:
    row, column = place
    return [(row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1)]


def _checked(map: Sequence[str]) -> tuple[str, ...]:
    """Refuse what is no map."""
    if isinstance(map, str) or not all(isinstance(row, str) for row in map):
        raise InvalidOption(f"map={map!r}: give a list of strings, one for each row, such as ['S.', '#G'].")
    rows = tuple(map)
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise InvalidOption(f"Row {number} of the map has {len(row)} cells, and row 0 has {len(rows[0])}: make them equal.")
        for cell in row:
            if cell not in "#SGX.":
                raise InvalidOption(
                    f"Row {number} of the map has a cell {cell!r}: give '#' for a wall, 'S' for a start, 'G' for a goal, "
                    "'X' for a pit, and '.' for any other."
                )
    for kind, name in (("S", "start"), ("G", "goal")):
        if not any(kind in row for row in rows):
            raise InvalidOption(f"The map has no {name}: mark at least one of its cells {kind!r}.")
    return rows


def _draw_lots(size: int, walls: float, layout: int) -> tuple[str, ...]:
    """Place walls and pits at random until the goal can be reached."""
    if not isinstance(size, int) or size < 2:
        raise InvalidOption(f"size={size!r}: give an integer of at least 2.")
    if not 0.0 <= walls < 1.0:
        raise InvalidOption(f"walls={walls!r}: give a share of the cells, from 0 to below 1.")
    rng = random.Random(layout)
    start, goal = (0, 0), (size - 1, size - 1)
    inner = [(row, column) for row in range(size) for column in range(size) if (row, column) not in {start, goal}]
    blocked = round(walls * size * size)
    for _ in range(1000):
        # Python promises the same `random` for ever, but not the same `shuffle`.
        order = sorted(inner, key=lambda _: rng.random())
        kinds = dict.fromkeys(order[:blocked], "#") | dict.fromkeys(order[blocked : blocked + size * size // 25], "X")
        kinds |= {start: "S", goal: "G"}
        if _connected(start, goal, {place for place in (*inner, start, goal) if kinds.get(place) not in {"#", "X"}}):
            return tuple("".join(kinds.get((row, column), ".") for column in range(size)) for row in range(size))
    raise InvalidOption(f"In none of 1000 maps of size={size} and walls={walls} can the goal be reached: give fewer walls.")


def _connected(start: tuple[int, int], goal: tuple[int, int], open: set[tuple[int, int]]) -> bool:
    seen: set[tuple[int, int]] = set()
    edge = {start}
    while edge:
        seen |= edge
        edge = {place for each in edge for place in _around(each)} & open - seen
    return goal in seen
