"""The compiled loops of one world, and the records that they work on."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from reworld.engine import loops
from reworld.engine.linking import Function, compile_all_linked, compile_linked, link
from reworld.generator import (
    GENERATOR_DTYPE,
    begin_episode,
    begin_recorded_episode,
    normal,
    recorded_dtype,
    recorded_normal,
    recorded_uniform,
    uniform,
)
from reworld.world import World

Instances = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True)
class Kernels:
    """The entry points of `reworld.engine.loops`, linked with a world and compiled on first use."""

    reset_batch: Function
    observe_batch: Function
    step_batch: Function
    step_single: Function
    first_out_of_range: Function
    choose_own: Function


def replacements_for(world: World) -> dict[Any, Function]:
    """What links `reworld.engine.loops` with a world: its functions by their placeholders."""
    return {
        loops.world_reset: world.reset,
        loops.world_step: world.step,
        loops.world_observe: world.observe,
        loops.world_succeeded: world.succeeded,
        loops.world_report: world.report or loops.no_report,
    }


@lru_cache
def kernels(world: World, recorded: bool = False) -> Kernels:
    """Link the loops with a world.

    Args:
        world: Whose functions.
        recorded: Whether draws come from a record of `reworld.generator.recorded_dtype` instead of a generator.
    """
    replacements = replacements_for(world)
    if recorded:
        replacements |= {begin_episode: begin_recorded_episode, uniform: recorded_uniform, normal: recorded_normal}
    of_the_world: list[Function] = [loops.reset_batch, loops.observe_batch, loops.step_batch, loops.step_single]
    reset_batch, observe_batch, step_batch, step_single = compile_all_linked(
        of_the_world, replacements, world.name, world.constants
    )
    return Kernels(
        reset_batch=reset_batch,
        observe_batch=observe_batch,
        step_batch=step_batch,
        step_single=step_single,
        first_out_of_range=compile_linked(loops.first_out_of_range, {}, "any"),
        choose_own=compile_linked(loops.choose_own, {}, "any"),
    )


@lru_cache
def plain(world: World, function: Function) -> Function:
    """Give one of a world's functions its constants, for a call from Python.

    Args:
        world: Whose function.
        function: One of its fields.
    """
    return link(function, {}, world.constants) if world.constants else function


def instances_of(world: World, count: int, recorded_draws: int = 0) -> Instances:
    """Allocate instances of a world, unseeded and before their first episode.

    Args:
        world: Whose state and configuration.
        count: How many.
        recorded_draws: Room for so many recorded draws in place of a generator, if not 0.

    Returns:
        Structured array of shape (count,), zeros, with the fields state, configuration, generator, elapsed (steps of the
        episode) and ended.
    """
    dtype = np.dtype(
        [
            ("state", world.state_dtype),
            ("configuration", world.configuration_dtype),
            ("generator", recorded_dtype(recorded_draws) if recorded_draws else GENERATOR_DTYPE),
            ("elapsed", np.int64),
            ("ended", np.int64),
        ],
        align=True,
    )
    instances: Any = np.zeros(count, dtype)
    # Uncompiled, fields are read as attributes, which NumPy offers on record arrays only.
    return instances.view(np.recarray) if numba.config.DISABLE_JIT else instances  # type: ignore[attr-defined]
