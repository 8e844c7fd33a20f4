"""Make the pictures of the worlds in ``docs/images``: ``python docs/make_images.py [NAME …]``.

Each shows one episode of a policy of a few rules, drawn by the environment itself.
"""

import sys
from pathlib import Path
from typing import Any

import gymnasium

import reworld  # noqa: F401  (registers the worlds)
from reworld.policies import scripted_policy
from reworld.rendering import Picture
from reworld.video import film_episode, save_film

IMAGES = Path(__file__).parent / "images"
_PAUSE = 1500  # Milliseconds for which the last picture is shown.


FILMS: dict[str, tuple[str, int, int, int, int, dict[str, Any]]] = {
    # file: id, seed, how many steps, every how manieth picture, milliseconds of each, what the environment is made with
    "platform": ("reworld/Platform-v0", 3, 50, 2, 40, {}),
    "cartpole": ("reworld/CartPole-v0", 1, 300, 2, 40, {"configuration": {"wind": 10.0}}),
    "goal": ("reworld/Goal-v1", 0, 20, 1, 60, {}),
    "hard_goal": ("reworld/HardGoal-v1", 5, 20, 1, 60, {}),
    "catch_point": ("reworld/CatchPoint-v0", 3, 50, 1, 200, {}),
    "hard_move": ("reworld/HardMove-v0", 4, 50, 1, 200, {"n": 6}),
    "moving": ("reworld/Moving-v0", 4, 300, 2, 60, {}),
    "sliding": ("reworld/Sliding-v0", 12, 300, 2, 60, {}),
    "block_world": ("reworld/BlockWorld-v0", 3, 200, 1, 200, {}),
    "tabular": ("reworld/Tabular-v0", 0, 60, 1, 200, {}),
}


def film(id: str, seed: int, steps: int, **arguments: Any) -> list[Picture]:
    """Let a world's own rules play an episode.

    Args:
        id: Of the environment.
        seed: Of the episode.
        steps: How many at most.
        arguments: What the environment is made with.

    Returns:
        All its pictures.
    """
    env: Any = gymnasium.make(id, render_mode="rgb_array_list", max_episode_steps=steps, **arguments)
    return list(film_episode(env, scripted_policy(env.unwrapped.world), seed))


if __name__ == "__main__":
    for name, (id, seed, steps, every, milliseconds, arguments) in FILMS.items():
        if len(sys.argv) == 1 or name in sys.argv[1:]:
            pictures = film(id, seed, steps, **arguments)
            pause = [pictures[-1]] * (_PAUSE // milliseconds)
            save_film(IMAGES / f"{name}.gif", pictures[::every] + pause, round(1000 / milliseconds))
            if name == "platform":
                save_film(IMAGES / "platform.png", pictures[:431], 1)
            print(name, len(pictures), "pictures", round((IMAGES / f"{name}.gif").stat().st_size / 1024), "KiB")
