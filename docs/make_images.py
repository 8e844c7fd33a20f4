"""Make the pictures of the worlds in ``docs/images``: ``python docs/make_images.py``.

Each shows one episode of a policy of a few rules, drawn by the environment itself.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

import reworld  # noqa: F401  (registers the worlds)
from reworld.rendering import Picture

IMAGES = Path(__file__).parent / "images"
RUN, HOP = 0, 1
_TRANSPARENT = 255  # After the last colour of the palette.


def hop_and_run(observation: Any) -> Any:
    """Play Platform: hop over the enemy so as to land two runs before the edge, run twice, hop over the gap.

    Args:
        observation: As Platform gives it, float32 of shape (9,).

    Returns:
        An action: the branch, and one array of parameters for each branch.
    """
    x, vx, enemy, _, width, _, _, left, _ = observation * [1055, 100, 1035, 60, 275, 275, 235, 1035, 40]
    x -= 20
    room = left + width - x
    if vx > 50:
        branch, parameter = (HOP, 720) if room < 68 else (RUN, 30)
    elif room > 0 and x < enemy:
        # A first run makes 67 units, every other one 70; a hop from rest makes 0.467 of what it aims at. Aim to be 16 units
        # from the edge after the runs.
        branch, parameter = HOP, ((room - 67) % 70 - 16 + 70) / 0.467
    else:
        branch, parameter = RUN, 30
    return branch, tuple(np.array([parameter if k == branch else 0], np.float32) for k in range(3))


def lean_against(observation: Any) -> int:
    """Play CartPole: push to where the pole leans and falls, a little also to where the cart drifts.

    Args:
        observation: As CartPole gives it, float32 of shape (4,).

    Returns:
        0 (left) or 1 (right).
    """
    return int(observation @ [0.15, 0.3, 3.0, 1.0] > 0.0)


def film(name: str, policy: Callable[[Any], Any], seed: int, steps: int, configuration: Any = None) -> list[Picture]:
    """Play an episode.

    Args:
        name: Id of the environment.
        policy: From an observation to an action.
        seed: Of the episode.
        steps: How many at most.
        configuration: Of the environment.

    Returns:
        All its pictures, uint8 of shape (height, width, 3).
    """
    env = gymnasium.make(name, render_mode="rgb_array_list", configuration=configuration)
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
    platform = film("reworld/Platform-v0", hop_and_run, seed=3, steps=50)
    save_gif(platform[::2] + platform[-1:], IMAGES / "platform.gif")
    Image.fromarray(platform[430]).save(IMAGES / "platform.png", optimize=True)
    cartpole = film("reworld/CartPole-v0", lean_against, seed=1, steps=300, configuration={"wind": 10.0})
    save_gif(cartpole[::2], IMAGES / "cartpole.gif")
