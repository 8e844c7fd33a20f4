"""Block-world: its optimal values are those of an independent program, and its maps say what they mean."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import reworld  # noqa: F401
from golden.levels import arrays_of
from reworld.environment import WorldEnv
from reworld.errors import InvalidOption
from reworld.finite import exact_model
from reworld.policies import rules_of
from reworld.rendering import DANGER
from reworld.vector import WorldVectorEnv
from reworld.worlds.block_world import IN_PIT, MAP, SLIP_LEVELS, block_world

NORTH, EAST, SOUTH, WEST = range(4)
CORNER = ["S.", "XG"]
SURE = {"slip": 0.0}


def plan_of(world: Any) -> np.ndarray:
    rules = rules_of(world)
    return np.array([rules(state)[0] for state in range(world.observation)])


class TestPublishedLevels:
    def test_are_a_thousand_from_none_to_all(self) -> None:
        assert (len(SLIP_LEVELS), SLIP_LEVELS[0], SLIP_LEVELS[799], SLIP_LEVELS[999]) == (1000, 0.0, 799 / 999, 1.0)

    def test_optimal_start_values_are_those_recorded(self) -> None:
        world = block_world()
        recorded = arrays_of("blockworld10")["W"]
        values = np.concatenate([start_values(world, levels) for levels in np.split(SLIP_LEVELS, 20)])
        np.testing.assert_allclose(values, recorded, rtol=0.0, atol=1e-9)


def start_values(world: Any, slips: np.ndarray, discount: float = 0.99) -> np.ndarray:
    """Policy iteration on many models at once."""
    models = exact_model(world, {"slip": slips})
    n, s = np.arange(len(slips))[:, None], np.arange(world.observation)
    actions = np.broadcast_to(plan_of(world), (len(slips), world.observation))
    while True:
        laws, rewards = models.kernel[n, s, actions], models.expected_rewards[n, s, actions]
        values = np.linalg.solve(np.eye(len(s)) - discount * laws, rewards[..., None])
        worth = models.expected_rewards + discount * (models.kernel @ values[:, None])[..., 0]
        better = np.where(worth.max(axis=-1) > worth[n, s, actions] + 1e-12, worth.argmax(axis=-1), actions)
        if (better == actions).all():
            return (models.start * values[..., 0]).sum(axis=-1)
        actions = better


class TestTransitionsByHand:
    def test_a_move_goes_to_the_next_cell_and_costs_a_hundredth(self) -> None:
        env = WorldEnv(block_world(), SURE)
        assert env.reset(seed=0)[0] == 0
        assert env.step(EAST)[:3] == (1, -0.01, False)
        assert env.step(EAST)[:3] == (2, -0.01, False)
        assert env.step(WEST)[:3] == (1, -0.01, False)
        # Below are a wall, and above the border.
        assert env.step(SOUTH)[:3] == (1, -0.01, False)
        assert env.step(NORTH)[:3] == (1, -0.01, False)

    @pytest.mark.parametrize(("first", "reward", "success"), [(EAST, 1.0, True), (SOUTH, -1.0, False)], ids=["goal", "pit"])
    def test_goal_and_pit_end_the_episode(self, first: int, reward: float, success: bool) -> None:
        env = WorldEnv(block_world(CORNER), SURE)
        env.reset(seed=0)
        step = env.step(first)
        if first == EAST:
            assert step[1:3] == (-0.01, False)
            step = env.step(SOUTH)
        assert (step[1], step[2], step[4]["success"]) == (reward, True, success)

    def test_costs_are_parameters(self) -> None:
        env = WorldEnv(block_world(CORNER), {"slip": 0.0, "step_cost": 0.25, "pit_cost": 3.0})
        env.reset(seed=0)
        assert env.step(EAST)[1] == -0.25
        env.reset()
        assert env.step(SOUTH)[1] == -3.0

    @pytest.mark.parametrize(
        ("configuration", "law"),
        [
            # In the middle of a 3 x 3 map the states are 0 to 8 in reading order, and a move to the east is meant.
            ({}, {5: 0.8, 1: 0.1, 7: 0.1}),
            ({"slip": 1.0, "slip_left": 0.75}, {1: 0.75, 7: 0.25}),
            ({"slip": 0.0, "stay": 0.25}, {5: 0.75, 4: 0.25}),
            ({"slip": 0.0, "wind": 0.25}, {5: 0.75, 7: 0.25}),
            ({"slip": 0.5, "stay": 0.5, "wind": 0.5}, {4: 0.5, 7: 0.25 + 0.0625, 1: 0.0625, 5: 0.125}),
        ],
        ids=str,
    )
    def test_kernel_row(self, configuration: dict[str, float], law: dict[int, float]) -> None:
        row = exact_model(block_world(["S..", "...", "..G"]), configuration).kernel[4, EAST]
        np.testing.assert_allclose(row, [law.get(state, 0.0) for state in range(9)], rtol=0.0, atol=1e-16)

    def test_moves_into_the_border_stay(self) -> None:
        # To the north of the corner is the border, as to its left; to the right is a cell.
        assert exact_model(block_world()).kernel[0, NORTH, :2] == pytest.approx([0.9, 0.1], abs=1e-16)


class TestMaps:
    def test_the_default_one(self) -> None:
        world = block_world()
        assert world.observation == 73 == sum(cell != "#" for row in MAP for cell in row)
        assert world is block_world(list(MAP))
        model = exact_model(world)
        assert model.terminal.sum() == 5
        assert model.start[0] == 1.0

    def test_starts_are_alike(self) -> None:
        assert exact_model(block_world(["S.S", "S#G"])).start.tolist() == [1 / 3, 0.0, 1 / 3, 1 / 3, 0.0]

    @pytest.mark.parametrize(
        ("map", "message"),
        [
            ("SG", "give a list of strings"),
            ([1, 2], "give a list of strings"),
            ([], "no start: mark at least one of its cells 'S'"),
            (["S."], "no goal: mark at least one of its cells 'G'"),
            ([".G"], "no start"),
            (["S.", "G"], "Row 1 of the map has 1 cells, and row 0 has 2"),
            (["S.", "G?"], r"Row 1 of the map has a cell '\?': give '#' for a wall"),
        ],
        ids=str,
    )
    def test_what_is_no_map_is_refused(self, map: Any, message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            block_world(map)

    @pytest.mark.parametrize("size", [2, 5, 10])
    @pytest.mark.parametrize("layout", range(5))
    def test_one_drawn_by_chance_can_be_solved(self, size: int, layout: int) -> None:
        world = block_world(size=size, layout=layout)
        map = "".join(world.constants["MAP"])
        assert (len(map), map.count("#"), map.count("X")) == (size * size, round(size * size / 4), size * size // 25)
        assert (map[0], map[-1]) == ("S", "G")
        assert world is block_world(size=size, layout=layout)
        neighbours, pits = world.constants["NEIGHBOURS"], world.constants["KINDS"] == IN_PIT
        reached = {0}
        for _ in range(size * size):
            reached |= {int(cell) for each in reached for cell in neighbours[each] if not pits[cell]}
        assert world.observation - 1 in reached

    def test_layouts_differ_and_stay_as_they_are(self) -> None:
        assert block_world(size=4, layout=1).constants["MAP"] != block_world(size=4, layout=2).constants["MAP"]
        assert block_world(size=4, walls=0.3, layout=1).constants["MAP"] == ("S..#", "##..", "#...", "#..G")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"size": 1}, "size=1: give an integer of at least 2"),
            ({"size": 3.0}, "size=3.0: give an integer"),
            ({"size": 3, "walls": 1.0}, "walls=1.0: give a share of the cells"),
            ({"size": 5, "walls": 0.9}, "In none of 1000 maps of size=5 and walls=0.9 can the goal be reached"),
            ({"size": 3, "map": CORNER}, "Both a map and a size"),
        ],
        ids=str,
    )
    def test_impossible_ones_are_refused(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            block_world(**arguments)

    def test_reach_gymnasium(self) -> None:
        env = gymnasium.make("reworld/BlockWorld-v0", map=CORNER)
        assert env.observation_space.n == 4
        assert gymnasium.make(env.spec.from_json(env.spec.to_json())).unwrapped.world is env.unwrapped.world


class TestPictures:
    OPEN = ("S..", "...", "..G")

    def picture(self, configuration: dict[str, float], steps: int = 0) -> np.ndarray:
        env = WorldEnv(block_world(self.OPEN), configuration, render_mode="rgb_array")
        env.reset(seed=0)
        for _ in range(steps):
            env.step(NORTH)
        return env.render()[48:]  # type: ignore[no-any-return]

    @pytest.mark.parametrize("name", ["slip", "wind"])
    def test_show_the_configuration(self, name: str) -> None:
        assert (self.picture({name: 1.0}) != self.picture({name: 0.0})).any()

    @pytest.mark.parametrize("slip", [0.0, 1.0])
    def test_show_what_came_of_a_move(self, slip: float) -> None:
        shown = (self.picture({"slip": slip, "slip_left": 0.0}, steps=1) == DANGER).all(axis=-1).any()
        assert shown == (slip == 1.0)


def test_scripted_policy_returns_what_the_model_says() -> None:
    world = block_world()
    model, plan, count = exact_model(world), plan_of(world), 2000
    states = np.arange(world.observation)
    expected = np.zeros(len(states))
    for _ in range(200):
        expected = model.expected_rewards[states, plan] + model.kernel[states, plan] @ expected
    batch = WorldVectorEnv(world, count)
    observations, _ = batch.reset(seed=0)
    returns, running = np.zeros(count), np.ones(count, bool)
    for _ in range(200):
        observations, rewards, terminations, _, _ = batch.step(plan[observations])
        returns += running * rewards
        running &= ~terminations
    assert abs(returns.mean() - model.start @ expected) <= 4.0 * returns.std() / np.sqrt(count)
    assert model.start @ expected == pytest.approx(0.39, abs=0.02)
