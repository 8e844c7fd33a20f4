"""CartPole, in a gale: gusts of half as much force again as a push throw the pole over, unless it is rebuilt.

Wind of 15 N, drawn anew in every step, has the last word over pushes of 10 N. Two things help: a pole twice as long, which leans
more slowly, and then ballast, some friction and a windbreak. Or so it seems from the far end: there are two ways there, and one
begins with a gravity under which the pole falls sooner than before. Every move costs 40, of the 500 that an episode may return,
and one in ten fails and is paid all the same. (The configurations, their graph and its failures are those of reworld's own
instance of the four hand-made settings that "Learn to Change the World", arXiv 2510.15056, has for CartPole.)

- Without: push to where a weighted sum of position, lean and their speeds points, the weights by the cross-entropy method:
  176.7. On a track without ends the lean and its speed are a Markov chain of their own, and value iteration on a grid of
  801 x 321 tells that nobody gets more than 184.1.
- With: move twice at once, and balance: 408.8. The same value iteration, over all four configurations, with moves whenever they
  pay, tells that nobody gets more than 408.9: to wait until the pole is about to fall does not pay.
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
