"""Replaying recorded trajectories of existing environments through the compiled engine."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reworld.engine.kernels import instances_of, kernels
from reworld.world import World

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Replay:
    """What a world did at every recorded step, beside what was recorded."""

    recorded: dict[str, Any]
    states: np.ndarray
    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    draws_used: np.ndarray


def replay(world: World, file: str, fields: dict[str, str], forget_rounding: bool) -> Replay:
    """Take every recorded action, with the recorded draws in place of random ones.

    Args:
        world: At its default configuration.
        file: Name in ``tests/golden``.
        fields: The world's state fields by the recorded names.
        forget_rounding: Whether to set the state to the recorded one before every step, not once per episode.
    """
    recorded = dict(np.load(FOLDER / file))
    columns = {name: list(recorded["state_names"]).index(column) for column, name in fields.items()}
    steps = len(recorded["action_id"])
    most = int(np.diff(recorded["draw_start"]).max())
    instances = instances_of(world, 1, recorded_draws=most)
    instances["configuration"]["values"] = world.default_configuration
    instance, step = instances[0], kernels(world, recorded=True).step_single
    offsets = world.branch_offsets
    states = np.empty((steps, len(columns) + 1))
    observations = np.empty((steps, len(world.observation)))
    rewards, terminated, draws_used = np.empty(steps), np.empty(steps, bool), np.empty(steps, int)
    for episode, (first, last) in enumerate(zip(recorded["ep_start"][:-1], recorded["ep_start"][1:], strict=True)):
        for t in range(first, last):
            if t == first or forget_rounding:
                row = recorded["init_state"][episode] if t == first else recorded["state"][t - 1]
                for name, column in columns.items():
                    instance["state"][name] = row[column]
            draws = recorded["draw_value"][recorded["draw_start"][t] : recorded["draw_start"][t + 1]]
            instance["generator"]["draws"][: len(draws)] = draws
            instance["generator"]["position"] = 0
            branch = int(recorded["action_id"][t])
            x = recorded["action_params"][t, offsets[branch] : offsets[branch + 1]].copy()
            rewards[t], terminated[t], _ = step(instances, branch, x, observations[t])
            states[t] = [*(instance["state"][name] for name in columns), instance["state"]["substeps"]]
            draws_used[t] = instance["generator"]["position"]
    return Replay(recorded, states, observations, rewards, terminated, draws_used)
