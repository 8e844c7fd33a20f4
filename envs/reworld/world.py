"""What a world is made of: a table of named parameters and a handful of pure functions.

A world keeps nothing to itself. Its functions read and write *records* with named float fields, ``state`` and
``configuration`` (every parameter of the dynamics), so that changing the world is passing another configuration,
a batch of worlds is an array of records, and a saved state can be rolled forward from anywhere.

The functions of a world are plain Python over scalars. They are compiled by `reworld.engine`, and run uncompiled,
with the same results, under a debugger (``NUMBA_DISABLE_JIT=1``). They may call other functions of their module,
``math``, and the draws `reworld.generator.uniform` and `normal`.

A *family* of worlds is a function that returns a `World`: what its arguments fix, such as the size of a maze or a version
without a fault, is among the world's `constants`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

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


Observed = tuple[Quantity, ...] | int
"""Entries of an observation, or the number of states, of which one is observed."""


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


class Reports(NamedTuple):
    """What `info` says of changes, for n environments: see `reworld.environment.WorldEnv`.

    Args:
        cost: float64 of shape (n,).
        configuration: float64 of shape (n, number of parameters).
        configured: bool of shape (n,).
        budget_left: float64 of shape (n,).
        action_mask: int8 of shape (n, number of branches).
    """

    cost: np.ndarray[Any, np.dtype[np.float64]]
    configuration: np.ndarray[Any, np.dtype[np.float64]]
    configured: np.ndarray[Any, np.dtype[np.bool_]]
    budget_left: np.ndarray[Any, np.dtype[np.float64]]
    action_mask: np.ndarray[Any, np.dtype[np.int8]]


@dataclass(frozen=True, eq=False)
class World:
    """A parameterized-action MDP whose dynamics are a function of a configuration.

    Args:
        name: CamelCase, as in the id ``reworld/<name>-v0``.
        parameters: Every parameter of the dynamics. Derived constants are computed in the functions, never stored.
        state: Names of the state's fields, all float64.
        observation: The entries of the observation, float32, with the bounds that hold for every configuration; or, for
            a finite world, the number of its states, of which one, an integer, is the observation; or parts, which follow each
            other in one row and are shown as a Dict.
        branches: The discrete choices of an action.
        reset: ``reset(state, c, rng)`` writes an initial state under the configuration `c`, over that at the end of the
            last episode, or over zeros if a seed or a configuration was asked for.
        step: ``step(state, branch, x, c, rng) -> (reward, terminated)`` advances the state by one action, where `x`
            begins with the parameters of the chosen branch, float64, finite, and possibly outside their bounds. It leaves the
            configuration as it is (that of a changeable world does not).
        observe: ``observe(state, c, out)`` writes the observation; that of a finite world to ``out[0]``.
        succeeded: ``succeeded(state, c)`` tells whether an episode that ends in this state is a success.
        draw: ``draw(canvas, state, c)`` paints a state on a `reworld.rendering.Canvas`, whose ``past`` holds the states
            that the last action passed through, and ``trail`` those after the actions before it.
        frames_per_second: Drawn frames per second of real time.
        substep: The function that `step` calls once per sub-step with the state as its first argument, if it has
            an inner loop: frames are drawn after each of its calls.
        policy: ``policy(observation) -> (branch, x)`` plays the default configuration competently, by rules that a reader
            can follow: proof that the world can be solved, and a measure for those who learn to.
        tabulate: ``tabulate(c, kernel, rewards, start)`` fills in the exact model of a finite world: see `reworld.finite`.
        constants: What stands in place of the global values of these names in the functions above, functions included.
        picture: Width and height of a drawing, in pixels.
        report: ``report(state, c, reports, i)`` writes what `info` says of changes, if there are any, to row i of `Reports`.

    Raises:
        InvalidWorld: If two names of a table are equal, or a parameter's default lies outside its bounds.
    """

    name: str
    parameters: tuple[Parameter, ...]
    state: tuple[str, ...]
    observation: Observed | Mapping[str, Observed]
    branches: tuple[Branch, ...]
    reset: Callable[[Record, Record, Generator], None]
    step: Callable[[Record, int, Vector, Record, Generator], tuple[float, bool]]
    observe: Callable[[Record, Record, Any], None]
    succeeded: Callable[[Record, Record], bool]
    draw: Callable[[Any, Record, Record], None]
    frames_per_second: int
    substep: Callable[..., Any] | None = None
    policy: Callable[[Any], tuple[int, tuple[float, ...]]] | None = None
    tabulate: Callable[[Record, Any, Any, Any], None] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    picture: tuple[int, int] = (720, 300)
    report: Callable[[Record, Record, Reports, int], None] | None = None

    def __post_init__(self) -> None:
        """Refuse tables that contradict themselves."""
        tables = {
            "parameters": [parameter.name for parameter in self.parameters],
            "state fields": list(self.state),
            "observations": [e.name for part in self.observed.values() if not isinstance(part, int) for e in part],
            "branches": [branch.name for branch in self.branches],
        }
        for kind, names in tables.items():
            for name, count in Counter(names).items():
                if count > 1:
                    raise InvalidWorld(f"{self.name} has two {kind} called {name!r}: give each its own name.")
        for parameter in self.parameters:
            if not parameter.low <= parameter.default <= parameter.high:
                raise InvalidWorld(
                    f"{self.name}'s parameter {parameter.name!r} has default {parameter.default}, outside its own "
                    f"bounds [{parameter.low}, {parameter.high}]."
                )

    def __eq__(self, other: object) -> bool:
        """Whether two worlds are made of the same functions, tables and constants."""
        return isinstance(other, World) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.name, self.step, len(self.parameters), len(self.branches)))

    def _key(self) -> tuple[Any, ...]:
        constants = {name: value if callable(value) else _bytes(value) for name, value in self.constants.items()}
        return *(getattr(self, each.name) for each in fields(self) if each.name != "constants"), constants

    @property
    def default_configuration(self) -> Vector:
        """The default of every parameter, float64 of shape (number of parameters,)."""
        return np.array([parameter.default for parameter in self.parameters])

    @property
    def observed(self) -> Mapping[str, Observed]:
        """The parts of the observation, by the names that a Dict gives them; one without a name if it is none."""
        return self.observation if isinstance(self.observation, Mapping) else {"": self.observation}

    @property
    def observation_size(self) -> int:
        """How many numbers an observation is made of."""
        return sum(1 if isinstance(part, int) else len(part) for part in self.observed.values())

    @property
    def observation_dtype(self) -> "np.dtype[np.int64] | np.dtype[np.float32]":
        """The type of those numbers: int64 for a finite world, else float32."""
        return np.dtype(np.int64) if isinstance(self.observation, int) else np.dtype(np.float32)

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

    def reports(self, count: int) -> Reports | tuple[()]:
        """Allocate what `report` writes to.

        Args:
            count: Number of environments.
        """
        if self.report is None:
            return ()
        return Reports(
            cost=np.zeros(count),
            configuration=np.zeros((count, len(self.parameters))),
            configured=np.zeros(count, np.bool_),
            budget_left=np.zeros(count),
            action_mask=np.zeros((count, len(self.branches)), np.int8),
        )

    @property
    def own_branches(self) -> int:
        """How many of the branches, the first ones, are primitive actions; the others change the configuration."""
        return len(self.branches)

    @property
    def states(self) -> int | None:
        """How many states a finite world has; None for another one."""
        return self.observation if isinstance(self.observation, int) else None

    def bill_of(self, instance: Any) -> tuple[str, float | None]:
        """Look up what pictures say of changes.

        Args:
            instance: Of this world.

        Returns:
            What was paid so far, in words, and the share of the budget that is left, if there is one.
        """
        return "", None

    def change_of(self, before: Any, after: Any) -> str:
        """Say what became of a model-changing action.

        Args:
            before: The instance before it.
            after: The instance after it.
        """
        return ""

    @property
    def branch_offsets(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where each branch's own parameters lie in the vector of all: branch k owns ``[offsets[k], offsets[k+1])``."""
        return np.cumsum([0, *(len(branch.parameters) for branch in self.branches)])


def _bytes(value: Any) -> tuple[Any, ...]:
    array = np.asarray(value)
    return array.dtype, array.shape, array.tobytes()
