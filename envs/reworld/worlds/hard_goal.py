"""Hard Goal: Goal with ten shots, each at its own part of the goal line.

Source: Li et al., "HyAR: Addressing Discrete-Continuous Reinforcement Learning via Hybrid Action Representation", ICLR 2022
(arXiv 2109.05490); DLPA compares on it too. There a function in each training script maps these actions, whose parameters
are in [-1, 1], to those of Goal. At the default configuration the trajectories of version 0 equal those of that function, bit
for bit, with all that is odd in them; version 1 is what was meant, on the mended [Goal](goal.md):

| what the published code does | and what follows | version 1 |
| --- | --- | --- |
| shots 6 to 10 are shots 1 to 5 again | 11 actions, 6 different ones | ten tenths of the goal line, from right to left |
| the middle interval is [0.2, 0.2] | shots 3 and 8 ignore their parameter; none can go to the middle | no hole |
| the parameter is mirrored | 1 is the right end of an interval | 1 is its left end |
| parameters beyond [-1, 1] are taken as they are | shots leave their interval | they are clipped |
| `kick_to` ignores its y, and the other faults of Goal | see there | mended there |

State, observation, reward, the end of an episode and the parameters of the dynamics are Goal's.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from reworld.generator import Generator
from reworld.rendering import Canvas
from reworld.world import Branch, Quantity, Record, Vector
from reworld.worlds import goal
from reworld.worlds.goal import HALF_MOUTH, KICK_TO, MENDED, draw_pitch, play, within
from reworld.worlds.goal import policy as play_goal

_TARGET = (
    Quantity("x", -1.0, 1.0, "", "where to kick it to, from the player's line to the goal line"),
    Quantity("y", -1.0, 1.0, "", "where to kick it to, from right to left"),
)

_PUBLISHED_BRANCHES = (
    Branch("kick_to", "kick the ball, and walk after it", _TARGET),
    *(
        Branch(
            f"shoot_{side}_{k}",
            "shoot at an interval of the goal line",
            (Quantity("place", -1.0, 1.0, "", "from left to right"),),
        )
        for side in ("left", "right")
        for k in range(1, 6)
    ),
)

_BRANCHES = (
    Branch("kick_to", "kick the ball, and walk after it", _TARGET),
    *(
        Branch(f"shoot_{k}", "shoot at a tenth of the goal line", (Quantity("place", -1.0, 1.0, "", "from right to left"),))
        for k in range(1, 11)
    ),
)

# Intervals of the goal line, from -1 at its right end to 1 at its left one: those of shots 1 to 5, and of shots 6 to 10.
_LOWS = np.array([-1.0, -0.6, 0.2, 0.2, 0.6])
_HIGHS = np.array([-0.6, -0.2, 0.2, 0.6, 1.0])


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Kick to the target until the ball lies still in front of the player, or shoot until the episode terminates."""
    target_x, target_y = aim(branch, x, c)
    return play(state, branch == KICK_TO, target_x, target_y, c, rng)


def aim(branch: int, x: Vector, c: Record) -> tuple[float, float]:
    """Give the target of an action."""
    if branch == KICK_TO:
        if MENDED:
            return 0.5 * c.pitch_length * (within(x[0], -1.0, 1.0) + 1.0), 0.5 * c.pitch_width * within(x[1], -1.0, 1.0)
        both = within(c.pitch_length * (x[0] + 1.0), 0.0, 2.0 * c.pitch_length)
        return both, both
    half = c.goal_width / 2.0
    if MENDED:
        y = half * (0.1 * within(x[0], -1.0, 1.0) + 0.2 * branch - 1.1)
    else:
        low, high = _LOWS[(branch - 1) % 5], _HIGHS[(branch - 1) % 5]
        minus_half = (low - high) / 2.0
        place = low - minus_half + x[0] * minus_half
        # To the last bit as HyAR's wrapper computes it; the last factor is 1 unless the goal has another width.
        y = (2.0 * HALF_MOUTH * (place + 1.0) / 2.0 - HALF_MOUTH) * (c.goal_width / 14.02)
    return c.pitch_length + c.ball_radius, within(y, -half, half)


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Play Goal by its own rules, with the shot whose interval is nearest."""
    branch, x = play_goal(observation)
    if branch == KICK_TO:
        return KICK_TO, (x[0] / 10.0 - 1.0, x[1] / 15.0) if MENDED else (x[0] / 20.0 - 1.0, 0.0)
    place = x[0] / 7.01
    if MENDED:
        shot = min(max(math.ceil(5.0 * (place + 1.0)), 1), 10)
        return shot, (within(10.0 * (place - 0.2 * shot + 1.1), -1.0, 1.0),)
    shot = 1 + int(np.argmin(np.maximum(_LOWS - place, place - _HIGHS)))
    middle, half = (_LOWS[shot - 1] + _HIGHS[shot - 1]) / 2.0, (_HIGHS[shot - 1] - _LOWS[shot - 1]) / 2.0
    return shot, (within((middle - place) / max(half, 1e-9), -1.0, 1.0),)


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the pitch, the players, the ball with its way, and the target of the last action."""
    draw_pitch(canvas, state, c, aim(*canvas.action, c) if canvas.action else None)


V0 = replace(goal.V0, name="HardGoal", branches=_PUBLISHED_BRANCHES, step=step, policy=policy, draw=draw)

V1 = replace(goal.V1, name="HardGoal", branches=_BRANCHES, step=step, policy=policy, draw=draw)
