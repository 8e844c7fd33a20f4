"""Levels are PettingZoo environments, and what is played is what the flat form says."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pettingzoo
import pytest
from gymnasium.error import InvalidAction, ResetNeeded

from golden.levels import bilevel, values_of
from reworld.changing.levels import Level, Levels
from reworld.changing.levels.games import cartpole_levels, river_swim_levels
from reworld.changing.levels.multi import LevelsAEC, LevelsParallel
from reworld.changing.levels.play import Play
from reworld.errors import InvalidOption
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.platform import WORLD as PLATFORM
from reworld.worlds.tabular import tabular

IDS = ["reworld/CartPoleLevels-v0", "reworld/RiverSwimLevels-v0"]
each_game = pytest.mark.parametrize("id", IDS)


@each_game
@pytest.mark.filterwarnings("ignore")  # They warn of agents that do not all see the same, and importing them warns, too.
class TestPettingZoosOwnTests:
    def test_api(self, id: str) -> None:
        from pettingzoo.test import api_test

        api_test(pettingzoo.make("aec", id), num_cycles=200)

    def test_parallel_api(self, id: str) -> None:
        from pettingzoo.test import parallel_api_test

        parallel_api_test(pettingzoo.make("parallel", id), num_cycles=500)
        parallel_api_test(pettingzoo.make("parallel", id, max_cycles=7), num_cycles=500)

    def test_seed(self, id: str) -> None:
        from pettingzoo.test import parallel_seed_test, seed_test

        seed_test(lambda: pettingzoo.make("aec", id), num_cycles=100)
        parallel_seed_test(lambda: pettingzoo.make("parallel", id), num_cycles=100)

    def test_render(self, id: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from pettingzoo.test import render_test

        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        render_test(lambda render_mode: pettingzoo.make("aec", id, render_mode=render_mode))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("persistent", [False, True])
def test_api_where_actions_have_parameters(persistent: bool) -> None:
    from pettingzoo.test import api_test

    level = Level.graph({"light": ["heavy"], "heavy": ["light"]}, price=0.1, discount=0.9)
    levels = Levels(PLATFORM, {"light": {}, "heavy": {"gravity": 12.0}}, [level], steps=4, persistent=persistent)
    api_test(LevelsAEC(levels), num_cycles=100)


class TestImports:
    @pytest.mark.parametrize("module", ["reworld", "reworld.changing.levels.games", "reworld.changing.levels.one_level"])
    def test_pettingzoo_is_not_imported_before_it_is_needed(self, module: str) -> None:
        run(f"import sys, {module}; assert 'pettingzoo' not in sys.modules")

    def test_who_has_no_pettingzoo_is_told_how_to_get_it(self) -> None:
        run(
            "import sys; sys.modules['pettingzoo'] = None\n"
            "from gymnasium.error import DependencyNotInstalled\n"
            "try: import reworld.changing.levels.multi\n"
            "except DependencyNotInstalled as error: assert 'reworld[multi]' in str(error)\n"
            "else: raise AssertionError"
        )


def run(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def play(env: LevelsAEC, policies: dict[str, Callable[[Any], Any]], seed: int | None = None) -> dict[str, float]:
    """Play a game to its end; tell what each agent received."""
    env.reset(seed=seed)
    received = dict.fromkeys(env.agents, 0.0)
    for agent in env.agent_iter():
        observation, reward, terminated, truncated, _ = env.last()
        received[agent] += reward
        env.step(None if terminated or truncated else policies[agent](observation))
    return received


def small(persistent: bool = False, steps: int | None = None) -> Levels:
    """Three levels over three states, of which the last ends an episode."""
    rng = np.random.default_rng(5)

    def laws(*shape: int) -> np.ndarray:
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1])

    kernel = laws(2, 3, 2, 3)
    world = tabular(kernel=kernel[0], rewards=rng.normal(size=(3, 2, 3)), start=[0.5, 0.5, 0.0], terminal=[False, False, True])
    crew = Level(laws(2, 2, 2, 2), rng.random((2, 2)), [0.3, 0.7], discount=0.5, steps=steps)
    top = Level(laws(2, 2, 2), rng.random((2, 2)), [0.6, 0.4], discount=0.4)
    return Levels(world, kernel.reshape(2, -1), [crew, top], 0.8, steps, persistent)


CHOICES = [np.array([0, 1, 0, 1, 1, 0]), np.array([1, 0, 0, 1]), np.array([1, 0])]
"""What each level does, by what it sees."""


def exact_value(levels: Levels) -> float:
    """What the top level receives under these choices."""
    flat, rows = levels.flat(), []
    for s, state in enumerate(flat.states):
        due, kernels = state["due"], state["kernels"]
        seen = kernels[0] * 3 + state["state"] if due == 0 else kernels[due] * 2 + kernels[due - 1]
        ended = due == 0 and flat.first[s + 1] == flat.first[s] + 1
        rows.append(flat.first[s] + (0 if ended else CHOICES[due][seen]))
    return float(flat.start @ values_of(flat, np.array(rows)))


class TestPlay:
    @pytest.mark.parametrize("persistent", [False, True])
    @pytest.mark.parametrize("steps", [None, 2])
    def test_returns_are_those_of_the_flat_form(self, persistent: bool, steps: int | None) -> None:
        levels, games = small(persistent, steps), 1000
        env = LevelsAEC(levels)
        env.reset(seed=1)
        policies = {agent: CHOICES[k].__getitem__ for k, agent in enumerate(env.possible_agents)}
        received = np.array([list(play(env, policies).values()) for _ in range(games)])
        top = received[:, 2]
        assert abs(top.mean() - exact_value(levels)) < 4.0 * top.std() / np.sqrt(games)
        assert (received[:, 0] != received[:, 1]).any()

    def test_what_is_paid_is_received_by_all_above(self) -> None:
        env = pettingzoo.make("aec", "reworld/RiverSwimLevels-v0")
        env.reset(seed=0)
        env.step(1)
        assert env.rewards == {"level_0": 0.0, "level_1": 0.0, "level_2": -150_000.0}
        env.step(1)
        assert env.rewards == {"level_0": 0.0, "level_1": -20_000.0, "level_2": -20_000.0}
        assert env.infos["level_1"]["cost"] == 20_000.0
        assert env.infos["level_2"]["cost"] == 0.0
        while not env.rewards["level_0"]:
            assert env.agent_selection == "level_0"
            env.step(0)
        assert env.rewards == {"level_0": 5.0, "level_1": 5.0, "level_2": 5.0}

    def test_a_return_is_what_was_received_since_the_episode_began(self) -> None:
        play, received = Play(small()), [0.0, 0.0, 0.0]
        play.begin(seed=0)
        for _ in range(500):
            if play.due is None:
                play.begin()
                received = [0.0, 0.0, 0.0]
            if play.ages[play.due] == 0:
                received[play.due] = 0.0
            due = play.due
            paid = play.move(CHOICES[due][play.observe(due)])
            received[due:] = [before + paid for before in received[due:]]
            assert play.returns == received

    @pytest.mark.parametrize(("machine", "share"), [(0, 0.2), (1, 0.9)])
    def test_the_level_above_chooses_the_kernel(self, machine: int, share: float) -> None:
        levels = river_swim_levels()
        certain = dataclasses.replace(levels.levels[1], kernel=np.stack([np.eye(2), np.eye(2)]), start=np.eye(2)[machine])
        play = Play(dataclasses.replace(levels, levels=[levels.levels[0], certain]))
        succeeded = []
        for seed in range(300):
            play.begin(seed)
            play.move(0)
            play.move(1)
            succeeded.append(play.kernels[0] == 1)
        assert abs(np.mean(succeeded) - share) < 4.0 * np.sqrt(share * (1.0 - share) / 300)

    def test_a_new_episode_has_no_last_action(self) -> None:
        play = Play(river_swim_levels())
        play.begin(seed=1)
        play.move(1)
        while play.due != 2:
            play.move(1)
        assert (play.actions[1], play.costs[1], play.actions[2]) == (None, 0.0, 1)

    def test_the_same_seed_is_the_same_game_and_another_is_not(self) -> None:
        env, policies = LevelsAEC(small()), {f"level_{k}": CHOICES[k].__getitem__ for k in range(3)}
        first = [play(env, policies, seed) for seed in (3, 4, None)]
        env = LevelsAEC(small())
        assert [play(env, policies, seed) for seed in (3, 4, None)] == first
        assert len({game["level_2"] for game in first}) == 3

    def test_looking_changes_nothing(self) -> None:
        received = []
        for curious in (False, True):
            env = LevelsAEC(small())
            env.reset(seed=2)
            seen = []
            for agent in env.agent_iter():
                if curious:
                    for other in env.agents:
                        env.observe(other)
                observation, reward, terminated, _, _ = env.last()
                seen.append((agent, int(observation), reward))
                env.step(None if terminated else CHOICES[int(agent[-1])][observation])
            received.append(seen)
        assert received[0] == received[1]

    def test_both_forms_play_the_same_game(self) -> None:
        # The single level above sees the same in both, and level 0 does not look at the configuration.
        turns, at_once = LevelsAEC(bilevel()), LevelsParallel(bilevel())
        policies = {"level_0": lambda seen: seen % 6 % 3, "level_1": lambda seen: (seen + 1) % 5}
        for seed in range(5):
            observations, _ = at_once.reset(seed=seed)
            total = 0.0
            while at_once.agents:
                actions = {agent: policies[agent](observations[agent]) for agent in at_once.agents}
                observations, rewards, _, _, _ = at_once.step(actions)
                total += rewards["level_1"]
            assert play(turns, policies, seed)["level_1"] == pytest.approx(total, rel=1e-12)

    def test_an_episode_begins_in_the_configuration_that_was_decided(self) -> None:
        level = Level.graph({"at rest": ["apart"], "apart": ["at rest"]}, discount=0.5)
        configurations = {"at rest": {"start_spread": 0.0}, "apart": {"start_spread": 0.2}}
        env = LevelsAEC(Levels(CARTPOLE, configurations, [level], steps=5))
        env.reset(seed=0)
        assert env.observe("level_0").tolist() == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        env.step(1)
        apart = env.observe("level_0")
        assert (np.abs(apart[:4]) > 1e-3).all()
        assert apart[4:].tolist() == [0.0, 1.0]

    def test_a_persistent_world_goes_on_in_another_configuration(self) -> None:
        level = Level.graph({"light": ["heavy"], "heavy": ["light"]}, discount=0.99)
        env = LevelsAEC(Levels(CARTPOLE, {"light": {}, "heavy": {"cart_mass": 10.0}}, [level], steps=1, persistent=True))
        env.reset(seed=0)
        speeds = []
        for k in range(3):
            assert env.agent_selection == "level_1"
            before = env.observe("level_0")
            env.step(k % 2)
            np.testing.assert_array_equal(env.observe("level_0")[:4], before[:4])
            env.step(1)
            speeds.append(env.observe("level_0")[1] - before[1])
        assert speeds[0] > 5.0 * speeds[1]
        assert speeds[2] > 5.0 * speeds[1]

    def test_a_persistent_world_that_terminates_ends_all(self) -> None:
        env = LevelsAEC(Levels(CARTPOLE, {"it": {}}, [Level(np.ones((1, 1, 1)), [[0.0]])], steps=3, persistent=True))
        received = play(env, {"level_0": lambda _: 0, "level_1": lambda _: 0}, seed=0)
        assert 8.0 <= received["level_0"] == received["level_1"] <= 11.0

    def test_games_end_by_termination_or_by_steps(self) -> None:
        for steps, ended in ((None, "terminations"), (3, "truncations")):
            discount = 0.2 if steps is None else 1.0
            env = LevelsAEC(Levels(tabular(), {"it": {}}, [Level(np.ones((1, 1, 1)), [[0.0]], None, discount, steps)], 0.5))
            env.reset(seed=0)
            decisions = 0
            while not any(env.terminations.values()) and not any(env.truncations.values()):
                decisions += env.agent_selection == "level_1"
                env.step(0)
            assert getattr(env, ended) == {"level_0": True, "level_1": True}
            assert env.terminations != env.truncations
            assert steps in {None, decisions}

    def test_final_observations(self) -> None:
        env = LevelsAEC(cartpole_levels())
        env.reset(seed=0)
        env.step(0)
        while env.agent_selection == "level_0":
            assert "final_obs" not in env.infos["level_0"]
            env.step(0)
        final = env.infos["level_0"]["final_obs"]
        assert env.infos["level_0"]["final_terminated"] is True
        assert abs(final[2]) > 0.2
        assert abs(env.observe("level_0")[2]) <= 0.05
        assert "final_obs" not in env.infos["level_1"]

    def test_cycles_are_counted(self) -> None:
        env = pettingzoo.make("parallel", IDS[0], max_cycles=4)
        env.reset(seed=0)
        for k in range(4):
            *_, truncations, _ = env.step({"level_0": k % 2, "level_1": 0})
            assert truncations == {"level_0": k == 3, "level_1": k == 3}
        assert env.agents == []

    def test_a_game_that_is_cut_off_ends_with_what_is_seen_at_its_end(self) -> None:
        env = pettingzoo.make("parallel", IDS[0], max_cycles=4, steps=4)
        env.reset(seed=0)
        for _ in range(4):
            observations, *_, infos = env.step({"level_0": 1, "level_1": 0})
        np.testing.assert_array_equal(observations["level_0"], infos["level_0"]["final_obs"])
        assert np.abs(observations["level_0"][:4]).max() > 0.05  # No start is so far out.


def lasting() -> Levels:
    """CartPole and its engineer, who never rests before the pole falls."""
    levels = cartpole_levels()
    return dataclasses.replace(levels, levels=[dataclasses.replace(levels.levels[0], discount=1.0)], persistent=True)


class TestParallel:
    def test_actions_are_read_where_they_are_due(self) -> None:
        env = LevelsParallel(lasting(), steps=3)
        observations, infos = env.reset(seed=0)
        for step in range(7):
            due = step % 3 == 0
            assert infos["level_1"]["due"] is due
            assert infos["level_0"]["due"]
            before = observations["level_1"]
            target = 2 if before == 0 else 0
            observations, rewards, _, _, infos = env.step({"level_0": step % 2, "level_1": target})
            assert rewards == {"level_0": 1.0, "level_1": -59.0 if due else 1.0}
            assert infos["level_1"]["cost"] == (60.0 if due else 0.0)
            if not due:
                assert observations["level_1"] == before

    def test_all_are_read_in_every_step_if_epochs_last_one(self) -> None:
        env = LevelsParallel(lasting(), steps=1)
        _, infos = env.reset(seed=0)
        for step in range(5):
            assert infos["level_1"]["due"]
            *_, infos = env.step({"level_0": step % 2, "level_1": 0})

    def test_a_refused_action_changes_nothing(self) -> None:
        env = LevelsParallel(small())
        observations, _ = env.reset(seed=0)
        for actions in ({"level_0": 0, "level_1": 0}, {"level_0": 9, "level_1": 0, "level_2": 0}):
            with pytest.raises(InvalidAction):
                env.step(actions)
        assert {agent: env.observe(agent) for agent in env.agents} == observations


class TestSpaces:
    def test_of_a_finite_world(self) -> None:
        env = LevelsAEC(river_swim_levels)
        assert [int(env.observation_space(agent).n) for agent in env.possible_agents] == [3 * 6, 2 * 3, 2]
        assert [int(env.action_space(agent).n) for agent in env.possible_agents] == [2, 3, 2]

    def test_of_a_box(self) -> None:
        env = LevelsAEC(cartpole_levels)
        space = env.observation_space("level_0")
        assert (space.shape, space.dtype) == ((8,), np.float32)
        assert space.low[4:].tolist() == [0.0] * 4
        assert space.high[4:].tolist() == [1.0] * 4

    def test_masks_say_what_is_possible(self) -> None:
        env = LevelsAEC(cartpole_levels)
        env.reset(seed=0)
        mask = env.infos["level_1"]["action_mask"]
        assert (mask.dtype, mask.tolist()) == (np.int8, [1, 1, 1, 0])
        env.step(3)  # It is not: nothing is changed, and nothing paid.
        assert env.rewards["level_1"] == 0.0
        assert env.infos["level_0"]["kernel"] == 0


class TestPictures:
    def test_show_what_is_in_force(self) -> None:
        env = LevelsAEC(river_swim_levels, render_mode="rgb_array")
        pictures = []
        for machine in (0, 1):
            env.reset(seed=1)
            env.step(machine)
            pictures.append(env.render())
        height = river_swim_levels().world.picture[1]
        assert pictures[0].shape == (height + 3 * 40, 480, 3)
        differing = np.flatnonzero((pictures[0] != pictures[1]).any(axis=(1, 2)))
        assert differing.min() >= height
        assert differing.max() < height + 40  # The row of level 2.

    @pytest.mark.parametrize("count", [3, 30])
    def test_of_few_and_of_many_choices(self, count: int) -> None:
        levels = Levels(tabular(), {f"choice {i}": {} for i in range(count)}, [shift(count)], 0.5)
        env = LevelsAEC(levels, render_mode="rgb_array")
        env.reset(seed=0)
        before = env.render()
        env.step(1)
        assert (env.render()[528:568] != before[528:568]).any()

    def test_go_on_when_a_persistent_world_is_changed(self) -> None:
        env = LevelsAEC(lasting(), render_mode="rgb_array", steps=2)
        env.reset(seed=0)
        for action in (0, 1, 0):
            env.step(action)
        before = env.render()
        env.step(0)  # Stay.
        np.testing.assert_array_equal(env.render()[:300], before[:300])

    def test_need_a_render_mode(self) -> None:
        env = LevelsAEC(river_swim_levels)
        env.reset()
        with pytest.raises(InvalidOption, match="say render_mode='rgb_array'"):
            env.render()


def shift(count: int) -> Level:
    """Stay, or go on by one."""
    kernel = np.stack([np.eye(count), np.roll(np.eye(count), 1, axis=1)])
    return Level(kernel, np.zeros((count, 2)), discount=0.9)


class TestRefusals:
    def test_of_actions(self) -> None:
        env = LevelsAEC(cartpole_levels)
        env.reset(seed=0)
        with pytest.raises(InvalidAction, match=r"7 is no action of level 1. Give the index of one: 0 gale, 1 high gravity"):
            env.step(7)
        env.step(0)
        with pytest.raises(InvalidAction, match="is no action of CartPole"):
            env.step(7)
        assert env.agent_selection == "level_0"

    @pytest.mark.parametrize("form", [LevelsAEC, LevelsParallel])
    def test_of_steps_before_a_reset(self, form: Any) -> None:
        with pytest.raises(ResetNeeded, match=r"Call reset\(\) first"):
            form(cartpole_levels).step({})

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"max_cycles": 0}, "max_cycles=0"), ({"render_mode": "ansi"}, "render_mode='ansi' is unknown")],
    )
    def test_of_options(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            LevelsAEC(cartpole_levels, **options)
