"""Replaying recorded trajectories of existing environments through the compiled engine."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reworld.engine.kernels import instances_of, kernels
from reworld.world import World

FOLDER = Path(__file__).parent
_AT_RESET = {"obs": "init_obs", "x_obs17_scaled": "x_init_obs17_scaled"}


@dataclass(frozen=True, eq=False)
class Recording:
    """A file of recorded trajectories, and the world that must take the same ones.

    Args:
        world: At its default configuration.
        file: Name in ``tests/golden``.
        fields: The world's state fields by the recorded names.
        observations: Name of the recorded observations.
        tolerance: How far apart trajectories may be; 0 for the same bits.
        fused: Entries of the observation that depend on the machine of the recording, where a library fused a
            multiplication with an addition: they are compared as float32, as they are observed, and within 5e-16.
        kept: State fields that a recorded reset left as they were.
        shared_parameter: Whether all branches were recorded to take the same parameters.
        notice: What completes a state whose other fields have been set.
    """

    world: World
    file: str
    fields: dict[str, str]
    observations: str = "obs"
    tolerance: float = 0.0
    fused: tuple[int, ...] = ()
    kept: tuple[str, ...] = ()
    shared_parameter: bool = False
    notice: Callable[[Any], None] | None = None

    @cached_property
    def arrays(self) -> dict[str, Any]:
        """What was recorded."""
        return dict(np.load(FOLDER / self.file))


@dataclass(frozen=True)
class Replay:
    """What a world did at every recorded step, its states with one column for each field of the recording."""

    states: np.ndarray
    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    substeps: np.ndarray
    draws_used: np.ndarray


def columns_of(recording: Recording, fields: Iterable[str]) -> list[int]:
    """Where recorded fields lie in a recorded state."""
    return [list(recording.arrays["state_names"]).index(name) for name in fields]


def replay(recording: Recording, forget_rounding: bool) -> Replay:
    """Take every recorded action, with the recorded draws in place of random ones.

    Args:
        recording: What to take.
        forget_rounding: Whether to set the state to the recorded one before every step, not once per episode.
    """
    recorded, world = recording.arrays, recording.world
    columns = dict(zip(recording.fields.values(), columns_of(recording, recording.fields), strict=True))
    steps = len(recorded["action_id"])
    most = int(np.diff(recorded["draw_start"]).max())
    instances = instances_of(world, 1, recorded_draws=max(1, most))
    instances["configuration"]["values"] = world.default_configuration
    instance, step = instances[0], kernels(world, recorded=True).step_single
    offsets = world.branch_offsets
    states, substeps = np.empty((steps, len(columns))), np.ones(steps)
    observations = np.empty((steps, world.observation_size))
    rewards, terminated, draws_used = np.empty(steps), np.empty(steps, bool), np.empty(steps, int)
    for episode, (first, last) in enumerate(zip(recorded["ep_start"][:-1], recorded["ep_start"][1:], strict=True)):
        for t in range(first, last):
            if t == first or forget_rounding:
                row = recorded["init_state"][episode] if t == first else recorded["state"][t - 1]
                for name, column in columns.items():
                    instance["state"][name] = row[column]
                if recording.notice:
                    recording.notice(instances.view(np.recarray)[0].state)
            draws = recorded["draw_value"][recorded["draw_start"][t] : recorded["draw_start"][t + 1]]
            instance["generator"]["draws"][: len(draws)] = draws
            instance["generator"]["position"] = 0
            branch = int(recorded["action_id"][t])
            own = slice(None) if recording.shared_parameter else slice(offsets[branch], offsets[branch + 1])
            x = recorded["action_params"][t, own].copy()
            rewards[t], terminated[t], _ = step(instances, branch, x, observations[t], _NO_REPORTS)
            states[t] = [instance["state"][name] for name in columns]
            if "substeps" in world.state:
                substeps[t] = instance["state"]["substeps"]
            draws_used[t] = instance["generator"]["position"]
    return Replay(states, observations, rewards, terminated, substeps, draws_used)


_NO_REPORTS = ()


def replay_resets(recording: Recording) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Begin every recorded episode that began with a reset, with the recorded draws in place of random ones.

    Args:
        recording: Whose episodes.

    Returns:
        The states with one column for each field that is not kept, what was recorded of them, the observations, and what was
        recorded of them.
    """
    recorded, world = recording.arrays, recording.world
    fields = {name: field for name, field in recording.fields.items() if name not in recording.kept}
    columns = columns_of(recording, fields)
    starts = recorded["reset_draw_start"]
    instances = instances_of(world, 1, recorded_draws=max(1, int(np.diff(starts).max())))
    instances["configuration"]["values"] = world.default_configuration
    reset = kernels(world, recorded=True).reset_batch
    episodes = np.flatnonzero(recorded["ep_from_reset"])
    states = np.empty((len(episodes), len(columns)))
    observations = np.empty((len(episodes), world.observation_size))
    for row, episode in enumerate(episodes):
        draws = recorded["reset_draw_value"][starts[episode] : starts[episode + 1]]
        instances[0]["generator"]["draws"][: len(draws)] = draws
        reset(
            instances,
            np.ones(1, np.bool_),
            np.empty((1, 2, 0)),
            observations[row : row + 1],
            np.empty(1, np.bool_),
            _NO_REPORTS,
        )
        assert instances[0]["generator"]["position"] == len(draws)
        states[row] = [instances[0]["state"][name] for name in fields.values()]
    return (
        states,
        recorded["init_state"][episodes][:, columns],
        observations,
        recorded[_AT_RESET[recording.observations]][episodes],
    )
