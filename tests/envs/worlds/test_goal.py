"""Goal v0 is gym-goal behind MP-DQN's wrappers, bit for bit; v1 is what was meant."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.recordings import GOAL
from reworld.engine.kernels import instances_of, plain
from reworld.engine.linking import link
from reworld.environment import WorldEnv
from reworld.errors import InvalidOption
from reworld.generator import normal, uniform
from reworld.worlds import goal
from reworld.worlds.goal import KICK_TO, V0, V1, goal_v0, goal_v1
from worlds.level import level

CALM = {"player_noise": 0.0, "goalie_noise": 0.0, "ball_noise": 0.0}


@pytest.mark.parametrize("episode", range(0, 174, 17))
def test_random_requests_are_gym_goals(episode: int) -> None:
    recorded = GOAL.arrays
    requests: list[tuple[float, float]] = []
    answers: list[float] = []

    def recorded_uniform(rng: Any, low: float, high: float) -> float:
        requests.append((float(low), float(high)))
        return answers[len(requests) - 1]

    def no_normal(rng: Any, mean: float, deviation: float) -> float:
        raise AssertionError("gym-goal asks for uniform numbers only")

    step = link(V0.step, {uniform: recorded_uniform, normal: no_normal})
    instance = placed(V0, **dict(zip(GOAL.fields, recorded["init_state"][episode].tolist(), strict=True)))
    for t in range(*recorded["ep_start"][episode : episode + 2]):
        draws = slice(*recorded["draw_start"][t : t + 2])
        requests.clear()
        answers[:] = recorded["draw_value"][draws].tolist()
        branch = int(recorded["action_id"][t])
        own = recorded["action_params"][t][slice(*V0.branch_offsets[branch : branch + 2])]
        reward, terminated = step(instance.state, branch, own, instance.configuration, None)
        assert requests == list(zip(recorded["draw_a"][draws].tolist(), recorded["draw_b"][draws].tolist(), strict=True))
        in_unit_interval = [request == (0.0, 1.0) for request in requests]
        assert in_unit_interval == (recorded["draw_kind"][draws] == 2).tolist()
        assert (reward, terminated) == (recorded["reward"][t], recorded["done"][t])


def placed(world: Any, configuration: dict[str, float] | None = None, **state: float) -> Any:
    """An instance with everybody at rest, and the goalie far away, unless told otherwise."""
    instance: Any = instances_of(world, 1).view(np.recarray)[0]
    instance.configuration.values[:] = world.default_configuration
    for name, value in (configuration or {}).items():
        instance.configuration[name] = value
    for name, value in {"goalie_x": 18.0, "goalie_y": 14.0, **state}.items():
        instance.state[name] = value
    return instance


def substep(world: Any, instance: Any, target: tuple[float, float] = (20.4, 0.0)) -> tuple[float, bool]:
    """One sub-step, uncompiled."""
    outcome: tuple[float, bool] = plain(world, goal.substep)(
        instance.state, *target, instance.configuration, instance.generator
    )
    return outcome


class TestTransitionsByHand:
    def test_a_kick_sends_the_ball_as_far_as_the_target_is_from_the_player(self) -> None:
        instance = placed(V0, CALM, player_x=5.0, ball_x=6.0)
        assert substep(V0, instance) == (0.0, False)
        speed = 0.06 * 15.4
        np.testing.assert_allclose(instance.state.ball_x, 6.0 + speed, rtol=1e-12)
        np.testing.assert_allclose(instance.state.ball_vx, 0.94 * speed, rtol=1e-12)
        assert instance.state.ball_y == 0.0

    def test_a_weak_grip_limits_a_strong_kick(self) -> None:
        # Facing away from the ball and at the end of its reach, the player has half a grip: 100 * 0.5 * 0.027.
        instance = placed(V0, {**CALM, "ball_decay": 0.85}, player_x=5.0, player_theta=math.pi, ball_x=6.6)
        substep(V0, instance)
        np.testing.assert_allclose(instance.state.ball_x, 6.6 + 1.35, rtol=1e-12)

    def test_the_player_turns_to_the_ball_at_once_when_at_rest_then_runs(self) -> None:
        instance = placed(V0, CALM, player_x=5.0, ball_x=5.0, ball_y=10.0)
        substep(V0, instance)
        assert (instance.state.player_theta, instance.state.player_y) == (math.pi / 2, 0.0)
        substep(V0, instance)
        np.testing.assert_allclose(instance.state.player_y, 10.0 * 0.006, rtol=1e-12)
        np.testing.assert_allclose(instance.state.player_vy, 0.4 * 10.0 * 0.006, rtol=1e-12)

    @pytest.mark.parametrize("world", [V0, V1], ids=["v0", "v1"])
    def test_the_goalie_runs_into_the_way_of_a_shot(self, world: Any) -> None:
        # The ball rolls up a slope of 1 from (10, -8); its way passes nearest to (18, 4) at (17, -1) + (2, 2) * ... = (16, -2).
        instance = placed(world, CALM, ball_x=10.0, ball_y=-8.0, ball_vx=1.0, ball_vy=1.0, goalie_x=18.0, goalie_y=-4.0)
        substep(world, instance)
        assert instance.state.goalie_theta == pytest.approx(math.atan2(-2.0 + 4.0, 16.0 - 18.0))
        step = 20.0 * 0.006 * math.sqrt(0.5)
        assert (instance.state.goalie_x, instance.state.goalie_y) == pytest.approx((18.0 - step, -4.0 + step))

    def test_the_goalie_follows_any_other_ball_slowly(self) -> None:
        instance = placed(V0, CALM, ball_x=10.0, ball_y=14.0)
        substep(V0, instance)
        np.testing.assert_allclose(instance.state.goalie_x, 18.0 - 8.0 * 0.006, rtol=1e-12)

    def test_what_overlaps_is_pushed_apart_and_turned_round(self) -> None:
        instance = placed(V0, CALM, player_x=5.0, ball_x=6.8, ball_vx=-1.0)
        substep(V0, instance)
        # At 5.8 it overlaps by 0.5, so each of them gives way by 0.25; and the player has run a little before.
        assert instance.state.ball_x - instance.state.player_x == pytest.approx(1.3)
        assert instance.state.ball_vx == pytest.approx(0.94)

    @pytest.mark.parametrize("world", [V0, V1], ids=["v0", "v1"])
    def test_a_goal_is_worth_fifty(self, world: Any) -> None:
        instance = placed(world, CALM, ball_x=19.5, ball_y=7.0, ball_vx=1.0)
        assert substep(world, instance) == (50.0, True)
        assert plain(world, goal.succeeded)(instance.state, instance.configuration)

    @pytest.mark.parametrize("world", [V0, V1], ids=["v0", "v1"])
    def test_a_caught_ball_costs_its_distance_from_the_goal(self, world: Any) -> None:
        instance = placed(world, CALM, ball_x=16.0, ball_y=10.01, goalie_x=17.9, goalie_y=10.01)
        reward, terminated = substep(world, instance)
        assert (reward, terminated) == (pytest.approx(-5.0), True)
        assert not plain(world, goal.succeeded)(instance.state, instance.configuration)

    def test_an_action_ends_after_a_thousand_substeps(self) -> None:
        slow = {
            "dash_power": 5.0,
            "player_power_rate": 0.003,
            "player_decay": 0.1,
            "catch_probability": 0.0,
            "chase_power": 0.0,
        }
        env = WorldEnv(V0, {**CALM, **slow})
        state = start(env, player_y=-12.0, ball_x=18.0, ball_y=12.0)
        _, reward, terminated, _, _ = env.step((KICK_TO, ([5.0, 5.0], [0.0], [0.0])))
        assert (reward, terminated, state(env, "substeps")) == (0.0, False, 1000.0)


def start(env: WorldEnv, **fields: float) -> Any:
    """Begin an episode in a state; returns a function that reads a field."""
    env.reset(seed=0)
    instance = env.get_state()
    for name, value in fields.items():
        instance["state"][name] = value
    env.set_state(instance)
    return lambda env, name: float(env.get_state()["state"][name])


both = pytest.mark.parametrize("world", [V0, V1], ids=["v0", "v1"])


class TestWhatVersion1Mends:
    @both
    def test_kick_to_uses_its_y(self, world: Any) -> None:
        configuration = placed(world).configuration
        targets = [plain(world, goal.aim)(KICK_TO, (7.0, y), configuration) for y in (-3.0, 4.0)]
        assert targets == ([(7.0, 7.0), (7.0, 7.0)] if world is V0 else [(7.0, -3.0), (7.0, 4.0)])

    @both
    def test_kick_to_stays_on_the_pitch(self, world: Any) -> None:
        assert world.branches[KICK_TO].parameters[0].high == (40.0 if world is V0 else 20.0)
        x, _ = plain(world, goal.aim)(KICK_TO, (99.0, 0.0), placed(world).configuration)
        assert x == (40.0 if world is V0 else 20.0)

    @both
    def test_each_shot_has_its_half_of_the_mouth(self, world: Any) -> None:
        configuration = placed(world).configuration
        aimed = [plain(world, goal.aim)(branch, (y,), configuration)[1] for branch in (1, 2) for y in (-9.0, -3.0, 3.0, 9.0)]
        left, right = ([-7.01, -3.0, 3.0, 7.01],) * 2 if world is V0 else ([0.0, 0.0, 3.0, 7.01], [-7.01, -3.0, 0.0, 0.0])
        assert aimed == left + right

    @both
    @pytest.mark.parametrize(("y", "cost"), [(8.0, (0.99, 0.99)), (-8.0, (15.01, 0.99))], ids=["left", "right"])
    def test_a_miss_costs_its_distance(self, world: Any, y: float, cost: tuple[float, float]) -> None:
        instance = placed(world, CALM, ball_x=19.8, ball_y=y, ball_vx=0.5, goalie_y=0.0)
        assert substep(world, instance) == (pytest.approx(-cost[world is V1]), True)

    @both
    def test_the_hundredth_action_is_taken(self, world: Any) -> None:
        env = WorldEnv(world, CALM)
        state = start(env, time=99.0)
        _, _, terminated, _, _ = env.step((KICK_TO, ([0.5, 0.5], [0.0], [0.0])))
        assert (terminated, state(env, "substeps") == 0.0) == ((True, True) if world is V0 else (False, False))

    @both
    def test_a_fast_ball_through_the_mouth_is_a_goal(self, world: Any) -> None:
        instance = placed(world, CALM, ball_x=19.9, ball_vx=2.7)
        assert substep(world, instance) == ((0.0, True) if world is V0 else (50.0, True))

    @both
    def test_a_ball_past_the_post_is_no_goal_wherever_it_is_behind_the_line(self, world: Any) -> None:
        instance = placed(world, CALM, ball_x=19.9, ball_y=8.0, ball_vx=1.0, ball_vy=-1.2)
        assert substep(world, instance)[0] == (50.0 if world is V0 else 0.0)

    @both
    def test_noise_turns_a_kick_straight_on_too(self, world: Any) -> None:
        instance = placed(world, player_x=5.0, ball_x=6.0)
        substep(world, instance)
        assert (instance.state.ball_y == 0.0) == (world is V0)
        assert abs(instance.state.ball_y) < 0.06 * 15.4 * 0.05

    @both
    def test_the_goalie_intercepts_a_ball_straight_on(self, world: Any) -> None:
        instance = placed(world, CALM, ball_x=10.0, ball_vx=1.5, goalie_y=4.0)
        substep(world, instance)
        assert instance.state.goalie_theta == pytest.approx(math.atan2(-4.0, 35.0 - 18.0) if world is V0 else -math.pi / 2)

    @both
    def test_orientations_are_wrapped(self, world: Any) -> None:
        instance = placed(
            world, CALM, player_x=10.0, player_theta=2.9, ball_x=10.0 - 8.0, ball_y=8.0 * math.tan(-2.9 + math.pi) * -1
        )
        substep(world, instance)
        assert instance.state.player_theta == pytest.approx(2.0 * math.pi - 2.9 if world is V0 else -2.9)

    @both
    def test_players_stay_on_the_pitch(self, world: Any) -> None:
        instance = placed(world, CALM, player_vx=-1.0, player_theta=1.0, ball_x=10.0)
        substep(world, instance)
        assert instance.state.player_x == (-1.0 if world is V0 else 0.0)

    @both
    def test_the_shadow_of_the_goalie_is_scaled_alike_on_both_sides(self, world: Any) -> None:
        seen = []
        for slope in (-1.0, 0.0, 1.0):
            instance = placed(world, goalie_x=15.0, goalie_y=0.0, ball_x=10.0, ball_y=-5.0 * slope)
            out = np.empty(17)
            plain(world, world.observe)(instance.state, instance.configuration, out)
            seen.append(out[16])
        published = [2.0 * (y + 7.01) / 21.03 - 1.0 for y in (-5.0, 0.0, 5.0)]
        assert seen == pytest.approx(published if world is V0 else [-5.0 / 7.01, 0.0, 5.0 / 7.01], abs=1e-7)


_ACROSS = ("player_y", "player_vy", "player_theta", "goalie_y", "goalie_vy", "goalie_theta", "ball_y", "ball_vy")

_along, _across, _speed = st.floats(0.5, 19.5), st.floats(-14.0, 14.0), st.floats(-1.0, 1.0)


@settings(max_examples=100, deadline=None)
@given(
    player=st.tuples(_along, _across, _speed, _speed, st.floats(-3.0, 3.0)),
    goalie=st.tuples(_along, _across, _speed, _speed, st.floats(-3.0, 3.0)),
    ball=st.tuples(_along, _across, _speed, _speed),
    target=st.tuples(_along, _across),
)
def test_left_and_right_are_alike_in_version_1(player: Any, goalie: Any, ball: Any, target: tuple[float, float]) -> None:
    fields = dict(zip(V1.state, (*player, *goalie, *ball), strict=False))
    outcomes = []
    for side in (1.0, -1.0):
        mirrored = {name: side * value if name in _ACROSS else value for name, value in fields.items()}
        instance = placed(V1, CALM, **mirrored)
        outcome = substep(V1, instance, (target[0], side * target[1]))
        after = [side * instance.state[name] if name in _ACROSS else instance.state[name] for name in V1.state]
        angles = [math.cos(instance.state[name]) for name in ("player_theta", "goalie_theta")]
        outcomes.append([*outcome, *(v for name, v in zip(V1.state, after, strict=True) if "theta" not in name), *angles])
    np.testing.assert_allclose(outcomes[0], outcomes[1], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("family", [goal_v0, goal_v1])
def test_another_number_of_features_is_refused(family: Any) -> None:
    assert len(family(14).observation) == 14
    with pytest.raises(InvalidOption, match=r"features=15 .* 17"):
        family(15)


@pytest.mark.parametrize("features", [14, 17])
def test_scripted_policy_wins_most_episodes_as_published(features: int) -> None:
    assert level(goal_v0(features), 60) > 0.65


@pytest.mark.parametrize("features", [14, 17])
def test_scripted_policy_wins_nearly_all_episodes_of_version_1(features: int) -> None:
    assert level(goal_v1(features), 60) > 0.9
