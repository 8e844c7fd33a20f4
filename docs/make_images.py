"""Make the pictures of the worlds in ``docs/images``: ``python docs/make_images.py [NAME …]``.

Each film shows one episode of a policy of a few rules, drawn by the environment itself; of a Configurable world two, first
without changing it, then with. Two pictures are of no world: ``levels`` and ``costs``.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import pettingzoo

import reworld.changing.levels.multi  # noqa: F401  (registers the worlds and the games)
from reworld.changing.setup import SetUp, read_changing
from reworld.policies import compose_action, scripted_policy
from reworld.rendering import Picture
from reworld.video import save_film

IMAGES = Path(__file__).parent / "images"
_PAUSE = 1500  # Milliseconds for which the last picture of an episode is shown.


@dataclass(frozen=True)
class Show:
    """What a film shows.

    Args:
        id: Of the environment.
        seed: Of the episode.
        steps: How many at most.
        every: Of how many pictures one is taken.
        milliseconds: How long each is shown.
        arguments: What the environment is made with.
        look: For how many milliseconds more the outcome of a change is shown.
    """

    id: str
    seed: int
    steps: int
    every: int
    milliseconds: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    look: int = 700


SHOWS = {
    "platform": Show("reworld/Platform-v0", 3, 50, 2, 40),
    "cartpole": Show("reworld/CartPole-v0", 1, 300, 2, 40, {"configuration": {"wind": 10.0}}),
    "goal": Show("reworld/Goal-v1", 0, 20, 1, 60),
    "hard_goal": Show("reworld/HardGoal-v1", 5, 20, 1, 60),
    "catch_point": Show("reworld/CatchPoint-v0", 3, 50, 1, 200),
    "hard_move": Show("reworld/HardMove-v0", 4, 50, 1, 200, {"n": 6}),
    "moving": Show("reworld/Moving-v0", 4, 300, 2, 60),
    "sliding": Show("reworld/Sliding-v0", 12, 300, 2, 60),
    "block_world": Show("reworld/BlockWorld-v0", 3, 200, 1, 200),
    "tabular": Show("reworld/Tabular-v0", 0, 60, 1, 200),
    "configurable_platform": Show("reworld/ConfigurablePlatform-v0", 3, 60, 3, 40),
    "configurable_cartpole": Show("reworld/ConfigurableCartPole-v0", 25, 200, 3, 60),
    "configurable_goal": Show("reworld/ConfigurableGoal-v1", 2, 20, 1, 60),
    "configurable_hard_goal": Show("reworld/ConfigurableHardGoal-v1", 3, 20, 1, 60),
    "configurable_catch_point": Show("reworld/ConfigurableCatchPoint-v1", 4, 25, 2, 150),
    "configurable_hard_move": Show("reworld/ConfigurableHardMove-v0", 0, 30, 2, 150),
    "configurable_moving": Show("reworld/ConfigurableMoving-v1", 1, 200, 4, 80),
    "configurable_sliding": Show("reworld/ConfigurableSliding-v1", 2, 200, 4, 80),
    "configurable_tabular": Show("reworld/ConfigurableTabular-v0", 0, 100, 2, 120),
    "configurable_block_world": Show("reworld/ConfigurableBlockWorld-v0", 26, 200, 7, 120, look=200),
}


def film(show: Show) -> list[Picture]:
    """Let a world's own rules play an episode.

    Args:
        show: What is to be shown.

    Returns:
        All its pictures.
    """
    env: Any = gymnasium.make(show.id, render_mode="rgb_array_list", max_episode_steps=show.steps, **show.arguments)
    world, set_up = env.unwrapped.world, env.spec.kwargs.get("changing")
    pictures = []
    if set_up is not None:
        offer = read_changing(set_up)
        assert isinstance(offer, SetUp)
        pictures += _play(env, lambda seen: compose_action(world, *offer.without(seen)), show)
    return pictures + _play(env, scripted_policy(world), show)


def _play(env: Any, act: Callable[[Any], Any], show: Show) -> list[Picture]:
    observation, _ = env.reset(seed=show.seed)
    shown, passed, ended = list(env.render()), 1, False
    while not ended:
        observation, _, terminated, truncated, info = env.step(act(observation))
        ended = terminated or truncated
        for picture in env.render():
            if passed % show.every == 0:
                shown.append(picture)
            passed += 1
        if ended or info.get("configured"):
            shown += [picture] * ((_PAUSE if ended else show.look) // show.milliseconds)
    return shown


def draw_levels(file: Path) -> None:
    """Draw a game in which a machine was bought, by which the river was stilled."""
    game: Any = pettingzoo.make("aec", "reworld/RiverSwimLevels-v0", render_mode="rgb_array")
    game.reset(seed=3)
    for agent in game.agent_iter(25):
        action = {"level_2": 1, "level_1": 2, "level_0": 1}[agent]
        mask = game.infos[agent].get("action_mask")
        game.step(action if mask is None or mask[action] else int(np.flatnonzero(mask)[-1]))
    save_film(file, [game.render()], 1)


def draw_costs(file: Path) -> None:
    """Plot what changes cost, by how far they go."""
    x = np.linspace(-1.0, 1.0, 201)
    rate = 4.0
    figure, axes = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    axes.plot(x, np.abs(x), color="tab:grey", label="l1")
    axes.plot(x, x * x, color="tab:blue", label="quadratic")
    axes.plot(x, np.expm1(rate * np.abs(x)) / np.expm1(rate), color="tab:orange", label=f"exponential, rate {rate:g}")
    axes.set(xlabel="change, as a share of the range", ylabel="cost", title="Each scaled so that the whole range costs 1")
    axes.legend()
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    for name, draw in (("levels", draw_levels), ("costs", draw_costs)):
        if len(sys.argv) == 1 or name in sys.argv[1:]:
            draw(IMAGES / f"{name}.png")
    for name, show in SHOWS.items():
        if len(sys.argv) == 1 or name in sys.argv[1:]:
            pictures = film(show)
            save_film(IMAGES / f"{name}.gif", pictures, round(1000 / show.milliseconds))
            print(name, len(pictures), "pictures", round((IMAGES / f"{name}.gif").stat().st_size / 1024), "KiB")
