"""Reading what a user says about a configuration, and refusing what cannot be."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from reworld.errors import InvalidConfiguration, nearest
from reworld.world import Parameter, World

Request = Mapping[str, Any] | np.ndarray[Any, Any] | str | None
"""What a user may ask for: values by name (the others keep their default), all values in the order of the world's
parameters, ``"random"``, or None for the default. A value is a number, or a pair [low, high] to draw from anew in every
episode."""

Starts = np.ndarray[tuple[int, int, int], np.dtype[np.float64]]


def starting_configurations(world: World, request: Request, count: int = 1) -> Starts:
    """The range from which the configuration of each new episode is drawn.

    Args:
        world: Whose parameters.
        request: See `Request`. In a batch, an array of `count` numbers gives each environment its own value, as does
            an array of shape (count, number of parameters) in place of names.
        count: Size of the batch.

    Returns:
        Lowest and highest value of every parameter, shape (1 or count, 2, number of parameters). Where they are equal
        nothing is drawn.

    Raises:
        InvalidConfiguration: If a name is unknown, or a value is not finite, out of bounds or of the wrong shape.
    """
    if request is None:
        request = {}
    if isinstance(request, str):
        if request != "random":
            raise InvalidConfiguration(f"configuration={request!r} is not understood: the only word is 'random'.")
        return np.array([[[p.low for p in world.parameters], [p.high for p in world.parameters]]])
    if not isinstance(request, Mapping):
        request = _by_name(world, np.asarray(request), count)
    known = {parameter.name: parameter for parameter in world.parameters}
    for name in request:
        if name not in known:
            raise InvalidConfiguration(f"{world.name} has no parameter {name!r}. {nearest(name, known)}")
    lows, highs = [], []
    for parameter in world.parameters:
        low, high = _range(world, parameter, request.get(parameter.name, parameter.default), count)
        lows.append(low)
        highs.append(high)
    batched = any(bound.size > 1 for bound in (*lows, *highs))
    shape = (count if batched else 1,)
    starts = np.stack([np.stack([np.broadcast_to(b, shape) for b in bounds], axis=-1) for bounds in (lows, highs)], axis=1)
    return np.ascontiguousarray(starts)


def _by_name(world: World, values: np.ndarray[Any, Any], count: int) -> dict[str, Any]:
    size = len(world.parameters)
    if values.shape not in {(size,), (count, size)}:
        raise InvalidConfiguration(
            f"An array of shape {values.shape} is no configuration of {world.name}: give {size} values, one for each "
            f"parameter, or name the ones to change, as in {{{world.parameters[0].name!r}: {world.parameters[0].default}}}."
        )
    return {parameter.name: values[..., k] for k, parameter in enumerate(world.parameters)}


def _range(world: World, parameter: Parameter, value: Any, count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(bound, Real) for bound in value):
        low, high = value
        if not low <= high:
            raise InvalidConfiguration(f"{parameter.name}={value!r} is an empty range: give [low, high] with low <= high.")
    else:
        low = high = value
    bounds = []
    for bound in (low, high):
        try:
            array = np.asarray(bound, np.float64)
        except (TypeError, ValueError):
            array = np.asarray(math.nan)
        if array.shape not in {(), (1,), (count,)}:
            raise InvalidConfiguration(
                f"{parameter.name} has values of shape {array.shape}: give one number, a pair [low, high], or an array with "
                f"one number for each of {count} environments."
            )
        for number in array.flat:
            if not parameter.low <= number <= parameter.high:
                raise InvalidConfiguration(
                    f"{parameter.name}={bound!r} is outside [{parameter.low:g}, {parameter.high:g}]"
                    f"{' ' + parameter.unit if parameter.unit else ''}, the range of this parameter of {world.name}."
                )
        bounds.append(array)
    return bounds[0], bounds[1]
