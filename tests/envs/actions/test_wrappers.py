"""The wrappers around single environments and native batches: they step alike, keep masks, and survive storage."""

import pickle
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import Error, InvalidAction
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import iterate

import reworld
from reworld import actions
from reworld.actions import (
    DictAction,
    DiscreteAction,
    FlatBoxAction,
    FlatTupleAction,
    MultiDiscreteAction,
    OneOfAction,
    RescaleParameters,
    VectorDiscreteAction,
    VectorFlatBoxAction,
    VectorFlatTupleAction,
    VectorMultiDiscreteAction,
    VectorRescaleParameters,
)

PANEL, PLATFORM, CARTPOLE = "tests/Panel-v0", "reworld/Platform-v0", "reworld/CartPole-v0"
IDS = [PANEL, *sorted(id for id in gymnasium.registry if id.startswith("reworld/"))]
SINGLE = [RescaleParameters, FlatTupleAction, DictAction, OneOfAction, FlatBoxAction, DiscreteAction, MultiDiscreteAction]
BATCHED = [single for single in SINGLE if single is not OneOfAction]


@pytest.fixture(autouse=True)
def _register():
    reworld.register(PANEL, "worlds.panel:WORLD", max_episode_steps=20)


def make_batch(id, num_envs, **arguments):
    return gymnasium.make_vec(id, num_envs=num_envs, vectorization_mode="vector_entry_point", **arguments)


def vector(single):
    return getattr(actions, f"Vector{single.__name__}")


def skip_if_nothing_to_rescale(id, wrapper):
    if wrapper is RescaleParameters and isinstance(gymnasium.make(id).action_space, spaces.Discrete):
        pytest.skip("nothing to rescale")


def play(env, steps=10, seed=0):
    """What happens to a random agent."""
    seen = [env.reset(seed=seed)[0]]
    env.action_space.seed(seed)
    for _ in range(steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        seen.append(np.append(observation, reward))
        if np.any(terminated | truncated):
            break
    return np.concatenate([np.ravel(each) for each in seen])


class TestSteps:
    @pytest.mark.parametrize("id", IDS)
    @pytest.mark.parametrize("single", BATCHED)
    def test_a_batch_equals_single_environments(self, id, single):
        skip_if_nothing_to_rescale(id, single)
        batch = vector(single)(make_batch(id, 3))
        envs = [single(gymnasium.make(id)) for _ in range(3)]
        assert batch.single_action_space == envs[0].action_space
        observations, _ = batch.reset(seed=5)
        for i, env in enumerate(envs):
            np.testing.assert_array_equal(env.reset(seed=5 + i)[0], observations[i])
        batch.action_space.seed(0)
        running = np.ones(3, bool)
        for _ in range(20):
            batched = batch.action_space.sample()
            observations, rewards, terminations, truncations, _ = batch.step(batched)
            for i, action in enumerate(iterate(batch.action_space, batched)):
                if running[i]:
                    observation, reward, terminated, truncated, _ = envs[i].step(action)
                    np.testing.assert_array_equal(observation, observations[i])
                    assert (reward, terminated, truncated) == (rewards[i], terminations[i], truncations[i])
            running &= ~(terminations | truncations)

    @pytest.mark.parametrize(
        ("wrapper", "action"),
        [
            (RescaleParameters, (0, (np.array([0.0, 1.0]), np.empty(0), np.array([0.3])))),
            (FlatTupleAction, (0, np.array([2.0, 10.0, 0.5]))),
            (DictAction, {"branch": 0, "slide": np.array([2.0, 10.0]), "turn": np.array([0.5])}),
            (OneOfAction, (0, np.array([2.0, 10.0]))),
            (FlatBoxAction, np.array([0.5, -0.5, 0.0, 0.0, 1.0, 0.3])),
            (DiscreteAction, 22),
            (MultiDiscreteAction, np.array([0, 2, 4, 1])),
        ],
    )
    def test_the_same_action_in_every_form(self, wrapper, action):
        env = wrapper(gymnasium.make(PANEL))
        env.reset(seed=0)
        assert env.step(action)[0].tolist() == [0.0, 2.0, 10.0]

    @pytest.mark.parametrize(
        ("wrapper", "action"),
        [
            (FlatTupleAction, (0, np.array([0.0, 1.0, 0.3]))),
            (DictAction, {"branch": 0, "slide": np.array([0.0, 1.0]), "turn": np.array([0.3])}),
            (OneOfAction, (0, np.array([0.0, 1.0]))),
        ],
    )
    def test_those_that_keep_the_units_keep_rescaled_ones(self, wrapper, action):
        env = wrapper(RescaleParameters(gymnasium.make(PANEL)))
        env.reset(seed=0)
        assert env.step(action)[0].tolist() == [0.0, 2.0, 10.0]

    def test_a_batch_around_a_rescaled_batch(self):
        batch = VectorFlatTupleAction(VectorRescaleParameters(make_batch(PANEL, 2)))
        batch.reset(seed=0)
        observations, *_ = batch.step((np.array([0, 2]), np.array([[-1.0, 1.0, 0.0], [0.0, 0.0, 0.5]])))
        assert observations.tolist() == [[0.0, -2.0, 10.0], [2.0, 2.0, 0.0]]

    def test_beyond_the_scale_is_passed_on_and_clipped_by_the_world(self):
        outcomes = []
        for power in (1.0, 7.0):
            env = FlatBoxAction(gymnasium.make(PLATFORM))
            env.reset(seed=1)
            outcomes.append(env.step(np.array([1.0, 0.0, 0.0, power, 0.0, 0.0]))[0])
        np.testing.assert_array_equal(*outcomes)

    @pytest.mark.parametrize("wrapper", SINGLE)
    def test_state_and_configuration_are_reached_through_it(self, wrapper):
        env = wrapper(gymnasium.make(PLATFORM))
        _, info = env.reset(seed=0, options={"configuration": {"gravity": 20.0}})
        assert info["configuration"][0] == 20.0
        state = env.unwrapped.get_state()
        env.action_space.seed(0)
        action = env.action_space.sample()
        first = env.step(action)[0]
        env.unwrapped.set_state(state)
        np.testing.assert_array_equal(env.step(action)[0], first)

    def test_what_is_not_finite_is_refused_by_the_world(self):
        env = FlatTupleAction(gymnasium.make(PANEL))
        env.reset(seed=0)
        with pytest.raises(InvalidAction, match="is no action of Panel"):
            env.step((2, np.array([0.0, 0.0, np.nan])))
        with pytest.raises(InvalidAction, match="is no action of Panel"):
            env.step((3, np.zeros(3)))

    @pytest.mark.parametrize("single", BATCHED)
    def test_a_thousand_branches(self, single):
        batch = vector(single)(make_batch("reworld/HardMove-v0", 3, n=10))
        batch.reset(seed=0)
        observations, *_ = batch.step(batch.action_space.sample())
        assert batch.observation_space.contains(observations)


class Masked(gymnasium.Wrapper):
    """Forbid all branches but one, a different one in each step."""

    def reset(self, **arguments):
        self.allowed = -1
        observation, info = super().reset(**arguments)
        return observation, self.mask(info)

    def step(self, action):
        *outcome, info = super().step(action)
        return *outcome, self.mask(info)

    def mask(self, info):
        self.allowed = (self.allowed + 1) % 3
        return {**info, "action_mask": np.eye(3, dtype=np.int8)[self.allowed]}


class VectorMasked(gymnasium.vector.VectorWrapper):
    """Forbid all branches but one, a different one in each environment; all but the last one in final infos."""

    def reset(self, **arguments):
        observations, info = super().reset(**arguments)
        return observations, self.mask(info)

    def step(self, action):
        *outcome, info = super().step(action)
        return *outcome, self.mask(info)

    def mask(self, info):
        info = {**info, "action_mask": np.eye(3, dtype=np.int8)}
        if "final_info" in info:
            info["final_info"] = {**info["final_info"], "action_mask": np.eye(3, dtype=np.int8)[[2, 2, 2]]}
        return info


class TestMasks:
    @pytest.mark.parametrize("wrapper", SINGLE)
    def test_the_info_has_one_of_the_size_of_the_choice(self, wrapper):
        env = wrapper(Masked(gymnasium.make(PANEL)))
        first, again = env.reset(seed=0)[1]["action_mask"], env.step(env.action_space.sample())[4]["action_mask"]
        if wrapper is DiscreteAction:
            assert first.tolist() == [1] * 25 + [0] * 6
            assert again.tolist() == [0] * 25 + [1] + [0] * 5
            env.action_space.seed(0)
            assert env.action_space.sample(mask=again) == 25
        else:
            assert first.tolist() == [1, 0, 0]
            assert again.tolist() == [0, 1, 0]
        assert first.dtype == again.dtype == np.int8

    @pytest.mark.parametrize("single", BATCHED)
    def test_so_have_the_infos_of_a_batch_final_ones_included(self, single):
        batch = make_batch(PANEL, 3, max_episode_steps=1, autoreset_mode=AutoresetMode.SAME_STEP)
        batch = vector(single)(VectorMasked(batch))
        masks = batch.reset(seed=0)[1]["action_mask"]
        info = batch.step(batch.action_space.sample())[4]
        rows = np.repeat(np.eye(3), (25, 1, 5), axis=1) if single is DiscreteAction else np.eye(3)
        assert masks.tolist() == info["action_mask"].tolist() == rows.tolist()
        assert info["final_info"]["action_mask"].tolist() == rows[[2, 2, 2]].tolist()
        assert info["final_info"]["success"].tolist() == [False] * 3

    def test_the_flat_box_obeys_the_last_one(self):
        env = FlatBoxAction(Masked(gymnasium.make(PANEL)))
        env.reset(seed=0)
        scores = np.array([0.1, 0.2, 0.3, 0.0, 0.0, 0.0])
        assert [env.step(scores)[0][0] for _ in range(4)] == [0.0, 1.0, 2.0, 0.0]
        env.reset(seed=0)
        assert env.step(scores)[0][0] == 0.0

    def test_in_a_batch_every_environment_obeys_its_own(self):
        batch = VectorFlatBoxAction(VectorMasked(make_batch(PANEL, 3)))
        batch.reset(seed=0)
        assert batch.step(np.zeros((3, 6)))[0][:, 0].tolist() == [0.0, 1.0, 2.0]

    def test_as_sb3_contrib_asks_for_them(self):
        env = DiscreteAction(Masked(gymnasium.make(PANEL)), bins=2)
        assert env.action_masks().tolist() == [True] * 7
        env.reset(seed=0)
        assert env.action_masks().tolist() == [True] * 4 + [False] * 3
        assert env.action_masks().dtype == np.bool_
        env = MultiDiscreteAction(Masked(gymnasium.make(PANEL)), bins=2)
        env.reset(seed=0)
        assert env.action_masks().tolist() == [True, False, False] + [True] * 6

    @pytest.mark.parametrize(
        ("single", "batched"), [(DiscreteAction, VectorDiscreteAction), (MultiDiscreteAction, VectorMultiDiscreteAction)]
    )
    def test_of_a_batch_are_those_of_its_environments(self, single, batched):
        changing = {"parameters": ["gravity"], "epoch": "episode"}
        env = single(gymnasium.make(CARTPOLE, changing=changing), bins=3)
        batch = batched(gymnasium.make_vec(CARTPOLE, 2, "vector_entry_point", changing=changing), bins=3)
        env.reset(seed=0)
        batch.reset(seed=0)
        for _ in range(2):
            np.testing.assert_array_equal(batch.action_masks(), [env.action_masks()] * 2)
            env.step(env.action_space.sample() * 0)
            batch.step(batch.action_space.sample() * 0)
        assert not batch.action_masks().all()


class TestStorage:
    @pytest.mark.parametrize("id", [PANEL, PLATFORM, CARTPOLE])
    @pytest.mark.parametrize("wrapper", SINGLE)
    def test_a_spec_makes_the_same_again(self, id, wrapper):
        skip_if_nothing_to_rescale(id, wrapper)
        env = wrapper(gymnasium.make(id))
        again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
        assert isinstance(again, wrapper)
        assert again.action_space == env.action_space
        np.testing.assert_array_equal(play(again), play(env))

    def test_a_spec_makes_a_whole_stack_with_its_arguments_again(self):
        stack = DiscreteAction(gymnasium.wrappers.RecordEpisodeStatistics(RescaleParameters(gymnasium.make(PLATFORM))), bins=3)
        again = gymnasium.make(EnvSpec.from_json(stack.spec.to_json()))
        assert str(again) == str(stack)
        assert again.action_space == spaces.Discrete(9)
        np.testing.assert_array_equal(play(again), play(stack))
        again = gymnasium.make(MultiDiscreteAction(gymnasium.make(PLATFORM), bins=3).spec)
        assert again.action_space == spaces.MultiDiscrete([3, 3, 3, 3])

    @pytest.mark.parametrize("single", SINGLE)
    def test_a_pickle_goes_on_where_it_was(self, single):
        env = single(gymnasium.make(PLATFORM))
        env.reset(seed=0)
        again = pickle.loads(pickle.dumps(env))
        action = env.action_space.sample()
        np.testing.assert_array_equal(env.step(action)[0], again.step(action)[0])

    @pytest.mark.parametrize("single", BATCHED)
    def test_so_does_that_of_a_batch(self, single):
        batch = vector(single)(make_batch(PLATFORM, 3))
        batch.reset(seed=0)
        again = pickle.loads(pickle.dumps(batch))
        batched = batch.action_space.sample()
        np.testing.assert_array_equal(batch.step(batched)[0], again.step(batched)[0])

    @pytest.mark.parametrize("wrapper", SINGLE)
    def test_gymnasium_s_own_vector_environments_hold_it(self, wrapper):
        envs = gymnasium.make_vec(PLATFORM, num_envs=2, vectorization_mode="sync", wrappers=[wrapper])
        assert envs.single_action_space == wrapper(gymnasium.make(PLATFORM)).action_space
        _, info = envs.reset(seed=0)
        assert info["action_mask"].shape == (2, 15 if wrapper is DiscreteAction else 3)
        first = play(wrapper(gymnasium.make(PLATFORM)), steps=1)
        assert np.isin(envs.reset(seed=0)[0][0], first).all()
        envs.action_space.seed(0)
        observations, *_, info = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(observations)
        assert info["action_mask"].shape == (2, 15 if wrapper is DiscreteAction else 3)
        envs.close()

    def test_processes_of_their_own_do_too(self):
        arguments = {"num_envs": 2, "wrappers": [partial(DiscreteAction, bins=3)]}
        envs = [gymnasium.make_vec(PLATFORM, vectorization_mode=mode, **arguments) for mode in ("sync", "async")]
        one, other = (play(each, steps=5) for each in envs)
        np.testing.assert_array_equal(one, other)
        for each in envs:
            each.close()

    def test_gymnasium_s_own_vector_environments_come_from_a_spec(self):
        spec = FlatBoxAction(gymnasium.make(PLATFORM)).spec
        envs = gymnasium.make_vec(spec, num_envs=2, vectorization_mode="sync")
        assert envs.single_action_space.shape == (6,)
        envs.close()


class TestRefusals:
    def test_nothing_to_rescale(self):
        with pytest.raises(Error, match=r"nothing to rescale.*FlatBoxAction"):
            RescaleParameters(gymnasium.make(CARTPOLE))
        with pytest.raises(Error, match="nothing to rescale"):
            VectorRescaleParameters(make_batch(CARTPOLE, 2))

    def test_one_form_upon_another(self):
        with pytest.raises(Error, match=r"has not the form.*before any other action wrapper but RescaleParameters"):
            FlatBoxAction(DictAction(gymnasium.make(PANEL)))

    def test_environments_of_others(self):
        with pytest.raises(Error, match="DictAction is for an environment of reworld, and this is a CartPoleEnv"):
            DictAction(gymnasium.make("CartPole-v1"))

    def test_vector_environments_that_are_not_native(self):
        envs = gymnasium.make_vec(PLATFORM, num_envs=2, vectorization_mode="sync")
        with pytest.raises(Error, match=r"this is a SyncVectorEnv: .* gymnasium.make_vec\(…, wrappers=\[DiscreteAction\]\)"):
            VectorDiscreteAction(envs)
        envs.close()
