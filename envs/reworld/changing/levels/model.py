"""What levels are made of, and the single Markov decision process that they amount to."""

import dataclasses
import importlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from reworld.changing.flat import FlatMDP
from reworld.configuration import starting_configurations
from reworld.environment import find_world
from reworld.errors import InvalidConfiguration, InvalidOption, nearest
from reworld.finite import FiniteMDP, Reals, exact_model, read_laws, read_numbers
from reworld.world import World


@dataclass(frozen=True, eq=False)
class Level:
    """What one level decides: which configuration (or, from level 2 on, which kernel) is in force at the level below.

    Args:
        kernel: Probability of each next state, shape (V, U, n, n) for V kernels: ``kernel[v, u, i, j]``, of going from i to j
            by action u. A single kernel may be given in shape (U, n, n).
        costs: Cost of each action in each state, shape (n, U), paid whether or not it succeeds.
        start: Probability of each state at the beginning of an episode, shape (n,); the first state for certain if left out.
        discount: Probability that an episode goes on after a decision.
        steps: After how many decisions an episode ends at the latest; None for no such limit.
        allowed: Which actions are possible in each state, bool of shape (n, U); all if left out. One that is not possible is
            masked, costs nothing and changes nothing.
        actions: Name of each action, for pictures; its number if left out.
        names: Name of each of the V kernels, likewise.

    Raises:
        InvalidOption: If these do not make a Markov decision process.
    """

    kernel: Reals
    costs: Reals
    start: Any = None
    discount: float = 1.0
    steps: int | None = None
    allowed: Any = None
    actions: Sequence[str] = ()
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        kernel, costs = read_numbers("kernel", self.kernel), read_numbers("costs", self.costs)
        kernel = kernel[None] if kernel.ndim == 3 else kernel
        if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3] or not kernel.size:
            raise InvalidOption(f"kernel has shape {np.shape(self.kernel)}: give kernel[v, u, i, j], of shape (V, U, n, n).")
        kernels, actions, states, _ = kernel.shape
        if costs.shape != (states, actions):
            raise InvalidOption(f"costs has shape {costs.shape}: give costs[i, u], here of shape {(states, actions)}.")
        start = np.eye(states)[0] if self.start is None else read_numbers("start", self.start)
        if start.shape != (states,):
            raise InvalidOption(f"start has shape {start.shape}: give {states} probabilities, one for each state.")
        allowed = np.ones(costs.shape, np.bool_) if self.allowed is None else np.asarray(self.allowed)
        if allowed.shape != costs.shape or allowed.dtype != np.bool_ or not allowed.any(axis=1).all():
            raise InvalidOption(f"allowed: give bools of shape {costs.shape}, with at least one true for each state.")
        kernel = np.where(allowed.T[None, :, :, None], kernel, np.eye(states))
        _set(self, "kernel", read_laws("kernel", kernel))
        _set(self, "costs", np.where(allowed, costs, 0.0))
        _set(self, "start", read_laws("start", start))
        _set(self, "allowed", allowed)
        _set(self, "actions", _named("actions", self.actions, actions))
        _set(self, "names", _named("kernels", self.names, kernels))
        check_time(self.discount, self.steps)

    @classmethod
    def graph(
        cls,
        moves: Mapping[str, Sequence[str] | Mapping[str, float]],
        price: float = 0.0,
        success: float = 1.0,
        start: str | None = None,
        discount: float = 1.0,
        steps: int | None = None,
    ) -> Self:
        """Make the level of a directed graph of named configurations: an action is the one to go to.

        Args:
            moves: Where each configuration may be left for, as a list, or with the price of each: all of them, in the order of
                `Levels.configurations`. Staying is always possible, and free.
            price: Of the moves that have none of their own.
            success: Probability that a move comes about. Where it does not, all stays as it was, and the price is paid.
            start: The configuration that an episode begins with; the first if left out.
            discount: As in `Level`.
            steps: As in `Level`.

        Raises:
            InvalidOption: If a name is unknown, or a number is out of range.
        """
        names = list(moves)
        if not 0.0 <= success <= 1.0:
            raise InvalidOption(f"success={success!r}: give a probability, from 0 to 1.")
        for name in (*itertools.chain.from_iterable(moves.values()), *([] if start is None else [start])):
            if name not in moves:
                raise InvalidOption(f"The graph has no configuration {name!r}. {nearest(name, names)}")
        size = len(names)
        kernel, costs, allowed = np.empty((size, size, size)), np.zeros((size, size)), np.eye(size, dtype=np.bool_)
        for u in range(size):
            kernel[u] = (1.0 - success) * np.eye(size)
            kernel[u, :, u] += success
        for i, targets in enumerate(moves.values()):
            for target in targets:
                u = names.index(target)
                if u != i:
                    costs[i, u] = targets[target] if isinstance(targets, Mapping) else price
                    allowed[i, u] = True
        law = None if start is None else np.eye(size)[names.index(start)]
        return cls(kernel, costs, law, discount, steps, allowed, names)

    @property
    def own_kernels(self) -> int:
        """How many kernels the level above chooses from."""
        return len(self.kernel)

    @property
    def states(self) -> int:
        """How many configurations, or kernels of the level below, this level chooses from."""
        return len(self.costs)


@dataclass(frozen=True, eq=False)
class Levels:
    """A world, its configurations, and the levels that choose among them.

    Args:
        world: A world, a function that returns one, or where to find it, as for `reworld.environment.WorldEnv`.
        configurations: Values by name for each named configuration, as in ``{"windy": {"wind": 15.0}}`` (parameters that are
            not named keep their default); or an array of shape (n, number of parameters). Read back it is a mapping from each
            name, or number, to an array of all values.
        levels: Level 1 first.
        discount: Probability that an episode of level 0 goes on after an action.
        steps: After how many actions an episode of level 0 ends at the latest; None for no such limit.
        persistent: Whether a level is left as it is, and the world is not reset, when a level above decides.

    Raises:
        InvalidOption: If a level does not fit the one below it, or never ends.
        InvalidConfiguration: If a configuration is none of this world, or leaves something to chance.
    """

    world: World
    configurations: Any
    levels: Sequence[Level]
    discount: float = 1.0
    steps: int | None = None
    persistent: bool = False

    def __post_init__(self) -> None:
        _set(self, "world", find_world(self.world))
        names, values = _read_configurations(self.world, self.configurations)
        _set(self, "configurations", dict(zip(names, values, strict=True)))
        _set(self, "levels", tuple(self.levels))
        check_time(self.discount, self.steps)
        check_chain(len(names), self.levels)
        below: tuple[str, ...] = tuple(names)
        for k, level in enumerate(self.levels, 1):
            if set(level.actions) == set(below) and level.actions != below:
                raise InvalidOption(
                    f"Level {k} names its actions {level.actions}, and what they lead to {below}: use one order."
                )
            below = tuple(level.names)
            if level.discount == 1.0 and level.steps is None and not self.persistent:
                raise InvalidOption(f"Level {k} never ends: give it a discount below 1, or a number of steps.")

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each configuration; its number if it has none."""
        return tuple(self.configurations)

    @property
    def values(self) -> Reals:
        """Values of each configuration, float64 of shape (n, number of parameters)."""
        return np.array(list(self.configurations.values()))

    def flat(self) -> FlatMDP:
        """Write down the levels as a single Markov decision process: see `flat_levels`.

        Raises:
            InvalidOption: If the world is not finite.
        """
        models = (exact_model(self.world, values) for values in self.values)
        return flat_levels(models, self.levels, self.discount, self.steps, self.persistent)


def find_levels(levels: Levels | Callable[[], Levels] | str, **changes: Any) -> Levels:
    """Find levels, and change some of their terms.

    Args:
        levels: Levels, or a function that makes them, or where to find one, as in
            ``"reworld.changing.levels.games:cartpole_levels"``.
        changes: Other values of their fields, such as ``persistent=True, steps=10``.

    Raises:
        InvalidOption: If there are none, or a field is unknown.
    """
    found: Any = levels
    if isinstance(levels, str):
        module, _, name = levels.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise InvalidOption(f"There are no levels {levels!r}: name them as 'package.module:NAME'. ({error})") from error
    found = found() if callable(found) else found
    if not isinstance(found, Levels):
        raise InvalidOption(f"{levels!r} gives a {type(found).__name__}, not reworld.changing.levels.Levels.")
    known = [field.name for field in dataclasses.fields(Levels)]
    for name in changes:
        if name not in known:
            raise InvalidOption(f"Levels have no {name!r}. {nearest(name, known)}")
    return dataclasses.replace(found, **changes)


def flat_levels(
    models: Iterable[FiniteMDP],
    levels: Sequence[Level],
    discount: float = 1.0,
    steps: int | None = None,
    persistent: bool = False,
) -> FlatMDP:
    """Write down levels over a finite world as a single Markov decision process, in which time is that of the world.

    Its optimal value, where the top level decides, is that of the levels solved one after the other, from the lowest to the
    highest. If the levels are persistent it may be larger: the flat process sees the world's state whichever level decides.

    The fields of its states are ``due``, the level that decides; ``kernels``, what is in force: the world's configuration, then
    the kernel of each level above it, of shape (number of levels,); ``ages``, how many decisions each level has made in its
    episode, 0 where that is no matter; and ``state``, the world's. What is drawn only later is -1.

    Args:
        models: The exact model of each configuration of level 0.
        levels: As in `Levels`, as are the following.
        discount: Of level 0.
        steps: Of level 0.
        persistent: Whether states are kept.

    Raises:
        InvalidOption: If a level does not fit the one below it.
    """
    worlds = [_Sparse(model) for model in models]
    check_chain(len(worlds), levels)
    check_time(discount, steps)
    layout = _Layout(worlds, levels, discount, steps, persistent)
    first, actions, rewards, indptr = [0], [], [], [0]
    successors: list[int] = []
    weights: list[float] = []
    for state in layout.states:
        for action, reward, entries in layout.rows(*state):
            actions.append(action)
            rewards.append(reward)
            for successor, weight in entries:
                successors.append(successor)
                weights.append(weight)
            indptr.append(len(successors))
        first.append(len(actions))
    start = np.zeros(len(layout.states))
    for successor, weight in layout.beginnings():
        start[successor] += weight
    fields = [("due", np.int64), ("kernels", np.int64, layout.depth), ("ages", np.int64, layout.depth), ("state", np.int64)]
    return FlatMDP(
        states=np.array(layout.states, fields),
        start=start,
        first=np.array(first),
        actions=np.array(actions),
        rewards=np.array(rewards),
        indptr=np.array(indptr),
        successors=np.array(successors),
        weights=np.array(weights),
    )


_Place = tuple[int, tuple[int, ...], tuple[int, ...], int]
"""The level that decides, what is in force at every level, how many decisions each level has made, the world's state."""

_Entries = list[tuple[int, float]]
"""States with their weights."""

_Row = tuple[int, float, _Entries]
"""An action, its reward, and what it leads to."""


class _Sparse:
    """The model of one configuration, in lists."""

    def __init__(self, model: FiniteMDP) -> None:
        self.terminal: list[bool] = model.terminal.tolist()
        self.rewards: list[list[float]] = model.expected_rewards.tolist()
        self.start = _support(model.start)
        self.following: list[list[_Entries]] = [[[] for _ in laws] for laws in model.kernel]
        possible = np.nonzero(model.kernel)
        for s, a, following, p in zip(*map(np.ndarray.tolist, (*possible, model.kernel[possible])), strict=True):
            self.following[s][a].append((following, p))


class _Layout:
    """The states of a flat process, in blocks of what differs by the world's state alone, and where they lead to."""

    def __init__(
        self, worlds: list[_Sparse], levels: Sequence[Level], discount: float, steps: int | None, persistent: bool
    ) -> None:
        self.worlds, self.levels, self.persistent = worlds, levels, persistent
        self.top, self.depth = len(levels), len(levels) + 1
        self.discounts = discount, *(level.discount for level in levels)
        self.limits = steps, *(level.steps for level in levels)
        self.states: list[_Place] = []
        self._blocks: dict[tuple[int, tuple[int, ...], tuple[int, ...]], int] = {}
        numbers = len(worlds), *(level.own_kernels for level in levels)
        inner = range(len(worlds[0].terminal))
        for due in range(self.top, -1, -1):
            drawn = 0 if persistent else max(due - 1, 0)
            in_force = [range(count) if k >= drawn else (-1,) for k, count in enumerate(numbers)]
            ages = [
                (0,) if k < due or limit is None else range(k > due, limit + (k > due)) for k, limit in enumerate(self.limits)
            ]
            for kernels, age in itertools.product(itertools.product(*in_force), itertools.product(*ages)):
                self._blocks[due, kernels, age] = len(self.states)
                self.states += [(due, kernels, age, s) for s in (inner if due == 0 or persistent else (-1,))]

    def rows(self, due: int, kernels: tuple[int, ...], ages: tuple[int, ...], state: int) -> Iterator[_Row]:
        """Give every action of a state, with its reward and what it leads to."""
        if due == 0:
            yield from self._actions(kernels, ages, state)
            return
        level, here = self.levels[due - 1], kernels[due - 1]
        for u in np.flatnonzero(level.allowed[here]).tolist():
            entries = [
                (successor, p * weight)
                for target, p in _support(level.kernel[kernels[due], u, here])
                for successor, weight in self._below(due, _put(kernels, due - 1, target), self._older(ages, due), state)
            ]
            yield u, -float(level.costs[here, u]), entries

    def beginnings(self) -> Iterator[tuple[int, float]]:
        """Give the states in which a game may begin, with their probabilities."""
        ages = (0,) * self.depth
        laws = [_support(level.start) for level in self.levels]
        if not self.persistent:
            for i, weight in laws[-1]:
                yield self._place(self.top, (*[-1] * (self.top - 1), i, 0), ages, -1), weight
            return
        for drawn in itertools.product(*laws):
            kernels, weight = (*(i for i, _ in drawn), 0), math.prod(p for _, p in drawn)
            for state, p in self.worlds[kernels[0]].start:
                yield self._place(self.top, kernels, ages, state), weight * p

    def _actions(self, kernels: tuple[int, ...], ages: tuple[int, ...], state: int) -> Iterator[_Row]:
        world = self.worlds[kernels[0]]
        if world.terminal[state]:
            yield 0, 0.0, [] if self.persistent else self._left(kernels, ages, -1)
            return
        older = self._older(ages, 0)
        goes_on = 0.0 if older[0] == self.limits[0] else self.discounts[0]
        for a, law in enumerate(world.following[state]):
            if self.persistent:
                law = [(s, p) for s, p in law if not world.terminal[s]]
                left = [(successor, p * weight) for s, p in law for successor, weight in self._left(kernels, ages, s)]
            else:
                left = self._left(kernels, ages, -1)
            entries = [(successor, (1.0 - goes_on) * weight) for successor, weight in left] if goes_on < 1.0 else []
            if goes_on > 0.0:
                place = self._place(0, kernels, older, 0)
                entries += [(place + s, goes_on * p) for s, p in law]
            yield a, world.rewards[state][a], entries

    def _left(self, kernels: tuple[int, ...], ages: tuple[int, ...], state: int) -> _Entries:
        """Where an end of level 0's episode leads to: whichever level goes on."""
        entries, weight = [], 1.0
        for k in range(1, self.depth):
            goes_on = 0.0 if ages[k] == self.limits[k] else self.discounts[k]
            if weight * goes_on > 0.0:
                entries.append((self._place(k, kernels, ages, state), weight * goes_on))
            weight *= 1.0 - goes_on
        return entries

    def _below(self, due: int, kernels: tuple[int, ...], ages: tuple[int, ...], state: int) -> _Entries:
        """What an episode of the level below begins with."""
        if self.persistent:
            return [(self._place(due - 1, kernels, ages, state), 1.0)]
        if due == 1:
            return [(self._place(0, kernels, ages, s), p) for s, p in self.worlds[kernels[0]].start]
        law = _support(self.levels[due - 2].start)
        return [(self._place(due - 1, _put(kernels, due - 2, i), ages, -1), p) for i, p in law]

    def _older(self, ages: tuple[int, ...], level: int) -> tuple[int, ...]:
        return ages if self.limits[level] is None else _put(ages, level, ages[level] + 1)

    def _place(self, due: int, kernels: tuple[int, ...], ages: tuple[int, ...], state: int) -> int:
        drawn = 0 if self.persistent else max(due - 1, 0)
        first = self._blocks[due, (-1,) * drawn + kernels[drawn:], (0,) * due + ages[due:]]
        return first + state if due == 0 or self.persistent else first


def _support(law: Reals) -> _Entries:
    """The outcomes of a law that are possible, with their probabilities."""
    possible = np.flatnonzero(law)
    return list(zip(possible.tolist(), law[possible].tolist(), strict=True))


def _put(numbers: tuple[int, ...], k: int, value: int) -> tuple[int, ...]:
    return *numbers[:k], value, *numbers[k + 1 :]


def check_time(discount: float, steps: int | None) -> None:
    """Refuse what does not say how long an episode lasts.

    Args:
        discount: As in `Levels`.
        steps: As in `Levels`.

    Raises:
        InvalidOption: If one is out of range.
    """
    if not 0.0 <= discount <= 1.0:
        raise InvalidOption(f"discount={discount!r}: give the probability that an episode goes on, from 0 to 1.")
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise InvalidOption(f"steps={steps!r}: give an integer of at least 1, or None for no limit.")


def check_chain(configurations: int, levels: Sequence[Level]) -> None:
    """Refuse levels that do not fit one another.

    Args:
        configurations: How many there are.
        levels: As in `Levels`.

    Raises:
        InvalidOption: If a level does not choose from what is below it, or the top level has several kernels.
    """
    if not levels:
        raise InvalidOption("There is no level above the world: give at least one Level.")
    below, name = configurations, "configurations of the world"
    for k, level in enumerate(levels, 1):
        if level.states != below:
            raise InvalidOption(f"Level {k} has {level.states} states, and there are {below} {name}: one for each is needed.")
        below, name = level.own_kernels, f"kernels of level {k}"
    if below > 1:
        raise InvalidOption(f"Level {len(levels)}, the highest, has {below} kernels: give one, or a level above to choose.")


def _read_configurations(world: World, configurations: Any) -> tuple[list[str], Reals]:
    """Give the names of the configurations, and their values."""
    if isinstance(configurations, Mapping):
        names, requests = list(configurations), list(configurations.values())
    else:
        requests = list(np.asarray(configurations))
        names = list(map(str, range(len(requests))))
    if not requests:
        raise InvalidConfiguration("There is no configuration: give at least one.")
    values = np.empty((len(requests), len(world.parameters)))
    for name, request, row in zip(names, requests, values, strict=True):
        low, high = starting_configurations(world, request)[0]
        if not np.array_equal(low, high):
            raise InvalidConfiguration(f"Configuration {name!r} leaves values to chance: give one number for each parameter.")
        row[:] = low
    return names, values


def _named(what: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    if names and len(names) != count:
        raise InvalidOption(f"{len(names)} {what} are named, and there are {count}: name each one, or none.")
    return tuple(names) or tuple(map(str, range(count)))


def _set(instance: Any, name: str, value: Any) -> None:
    """Set a field of a frozen instance while it is made."""
    object.__setattr__(instance, name, value)
