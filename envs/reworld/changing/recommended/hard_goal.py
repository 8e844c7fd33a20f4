"""Hard Goal, with a wet ball: who pays for a steadier foot and a wider goal hits it.

A kick goes astray by up to 0.15 radians, three times as much as usual; on the twenty units to a goal that is 13 wide that is
three to either side. A keeper that comes out (four times as fast as the player, but poor at running into the way of a shot)
leaves no time to go nearer. A change shifts the noise of kicks or the width of the goal, for better or worse, at a cost in
proportion; the price of a single one is limited, so that a large one takes several. It acts from the next primitive step on:
the player has to touch the ball once before it shoots.

- Without: shoot at once, at the post on the player's own side. Searched: every shot after 0 to 4 steps of waiting and after
  every pass on a grid, from five bins of starts, 2,000,000 episodes of random ones; of 25 passes one survives, and waiting
  makes every shot worse.
- With: how far to shift either, and where to aim, by the cross-entropy method (seven numbers, 12 generations of 24 candidates
  with 15,000 episodes each). The farther out the player stands, the steadier the foot has to be.
"""

import math
from typing import Any

from reworld.changing.setup import Changing, Cost, SetUp

CHANGING = Changing(
    parameters={"ball_noise": (0.0, 0.3), "goal_width": (6.0, 18.0)},
    mode="shift",
    nominal={"ball_noise": 0.15, "goal_width": 13.0, "chase_power": 40.0, "intercept_power": 8.0},
    largest_shift=0.5,
    takes_effect="next_epoch",
    cost=Cost(kind="l1", scale=24.0, weights={"goal_width": 0.7}),
    budget=5.0,
    budget_per="change",
)

_KICK_TO, _SHIFT_BALL_NOISE, _SHIFT_GOAL_WIDTH = 0, 11, 12


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Shoot at the post on the side where the player stands."""
    return _shoot(math.copysign(1.0, observation[1]))


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Steady the foot in two shifts, widen the goal in one, touch the ball that it may come true, and shoot."""
    outside = abs(float(observation[1]))
    ball_noise, _, next_ball_noise, next_goal_width = map(float, observation[17:21])  # As shares of their ranges.
    excess = 0.3 * next_ball_noise - (0.067 - 0.032 * outside)
    if excess > 0.001:
        return _SHIFT_BALL_NOISE, (-min(excess, 0.06),)
    if next_goal_width < 0.6:
        return _SHIFT_GOAL_WIDTH, (1.5,)
    if ball_noise != next_ball_noise:
        return _KICK_TO, (float(observation[0]), float(observation[1]))
    return _shoot(math.copysign(0.9 + 0.036 * outside, observation[1]))


def _shoot(place: float) -> tuple[int, tuple[float, ...]]:
    """Shoot at a place of the goal line, from -1 at the right post to 1 at the left one, by the shot whose tenth it is in."""
    shot = min(max(math.ceil(5.0 * (place + 1.0)), 1), 10)
    return shot, (10.0 * (place - 0.2 * shot + 1.1),)


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
