"""Every recorded file beside the world that must take the same trajectories."""

from golden.replay import Recording
from reworld.worlds import catch_point, goal, hard_goal, hard_move, moving, platform, sliding

_POINT = {
    "agent_x": "x",
    "agent_y": "y",
    "agent_vx": "vx",
    "agent_vy": "vy",
    "target_x": "target_x",
    "target_y": "target_y",
}
_AGENT = {
    "agent_x": "x",
    "agent_y": "y",
    "speed": "speed",
    "theta": "theta",
    "target_x": "target_x",
    "target_y": "target_y",
    "target_radius": "target_radius",
    "current_step": "clock",
}
_PITCH = {name: name for name in goal.STATE if name != "substeps"}

# The wrapper divides the direction from the goalie to the ball by `numpy.linalg.norm`.
_DIRECTION = (14, 15)

PLATFORM = Recording(
    platform.WORLD,
    "platform.npz",
    {
        "player_x": "x",
        "player_y": "y",
        "player_vx": "vx",
        "player_vy": "vy",
        "enemy1_x": "enemy1_x",
        "enemy1_dx": "enemy1_dx",
        "enemy2_x": "enemy2_x",
        "enemy2_dx": "enemy2_dx",
    },
)
GOAL = Recording(goal.goal_v0(features=14), "goal.npz", _PITCH)

RECORDINGS = {
    "Platform": PLATFORM,
    "Goal, 14 features": GOAL,
    "Goal, 17 features": Recording(goal.V0, "goal.npz", _PITCH, observations="x_obs17_scaled", fused=_DIRECTION),
    "Hard Goal": Recording(hard_goal.V0, "hard_goal.npz", _PITCH, fused=_DIRECTION),
    "Catch Point": Recording(catch_point.V0, "catch_point.npz", {**_POINT, "failed_catches": "failures"}),
    # The recorded table of motions depends on how a library sums where n is 8 or 10.
    **{
        f"Hard Move, n={n}": Recording(
            hard_move.hard_move(n), f"hard_move_{n}.npz", _POINT, tolerance=tolerance, shared_parameter=True
        )
        for n, tolerance in ((4, 0.0), (6, 0.0), (8, 1e-12), (10, 1e-12))
    },
    "Moving": Recording(moving.V0, "moving.npz", _AGENT, notice=moving.notice),
    "Sliding": Recording(sliding.V0, "sliding.npz", {**_AGENT, "phi": "phi"}, kept=("phi",), notice=sliding.notice),
}
