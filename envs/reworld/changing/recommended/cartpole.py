"""CartPole, in a gale: its gusts, half as strong again as a push, throw the pole over unless it is rebuilt.

Wind of 15 N, drawn anew in every step, blows against pushes of 10 N. A pole twice as long leans more slowly; and whoever has
one, or has got used to twice the gravity, may give it ballast, friction and a windbreak. So two ways lead to where the pole
hardly ever falls. Both are two moves long, and one begins by making things worse. Every move costs 40 of the 500 that an
episode may return, and one in ten fails, and is paid all the same. (The configurations, their graph and its failures are those
of reworld's own instance of the four settings of CartPole in "Learn to Change the World", arXiv 2510.15056.)

- Without: push to where a weighted sum of position, lean and their speeds points, the weights by the cross-entropy method: 177.
  Without the ends of the track the lean and its speed are a Markov chain of their own, and value iteration on a grid of
  801 x 321 tells that nobody gets more than 184.
- With: move twice at once, and balance: 408.8. The same value iteration over all four configurations, where moves are made
  whenever they pay, tells that nobody gets more than 408.9: it does not pay to wait until the pole is about to fall.
"""

from typing import Any

from reworld.changing.setup import Changing, SetUp

CHANGING = Changing(
    mode="choose",
    configurations={
        "gale": {"wind": 15.0},
        "high_gravity": {"wind": 15.0, "gravity": 20.0},
        "long_pole": {"wind": 15.0, "half_length": 1.0},
        "sheltered": {"wind": 10.0, "half_length": 1.0, "cart_mass": 2.0, "friction": 0.5},
    },
    moves={
        "gale": {"high_gravity": 40.0, "long_pole": 40.0},
        "high_gravity": {"sheltered": 40.0},
        "long_pole": {"sheltered": 40.0},
    },
    failure=0.1,
)

_LONG_POLE, _SHELTERED = 4, 5


def without(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Push to where the pole leans and falls, a little also to where the cart drifts."""
    x, x_dot, theta, theta_dot = observation[:4]
    return int(0.16 * x + 0.4 * x_dot + 9.0 * theta + 1.83 * theta_dot > 0.0), ()


def configuring(observation: Any) -> tuple[int, tuple[float, ...]]:
    """Lengthen the pole, then shelter it, and only then begin to balance."""
    x, x_dot, theta, theta_dot, _, _, half_length, wind, _ = observation  # The last five as shares of their ranges.
    if half_length < 0.4:
        return _LONG_POLE, ()
    if wind > 0.4:
        return _SHELTERED, ()
    return int(0.39 * x + 0.81 * x_dot + 6.5 * theta + 3.9 * theta_dot > 0.0), ()


SET_UP = SetUp(changing=CHANGING, without=without, configuring=configuring)
