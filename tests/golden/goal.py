"""What the tests of Goal and of HardGoal share."""

from typing import Any

import numpy as np

from reworld.environment import WorldEnv
from reworld.policies import scripted_policy
from reworld.worlds.goal import STATE

FIELDS = {name: name for name in STATE if name != "substeps"}
"""The fields of the state by the recorded names."""


def assert_scaled_equal(found: np.ndarray, recorded: np.ndarray) -> None:
    """All bits of the float32 that is observed; of float64 those that do not depend on the machine of the recording.

    The wrapper divides the direction from the goalie to the ball by `numpy.linalg.norm`, which there fused a multiplication
    with an addition.
    """
    np.testing.assert_array_equal(found.astype(np.float32), recorded.astype(np.float32), strict=True)
    others = [*range(14), 16]
    np.testing.assert_array_equal(found[:, others], recorded[:, others], strict=True)
    np.testing.assert_allclose(found[:, 14:16], recorded[:, 14:16], rtol=0.0, atol=5e-16)


def level(world: Any, episodes: int) -> float:
    """Share of episodes that the scripted policy wins."""
    env, act, won = WorldEnv(world), scripted_policy(world), 0
    for seed in range(episodes):
        observation, info = env.reset(seed=seed)
        for _ in range(100):
            observation, _, terminated, _, info = env.step(act(observation))
            if terminated:
                break
        won += bool(info["success"])
    return won / episodes
