"""A function that returns a world is as good as a world, and so is one whose observation is a state's number."""

import dataclasses
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import reworld
from reworld.engine.tracing import trace
from reworld.environment import WorldEnv
from reworld.errors import InvalidOption
from reworld.policies import compose_action, scripted_policy
from reworld.testing import check_world
from reworld.vector import WorldVectorEnv
from reworld.worlds.cartpole import WORLD as CARTPOLE
from reworld.worlds.platform import WORLD as PLATFORM
from worlds.ring import ring

ID = "tests/Ring-v0"
SURE = {"slip": 0.0}


@pytest.fixture(autouse=True)
def _register() -> None:
    reworld.register(ID, "worlds.ring:ring", max_episode_steps=20)


def walk_lengths(**family: Any) -> list[int]:
    """The states of an episode of walking, two places at a time."""
    env = gymnasium.make(ID, configuration=SURE, **family)
    seen = [int(env.reset(seed=0)[0])]
    terminated = truncated = False
    while not (terminated or truncated):
        observation, _, terminated, truncated, _ = env.step(compose_action(env.unwrapped.world, 0, ()))
        seen.append(int(observation))
    return seen


class TestFamilies:
    @pytest.mark.parametrize("family", [{}, {"size": 7}], ids=str)
    def test_keep_the_contract(self, family: dict[str, int]) -> None:
        id = f"tests/Ring{family.get('size', 5)}-v0"
        gymnasium.register(id, **{**vars_of(ID), "kwargs": {**gymnasium.spec(ID).kwargs, **family}})
        check_world(id)

    def test_members_differ_by_their_constants(self) -> None:
        assert walk_lengths() == [1, 3, 0]
        assert walk_lengths(size=3) == [1, 0]
        assert walk_lengths(size=7) == [1, 3, 5, 0]

    def test_worlds_are_equal_if_made_alike(self) -> None:
        assert ring() == ring(5)
        assert hash(ring()) == hash(ring(5))
        assert ring(5) != ring(6)
        assert ring(5) != dataclasses.replace(ring(5), constants={"SIZE": 5})
        assert ring() != 5
        assert CARTPOLE != PLATFORM
        assert pickle.loads(pickle.dumps(ring(6))) == ring(6)

    def test_arguments_reach_the_batch_too(self) -> None:
        batch = gymnasium.make_vec(ID, 3, vectorization_mode="vector_entry_point", size=9)
        assert batch.single_observation_space == gymnasium.spaces.Discrete(9)

    @pytest.mark.parametrize("make", [WorldEnv, WorldVectorEnv])
    def test_an_unknown_argument_is_refused_with_the_nearest(self, make: Any) -> None:
        with pytest.raises(InvalidOption, match=r"takes no argument 'siez'. Did you mean 'size'\?"):
            make(ring, siez=3)
        with pytest.raises(InvalidOption, match="takes no argument 'n'"):
            make(CARTPOLE, n=3)
        with pytest.raises(InvalidOption, match="size=1: give at least 2"):
            make(ring, size=1)

    def test_policy_knows_the_constants(self) -> None:
        assert scripted_policy(ring(8))(3)[1][1].tolist() == [8.0]


def vars_of(id: str) -> dict[str, Any]:
    spec = gymnasium.spec(id)
    names = ("entry_point", "vector_entry_point", "max_episode_steps", "order_enforce", "disable_env_checker")
    return {name: getattr(spec, name) for name in names}


class TestFiniteObservations:
    def test_a_single_one_is_a_number(self) -> None:
        env = gymnasium.make(ID)
        observation, _ = env.reset(seed=0)
        assert observation in env.observation_space
        assert isinstance(observation, np.int64)
        observation, *_ = env.step(env.action_space.sample())
        assert observation in env.observation_space
        assert env.unwrapped.set_state(env.unwrapped.get_state())[0] == observation

    @pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.value)
    def test_a_batch_of_them_is_a_row(self, mode: AutoresetMode) -> None:
        batch = WorldVectorEnv(ring, 4, max_episode_steps=1, autoreset_mode=mode)
        observations, _ = batch.reset(seed=0)
        assert observations in batch.observation_space
        observations, *_, info = batch.step(batch.action_space.sample())
        assert observations in batch.observation_space
        assert observations.shape == (4,)
        if mode == AutoresetMode.SAME_STEP:
            assert info["final_obs"].shape == (4,)
            assert (observations == 1).all()


class TestParametersInOneRow:
    """Where branches are many, one array is faster than a tuple of thousands."""

    def test_single(self) -> None:
        env, other = (WorldEnv(ring, branches=2000, configuration=SURE) for _ in range(2))
        rng = np.random.default_rng(0)
        env.reset(seed=0), other.reset(seed=0)
        for _ in range(20):
            branch, row = int(rng.integers(1, 2000)), rng.uniform(-3.0, 3.0, 1999).astype(np.float32)
            found = env.step((branch, row))
            expected = other.step(compose_action(other.world, branch, (row[branch - 1],)))
            assert found[:3] == expected[:3]
            if found[2]:
                env.reset(), other.reset()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.float16])
    def test_batched(self, dtype: Any) -> None:
        batch, other = (WorldVectorEnv(ring, 50, branches=20) for _ in range(2))
        batch.reset(seed=0), other.reset(seed=0)
        rng = np.random.default_rng(0)
        for _ in range(5):
            branches, rows = rng.integers(0, 20, 50), rng.uniform(-3.0, 3.0, (50, 19)).astype(dtype)
            found = batch.step((branches, rows))
            own = (np.empty((50, 0)), *(rows[:, k : k + 1] for k in range(19)))
            expected = other.step((branches, own))
            assert all(np.array_equal(one, another) for one, another in zip(found[:4], expected[:4], strict=True))

    def test_what_is_not_finite_is_refused_where_it_is_chosen(self) -> None:
        batch = WorldVectorEnv(ring, 3, branches=3)
        batch.reset(seed=0)
        rows = np.zeros((3, 2))
        rows[1, 0] = np.nan
        batch.step((np.array([0, 2, 1]), rows))
        with pytest.raises(gymnasium.error.InvalidAction, match="Environment 1: "):
            batch.step((np.array([0, 1, 1]), rows))

    def test_a_refusal_stays_readable(self) -> None:
        env = WorldEnv(ring, branches=2000)
        env.reset(seed=0)
        with pytest.raises(gymnasium.error.InvalidAction) as refusal:
            env.step((5000, np.zeros(1999)))
        assert len(str(refusal.value)) < 2000


class TestTrace:
    def test_gives_the_state_after_every_substep(self) -> None:
        env = WorldEnv(ring, size=9, configuration=SURE)
        env.reset(seed=0)
        before = env.get_state()
        seen = trace(env.world, before, 0, np.empty(0))
        assert seen["state"]["place"].tolist() == [2.0, 3.0]
        assert env.get_state() == before

    def test_is_empty_without_substeps(self) -> None:
        env = WorldEnv(CARTPOLE)
        env.reset(seed=0)
        assert len(trace(env.world, env.get_state(), 0, np.empty(0))) == 0


class TestScriptedPolicy:
    @pytest.mark.parametrize("world", [CARTPOLE, PLATFORM], ids=lambda world: world.name)
    def test_acts_within_the_action_space(self, world: Any) -> None:
        env = WorldEnv(world)
        observation, _ = env.reset(seed=0)
        assert scripted_policy(world)(observation) in env.action_space

    def test_a_world_without_one_says_so(self) -> None:
        with pytest.raises(InvalidOption, match=r"CartPole has no scripted policy: give it one, as World\(…, policy=…\)"):
            scripted_policy(dataclasses.replace(CARTPOLE, policy=None))
