"""HardGoal v0 is Goal behind the function of HyAR's training scripts, bit for bit; v1 splits the goal line into ten."""

from typing import Any

import numpy as np
import pytest

from reworld.engine.kernels import instances_of, plain
from reworld.worlds import hard_goal
from reworld.worlds.hard_goal import V0, V1
from worlds.level import level


def aim(world: Any, branch: int, *x: float, goal_width: float = 14.02) -> tuple[float, float]:
    instance: Any = instances_of(world, 1).view(np.recarray)[0]
    instance.configuration.values[:] = world.default_configuration
    instance.configuration.goal_width = goal_width
    target: tuple[float, float] = plain(world, hard_goal.aim)(branch, x, instance.configuration)
    return target


def ends(world: Any, shot: int) -> tuple[float, float]:
    """Where a shot goes at the ends of its parameter, as a share of half the mouth."""
    return aim(world, shot, -1.0)[1] / 7.01, aim(world, shot, 1.0)[1] / 7.01


both = pytest.mark.parametrize("world", [V0, V1], ids=["v0", "v1"])


class TestShots:
    @both
    def test_are_ten(self, world: Any) -> None:
        assert [len(branch.parameters) for branch in world.branches] == [2] + [1] * 10

    def test_as_published(self) -> None:
        expected = [(-0.6, -1.0), (-0.2, -0.6), (0.2, 0.2), (0.6, 0.2), (1.0, 0.6)] * 2
        np.testing.assert_allclose([ends(V0, shot) for shot in range(1, 11)], expected, atol=1e-6)

    def test_as_meant(self) -> None:
        expected = [(-1.0 + 0.2 * k, -0.8 + 0.2 * k) for k in range(10)]
        np.testing.assert_allclose([ends(V1, shot) for shot in range(1, 11)], expected, atol=1e-12)

    @both
    def test_a_parameter_out_of_bounds_is_clipped_in_version_1(self, world: Any) -> None:
        assert (aim(world, 4, 3.0) == aim(world, 4, 1.0)) == (world is V1)

    @both
    def test_follow_the_width_of_the_goal(self, world: Any) -> None:
        _, wide = aim(world, 4, 0.5, goal_width=7.01)
        assert wide == pytest.approx(aim(world, 4, 0.5)[1] / 2.0)


@both
def test_kick_to_covers_the_pitch_in_version_1(world: Any) -> None:
    targets = [aim(world, 0, *x) for x in ((-1.0, -1.0), (0.0, 0.5), (1.0, 1.0), (2.0, 2.0))]
    meant = [(0.0, -15.0), (10.0, 7.5), (20.0, 15.0), (20.0, 15.0)]
    assert targets == ([(0.0, 0.0), (20.0, 20.0), (40.0, 40.0), (40.0, 40.0)] if world is V0 else meant)


@pytest.mark.parametrize(("world", "least"), [(V0, 0.65), (V1, 0.9)], ids=["v0", "v1"])
def test_scripted_policy_wins(world: Any, least: float) -> None:
    assert level(world, 60) > least
