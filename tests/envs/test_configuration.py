"""What may be asked of a configuration, what is refused, and how long an answer holds."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st

from reworld.configuration import Request, starting_configurations
from reworld.environment import WorldEnv
from reworld.errors import InvalidConfiguration
from reworld.testing import make_batch
from reworld.vector import WorldVectorEnv
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.platform import WORLD as PLATFORM

GRAVITY = 0
DEFAULT = CARTPOLE.default_configuration
IDS = ["reworld/CartPole-v0", "reworld/Platform-v0"]


def changed(**values: float) -> np.ndarray:
    """CartPole's default configuration with some values changed."""
    configuration = DEFAULT.copy()
    for name, value in values.items():
        configuration[[parameter.name for parameter in CARTPOLE.parameters].index(name)] = value
    return configuration


def single(id: str = IDS[0], **arguments: Any) -> WorldEnv:
    env = gymnasium.make(id, **arguments).unwrapped
    assert isinstance(env, WorldEnv)
    return env


def fall(batch: WorldVectorEnv) -> np.ndarray:
    """Push CartPole to the right until every episode has ended once; tell every environment's configuration after that."""
    after = np.full(batch.configuration.shape, np.nan)
    ended = np.zeros(batch.num_envs, bool)
    for _ in range(200):
        over = ended & np.isnan(after[:, 0])
        *_, terminations, _, info = batch.step(np.ones(batch.num_envs, int))
        now = terminations if batch.autoreset_mode == AutoresetMode.SAME_STEP else over
        after[now & np.isnan(after[:, 0])] = info["configuration"][now & np.isnan(after[:, 0])]
        ended |= terminations
        if not np.isnan(after).any():
            return after
    raise AssertionError("an episode did not end")


class TestRequests:
    def test_none_is_the_default(self) -> None:
        np.testing.assert_array_equal(starting_configurations(CARTPOLE, None), [[DEFAULT, DEFAULT]])

    def test_names_leave_the_others_at_their_default(self) -> None:
        expected = changed(gravity=3.7, wind=2.0)
        starts = starting_configurations(CARTPOLE, {"gravity": 3.7, "wind": 2})
        np.testing.assert_array_equal(starts, [[expected, expected]])

    @pytest.mark.parametrize("kind", [np.asarray, list, tuple, lambda values: values.astype(np.float32).astype(object)])
    def test_all_values_in_order(self, kind: Any) -> None:
        expected = changed(gravity=4.0)
        starts = starting_configurations(CARTPOLE, kind(expected))
        np.testing.assert_allclose(starts, [[expected, expected]], rtol=1e-7)

    @pytest.mark.parametrize("world", [CARTPOLE, PLATFORM], ids=lambda world: world.name)
    def test_random_ranges_over_the_whole_space(self, world: Any) -> None:
        expected = [[p.low for p in world.parameters], [p.high for p in world.parameters]]
        np.testing.assert_array_equal(starting_configurations(world, "random"), [expected])

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_a_pair_is_a_range(self, kind: Any) -> None:
        starts = starting_configurations(CARTPOLE, {"gravity": kind([5.0, 6.0])})
        np.testing.assert_array_equal(starts, [[changed(gravity=5.0), changed(gravity=6.0)]])

    def test_an_array_gives_each_environment_its_own_value(self) -> None:
        starts = starting_configurations(CARTPOLE, {"gravity": np.array([5.0, 6.0, 7.0])}, count=3)
        np.testing.assert_array_equal(starts, [[changed(gravity=g)] * 2 for g in (5.0, 6.0, 7.0)])

    def test_two_environments_can_have_values_of_their_own_too(self) -> None:
        starts = starting_configurations(CARTPOLE, {"gravity": np.array([5.0, 6.0])}, count=2)
        np.testing.assert_array_equal(starts, [[changed(gravity=g)] * 2 for g in (5.0, 6.0)])

    def test_a_matrix_gives_each_environment_its_own_configuration(self) -> None:
        matrix = np.array([changed(gravity=5.0), changed(wind=3.0)])
        starts = starting_configurations(CARTPOLE, matrix, count=2)
        np.testing.assert_array_equal(starts, np.stack([matrix, matrix], axis=1))

    @given(st.floats(1.0, 30.0), st.floats(1.0, 30.0))
    def test_a_range_is_one_where_its_ends_are_in_order(self, low: float, high: float) -> None:
        if low <= high:
            starts = starting_configurations(CARTPOLE, {"gravity": [low, high]})
            assert starts[0, :, GRAVITY].tolist() == [low, high]
        else:
            with pytest.raises(InvalidConfiguration, match=r"gravity=\[.*\] is an empty range"):
                starting_configurations(CARTPOLE, {"gravity": [low, high]})


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"gravty": 9.8}, "CartPole has no parameter 'gravty'. Did you mean 'gravity'?"),
        ({"zzz": 1.0}, "CartPole has no parameter 'zzz'. Known names: gravity, cart_mass"),
        ({7: 1.0}, "CartPole has no parameter 7."),
        ({"gravity": float("nan")}, "gravity=nan is outside [1, 30] m/s²"),
        ({"gravity": float("inf")}, "gravity=inf is outside [1, 30] m/s²"),
        ({"gravity": 30.1}, "gravity=30.1 is outside [1, 30] m/s²"),
        ({"gravity": 0.9}, "gravity=0.9 is outside [1, 30] m/s²"),
        ({"gravity": "high"}, "gravity='high' is outside"),
        ({"gravity": None}, "gravity=None is outside"),
        ({"gravity": [2.0, 31.0]}, "gravity=31.0 is outside"),
        ({"gravity": [0.0, 2.0]}, "gravity=0.0 is outside"),
        ({"gravity": [6.0, 5.0]}, "gravity=[6.0, 5.0] is an empty range"),
        ({"gravity": [float("nan"), 5.0]}, "is an empty range"),
        ({"gravity": [1.0, 2.0, 3.0, 4.0]}, "gravity has values of shape (4,)"),
        ({"gravity": np.array([9.8, 9.8, np.nan])}, "is outside [1, 30]"),
        ({"gravity": np.zeros((3, 2))}, "gravity has values of shape (3, 2)"),
        ("randm", "configuration='randm' is not understood: the only word is 'random'."),
        (9.8, "An array of shape () is no configuration of CartPole: give 11 values"),
        (np.ones(10), "An array of shape (10,) is no configuration of CartPole"),
        (np.ones((2, 11)), "An array of shape (2, 11) is no configuration of CartPole"),
        (DEFAULT * np.nan, "gravity="),
    ],
    ids=repr,
)
def test_what_cannot_be_is_refused(request_: Request, complaint: str) -> None:
    with pytest.raises(InvalidConfiguration) as refusal:
        starting_configurations(CARTPOLE, request_, count=3)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize("arguments", [{"configuration": {"gravty": 1.0}}, {"configuration": "randm"}], ids=str)
def test_make_refuses_as_reset_does(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration):
        gymnasium.make(IDS[0], **arguments)
    with pytest.raises(InvalidConfiguration):
        make_batch(IDS[0], 2, **arguments)


class TestRandomConfigurations:
    @pytest.mark.parametrize("id", IDS)
    def test_stay_in_the_space(self, id: str) -> None:
        batch = make_batch(id, 2000, configuration="random")
        batch.reset(seed=0)
        space = batch.configuration_space
        assert ((batch.configuration >= space.low) & (batch.configuration <= space.high)).all()

    @pytest.mark.parametrize("id", IDS)
    def test_fill_the_space_evenly(self, id: str) -> None:
        batch = make_batch(id, 2000, configuration="random")
        batch.reset(seed=0)
        space = batch.configuration_space
        shares = (batch.configuration - space.low) / (space.high - space.low)
        # The mean of 2000 uniform numbers, within five of its standard errors.
        np.testing.assert_allclose(shares.mean(axis=0), 0.5, atol=5.0 / np.sqrt(12 * 2000))

    @pytest.mark.parametrize("id", IDS)
    def test_depend_on_the_seed_alone(self, id: str) -> None:
        env = single(id, configuration="random")
        env.reset(seed=3)
        expected = env.configuration
        env.reset(seed=4)
        assert not np.array_equal(env.configuration, expected)
        env.reset(seed=3)
        np.testing.assert_array_equal(env.configuration, expected)

    def test_differ_from_episode_to_episode(self) -> None:
        env = single(configuration={"gravity": [5.0, 6.0]})
        seen = []
        for _ in range(5):
            env.reset(seed=None if seen else 1)
            seen.append(env.configuration[GRAVITY])
        assert len(set(seen)) == 5
        assert all(5.0 <= gravity < 6.0 for gravity in seen)

    def test_a_range_draws_only_its_own_parameter(self) -> None:
        env = single(configuration={"gravity": [5.0, 6.0]})
        env.reset(seed=1)
        np.testing.assert_array_equal(env.configuration, changed(gravity=env.configuration[GRAVITY]))


class TestHowLongItHolds:
    def test_of_make_for_every_episode(self) -> None:
        env = single(configuration={"gravity": 3.0})
        for seed in (1, None, None):
            env.reset(seed=seed)
            np.testing.assert_array_equal(env.configuration, changed(gravity=3.0))

    def test_of_reset_for_one_episode(self) -> None:
        env = single(configuration={"gravity": 3.0})
        env.reset(seed=1, options={"configuration": {"wind": 2.0}})
        np.testing.assert_array_equal(env.configuration, changed(wind=2.0))
        env.reset()
        np.testing.assert_array_equal(env.configuration, changed(gravity=3.0))

    def test_refused_option_changes_nothing(self) -> None:
        env = single()
        env.reset(seed=1)
        before = env.get_state().tobytes()
        with pytest.raises(InvalidConfiguration):
            env.reset(seed=2, options={"configuration": {"gravity": -1.0}})
        assert env.get_state().tobytes() == before

    def test_info_tells_it(self) -> None:
        env = single()
        _, info = env.reset(seed=1, options={"configuration": {"gravity": 3.0}})
        np.testing.assert_array_equal(info["configuration"], changed(gravity=3.0), strict=True)
        *_, info = env.step(1)
        np.testing.assert_array_equal(info["configuration"], changed(gravity=3.0), strict=True)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value)
class TestHowLongItHoldsInABatch:
    @pytest.mark.parametrize("gravity", [3.0, np.array([3.0, 4.0, 5.0])], ids=["one for all", "one for each"])
    def test_of_make_for_every_episode(self, mode: AutoresetMode, gravity: Any) -> None:
        batch = make_batch(IDS[0], 3, autoreset_mode=mode, configuration={"gravity": gravity})
        batch.reset(seed=1)
        np.testing.assert_array_equal(fall(batch)[:, GRAVITY], np.broadcast_to(gravity, 3))
        batch.reset()
        np.testing.assert_array_equal(batch.configuration[:, GRAVITY], np.broadcast_to(gravity, 3))

    @pytest.mark.parametrize("gravity", [3.0, np.array([3.0, 4.0, 5.0])], ids=["one for all", "one for each"])
    def test_of_reset_until_autoreset(self, mode: AutoresetMode, gravity: Any) -> None:
        batch = make_batch(IDS[0], 3, autoreset_mode=mode)
        _, info = batch.reset(seed=1, options={"configuration": {"gravity": gravity}})
        np.testing.assert_array_equal(info["configuration"][:, GRAVITY], np.broadcast_to(gravity, 3))
        np.testing.assert_array_equal(fall(batch), [DEFAULT] * 3)

    def test_of_reset_until_the_next(self, mode: AutoresetMode) -> None:
        batch = make_batch(IDS[0], 3, autoreset_mode=mode)
        batch.reset(seed=1, options={"configuration": {"gravity": 3.0}})
        batch.reset()
        np.testing.assert_array_equal(batch.configuration, [DEFAULT] * 3)
        np.testing.assert_array_equal(fall(batch), [DEFAULT] * 3)

    def test_of_reset_also_where_others_are_reset_later(self, mode: AutoresetMode) -> None:
        batch = make_batch(IDS[0], 3, autoreset_mode=mode)
        batch.reset(seed=1, options={"configuration": {"gravity": 3.0}})
        batch.reset(options={"reset_mask": np.array([True, False, False])})
        np.testing.assert_array_equal(batch.configuration[:, GRAVITY], [9.8, 3.0, 3.0])
        np.testing.assert_array_equal(fall(batch), [DEFAULT] * 3)

    def test_is_drawn_anew_by_autoreset(self, mode: AutoresetMode) -> None:
        batch = make_batch(IDS[0], 3, autoreset_mode=mode, configuration={"gravity": [5.0, 6.0]})
        batch.reset(seed=1)
        before, after = batch.configuration, fall(batch)
        assert (before[:, GRAVITY] != after[:, GRAVITY]).all()
        assert ((after[:, GRAVITY] >= 5.0) & (after[:, GRAVITY] < 6.0)).all()

    def test_of_a_restored_state_until_autoreset(self, mode: AutoresetMode) -> None:
        batch, other = (make_batch(IDS[0], 3, autoreset_mode=mode) for _ in range(2))
        other.reset(seed=1, options={"configuration": {"gravity": 3.0}})
        batch.reset(seed=2)
        batch.set_state(other.get_state())
        np.testing.assert_array_equal(batch.configuration[:, GRAVITY], 3.0)
        np.testing.assert_array_equal(fall(batch), [DEFAULT] * 3)

    def test_each_environment_equals_a_single_one_in_its_configuration(self, mode: AutoresetMode) -> None:
        gravities = [3.0, 9.8, 20.0]
        batch = make_batch(IDS[0], 3, autoreset_mode=mode, configuration={"gravity": np.array(gravities)})
        batch.reset(seed=7)
        singles = [single(configuration={"gravity": gravity}) for gravity in gravities]
        for index, env in enumerate(singles):
            env.reset(seed=7 + index)
        for _ in range(5):
            observations, *_ = batch.step(np.ones(3, int))
            np.testing.assert_array_equal(observations, [env.step(1)[0] for env in singles], strict=True)


@pytest.mark.parametrize("configuration", [{"gravity": 5.0}, {"gravity": [5.0, 6.0]}, "random", DEFAULT.tolist()], ids=repr)
def test_is_kept_by_the_json_of_a_spec(configuration: Any) -> None:
    env = gymnasium.make(IDS[0], configuration=configuration)
    assert env.spec is not None
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    for seed in (1, None):
        (_, expected), (_, found) = env.reset(seed=seed), again.reset(seed=seed)
        np.testing.assert_array_equal(found["configuration"], expected["configuration"], strict=True)
