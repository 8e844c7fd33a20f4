"""The table of worlds, and how one more is added to it."""

import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium

_TABLE: tuple[tuple[str, str, int | None, float | None], ...] = (
    # id, world, time limit, reward threshold
    ("reworld/Platform-v0", "reworld.worlds.platform:WORLD", 200, 0.97),
    ("reworld/Goal-v0", "reworld.worlds.goal:goal_v0", None, 28.75),
    ("reworld/Goal-v1", "reworld.worlds.goal:goal_v1", 100, None),
    ("reworld/HardGoal-v0", "reworld.worlds.hard_goal:V0", None, 28.38),
    ("reworld/HardGoal-v1", "reworld.worlds.hard_goal:V1", 100, None),
    ("reworld/CatchPoint-v0", "reworld.worlds.catch_point:V0", 25, 8.12),
    ("reworld/CatchPoint-v1", "reworld.worlds.catch_point:V1", 25, None),
    ("reworld/HardMove-v0", "reworld.worlds.hard_move:hard_move", 30, 6.29),
    ("reworld/Moving-v0", "reworld.worlds.moving:V0", None, None),
    ("reworld/Moving-v1", "reworld.worlds.moving:V1", 200, None),
    ("reworld/Sliding-v0", "reworld.worlds.sliding:V0", None, None),
    ("reworld/Sliding-v1", "reworld.worlds.sliding:V1", 200, None),
    ("reworld/CartPole-v0", "reworld.worlds.cartpole:WORLD", 500, 475.0),
    ("reworld/BlockWorld-v0", "reworld.worlds.block_world:block_world", 200, None),
    ("reworld/Tabular-v0", "reworld.worlds.tabular:tabular", 100, None),
)

# The recommended model-changing set-up of each world, in `reworld.changing.recommended`: registered as its Configurable twin.
_SET_UPS = {
    "reworld/Platform-v0": "platform",
    "reworld/Goal-v1": "goal",
    "reworld/HardGoal-v1": "hard_goal",
    "reworld/CatchPoint-v1": "catch_point",
    "reworld/HardMove-v0": "hard_move",
    "reworld/Moving-v1": "moving",
    "reworld/Sliding-v1": "sliding",
    "reworld/CartPole-v0": "cartpole",
    "reworld/BlockWorld-v0": "block_world",
    "reworld/Tabular-v0": "tabular",
}


def register(
    id: str,
    world: str,
    max_episode_steps: int | None = None,
    reward_threshold: float | None = None,
    changing: str | Mapping[str, Any] | None = None,
) -> None:
    """Make a world known to ``gymnasium.make`` and ``gymnasium.make_vec``.

    Args:
        id: ``namespace/Name-vN``.
        world: Where to find it, as ``"package.module:NAME"``; nothing is imported yet.
        max_episode_steps: Steps after which an episode is truncated.
        reward_threshold: The return from which on the world counts as solved.
        changing: Which model-changing actions there are: where to find a `reworld.changing.Changing` or
            `reworld.changing.SetUp`, as ``"package.module:NAME"``, or the fields of one; None for none.
    """
    if id not in gymnasium.registry:
        gymnasium.register(
            id,
            entry_point="reworld.environment:WorldEnv",
            vector_entry_point="reworld.vector:WorldVectorEnv",
            max_episode_steps=max_episode_steps,
            reward_threshold=reward_threshold,
            # WorldEnv checks order and actions itself, at a small part of what the wrappers cost.
            order_enforce=False,
            disable_env_checker=True,
            kwargs={"world": world} if changing is None else {"world": world, "changing": changing},
        )


def register_all() -> None:
    """Register every world of reworld."""
    # A published benchmark is not out of date because a version with its faults mended stands beside it.
    warnings.filterwarnings("ignore", r".*reworld/\w+-v\d+ is out of date", DeprecationWarning)
    for id, world, time_limit, threshold in _TABLE:
        register(id, world, time_limit, threshold)
        if id in _SET_UPS:
            set_up = f"reworld.changing.recommended.{_SET_UPS[id]}:SET_UP"
            register(id.replace("/", "/Configurable"), world, time_limit, changing=set_up)
