"""What an action looks like in another form, and what it then means.

A form knows its space, and reads an action in it, or a whole batch, as a branch and one *row*: the parameters of all branches,
those of branch 0 first. Both `reworld.environment.WorldEnv` and `reworld.vector.WorldVectorEnv` take rows, so nothing here
goes through the branches one by one, of which a world may have thousands, unless the form itself has an entry for each.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from typing import Any, NoReturn

import numpy as np
from gymnasium import spaces
from gymnasium.error import Error, InvalidAction

from reworld.actions.layout import Array, Layout, to_physical

LARGEST_GRID = 65_536
"""Most actions that a grid may have."""


class Form(ABC):
    """A form of action.

    Args:
        layout: Whose actions.
        batch: ``(num_envs,)`` for batches of actions, ``()`` for single ones.
    """

    space: spaces.Space[Any]
    """The space of single actions in this form."""

    def __init__(self, layout: Layout, batch: tuple[int, ...] = ()) -> None:
        self.layout = layout
        self.batch = batch

    @abstractmethod
    def read(self, action: Any, mask: Array) -> tuple[Any, Array]:
        """Say what an action means.

        Args:
            action: An element of `space`, or a batch of them.
            mask: Which branches may be chosen, of shape (*batch, K).

        Returns:
            The branch, and the parameters of all branches, of shape (*batch, total parameters).

        Raises:
            InvalidAction: If the action has another form.
        """

    def extend_mask(self, mask: Array) -> Array:
        """Turn the mask of the branches, of shape (*batch, K), into that of the actions of this form."""
        return mask


class Rescaled(Form):
    """The world's own form, every parameter in [-1, 1]."""

    def __init__(self, layout: Layout, batch: tuple[int, ...] = ()) -> None:
        super().__init__(layout, batch)
        if not layout.hybrid:
            raise Error(
                f"The actions are {layout.branches} branches without parameters, so there is nothing to rescale: "
                "leave out the wrapper, or use FlatBoxAction if a Box is needed."
            )
        boxes = spaces.Tuple(spaces.Box(-1.0, 1.0, (size,), np.float32) for size in layout.sizes)
        self.space = spaces.Tuple((spaces.Discrete(layout.branches), boxes))

    def read(self, action: Any, mask: Array) -> tuple[Any, Array]:
        """See `Form.read`. The parameters may come as one row, too."""
        hint = f"Give (branch, parameters), with one array for each of {self.layout.branches} branches, or all in one row"
        branch, parameters = _pair(action, hint)
        if isinstance(parameters, np.ndarray):
            row = _numbers(action, parameters, (*self.batch, len(self.layout.low)), hint)
        else:
            row = _join(action, parameters, self.layout.sizes, self.batch, hint)
        return branch, to_physical(self.layout, row)


class FlatTuple(Form):
    """``Tuple((Discrete(K), Box))``, the parameters of all branches in one row."""

    def __init__(self, layout: Layout, batch: tuple[int, ...] = ()) -> None:
        super().__init__(layout, batch)
        row = spaces.Box(layout.low.astype(np.float32), layout.high.astype(np.float32), dtype=np.float32)
        self.space = spaces.Tuple((spaces.Discrete(layout.branches), row))

    def read(self, action: Any, mask: Array) -> tuple[Any, Array]:
        """See `Form.read`."""
        hint = "Give (branch, the parameters of all branches in one row)"
        branch, row = _pair(action, hint)
        return branch, _numbers(action, row, (*self.batch, len(self.layout.low)), hint)


class NamedDict(Form):
    """``Dict``: "branch", and an entry with the name of each branch that has parameters.

    Args:
        names: The names of the branches.
    """

    def __init__(self, layout: Layout, batch: tuple[int, ...] = (), *, names: tuple[str, ...]) -> None:
        super().__init__(layout, batch)
        if "branch" in names:
            raise Error("A branch is called 'branch', as the entry that chooses one: use FlatTupleAction.")
        boxes = {name: box for name, box in zip(names, layout.boxes(), strict=True) if box.shape[0]}
        self.space = spaces.Dict({"branch": spaces.Discrete(layout.branches), **boxes})
        self._names = tuple(boxes)
        self._sizes = tuple(box.shape[0] for box in boxes.values())

    def read(self, action: Any, mask: Array) -> tuple[Any, Array]:
        """See `Form.read`."""
        hint = f"Give a dictionary with the entries 'branch', {', '.join(map(repr, self._names[:12]))}"
        try:
            branch, parameters = action["branch"], [action[name] for name in self._names]
        except (TypeError, KeyError, IndexError) as error:
            _refuse(action, hint, error)
        return branch, _join(action, parameters, self._sizes, self.batch, hint)


class OneOf(Form):
    """``OneOf``: a branch with its own parameters and no others. For single actions only."""

    def __init__(self, layout: Layout, batch: tuple[int, ...] = ()) -> None:
        super().__init__(layout, batch)
        self.space = spaces.OneOf(layout.boxes())
        self._offsets = layout.offsets.tolist()

    def read(self, action: Any, mask: Array) -> tuple[Any, Array]:
        """See `Form.read`. The parameters of the other branches become 0; nothing reads them."""
        hint = f"Give (branch, its own parameters), with a branch from 0 to {self.layout.branches - 1}"
        branch, own = _pair(action, hint)
        if not (isinstance(branch, int | np.integer) and 0 <= branch < self.layout.branches):
            _refuse(action, hint)
        start, stop = self._offsets[branch], self._offsets[branch + 1]
        row = np.zeros(self._offsets[-1])
        row[start:stop] = _numbers(action, own, (stop - start,), hint)
        return branch, row


class FlatBox(Form):
    """One flat ``Box(-1, 1, (K + total parameters,))``: K scores, then all parameters, scaled."""

    def __init__(self, layout: Layout, batch: tuple[int, ...] = ()) -> None:
        super().__init__(layout, batch)
        self.space = spaces.Box(-1.0, 1.0, (layout.flat_size,), np.float32)

    def read(self, action: Any, mask: Array) -> tuple[Any, Array]:
        """See `Form.read`. Of the branches that may be chosen, that with the largest score (the first of equals) is."""
        layout = self.layout
        expected = (*self.batch, layout.flat_size)
        hint = (
            f"Give finite numbers of shape {expected}: a score for each of the {layout.branches} branches, "
            f"then {len(layout.low)} parameters in [-1, 1]."
        )
        try:
            values = np.asarray(action, np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidAction(f"{action!r} is no flat action. {hint}") from error
        if values.shape != expected:
            raise InvalidAction(f"The flat action has shape {values.shape}. {hint}")
        if not np.isfinite(values).all():
            entry = tuple(np.argwhere(~np.isfinite(values))[0].tolist())
            raise InvalidAction(f"Entry {list(entry)} of the flat action is {values[entry]}. {hint}")
        scores = np.where(mask, values[..., : layout.branches], -np.inf)
        return scores.argmax(axis=-1), to_physical(layout, values[..., layout.branches :])


class Grid(Form):
    """``Discrete``: every branch with every combination of values of its parameters, those of branch 0 first.

    Of a branch's parameters the first varies fastest. A branch without parameters is one action.

    Args:
        bins: How many values of each parameter, equally spaced from its smallest to its largest.
    """

    def __init__(self, layout: Layout, batch: tuple[int, ...] = (), *, bins: int) -> None:
        super().__init__(layout, batch)
        _check_bins(bins)
        counts = [bins**size for size in layout.sizes]
        if sum(counts) > LARGEST_GRID:
            most = 1 + bisect_right(range(2, bins), LARGEST_GRID, key=lambda fewer: sum(fewer**size for size in layout.sizes))
            fewer = f"give at most bins={most}, or " if most > 1 else ""
            raise Error(f"bins={bins} makes {sum(counts)} actions, more than {LARGEST_GRID}: {fewer}use MultiDiscreteAction.")
        self.space = spaces.Discrete(sum(counts))
        sizes, offsets = np.array(layout.sizes), layout.offsets
        self._counts = np.array(counts)
        self._branches = np.repeat(np.arange(layout.branches), counts)
        combination = np.arange(sum(counts)) - np.repeat(np.cumsum([0, *counts[:-1]]), counts)
        # A branch with fewer parameters than others repeats its last one, to the same value; nothing reads that of a branch
        # without any.
        place = np.clip(np.arange(max(layout.sizes)), 0, np.maximum(sizes[self._branches] - 1, 0)[:, None])
        self._columns = np.minimum(offsets[self._branches][:, None] + place, max(offsets[-1] - 1, 0))
        digits = combination[:, None] // bins**place % bins
        self._values = _interpolate(layout.low[self._columns], layout.high[self._columns], digits, bins)

    def read(self, action: Any, mask: Array) -> tuple[Any, Array]:
        """See `Form.read`."""
        last = len(self._branches) - 1
        hint = f"Give an integer from 0 to {last}" + " for each environment" * len(self.batch)
        number = _integers(action, self.batch, last, hint)
        row = np.zeros((*self.batch, len(self.layout.low)), np.float32)
        np.put_along_axis(row, self._columns[number], self._values[number], axis=-1)
        return self._branches[number], row

    def extend_mask(self, mask: Array) -> Array:
        """See `Form.extend_mask`: an action may be chosen if its branch may."""
        return np.repeat(mask, self._counts, axis=-1)


class Digits(Form):
    """``MultiDiscrete``: a branch, and for every parameter of every branch one of a few values.

    Args:
        bins: How many values of each parameter, equally spaced from its smallest to its largest.
    """

    def __init__(self, layout: Layout, batch: tuple[int, ...] = (), *, bins: int) -> None:
        super().__init__(layout, batch)
        _check_bins(bins)
        self.space = spaces.MultiDiscrete([layout.branches, *[bins] * len(layout.low)])
        self._bins = bins
        self._last = self.space.nvec - 1

    def read(self, action: Any, mask: Array) -> tuple[Any, Array]:
        """See `Form.read`."""
        last = self._last
        hint = f"Give integers of shape {(*self.batch, len(last))}, a branch and the values of its parameters, up to {last}"
        numbers = _integers(action, (*self.batch, len(last)), last, hint)
        return numbers[..., 0], _interpolate(self.layout.low, self.layout.high, numbers[..., 1:], self._bins)


def read_flat(layout: Layout, flat: Any, batch: tuple[int, ...] = ()) -> Any:
    """Turn a flat action into the world's own, without regard to masks.

    Args:
        layout: Whose actions.
        flat: Shape (*batch, K + total parameters): see `FlatBox`.
        batch: ``(num_envs,)`` for a batch of actions, ``()`` for a single one.

    Returns:
        An element of the world's own action space, or a batch of them.

    Raises:
        InvalidAction: If it has another shape, or is not finite.
    """
    branch, row = FlatBox(layout, batch).read(flat, np.ones(layout.branches, np.int8))
    return (branch, layout.split(row)) if layout.hybrid else branch


def _check_bins(bins: int) -> None:
    if not isinstance(bins, int) or bins < 2:
        raise Error(f"bins={bins!r}: give an integer from 2 on, so that both ends of a parameter can be chosen.")


def _interpolate(low: Array, high: Array, digits: Array, bins: int) -> Array:
    """Take the value of each parameter: digit 0 is the lower bound and the last digit the upper one, exactly."""
    share = digits / (bins - 1)
    values: Array = (1.0 - share) * low + share * high
    return values.astype(np.float32)


def _pair(action: Any, hint: str) -> tuple[Any, Any]:
    try:
        branch, parameters = action
    except (TypeError, ValueError) as error:
        _refuse(action, hint, error)
    return branch, parameters


def _join(action: Any, parameters: Any, sizes: tuple[int, ...], batch: tuple[int, ...], hint: str) -> Array:
    """Put the parameters of each branch one after another."""
    expected = [(*batch, size) for size in sizes]
    hint = f"{hint}, of shapes {expected[:12]}"
    try:
        shapes = [np.shape(part) for part in parameters]
    except (TypeError, ValueError) as error:
        _refuse(action, hint, error)
    if shapes != expected:
        raise InvalidAction(f"The parameters have shapes {shapes[:12]}. {hint}.")
    joined = np.concatenate(parameters, axis=-1) if shapes else np.empty((*batch, 0))
    return _numbers(action, joined, (*batch, sum(sizes)), hint)


def _numbers(action: Any, given: Any, expected: tuple[int, ...], hint: str) -> Array:
    try:
        numbers = np.asarray(given)
    except ValueError as error:
        _refuse(action, hint, error)
    if numbers.dtype.kind not in "fiu" or numbers.shape != expected:
        _refuse(action, f"{hint}, of shape {expected}")
    return numbers


def _integers(action: Any, expected: tuple[int, ...], last: Any, hint: str) -> Array:
    try:
        numbers = np.asarray(action)
    except ValueError as error:
        _refuse(action, hint, error)
    if numbers.dtype.kind not in "iu" or numbers.shape != expected or (numbers < 0).any() or (numbers > last).any():
        _refuse(action, hint)
    return numbers


def _refuse(action: Any, hint: str, error: Exception | None = None) -> NoReturn:
    raise InvalidAction(f"{action!r} is no action here. {hint}.") from error
