"""What a world is made of: a table of named parameters and a handful of pure functions.

A world keeps nothing to itself. Its functions read and write *records* with named float fields, ``state`` and
``configuration`` (every parameter of the dynamics), so that changing the world is passing another configuration,
a batch of worlds is an array of records, and a saved state can be rolled forward from anywhere.

The functions of a world are plain Python over scalars. They are compiled by `reworld.engine`, and run uncompiled,
with the same results, under a debugger (``NUMBA_DISABLE_JIT=1``). They may call other functions of their module,
``math``, and the draws `reworld.generator.uniform` and `normal`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reworld.errors import InvalidWorld
from reworld.generator import Generator

Record = Any
"""One element of a structured array, its fields read and written by name. Numba and NumPy share no type for it."""

Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True)
class Quantity:
    """A named number with bounds: an entry of the observation, or one parameter of a branch.

    Args:
        name: In snake_case, without its unit.
        low: Smallest value, in `unit`.
        high: Largest value, in `unit`.
        unit: Unit of `low` and `high`; empty where there is none.
        meaning: One phrase, for the tables of the documentation.
    """

    name: str
    low: float
    high: float
    unit: str
    meaning: str


@dataclass(frozen=True)
class Parameter(Quantity):
    """One number of the dynamics that a configuration may change.

    Args:
        default: Its value in the published benchmark, in `unit`, within ``[low, high]``.
    """

    default: float


@dataclass(frozen=True)
class Branch:
    """One discrete choice of the action, with continuous parameters of its own.

    Args:
        name: What the branch does, in snake_case.
        meaning: One phrase, for the tables of the documentation.
        parameters: Its own parameters, in physical units; none for a plain discrete choice.
    """

    name: str
    meaning: str
    parameters: tuple[Quantity, ...] = ()


@dataclass(frozen=True)
class World:
    """A parameterized-action MDP whose dynamics are a function of a configuration.

    Args:
        name: CamelCase, as in the id ``reworld/<name>-v0``.
        parameters: Every parameter of the dynamics. Derived constants are computed in the functions, never stored.
        state: Names of the state's fields, all float64.
        observation: The entries of the observation, float32, with the bounds that hold for every configuration.
        branches: The discrete choices of an action.
        reset: ``reset(state, c, rng)`` writes an initial state under the configuration `c`.
        step: ``step(state, branch, x, c, rng) -> (reward, terminated)`` advances the state by one action, where `x`
            holds the parameters of the chosen branch, float64, finite, and possibly outside their bounds.
        observe: ``observe(state, c, out)`` writes the observation.
        succeeded: ``succeeded(state, c)`` tells whether an episode that ends in this state is a success.
        draw: ``draw(canvas, state, c)`` paints a state on a `reworld.rendering.Canvas`, whose ``past`` holds the states
            that the last action passed through.
        frames_per_second: Drawn frames per second of real time.
        substep: The function that `step` calls once per sub-step with the state as its first argument, if it has
            an inner loop: frames are drawn after each of its calls.

    Raises:
        InvalidWorld: If two names of a table are equal, or a parameter's default lies outside its bounds.
    """

    name: str
    parameters: tuple[Parameter, ...]
    state: tuple[str, ...]
    observation: tuple[Quantity, ...]
    branches: tuple[Branch, ...]
    reset: Callable[[Record, Record, Generator], None]
    step: Callable[[Record, int, Vector, Record, Generator], tuple[float, bool]]
    observe: Callable[[Record, Record, Any], None]
    succeeded: Callable[[Record, Record], bool]
    draw: Callable[[Any, Record, Record], None]
    frames_per_second: int
    substep: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        """Refuse tables that contradict themselves."""
        tables = {
            "parameters": [parameter.name for parameter in self.parameters],
            "state fields": list(self.state),
            "observations": [entry.name for entry in self.observation],
            "branches": [branch.name for branch in self.branches],
        }
        for kind, names in tables.items():
            for name in names:
                if names.count(name) > 1:
                    raise InvalidWorld(f"{self.name} has two {kind} called {name!r}: give each its own name.")
        for parameter in self.parameters:
            if not parameter.low <= parameter.default <= parameter.high:
                raise InvalidWorld(
                    f"{self.name}'s parameter {parameter.name!r} has default {parameter.default}, outside its own "
                    f"bounds [{parameter.low}, {parameter.high}]."
                )

    @property
    def default_configuration(self) -> Vector:
        """The default of every parameter, float64 of shape (number of parameters,)."""
        return np.array([parameter.default for parameter in self.parameters])

    @property
    def state_dtype(self) -> np.dtype[np.void]:
        """A record with one float64 per state field."""
        return np.dtype([(name, np.float64) for name in self.state], align=True)

    @property
    def configuration_dtype(self) -> np.dtype[np.void]:
        """A record with one float64 per parameter, which its field ``values`` shows as one array."""
        count = len(self.parameters)
        return np.dtype(
            {
                "names": [*(parameter.name for parameter in self.parameters), "values"],
                "formats": [*([np.float64] * count), (np.float64, (count,))],
                "offsets": [*range(0, 8 * count, 8), 0],
                "itemsize": 8 * count,
            },
            align=True,
        )

    @property
    def branch_offsets(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where each branch's own parameters lie in the vector of all: branch k owns ``[offsets[k], offsets[k+1])``."""
        return np.cumsum([0, *(len(branch.parameters) for branch in self.branches)])
