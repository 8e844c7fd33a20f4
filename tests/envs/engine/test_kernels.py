"""Uncompiled, as under a debugger, a world takes the same trajectory as compiled."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from reworld.engine.kernels import instances_of
from reworld.environment import WorldEnv
from reworld.vector import WorldVectorEnv
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.platform import WORLD as PLATFORM

WORLDS = ("reworld.worlds.cartpole:WORLD", "reworld.worlds.platform:WORLD")


def single_trajectory(world: str) -> list[Any]:
    """A few episodes of a single environment, each in another configuration."""
    env = WorldEnv(world, configuration="random")
    env.action_space.seed(0)
    trajectory: list[Any] = []
    for seed in range(4):
        observation, _ = env.reset(seed=seed)
        trajectory.append(observation.tolist())
        for _ in range(4):
            observation, reward, terminated, _, info = env.step(env.action_space.sample())
            trajectory.append([observation.tolist(), reward, terminated, info["success"], info["configuration"].tolist()])
            if terminated:
                break
    return trajectory


def vector_trajectory(world: str) -> list[Any]:
    """A few episodes of a batch, spread over two threads."""
    batch = WorldVectorEnv(world, 3, 5, "SameStep", configuration="random", threads=2)
    batch.action_space.seed(0)
    trajectory: list[Any] = [batch.reset(seed=0)[0].tolist()]
    for _ in range(6):
        *results, info = batch.step(batch.action_space.sample())
        final = info["final_obs"].tolist() if "final_obs" in info else None
        trajectory.append([*(array.tolist() for array in results), info["success"].tolist(), final])
    batch.close()
    return trajectory


def states(world: str) -> list[Any]:
    """What a step leads to from a state that was saved compiled, single and batched."""
    outcomes: list[Any] = []
    for env, state in zip((WorldEnv(world), WorldVectorEnv(world, 2)), saved_states(world), strict=True):
        env.action_space.seed(0)
        env.set_state(state)  # type: ignore[attr-defined]
        outcomes.append(np.asarray(env.step(env.action_space.sample())[0]).tolist())
    return outcomes


def saved_states(world: str) -> tuple[Any, Any]:
    saved = os.environ.get("SAVED_STATES")
    if saved:
        found: tuple[Any, Any] = pickle.loads(bytes.fromhex(saved))[world]
        return found
    env, batch = WorldEnv(world), WorldVectorEnv(world, 2)
    env.reset(seed=1)
    batch.reset(seed=2)
    return env.get_state(), batch.get_state()


def everything() -> dict[str, list[Any]]:
    return {
        f"{function.__name__} {world}": function(world)
        for function in (single_trajectory, vector_trajectory, states)
        for world in WORLDS
    }


@pytest.fixture(scope="module")
def uncompiled() -> dict[str, list[Any]]:
    """What `everything` gives in a process where Numba is switched off."""
    environment = {
        **os.environ,
        "NUMBA_DISABLE_JIT": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]),
        "SAVED_STATES": pickle.dumps({world: saved_states(world) for world in WORLDS}).hex(),
    }
    source = "import json, numba, test_kernels; assert numba.config.DISABLE_JIT; print(json.dumps(test_kernels.everything()))"
    run = subprocess.run([sys.executable, "-c", source], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, list[Any]] = json.loads(run.stdout)
    return found


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="Numba is switched off already")
@pytest.mark.parametrize("function", [single_trajectory, vector_trajectory, states], ids=lambda function: function.__name__)
@pytest.mark.parametrize("world", WORLDS)
def test_uncompiled_equals_compiled(world: str, function: Any, uncompiled: dict[str, list[Any]]) -> None:
    assert uncompiled[f"{function.__name__} {world}"] == function(world)


@pytest.mark.parametrize("world", [CARTPOLE, PLATFORM], ids=lambda world: world.name)
def test_instances_are_allocated_as_zeros(world: Any) -> None:
    instances = instances_of(world, 3)
    assert instances.shape == (3,)
    assert instances.dtype.names == ("state", "configuration", "generator", "elapsed", "ended")
    assert not any(instances.tobytes())
    assert instances["state"].dtype.names == world.state
