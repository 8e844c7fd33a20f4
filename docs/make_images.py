"""Make the pictures of the worlds in ``docs/images``: ``python docs/make_images.py``.

Each shows one episode of a policy of a few rules, drawn by the environment itself.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

import reworld  # noqa: F401  (registers the worlds)
from reworld.policies import scripted_policy
from reworld.rendering import Picture

IMAGES = Path(__file__).parent / "images"
_TRANSPARENT = 255  # After the last colour of the palette.


def film(name: str, seed: int, steps: int, configuration: Any = None) -> list[Picture]:
    """Let a world's own rules play an episode.

    Args:
        name: Id of the environment.
        seed: Of the episode.
        steps: How many at most.
        configuration: Of the environment.

    Returns:
        All its pictures, uint8 of shape (height, width, 3).
    """
    env: Any = gymnasium.make(name, render_mode="rgb_array_list", configuration=configuration)
    policy = scripted_policy(env.unwrapped.world)
    observation, _ = env.reset(seed=seed)
    for _ in range(steps):
        observation, _, terminated, truncated, _ = env.step(policy(observation))
        if terminated or truncated:
            break
    pictures: Any = env.render()
    env.close()
    return list(pictures)


def save_gif(pictures: list[Picture], path: Path) -> None:
    """Save pictures as an animation of 25 per second, which stops for a moment at the end.

    Args:
        pictures: uint8 of shape (height, width, 3).
        path: Where.
    """
    # One palette for all keeps colours still. What does not change is left transparent, which compresses best.
    palette = Image.fromarray(np.concatenate(pictures[:: len(pictures) // 8])).quantize(_TRANSPARENT)
    indices = [np.asarray(Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE)) for p in pictures]
    changes = [np.where(now == before, np.uint8(_TRANSPARENT), now) for before, now in pairwise(indices)]
    frames = [Image.fromarray(frame) for frame in [indices[0], *changes]]
    for frame in frames:
        frame.putpalette(palette.getpalette() or [])
    pauses = [40] * (len(frames) - 1) + [1500]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=pauses, loop=0, transparency=_TRANSPARENT, disposal=1
    )


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    platform = film("reworld/Platform-v0", seed=3, steps=50)
    save_gif(platform[::2] + platform[-1:], IMAGES / "platform.gif")
    Image.fromarray(platform[430]).save(IMAGES / "platform.png", optimize=True)
    cartpole = film("reworld/CartPole-v0", seed=1, steps=300, configuration={"wind": 10.0})
    save_gif(cartpole[::2], IMAGES / "cartpole.gif")
