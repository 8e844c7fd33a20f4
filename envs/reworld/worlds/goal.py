"""Goal: kick a ball across half a football pitch, around the goalkeeper and into the goal.

Source: Masson, Ranchod, Konidaris, "Reinforcement Learning with Parameterized Actions", AAAI 2016 (arXiv 1509.01644), in
the form that later work compares on, Bester's gym-goal (arXiv 1905.04388) behind the wrappers of MP-DQN, which HyAR and DLPA
share. At the default configuration the trajectories of version 0 equal theirs, bit for bit, with all that is odd in them;
version 1 is the game that was meant:

| what the published code does | and what follows | version 1 |
| --- | --- | --- |
| `kick_to` ignores its y: the target is (x, x) | the ball goes to the left, whatever is asked for | the target is (x, y) |
| `kick_to`'s x ends at 40, the field at 20 | half of the parameter kicks the ball out | it ends at 20 |
| `shoot_left` and `shoot_right` are the same | one of them is superfluous | each has its half of the mouth |
| a sign is wrong below the lower post | a miss there costs up to 14 too much | it costs the distance |
| the 100th action is not taken, and terminates | time is up unseen, and looks like a failure | the time limit truncates |
| a ball faster than the net is deep flies over it | a goal is not one | what crosses the line in the mouth is in |
| noise turns by a share of the angle | none straight on, none alike left and right | it turns alike everywhere, by radians |
| the goalie chases a ball that comes straight on | instead of standing in its way | it intercepts that one too |
| orientation is not wrapped, players may leave the pitch | observations leave their space | both are kept within bounds |
| the goalie's shadow is clipped to [-7.01, 14.02] | 0 is observed as -1/3 | it is clipped alike on both sides |

Both versions: kicks aim from where the player stands, not the ball, at a speed with which the ball would stop at the target; a
ball that stays near is kicked again in every sub-step; `kick_to` lasts until the ball lies still in front of the player, a shot
until the episode terminates, and either for 1,000 sub-steps at most, far more than they take in the default configuration.

`features=17`, the default, observes what all papers do: 14 raw numbers, the direction from the goalie to the ball and the
shadow of the goalie on the goal line, scaled so that the default pitch is [-1, 1]. `features=14` observes the raw numbers. What
differs: the observation leaves out the number of sub-steps (the state holds it), and is float32.

The reward is 50 for a goal, or, when the goalie catches the ball or it leaves the field, minus its distance from the goal; an
episode terminates with either. It is a success if that was a goal.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from reworld.errors import InvalidOption
from reworld.generator import Generator, uniform
from reworld.rendering import AGENT, DANGER, GRASS, INK, PAPER, WOOD, Canvas, Color
from reworld.world import Branch, Parameter, Quantity, Record, Vector, World

MENDED = False
"""Whether this is version 1."""

PARAMETERS = (
    Parameter("pitch_length", 15.0, 30.0, "units", "from the line where the player starts to the goal line", 20.0),
    Parameter("pitch_width", 20.0, 40.0, "units", "width of the pitch", 30.0),
    Parameter("goal_width", 6.0, 18.0, "units", "width of the goal", 14.02),
    Parameter("goal_area_length", 2.0, 8.0, "units", "distance from the goal line at which the goalie starts", 5.5),
    Parameter("goal_area_width", 2.0, 20.0, "units", "width of the strip in which the goalie starts", 18.32),
    Parameter("player_radius", 0.5, 1.0, "units", "size of the player", 0.9),
    Parameter("goalie_radius", 0.5, 3.0, "units", "size of the goalie", 0.9),
    Parameter("ball_radius", 0.2, 0.5, "units", "size of the ball", 0.4),
    Parameter("player_decay", 0.1, 0.8, "", "share of its speed that the player keeps in a sub-step", 0.4),
    Parameter("goalie_decay", 0.1, 0.8, "", "share of its speed that the goalie keeps", 0.4),
    Parameter("ball_decay", 0.85, 0.97, "", "share of its speed that the ball keeps", 0.94),
    Parameter("player_speed", 0.05, 1.0, "units", "highest speed of the player in each direction, per sub-step", 1.0),
    Parameter("goalie_speed", 0.05, 1.0, "units", "highest speed of the goalie", 1.0),
    Parameter("ball_speed", 0.3, 4.0, "units", "highest speed of the ball, and most that a kick adds to it", 2.7),
    Parameter("player_power_rate", 0.003, 0.03, "", "acceleration of the player by a unit of power", 0.006),
    Parameter("goalie_power_rate", 0.0, 0.03, "", "acceleration of the goalie by a unit of power", 0.006),
    Parameter("kick_power_rate", 0.005, 0.05, "", "acceleration of the ball by a unit of power", 0.027),
    Parameter("player_noise", 0.0, 0.3, "", "random turn of a dash, and random acceleration as a share of speed", 0.1),
    Parameter("goalie_noise", 0.0, 0.3, "", "the same of the goalie", 0.1),
    Parameter("ball_noise", 0.0, 0.3, "", "the same of a kick", 0.05),
    Parameter("kickable_distance", 1.5, 3.0, "units", "from how far the player can kick the ball", 1.6),
    Parameter("catch_distance", 1.0, 4.0, "units", "from how far the goalie can catch it", 2.0),
    Parameter("catch_probability", 0.0, 1.0, "", "how often it does, per sub-step", 1.0),
    Parameter("most_power", 20.0, 200.0, "", "highest power of a kick", 100.0),
    Parameter("dash_power", 5.0, 50.0, "", "power with which the player runs", 10.0),
    Parameter("intercept_power", 0.0, 60.0, "", "power with which the goalie runs into the way of a shot", 20.0),
    Parameter("chase_power", 0.0, 60.0, "", "power with which it runs otherwise", 8.0),
    Parameter("turn_inertia", 0.0, 50.0, "", "how much the player's speed hinders its turns", 5.0),
    Parameter("turn_tolerance", 0.05, 1.5, "rad", "from which error of its direction on the player turns", math.pi / 8),
    Parameter("still", 0.02, 0.5, "units", "speed of the ball at which kick_to may end", 0.1),
)

STATE = (
    *("player_x", "player_y", "player_vx", "player_vy", "player_theta"),
    *("goalie_x", "goalie_y", "goalie_vx", "goalie_vy", "goalie_theta"),
    *("ball_x", "ball_y", "ball_vx", "ball_vy", "time", "substeps"),
)

GOAL_REWARD, GOAL_DEPTH = 50.0, 2.44

_LAST_STEP, _MOST_SUBSTEPS = 100.0, 1000.0

# What the wrappers scale by, in float32. It stays what it is when a parameter changes, so that the same number always means
# the same length.
HALF_MOUTH = float(np.float32(7.01))
_PI = float(np.float32(math.pi))
_SHADOW = float(np.float32(14.02) - np.float32(-7.01))

# Gymnasium's checker warns of infinite bounds.
_UNBOUNDED = float(np.finfo(np.float32).max)


def observation(mended: bool, features: int) -> tuple[Quantity, ...]:
    """List what is observed.

    Args:
        mended: Whether of version 1.
        features: 14 for the raw numbers, 17 for the scaled ones.
    """
    # Half the size of the largest pitch; the ball leaves it by a sub-step at most, and may be pushed on by who stands there.
    length, width = (30.0, 20.0) if mended else (_UNBOUNDED, _UNBOUNDED)
    theta = math.pi if mended else _UNBOUNDED
    raw = [
        (f"{who}_{name}", low, high, unit, f"{meaning} of the {who}", shift, span)
        for who in ("player", "goalie")
        for name, low, high, unit, meaning, shift, span in (
            ("x", 0.0 if mended else -length, length, "units", "position", 0.0, 20.0),
            ("y", -width, width, "units", "position", -15.0, 30.0),
            ("vx", -1.0, 1.0, "units", "velocity", -1.0, 2.0),
            ("vy", -1.0, 1.0, "units", "velocity", -1.0, 2.0),
            ("theta", -theta, theta, "rad", "orientation", -_PI, 2.0 * _PI),
        )
    ]
    raw += [
        ("ball_x", -8.0, 38.0, "units", "position of the ball", 0.0, 20.0),
        ("ball_y", -28.0, 28.0, "units", "position of the ball", -15.0, 30.0),
        ("ball_vx", -4.0, 4.0, "units", "velocity of the ball", -3.0, 6.0),
        ("ball_vy", -4.0, 4.0, "units", "velocity of the ball", -3.0, 6.0),
    ]
    if features == 14:
        return tuple(Quantity(*entry[:5]) for entry in raw)
    raw += [
        ("goalie_ball_x", -1.0, 1.0, "", "direction from the goalie to the ball", -1.0, 2.0),
        ("goalie_ball_y", -1.0, 1.0, "", "direction from the goalie to the ball", -1.0, 2.0),
        (
            *("shadow", -9.0, 9.0 if mended else 18.0, "units", "shadow of the goalie on the goal line"),
            *(-HALF_MOUTH, 2.0 * HALF_MOUTH if mended else _SHADOW),
        ),
    ]
    return tuple(
        Quantity(name, _scaled_bound(low, shift, span), _scaled_bound(high, shift, span), "", f"{meaning}, scaled")
        for name, low, high, _, meaning, shift, span in raw
    )


def _scaled_bound(bound: float, low: float, span: float) -> float:
    return bound if abs(bound) == _UNBOUNDED else _scaled(bound, low, span)


KICK_TO, SHOOT_LEFT, SHOOT_RIGHT = 0, 1, 2


def _branches(most_x: float, left_low: float, right_high: float) -> tuple[Branch, ...]:
    target_x = Quantity("x", 0.0, most_x, "units", "where to kick it to")
    target_y = Quantity("y", -15.0, 15.0, "units", "where to kick it to")
    left = Quantity("y", left_low, 7.01, "units", "where on the goal line")
    right = Quantity("y", -7.01, right_high, "units", "where on the goal line")
    return (
        Branch("kick_to", "kick the ball, and walk after it", (target_x, target_y)),
        Branch("shoot_left", "shoot at the goal", (left,)),
        Branch("shoot_right", "shoot at the goal", (right,)),
    )


def reset(state: Record, c: Record, rng: Generator) -> None:
    """Start anywhere on the left line, facing the goal with the ball at its feet and the goalie in the way."""
    state.player_x, state.player_y = 0.0, uniform(rng, -c.pitch_width / 2.0, c.pitch_width / 2.0)
    state.player_theta = math.atan2(0.0 - state.player_y, c.pitch_length)
    # gym-goal's own: so that the ball can be kicked whatever rounding does.
    reach = c.kickable_distance - 1e-12
    state.ball_x = reach * math.cos(state.player_theta)
    state.ball_y = state.player_y + reach * math.sin(state.player_theta)
    slope = -state.ball_y / (c.pitch_length - state.ball_x)
    half = c.goal_area_width / 2.0
    state.goalie_x = max(state.ball_x, c.pitch_length - c.goal_area_length)
    state.goalie_y = min(max(slope * state.goalie_x + (state.ball_y - slope * state.ball_x), -half), half)
    state.goalie_theta = math.atan2(state.ball_y - state.goalie_y, state.ball_x - state.goalie_x)
    state.player_vx, state.player_vy = 0.0, 0.0
    state.goalie_vx, state.goalie_vy = 0.0, 0.0
    state.ball_vx, state.ball_vy = 0.0, 0.0
    state.time, state.substeps = 0.0, 0.0


def step(state: Record, branch: int, x: Vector, c: Record, rng: Generator) -> tuple[float, bool]:
    """Kick to the target until the ball lies still in front of the player, or shoot until the episode terminates."""
    target_x, target_y = aim(branch, x, c)
    return play(state, branch == KICK_TO, target_x, target_y, c, rng)


def aim(branch: int, x: Vector, c: Record) -> tuple[float, float]:
    """Give the target of an action; parameters beyond their bounds are clipped."""
    if branch == KICK_TO:
        if MENDED:
            return within(x[0], 0.0, c.pitch_length), within(x[1], -c.pitch_width / 2.0, c.pitch_width / 2.0)
        both = within(x[0], 0.0, 2.0 * c.pitch_length)
        return both, both
    half = c.goal_width / 2.0
    low = 0.0 if MENDED and branch == SHOOT_LEFT else -half
    high = 0.0 if MENDED and branch == SHOOT_RIGHT else half
    return c.pitch_length + c.ball_radius, within(x[0], low, high)


def play(state: Record, until_still: bool, target_x: float, target_y: float, c: Record, rng: Generator) -> tuple[float, bool]:
    """Kick at a target.

    Args:
        state: Written.
        until_still: Whether the action ends when the ball lies still in front of the player.
        target_x: Where to kick to.
        target_y: Where to kick to.
        c: Configuration.
        rng: Generator.

    Returns:
        Reward, and whether the episode terminates.
    """
    state.time += 1.0
    state.substeps = 0.0
    if not MENDED and state.time == _LAST_STEP:
        return -_goal_distance(state, c), True
    while True:
        reward, terminated = substep(state, target_x, target_y, c, rng)
        state.substeps += 1.0
        if terminated or state.substeps == _MOST_SUBSTEPS:
            break
        if until_still and _length(state.ball_vx, state.ball_vy) <= c.still and _ball_distance(state) <= c.kickable_distance:
            break
    return reward, terminated


def substep(state: Record, target_x: float, target_y: float, c: Record, rng: Generator) -> tuple[float, bool]:
    """Move everything for one unit of time; give the reward, and whether the episode terminates."""
    _act(state, target_x, target_y, c, rng)
    _keep(state, c, rng)
    state.player_x, state.player_y = state.player_x + state.player_vx, state.player_y + state.player_vy
    state.player_vx, state.player_vy = state.player_vx * c.player_decay, state.player_vy * c.player_decay
    state.goalie_x, state.goalie_y = state.goalie_x + state.goalie_vx, state.goalie_y + state.goalie_vy
    state.goalie_vx, state.goalie_vy = state.goalie_vx * c.goalie_decay, state.goalie_vy * c.goalie_decay
    state.ball_x, state.ball_y = state.ball_x + state.ball_vx, state.ball_y + state.ball_vy
    state.ball_vx, state.ball_vy = state.ball_vx * c.ball_decay, state.ball_vy * c.ball_decay
    _collide(state, c)
    if MENDED:
        half = c.pitch_width / 2.0
        state.player_x, state.player_y = within(state.player_x, 0.0, c.pitch_length), within(state.player_y, -half, half)
        state.goalie_x, state.goalie_y = within(state.goalie_x, 0.0, c.pitch_length), within(state.goalie_y, -half, half)
    if succeeded(state, c):
        return GOAL_REWARD, True
    lucky = uniform(rng, 0.0, 1.0) <= c.catch_probability
    caught = _length(state.goalie_x - state.ball_x, state.goalie_y - state.ball_y) < c.catch_distance and lucky
    if caught or not (0.0 <= state.ball_x <= c.pitch_length and abs(state.ball_y) <= c.pitch_width / 2.0):
        return -_goal_distance(state, c), True
    return 0.0, False


def succeeded(state: Record, c: Record) -> bool:
    """Whether the ball is in the goal."""
    beyond = state.ball_x - c.pitch_length
    y = state.ball_y
    if MENDED:
        if beyond >= 0.0 and state.ball_vx != 0.0:
            # Back along its way, to where it crossed the line.
            y -= beyond * state.ball_vy / state.ball_vx
        return beyond >= 0.0 and abs(y) <= c.goal_width / 2.0
    return beyond >= 0.0 and state.ball_x <= c.pitch_length + GOAL_DEPTH and abs(y) <= c.goal_width / 2.0


def observe_raw(state: Record, c: Record, out: Any) -> None:
    """Show players and ball as they are: the 14 numbers of gym-goal."""
    out[0], out[1] = state.player_x, state.player_y
    out[2], out[3] = state.player_vx, state.player_vy
    out[4] = state.player_theta
    out[5], out[6] = state.goalie_x, state.goalie_y
    out[7], out[8] = state.goalie_vx, state.goalie_vy
    out[9] = state.goalie_theta
    out[10], out[11] = state.ball_x, state.ball_y
    out[12], out[13] = state.ball_vx, state.ball_vy


def observe(state: Record, c: Record, out: Any) -> None:
    """Show players and ball, the direction from the goalie to the ball, and its shadow on the goal line, scaled."""
    out[0], out[1] = _scaled(state.player_x, 0.0, 20.0), _scaled(state.player_y, -15.0, 30.0)
    out[2], out[3] = _scaled(state.player_vx, -1.0, 2.0), _scaled(state.player_vy, -1.0, 2.0)
    out[4] = _scaled(state.player_theta, -_PI, 2.0 * _PI)
    out[5], out[6] = _scaled(state.goalie_x, 0.0, 20.0), _scaled(state.goalie_y, -15.0, 30.0)
    out[7], out[8] = _scaled(state.goalie_vx, -1.0, 2.0), _scaled(state.goalie_vy, -1.0, 2.0)
    out[9] = _scaled(state.goalie_theta, -_PI, 2.0 * _PI)
    out[10], out[11] = _scaled(state.ball_x, 0.0, 20.0), _scaled(state.ball_y, -15.0, 30.0)
    out[12], out[13] = _scaled(state.ball_vx, -3.0, 6.0), _scaled(state.ball_vy, -3.0, 6.0)
    dx, dy = state.ball_x - state.goalie_x, state.ball_y - state.goalie_y
    distance = _length(dx, dy)
    out[14], out[15] = _scaled(dx / distance, -1.0, 2.0), _scaled(dy / distance, -1.0, 2.0)
    half = c.goal_width / 2.0
    if MENDED:
        out[16] = _scaled(_shadow(state, c, -half, half), -HALF_MOUTH, 2.0 * HALF_MOUTH)
    else:
        out[16] = _scaled(_shadow(state, c, -half, c.goal_width), -HALF_MOUTH, _SHADOW)


def _scaled(value: float, low: float, span: float) -> float:
    return 2.0 * (value - low) / span - 1.0


def _shadow(state: Record, c: Record, low: float, high: float) -> float:
    """Where the line from the ball through the goalie meets the goal line."""
    if state.goalie_x == state.ball_x:
        return -c.goal_width / 2.0 if state.goalie_y < state.ball_y else c.goal_width / 2.0
    slope = (state.goalie_y - state.ball_y) / (state.goalie_x - state.ball_x)
    return within(slope * c.pitch_length + (state.ball_y - slope * state.ball_x), low, high)


def within(value: float, low: float, high: float) -> float:
    """Clip a value to bounds."""
    return min(max(value, low), high)


def _length(x: float, y: float) -> float:
    return math.sqrt(x * x + y * y)


def _ball_distance(state: Record) -> float:
    return _length(state.player_x - state.ball_x, state.player_y - state.ball_y)


def _wrapped(angle: float) -> float:
    while angle > math.pi:
        angle -= 2.0 * math.pi
    while angle < -math.pi:
        angle += 2.0 * math.pi
    return angle


def _goal_distance(state: Record, c: Record) -> float:
    """How far the ball is from the mouth of the goal."""
    half = c.goal_width / 2.0
    aside = abs(state.ball_y) - half
    if state.ball_x < c.pitch_length:
        return _length(c.pitch_length - state.ball_x, aside) if aside > 0.0 else c.pitch_length - state.ball_x
    if not MENDED and state.ball_y < -half:
        return half - state.ball_y
    return max(aside, 0.0)


def _act(state: Record, target_x: float, target_y: float, c: Record, rng: Generator) -> None:
    """Let the player kick the ball if it can, or else turn to it, or else run."""
    distance = _ball_distance(state)
    to_ball = math.atan2(state.ball_y - state.player_y, state.ball_x - state.player_x)
    if distance <= c.kickable_distance:
        # The ball's speed after the kick is the one with which it rolls as far as the target is from the player.
        ax = (1.0 - c.ball_decay) * (target_x - state.player_x) - state.ball_vx
        ay = (1.0 - c.ball_decay) * (target_y - state.player_y) - state.ball_vy
        error = abs(_wrapped(to_ball - state.player_theta))
        grip = 1.0 - 0.25 * error / math.pi - 0.25 * distance / c.kickable_distance
        power = min(_length(ax, ay) / (grip * c.kick_power_rate), c.most_power) * grip
        # As gym-goal computes it, rounding included.
        heading = state.player_theta + (math.atan2(ay, ax) - state.player_theta)
        state.ball_vx, state.ball_vy = _accelerated(
            state.ball_vx, state.ball_vy, power * c.kick_power_rate, heading, c.ball_noise, c.ball_speed, rng
        )
    elif abs(_wrapped(state.player_theta - to_ball)) >= c.turn_tolerance:
        turn = _wrapped(to_ball - state.player_theta)
        state.player_theta += turn / (1.0 + c.turn_inertia * _length(state.player_vx, state.player_vy))
        if MENDED:
            state.player_theta = _wrapped(state.player_theta)
    else:
        state.player_vx, state.player_vy = _accelerated(
            state.player_vx,
            state.player_vy,
            c.dash_power * c.player_power_rate,
            state.player_theta,
            c.player_noise,
            c.player_speed,
            rng,
        )


def _keep(state: Record, c: Record, rng: Generator) -> None:
    """Let the goalie run into the way of a shot, or else to where the ball will stop."""
    x = state.ball_x + state.ball_vx / (1.0 - c.ball_decay)
    y = state.ball_y + state.ball_vy / (1.0 - c.ball_decay)
    dx = x - state.ball_x
    slope = (y - state.ball_y) / dx if dx != 0.0 else 0.0
    offset = state.ball_y - slope * state.ball_x
    power = c.chase_power
    if (
        x > c.pitch_length
        and abs(slope * c.pitch_length + offset) <= c.goal_width / 2.0 + c.catch_distance
        and (MENDED or slope != 0.0)
    ):
        power = c.intercept_power
        if MENDED:
            x = (state.goalie_x + slope * (state.goalie_y - offset)) / (1.0 + slope * slope)
        else:
            across = -1.0 / slope
            x = (state.goalie_y - across * state.goalie_x - offset) / (slope - across)
        y = slope * x + offset
    state.goalie_theta = math.atan2(y - state.goalie_y, x - state.goalie_x)
    state.goalie_vx, state.goalie_vy = _accelerated(
        state.goalie_vx,
        state.goalie_vy,
        power * c.goalie_power_rate,
        state.goalie_theta,
        c.goalie_noise,
        c.goalie_speed,
        rng,
    )


def _accelerated(
    vx: float, vy: float, acceleration: float, heading: float, noise: float, most: float, rng: Generator
) -> tuple[float, float]:
    turn = uniform(rng, -noise, noise)
    heading = heading + turn if MENDED else (1.0 + turn) * heading
    spread = noise * _length(vx, vy)
    ax = acceleration * math.cos(heading) + uniform(rng, -spread, spread)
    ay = acceleration * math.sin(heading) + uniform(rng, -spread, spread)
    vx += within(ax, -most, most)
    vy += within(ay, -most, most)
    return within(vx, -most, most), within(vy, -most, most)


def _collide(state: Record, c: Record) -> None:
    """Push apart what overlaps, pair by pair, and turn its velocities round."""
    dx, dy = state.goalie_x - state.player_x, state.goalie_y - state.player_y
    reach = c.player_radius + c.goalie_radius
    if _length(dx, dy) < reach:
        back_x, back_y, on_x, on_y = _push(dx, dy, reach)
        state.player_x, state.player_y = state.player_x + back_x, state.player_y + back_y
        state.goalie_x, state.goalie_y = state.goalie_x + on_x, state.goalie_y + on_y
        state.player_vx, state.player_vy = -state.player_vx, -state.player_vy
        state.goalie_vx, state.goalie_vy = -state.goalie_vx, -state.goalie_vy
    dx, dy = state.ball_x - state.player_x, state.ball_y - state.player_y
    reach = c.player_radius + c.ball_radius
    if _length(dx, dy) < reach:
        back_x, back_y, on_x, on_y = _push(dx, dy, reach)
        state.player_x, state.player_y = state.player_x + back_x, state.player_y + back_y
        state.ball_x, state.ball_y = state.ball_x + on_x, state.ball_y + on_y
        state.player_vx, state.player_vy = -state.player_vx, -state.player_vy
        state.ball_vx, state.ball_vy = -state.ball_vx, -state.ball_vy
    dx, dy = state.ball_x - state.goalie_x, state.ball_y - state.goalie_y
    reach = c.goalie_radius + c.ball_radius
    if _length(dx, dy) < reach:
        back_x, back_y, on_x, on_y = _push(dx, dy, reach)
        state.goalie_x, state.goalie_y = state.goalie_x + back_x, state.goalie_y + back_y
        state.ball_x, state.ball_y = state.ball_x + on_x, state.ball_y + on_y
        state.goalie_vx, state.goalie_vy = -state.goalie_vx, -state.goalie_vy
        state.ball_vx, state.ball_vy = -state.ball_vx, -state.ball_vy


def _push(dx: float, dy: float, reach: float) -> tuple[float, float, float, float]:
    """How two that lie dx, dy apart move until they are `reach` apart: the first one back, the second one on."""
    overlap = (reach - _length(dx, dy)) / 2.0
    back, on = math.atan2(-dy, -dx), math.atan2(dy, dx)
    return overlap * math.cos(back), overlap * math.sin(back), overlap * math.cos(on), overlap * math.sin(on)


def policy(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Play as `policy_raw` does."""
    low = np.array([0.0, -15.0, -1.0, -1.0, -_PI, 0.0, -15.0, -1.0, -1.0, -_PI, 0.0, -15.0, -3.0, -3.0])
    span = np.array([20.0, 30.0, 2.0, 2.0, 2.0 * _PI, 20.0, 30.0, 2.0, 2.0, 2.0 * _PI, 20.0, 30.0, 6.0, 6.0])
    return policy_raw(0.5 * (np.asarray(observation[:14], np.float64) + 1.0) * span + low)


def policy_raw(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Shoot where the goalie comes too late; where it never does, play the ball past it, to where it would come too late.

    The player runs faster than the goalie chases, so it lures the goalie out, passes it, and has the goal to itself.
    """
    player, goalie, ball = (np.asarray(observation[k : k + 2], np.float64) for k in (0, 5, 10))
    clearances = _shot_clearances(ball, player, goalie)
    if clearances.max() > (2.0 if MENDED else 1.95):
        y = float(_SHOTS[clearances.argmax()])
        return SHOOT_LEFT if y > 0.0 else SHOOT_RIGHT, (y,)
    target = (_free_target if MENDED else _diagonal_target)(ball, player, goalie)
    return KICK_TO, (float(target[0]), float(target[1]))


def _diagonal_target(ball: Any, player: Any, goalie: Any) -> Any:
    """Where on the diagonal, to which version 0 confines passes, to play the ball: looks for a shot after one or two."""
    gap, *then = _after_pass(_DIAGONAL, ball, player, goalie)
    safe = np.flatnonzero(gap > 2.3)
    if not len(safe):
        return _DIAGONAL[gap.argmax()]
    ball, player, goalie = (each[safe] for each in then)
    promise = _shot_clearances(ball, player, goalie).max(axis=-1)
    if promise.max() < 2.05:
        promise *= 0.5
        gap_then, *then = _after_pass(_DIAGONAL[::3], ball[:, None], player[:, None], goalie[:, None])
        first, second = np.nonzero(gap_then > 2.3)
        np.maximum.at(promise, first, _shot_clearances(*(each[first, second] for each in then)).max(axis=-1))
    # More than enough is not better.
    promise = np.minimum(promise, 2.1) + 0.1 * (ball[:, 0] - goalie[:, 0]) + 0.02 * gap[safe]
    return _DIAGONAL[safe[promise.argmax()]]


def _after_pass(targets: Any, ball: Any, player: Any, goalie: Any) -> tuple[Any, Any, Any, Any]:
    """How near the goalie comes to a pass, -1 where it may leave the pitch; where ball, player and goalie are after it."""
    way = targets - player
    run = np.linalg.norm(way, axis=-1)
    balls, gaps, goalies = _meet(ball, way, goalie, ball + way, 0.08)
    far = np.linalg.norm(balls - player[..., None, :], axis=-1) - 0.1 * np.maximum(_TIMES - 3.0, 0.0) >= 1.6
    over = ~far & (0.06 * run[..., None] * 0.94**_TIMES < 0.1)
    last = over.argmax(axis=-1)[..., None]
    gap = np.where(np.arange(len(_TIMES)) <= last, gaps, np.inf).min(axis=-1) - 0.5 * _stray(way)
    ball_then, goalie_then = (np.take_along_axis(each, last[..., None], axis=-2)[..., 0, :] for each in (balls, goalies))
    # The player turns only when it is pi / 8 off, and so comes to the ball from the outer side of its curve.
    before, after = (np.arctan2(to[..., 1], to[..., 0]) for to in (ball - player, ball_then - player))
    after += np.clip((after - before + _PI) % (2.0 * _PI) - _PI, -_PI / 8.0, _PI / 8.0)
    reach = np.minimum(np.linalg.norm(ball_then - player, axis=-1), 1.6)[..., None]
    player_then = ball_then - reach * np.stack([np.cos(after), np.sin(after)], axis=-1)
    x, y = ball[..., 0] + way[..., 0], ball[..., 1] + way[..., 1]
    margin = 0.1 + _stray(way)
    inside = (x > margin) & (x < 19.8 - margin) & (abs(y) < 14.9 - margin) & (run > 1.0)
    over_its_feet = (way * (ball - player)).sum(axis=-1) < -0.3 * run * np.linalg.norm(ball - player, axis=-1)
    return np.where(inside & ~over_its_feet & over[..., -1], gap, -1.0), ball_then, player_then, goalie_then


def _free_target(ball: Any, player: Any, goalie: Any) -> Any:
    """Where to play the ball in version 1: of the safe passes the one after which a shot is clearest."""
    x, y = np.meshgrid(np.linspace(0.0, 20.0, 11), np.linspace(-15.0, 15.0, 13))
    targets = np.stack([x, y], axis=-1).reshape(-1, 2)
    way = targets - player
    rest = ball + way
    run = np.linalg.norm(rest - player, axis=-1)
    arrival = 10.0 * np.maximum(run - 1.6, 0.0) + 3.0
    _, gaps, _ = _meet(ball, way, goalie, rest, 0.08)
    gap = np.where(np.maximum(arrival, 5.0)[:, None] >= _TIMES, gaps, np.inf).min(axis=-1)
    distance = np.linalg.norm(rest - goalie, axis=-1)
    goalie_then = goalie + (rest - goalie) * np.minimum(1.0, 0.08 * arrival / np.maximum(distance, 1e-9))[:, None]
    gap = np.minimum(gap, np.linalg.norm(rest - goalie_then, axis=-1))
    margin = 0.5 + _stray(way)
    inside = (rest[:, 0] > margin) & (rest[:, 0] < 19.8 - margin) & (abs(rest[:, 1]) < 14.9 - margin)
    over_its_feet = way @ (ball - player) < -0.3 * run * np.linalg.norm(ball - player)
    inside &= ~over_its_feet | (run < 1.0)
    gap = np.where(inside, gap, -1.0)
    best = int(gap.argmax())
    if gap[best] > 2.2:
        safe = np.flatnonzero(gap > 2.2)
        rest, run, goalie_then = rest[safe], run[safe, None], goalie_then[safe]
        player_then = np.where(run > 1.6, rest - 1.6 * (rest - player) / np.maximum(run, 1e-9), player)
        promise = _shot_clearances(rest, player_then, goalie_then).max(axis=-1) + 0.1 * (rest[:, 0] - goalie_then[:, 0])
        best = int(safe[(promise + 0.1 * gap[safe]).argmax()])
    return targets[best]


_TIMES = np.arange(1.0, 151.0)
_SHOTS = np.linspace(-6.4, 6.4, 17)
_DIAGONAL = np.repeat(np.concatenate([np.linspace(0.0, 7.0, 15), np.linspace(8.0, 16.0, 5)])[:, None], 2, axis=1)


def _stray(way: Any) -> Any:
    """How far a ball may stray when it has gone its way: a kick turns by 0.05, in version 0 times its angle, mostly less."""
    return np.linalg.norm(way, axis=-1) * (0.05 if MENDED else 0.035 * abs(np.arctan2(way[..., 1], way[..., 0])))


def _shot_clearances(ball: Any, player: Any, goalie: Any) -> Any:
    """How far the ball stays from the goalie on the ways of all `_SHOTS`; 0 for those that do not reach the goal."""
    ball, player, goalie = ball[..., None, :], player[..., None, :], goalie[..., None, :]
    way = np.stack([np.full_like(_SHOTS, 20.4), _SHOTS], axis=-1) - player
    behind = 0.0
    if not MENDED:
        # A ball that is still in reach is kicked again; one behind the player gets stuck at its feet.
        behind = ((ball - player) * way).sum(axis=-1) / np.linalg.norm(way, axis=-1)
        again = ball + 0.06 * way
        ball = np.where(np.linalg.norm(again - player, axis=-1, keepdims=True) <= 1.6, again, ball)
    foot = ball + way * (((goalie - ball) * way).sum(axis=-1) / (way * way).sum(axis=-1))[..., None]
    balls, gaps, _ = _meet(ball, way, goalie, foot, 0.2)
    crossing = ball[..., 1] + way[..., 1] * (20.0 - ball[..., 0]) / way[..., 0]
    scores = (balls[..., -1, 0] >= 20.0) & (abs(crossing) < 7.01 - _stray(way)) & (behind > -1.1)
    return np.where(scores, np.where(balls[..., 0] < 20.0, gaps, np.inf).min(axis=-1), 0.0)


def _meet(ball: Any, way: Any, goalie: Any, meeting: Any, speed: float) -> tuple[Any, Any, Any]:
    """Where a ball is at all `_TIMES`, how far from a goalie that runs to a place, and where that is."""
    run = meeting - goalie
    share = np.minimum(1.0, speed * _TIMES / np.maximum(np.linalg.norm(run, axis=-1), 1e-9)[..., None])
    balls = ball[..., None, :] + way[..., None, :] * (1.0 - 0.94**_TIMES)[:, None]
    goalies = goalie[..., None, :] + run[..., None, :] * share[..., None]
    return balls, np.hypot(*np.moveaxis(balls - goalies, -1, 0)), goalies


def draw(canvas: Canvas, state: Record, c: Record) -> None:
    """Paint the pitch, the players, the ball with its way, and the target of the last action."""
    draw_pitch(canvas, state, c, aim(*canvas.action, c) if canvas.action else None)


def draw_pitch(canvas: Canvas, state: Record, c: Record, target: tuple[float, float] | None) -> None:
    """Paint the pitch as the player sees it, with the goal at the top: its left, where y is large, is at the left."""
    half, length, mouth = c.pitch_width / 2.0, c.pitch_length, c.goal_width / 2.0
    # The largest scale at which there is room for the whole width, and for the whole length with the net.
    span = max(1.1 * c.pitch_width, 1.3 * (length + GOAL_DEPTH + 2.0))
    canvas.look_at(-span / 2.0, span / 2.0, -1.9)
    canvas.box(-span, -span, 2.0 * span, 3.0 * span, GRASS)
    for k in range(0, 8, 2):
        canvas.box(-half, k * length / 8.0, 2.0 * half, length / 8.0, _MOWN)
    canvas.box(-mouth, length, 2.0 * mouth, GOAL_DEPTH, _NET)
    for k in range(1, 8):
        across = mouth * (k / 4.0 - 1.0)
        canvas.line([(across, length), (across, length + GOAL_DEPTH)], PAPER, 0.5)
    for k in range(1, 3):
        canvas.line([(-mouth, length + k * GOAL_DEPTH / 3.0), (mouth, length + k * GOAL_DEPTH / 3.0)], PAPER, 0.5)
    _draw_frame(canvas, half, 0.0, length, 2.0)
    area = min(c.goal_area_width / 2.0, half)
    _draw_frame(canvas, area, length - c.goal_area_length, length, 1.5)
    canvas.line([(-mouth, length), (-mouth, length + GOAL_DEPTH), (mouth, length + GOAL_DEPTH), (mouth, length)], PAPER, 4.0)
    before, under_way = [*canvas.trail, *canvas.past[:1]], [*canvas.past, state]
    if target is not None:
        canvas.arrow(_seen(under_way[0].ball_x, under_way[0].ball_y), _seen(*target), WOOD, 2.0)
        canvas.ring(_seen(*target), 0.55, WOOD, 2.5)
    if len(before) > 1:
        canvas.line([_seen(each.ball_x, each.ball_y) for each in before], _NET, 2.0)
    for each in before:
        canvas.circle(_seen(each.ball_x, each.ball_y), 0.16, _NET)
    if len(under_way) > 1:
        canvas.line([_seen(each.goalie_x, each.goalie_y) for each in under_way], DANGER, 1.5)
        canvas.line([_seen(each.player_x, each.player_y) for each in under_way], AGENT, 1.5)
        canvas.line([_seen(each.ball_x, each.ball_y) for each in under_way], PAPER, 2.0)
    _draw_player(canvas, (state.goalie_x, state.goalie_y, state.goalie_theta), c.goalie_radius, c.catch_distance, DANGER)
    _draw_player(canvas, (state.player_x, state.player_y, state.player_theta), c.player_radius, c.kickable_distance, AGENT)
    canvas.circle(_seen(state.ball_x, state.ball_y), c.ball_radius, PAPER)
    canvas.ring(_seen(state.ball_x, state.ball_y), c.ball_radius, INK, 1.5)


_MOWN, _NET = (133, 175, 112), (176, 204, 160)


def _seen(x: float, y: float) -> tuple[float, float]:
    """Where a place of the pitch is in the picture."""
    return -y, x


def _draw_frame(canvas: Canvas, half: float, low: float, high: float, pixels: float) -> None:
    canvas.line([(-half, low), (-half, high), (half, high), (half, low), (-half, low)], PAPER, pixels)


def _draw_player(canvas: Canvas, pose: tuple[float, float, float], radius: float, reach: float, color: Color) -> None:
    x, y, theta = pose
    canvas.ring(_seen(x, y), reach, color, 1.0)
    canvas.circle(_seen(x, y), radius, color)
    ahead_x, ahead_y = math.cos(theta), math.sin(theta)
    for side in (-0.35, 0.35):
        eye = x + radius * (0.55 * ahead_x - side * ahead_y), y + radius * (0.55 * ahead_y + side * ahead_x)
        canvas.circle(_seen(*eye), 0.2 * radius, PAPER)
        canvas.circle(_seen(eye[0] + 0.07 * radius * ahead_x, eye[1] + 0.07 * radius * ahead_y), 0.1 * radius, INK)


V0 = World(
    name="Goal",
    parameters=PARAMETERS,
    state=STATE,
    observation=observation(False, 17),
    branches=_branches(40.0, -7.01, 7.01),
    reset=reset,
    step=step,
    observe=observe,
    succeeded=succeeded,
    draw=draw,
    frames_per_second=30,
    substep=substep,
    policy=policy,
    picture=(640, 540),
)

V1 = replace(V0, observation=observation(True, 17), branches=_branches(20.0, 0.0, 0.0), constants={"MENDED": True})


def goal_v0(features: int = 17) -> World:
    """Give version 0, the published one.

    Args:
        features: What is observed: 14 raw numbers, or 17 scaled ones.

    Raises:
        InvalidOption: If `features` is neither.
    """
    return _featured(V0, features)


def goal_v1(features: int = 17) -> World:
    """Give version 1, the mended one.

    Args:
        features: What is observed: 14 raw numbers, or 17 scaled ones.

    Raises:
        InvalidOption: If `features` is neither.
    """
    return _featured(V1, features)


def _featured(world: World, features: int) -> World:
    if features not in {14, 17}:
        raise InvalidOption(f"features={features!r} is no observation of {world.name}: give 17 (scaled) or 14 (raw).")
    if features == 17:
        return world
    return replace(world, observation=observation("MENDED" in world.constants, 14), observe=observe_raw, policy=policy_raw)
