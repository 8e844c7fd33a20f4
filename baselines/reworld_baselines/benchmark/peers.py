"""Steps per second of the published environments, for those that run on old versions of Gym alone.

Run it by their own interpreter, with nothing of reworld installed:

    python3 -m venv peers && peers/bin/pip install numpy==1.23.5 gym==0.10.5 pygame six
    git clone https://github.com/cycraig/gym-goal
    git clone https://github.com/thomashirtz/gym-hybrid
    git clone https://github.com/TJU-DRL-LAB/self-supervised-rl
    peers/bin/python -W ignore baselines/reworld_baselines/benchmark/peers.py . peers.json

The second argument names the file that ``python -m reworld_baselines.benchmark speed --peers`` takes.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Stepper = tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], bool], int]
"""How to reset; how to draw an action; how to take it, which tells whether the episode ends; and its longest length."""

_NEVER = 10**9


def goal(rng: np.random.RandomState) -> Stepper:
    """Take gym-goal's Goal-v0, without the wrappers of the papers."""
    import gym
    import gym_goal  # noqa: F401

    env = gym.make("Goal-v0").unwrapped

    def draw() -> Any:
        own = [rng.uniform([0.0, -15.0], [40.0, 15.0]), rng.uniform(-7.01, 7.01, 1), rng.uniform(-7.01, 7.01, 1)]
        return rng.randint(3), own

    return env.reset, draw, lambda action: env.step(action)[2], _NEVER


def moving(rng: np.random.RandomState, kind: str = "MovingEnv") -> Stepper:
    """Take gym-hybrid's environments."""
    from gym_hybrid import environments

    env = getattr(environments, kind)()
    return env.reset, lambda: (rng.randint(3), [rng.uniform(), rng.uniform(-1.0, 1.0)]), lambda a: env.step(a)[2], _NEVER


def sliding(rng: np.random.RandomState) -> Stepper:
    """Take gym-hybrid's Sliding-v0."""
    return moving(rng, "SlidingEnv")


def _particles(scenario: str, draw: Callable[[], Any], limit: int) -> Stepper:
    """HyAR's copy of the particle world, with the end rule of its scripts."""
    from multiagent import scenarios
    from multiagent.environment import MultiAgentEnv

    loaded = scenarios.load(scenario).Scenario()
    env = MultiAgentEnv(loaded.make_world(), loaded.reset_world, loaded.reward, loaded.observation)
    return env.reset, draw, lambda action: env.step(action)[1][0] > 4.0, limit


def catch_point(rng: np.random.RandomState) -> Stepper:
    """Take HyAR's simple_catch."""

    def draw() -> Any:
        catch = rng.randint(2)
        return [[1, rng.uniform(-np.pi, np.pi), 1 - catch, catch]]

    return _particles("simple_catch.py", draw, 25)


def hard_move(rng: np.random.RandomState, n: int) -> Stepper:
    """Take HyAR's simple_move_4_direction_v1 with n actuators."""
    draw: Callable[[], Any] = lambda: [[8, rng.randint(2**n), n, list(rng.uniform(-1.0, 1.0, 2**n))]]  # noqa: E731
    return _particles("simple_move_4_direction_v1.py", draw, 30)


PEERS: dict[str, Callable[[np.random.RandomState], Stepper]] = {
    "Goal": goal,
    "Moving": moving,
    "Sliding": sliding,
    "CatchPoint": catch_point,
    **{f"HardMove n={n}": lambda rng, n=n: hard_move(rng, n) for n in (4, 6, 8, 10)},  # type: ignore[misc]
}


def rate(stepper: Stepper, seconds: float = 3.0, rounds: int = 5) -> float:
    """Measure steps per CPU second under random actions made beforehand, the median over some rounds."""
    reset, draw, step, limit = stepper
    actions = [draw() for _ in range(1024)]
    rates, age = [], 0
    reset()
    for _ in range(rounds):
        steps, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            for action in actions[:64]:
                age += 1
                if step(action) or age >= limit:
                    reset()
                    age = 0
            actions = actions[64:] + actions[:64]
            steps += 64
        rates.append(steps / (time.process_time() - start))
    return statistics.median(rates)


def main(folder: str, output: str) -> None:
    """Measure every peer.

    Args:
        folder: Where the three repositories were cloned.
        output: JSON file to write.
    """
    hyar = "self-supervised-rl/RL_with_Action_Representation/HyAR"
    sys.path[:0] = [str(Path(folder) / name) for name in ("gym-goal", "gym-hybrid", hyar)]
    rates = {name: rate(make(np.random.RandomState(0))) for name, make in PEERS.items()}
    Path(output).write_text(json.dumps(rates, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
