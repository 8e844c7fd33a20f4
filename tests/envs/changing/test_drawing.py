"""Pictures show a change while it happens: from what to what, at which cost, and what is left of the budget."""

from typing import Any

import numpy as np
import pytest

from reworld.changing import Changing, Cost
from reworld.environment import WorldEnv
from reworld.rendering import _CHANGE, _TRANSITION, PAPER, Canvas
from reworld.vector import WorldVectorEnv
from reworld.worlds import cartpole
from uncompiled import PlainEnv
from worlds import panel
from worlds.changeable import choosing

pytest.importorskip("pygame")

CARTPOLE = cartpole.WORLD
WIND = Changing(parameters={"wind": (0.0, 20.0), "gravity": (5.0, 15.0)}, budget=2.0)


@pytest.fixture
def captions(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each picture says."""
    said: list[dict[str, Any]] = []
    caption = Canvas.caption

    def listen(self: Canvas, left: Any, right: str, below: Any, bill: str = "", share: Any = None, paper: Any = PAPER) -> None:
        said.append({"title": left[0], "return": right, "below": list(below), "bill": bill, "share": share, "paper": paper})
        caption(self, left, right, below, bill, share, paper)

    monkeypatch.setattr(Canvas, "caption", listen)
    return said


def drawn(changing: Changing = WIND, mode: str = "rgb_array", world: Any = CARTPOLE, draw: Any = None) -> WorldEnv:
    env = PlainEnv(world, changing, draw, render_mode=mode)
    env.reset(seed=0)
    env.render()
    return env


def set_wind(env: WorldEnv, value: float) -> None:
    env.step((2, [[], [], [value], [0.0]]))


class TestOnePicture:
    def test_says_from_what_to_what_and_at_which_cost(self, captions: list[dict[str, Any]]) -> None:
        env = drawn()
        set_wind(env, 15.0)
        env.render()
        assert captions[-1] == {
            "title": "ConfigurableCartPole    set_wind: 0 -> 15, cost 0.75",
            "return": "return -0.75",
            "below": ["wind 0 -> 15"],
            "bill": "paid 0.75 of 2",
            "share": 0.625,
            "paper": _CHANGE,
        }

    def test_is_on_common_paper_again_when_the_agent_acts(self, captions: list[dict[str, Any]]) -> None:
        env = drawn()
        set_wind(env, 15.0)
        env.step((0, [[], [], [0.0], [0.0]]))
        env.render()
        assert (captions[-1]["paper"], captions[-1]["title"]) == (PAPER, "ConfigurableCartPole    left")
        # What was changed and paid can still be seen.
        assert (captions[-1]["below"], captions[-1]["bill"]) == (["wind 0 -> 15"], "paid 0.75 of 2")

    def test_counts_the_parameters_where_they_are_many(self, captions: list[dict[str, Any]]) -> None:
        env = drawn(choosing())
        env.step(4)
        env.render()
        assert captions[-1]["title"] == "ConfigurableCartPole    choose_storm: 2 parameters, cost 1.5"
        assert captions[-1]["below"] == ["wind 0 -> 30", "friction 0 -> 2.5"]

    def test_says_when_a_change_has_to_wait(self, captions: list[dict[str, Any]]) -> None:
        env = drawn(Changing(parameters=("wind",), takes_effect="next_epoch", epoch=3))
        env.step((2, [[], [], [15.0]]))
        env.render()
        assert captions[-1]["title"].endswith("set_wind: 0 -> 15 next epoch, cost 0.5")
        assert captions[-1]["below"] == ["default configuration"]

    def test_says_that_a_change_is_not_possible(self, captions: list[dict[str, Any]]) -> None:
        env = drawn()
        set_wind(env, 0.0)
        env.render()
        assert captions[-1]["title"].endswith("set_wind: not possible")

    @pytest.mark.parametrize(("scale", "said"), [(1.0, "set_wind: failed, cost 0.75"), (0.0, "set_wind: failed")])
    def test_says_that_a_change_failed(self, captions: list[dict[str, Any]], scale: float, said: str) -> None:
        env = drawn(Changing(parameters={"wind": (0.0, 20.0)}, failure=0.999, cost=Cost(scale=scale)))
        env.step((2, [[], [], [15.0]]))
        env.render()
        assert captions[-1]["title"].endswith(said)

    @pytest.mark.parametrize(
        ("terms", "bill", "share"),
        [
            ({}, "paid 0.50", None),
            ({"budget": 2.0}, "paid 0.50 of 2", 0.75),
            ({"budget": 2.0, "budget_per": "change"}, "paid 0.50", None),
            ({"budget": 0.5}, "paid 0.50 of 0.5", 0.0),
        ],
        ids=["none", "episode", "change", "spent"],
    )
    def test_says_what_was_paid_and_what_is_left(
        self, captions: list[dict[str, Any]], terms: dict[str, Any], bill: str, share: float | None
    ) -> None:
        env = drawn(Changing(parameters=("pay",), **terms), world=panel.WORLD)
        env.step((3, [[0.0, 0.0], [], [0.0], [1.0]]))
        env.render()
        assert (captions[-1]["bill"], captions[-1]["share"]) == (bill, share)

    def test_of_a_budget_of_nothing(self, captions: list[dict[str, Any]]) -> None:
        drawn(Changing(parameters=("pay",), budget=0.0), world=panel.WORLD)
        assert (captions[-1]["bill"], captions[-1]["share"]) == ("paid 0.00 of 0", 0.0)

    def test_shows_the_budget_as_a_bar(self) -> None:
        env, colored = drawn(), []
        for wind in (0.0, 10.0, 20.0, 0.0):
            set_wind(env, wind)
            picture = env.render()
            bar = picture[29:38, -80:].astype(int)
            colored.append(int((np.abs(bar - (230, 159, 0)).sum(axis=2) < 30).sum()))
        # 2, 1.5, 1 and 0 of 2 are left.
        np.testing.assert_allclose(np.array(colored) / colored[0], [1.0, 0.75, 0.5, 0.0], atol=0.05)

    def test_shows_the_changed_world(self) -> None:
        env = drawn()
        before = env.render()
        set_wind(env, 15.0)
        world = slice(48, None)
        assert not np.array_equal(env.render()[world], before[world])
        set_wind(env, 0.0)
        assert np.array_equal(env.render()[world], before[world])


class TestAFilm:
    def test_shows_the_world_on_its_way(self, captions: list[dict[str, Any]]) -> None:
        env = drawn(mode="rgb_array_list")
        captions.clear()
        set_wind(env, 12.0)
        pictures = env.render()
        assert len(pictures) == len(captions) == _TRANSITION + 1
        winds = [float(said["below"][0].split()[-1]) if "wind" in said["below"][0] else 0.0 for said in captions]
        assert winds == np.linspace(0.0, 12.0, _TRANSITION + 1).tolist()
        assert {said["paper"] for said in captions} == {_CHANGE}
        # The reward comes with the last picture.
        assert [said["return"] for said in captions] == ["return 0.00"] * _TRANSITION + ["return -0.60"]

    def test_shows_a_change_when_it_takes_effect(self) -> None:
        env = drawn(Changing(parameters=("wind",), takes_effect="next_epoch", epoch=2), "rgb_array_list")
        lengths = []
        for branch in (2, 0, 0, 0):
            env.step((branch, [[], [], [15.0]]))
            lengths.append(len(env.render()))
        assert lengths == [1, 1, _TRANSITION + 1, 1]

    def test_needs_one_picture_where_nothing_changes(self) -> None:
        env = drawn(mode="rgb_array_list")
        set_wind(env, 0.0)
        assert len(env.render()) == 1


def test_a_batch_draws_what_each_has_paid() -> None:
    envs = WorldVectorEnv(panel.WORLD, 2, changing=Changing(parameters=("pay",), failure=0.3), render_mode="rgb_array")
    envs.reset(seed=0)
    envs.step((np.array([3, 1]), np.full((2, 4), 1.0)))
    first, second = envs.render() or ()
    assert first.shape == second.shape == (300, 720, 3)
    assert not np.array_equal(first[:48], second[:48])
