"""A video of one episode."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space, iterate

from reworld.video import film_episode, save_film
from reworld_baselines.evaluation import EVALUATION_SEED, Agent


def record_episode(file: Path, agent: Agent, environment: str, seed: int = EVALUATION_SEED) -> None:
    """Film one episode, played without exploration, sub-steps of the actions included.

    Args:
        file: Where to: an MP4.
        agent: Who plays.
        environment: Id, such as ``"reworld/Platform-v0"``.
        seed: Seed of the episode; by default it is the first of an evaluation.

    Raises:
        gymnasium.error.DependencyNotInstalled: If pygame or moviepy is missing.
    """
    env = gymnasium.make(environment, render_mode="rgb_array_list")
    batched_actions = batch_space(env.action_space, 1)

    def act(observation: Any) -> Any:
        return next(iter(iterate(batched_actions, agent.act(np.asarray(observation)[np.newaxis]))))

    save_film(file, film_episode(env, act, seed), env.metadata["render_fps"])
    env.close()
