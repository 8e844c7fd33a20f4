"""Make the pictures of the worlds in ``docs/images``: ``python docs/make_images.py [NAME …]``.

Each shows one episode of a policy of a few rules, drawn by the environment itself.
"""

import sys
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


FILMS: dict[str, tuple[str, int, int, int, int, dict[str, Any]]] = {
    # file: id, seed, how many steps, every how manieth picture, milliseconds of each, what the environment is made with
    "platform": ("reworld/Platform-v0", 3, 50, 2, 40, {}),
    "cartpole": ("reworld/CartPole-v0", 1, 300, 2, 40, {"configuration": {"wind": 10.0}}),
    "goal": ("reworld/Goal-v1", 0, 20, 1, 60, {}),
    "hard_goal": ("reworld/HardGoal-v1", 0, 20, 1, 60, {}),
    "catch_point": ("reworld/CatchPoint-v0", 0, 50, 1, 200, {}),
    "hard_move": ("reworld/HardMove-v0", 0, 50, 1, 200, {"n": 6}),
    "moving": ("reworld/Moving-v0", 0, 300, 2, 60, {}),
    "sliding": ("reworld/Sliding-v0", 0, 300, 2, 60, {}),
    "block_world": ("reworld/BlockWorld-v0", 0, 200, 1, 200, {}),
    "tabular": ("reworld/Tabular-v0", 0, 60, 1, 200, {}),
}


def film(name: str, seed: int, steps: int, **arguments: Any) -> list[Picture]:
    """Let a world's own rules play an episode.

    Args:
        name: Id of the environment.
        seed: Of the episode.
        steps: How many at most.
        arguments: What the environment is made with.

    Returns:
        All its pictures, uint8 of shape (height, width, 3).
    """
    env: Any = gymnasium.make(name, render_mode="rgb_array_list", **arguments)
    policy = scripted_policy(env.unwrapped.world)
    observation, _ = env.reset(seed=seed)
    for _ in range(steps):
        observation, _, terminated, truncated, _ = env.step(policy(observation))
        if terminated or truncated:
            break
    pictures: Any = env.render()
    env.close()
    return list(pictures)


def save_gif(pictures: list[Picture], milliseconds: int, path: Path) -> None:
    """Save pictures as an animation, which stops for a moment at the end.

    Args:
        pictures: uint8 of shape (height, width, 3).
        milliseconds: How long each is shown.
        path: Where.
    """
    # One palette for all keeps colours still. What does not change is left transparent, which compresses best.
    palette = Image.fromarray(np.concatenate(pictures[:: len(pictures) // 8])).quantize(_TRANSPARENT)
    indices = [np.asarray(Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE)) for p in pictures]
    changes = [np.where(now == before, np.uint8(_TRANSPARENT), now) for before, now in pairwise(indices)]
    frames = [Image.fromarray(frame) for frame in [indices[0], *changes]]
    for frame in frames:
        frame.putpalette(palette.getpalette() or [])
    pauses = [milliseconds] * (len(frames) - 1) + [1500]
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=pauses, loop=0, transparency=_TRANSPARENT, disposal=1
    )


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, (id, seed, steps, every, milliseconds, arguments) in FILMS.items():
        if len(sys.argv) == 1 or name in sys.argv[1:]:
            pictures = film(id, seed, steps, **arguments)
            save_gif(pictures[::every] + pictures[-1:], milliseconds, IMAGES / f"{name}.gif")
            if name == "platform":
                Image.fromarray(pictures[430]).save(IMAGES / "platform.png", optimize=True)
            print(name, len(pictures), "pictures", round((IMAGES / f"{name}.gif").stat().st_size / 1024), "KiB")
