"""Games of levels that are ready to be played, as they are registered with PettingZoo by `reworld.changing.levels.multi`."""

import dataclasses

import numpy as np

from reworld.changing.levels.model import Level, Levels
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.tabular import tabular


def cartpole_levels() -> Levels:
    """Make CartPole in a gale, of two levels: its engineer may lengthen the pole, then load the cart and give it a windbreak.

    There are four configurations, of which high gravity makes it worse. A move between two that are joined costs 60 and
    succeeds nine times in ten. An episode of level 0 lasts at most 500 steps, and level 1 goes on with probability 0.9.
    """
    moves = {
        "gale": ["high gravity", "long pole"],
        "high gravity": ["gale", "ballast"],
        "long pole": ["gale", "ballast"],
        "ballast": ["high gravity", "long pole"],
    }
    return Levels(
        world=CARTPOLE,
        configurations={
            "gale": {"wind": 15.0},
            "high gravity": {"wind": 15.0, "gravity": 20.0},
            "long pole": {"wind": 15.0, "half_length": 1.0},
            "ballast": {"wind": 10.0, "half_length": 1.0, "cart_mass": 2.0, "friction": 0.5},
        },
        levels=[Level.graph(moves, price=60.0, success=0.9, discount=0.9)],
        steps=500,
    )


def river_swim_levels() -> Levels:
    """Make RiverSwim with a dam, of three levels: level 1 tames the river, and level 2 gives its crew a machine.

    The river is wild (as published), calm or still. To change it by one of these costs 20000, and succeeds once in five times
    by hand, nine times in ten by machine. A machine costs 150000, and breaks down three times in ten if it is not serviced for
    40000.
    """
    currents = {"wild": (0.1, 0.6, 0.3), "calm": (0.05, 0.45, 0.5), "still": (0.0, 0.2, 0.8)}
    moves = {"wild": ["calm"], "calm": ["wild", "still"], "still": ["calm"]}
    by_hand, by_machine = (Level.graph(moves, price=20_000.0, success=success, discount=0.9) for success in (0.2, 0.9))
    return Levels(
        world=tabular(),
        configurations={name: _river(*current) for name, current in currents.items()},
        levels=[
            dataclasses.replace(
                by_hand, kernel=np.concatenate([by_hand.kernel, by_machine.kernel]), names=("by hand", "by machine")
            ),
            Level(
                kernel=np.array([[[1.0, 0.0], [0.3, 0.7]], [[0.05, 0.95], [0.05, 0.95]]]),
                costs=np.array([[0.0, 150_000.0], [0.0, 40_000.0]]),
                discount=0.8,
                actions=("use what there is", "buy or service"),
            ),
        ],
        discount=0.95,
    )


def _river(back: float, stays: float, forth: float) -> dict[str, float]:
    """What swimming to the right leads to, in all six places."""
    weights = {"p_0_1_0": back + stays, "p_0_1_1": forth, "p_5_1_4": back + stays, "p_5_1_5": forth}
    for s in range(1, 5):
        weights |= {f"p_{s}_1_{s - 1}": back, f"p_{s}_1_{s}": stays, f"p_{s}_1_{s + 1}": forth}
    return weights
