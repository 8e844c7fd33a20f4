"""Platform is gym-platform, bit for bit."""

from functools import cache

import numpy as np
import pytest
from golden.replay import Replay, replay
from reworld.worlds.platform import WORLD

FIELDS = {
    "player_x": "x",
    "player_y": "y",
    "player_vx": "vx",
    "player_vy": "vy",
    "enemy1_x": "enemy1_x",
    "enemy1_dx": "enemy1_dx",
    "enemy2_x": "enemy2_x",
    "enemy2_dx": "enemy2_dx",
}


@cache
def golden(forget_rounding: bool) -> Replay:
    return replay(WORLD, "platform.npz", FIELDS, forget_rounding)


@pytest.mark.parametrize("forget_rounding", [False, True], ids=["whole episodes", "step by step"])
class TestGoldenReplay:
    def test_state(self, forget_rounding: bool) -> None:
        run = golden(forget_rounding)
        columns = [list(run.recorded["state_names"]).index(name) for name in FIELDS]
        np.testing.assert_array_equal(run.states[:, :-1], run.recorded["state"][:, columns], strict=True)

    def test_observation(self, forget_rounding: bool) -> None:
        run = golden(forget_rounding)
        np.testing.assert_array_equal(run.observations, run.recorded["obs"], strict=True)

    def test_reward(self, forget_rounding: bool) -> None:
        run = golden(forget_rounding)
        np.testing.assert_array_equal(run.rewards, run.recorded["reward"], strict=True)

    def test_termination(self, forget_rounding: bool) -> None:
        run = golden(forget_rounding)
        np.testing.assert_array_equal(run.terminated, run.recorded["done"], strict=True)

    def test_substeps(self, forget_rounding: bool) -> None:
        run = golden(forget_rounding)
        np.testing.assert_array_equal(run.states[:, -1], run.recorded["substeps"])

    def test_all_draws_are_used(self, forget_rounding: bool) -> None:
        run = golden(forget_rounding)
        np.testing.assert_array_equal(run.draws_used, np.diff(run.recorded["draw_start"]))
