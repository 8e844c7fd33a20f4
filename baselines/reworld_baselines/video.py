"""A video of one episode."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector.utils import batch_space, iterate

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
    try:
        from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter
    except ImportError as error:
        raise DependencyNotInstalled('moviepy is missing: pip install "reworld[render]"') from error
    env = gymnasium.make(environment, render_mode="rgb_array_list")
    batched_actions = batch_space(env.action_space, 1)
    observation, _ = env.reset(seed=seed)
    pictures: Any = env.render()
    height, width, _ = pictures[0].shape
    # Written as they come: a long episode's pictures would fill the memory.
    with FFMPEG_VideoWriter(str(file), (width, height), env.metadata["render_fps"]) as writer:
        ended = False
        while True:
            for picture in pictures:
                writer.write_frame(picture)
            if ended:
                break
            actions = agent.act(observation[np.newaxis])
            observation, _, terminated, truncated, _ = env.step(next(iter(iterate(batched_actions, actions))))
            ended = terminated or truncated
            pictures = env.render()
    env.close()
