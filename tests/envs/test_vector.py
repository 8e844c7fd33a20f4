"""The batch: Gymnasium's three autoreset modes, results that are nobody else's, threads, forks and copies."""

import copy
import functools
import multiprocessing
import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from reworld.errors import InvalidOption
from reworld.testing import INFO_KEYS, make_batch
from reworld.vector import WorldVectorEnv
from reworld.worlds.cartpole import WORLD as CARTPOLE

IDS = ["reworld/CartPole-v0", "reworld/Platform-v0"]
LIMITS = dict(zip(IDS, (14, 2), strict=True))
"""So short that random episodes end in either way."""

every_id = pytest.mark.parametrize("id", IDS)
every_mode = pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.value)
automatic = pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP], ids=lambda mode: mode.value)


def cartpoles(count: int, seed: Any = 0, **arguments: Any) -> WorldVectorEnv:
    batch = make_batch(IDS[0], count, **arguments)
    batch.reset(seed=seed)
    return batch


def actions_of(batch: Any, seed: int = 0) -> Iterator[Any]:
    """An endless row of random batched actions."""
    space = copy.deepcopy(batch.action_space)
    space.seed(seed)
    while True:
        yield space.sample()


def reference(id: str, count: int, mode: AutoresetMode, limit: int | None = None) -> SyncVectorEnv:
    """What Gymnasium does with single environments."""
    make = functools.partial(gymnasium.make, id, max_episode_steps=limit)
    return SyncVectorEnv([make] * count, autoreset_mode=mode)


def as_lists(results: tuple[Any, ...]) -> list[Any]:
    """What a step returned, for comparing."""
    observations, rewards, terminations, truncations, info = results
    return [array.tolist() for array in (observations, rewards, terminations, truncations)] + [
        {key: np.asarray(info[key]).tolist() for key in sorted(INFO_KEYS)}
    ]


def go_on(batch: WorldVectorEnv, steps: int = 30) -> list[Any]:
    return [as_lists(batch.step(actions)) for _, actions in zip(range(steps), actions_of(batch), strict=False)]


@pytest.mark.parametrize(
    ("mistake", "error", "advice"),
    [
        (lambda: WorldVectorEnv(CARTPOLE, num_envs=0), InvalidOption, "num_envs=0: give at least 1."),
        (lambda: WorldVectorEnv(CARTPOLE, threads=0), InvalidOption, "threads=0: give at least 1."),
        (lambda: WorldVectorEnv(CARTPOLE, max_episode_steps=-1), InvalidOption, "max_episode_steps=-1: give at least 1."),
        (
            lambda: WorldVectorEnv(CARTPOLE, autoreset_mode="never"),
            InvalidOption,
            "give one of ['NextStep', 'SameStep'",
        ),
        (lambda: WorldVectorEnv(CARTPOLE, render_mode="human"), InvalidOption, "a batch renders as 'rgb_array'"),
        (lambda: cartpoles(2).render(), InvalidOption, "give render_mode='rgb_array'"),
        (lambda: WorldVectorEnv(CARTPOLE).step(np.zeros(1, int)), ResetNeeded, "Call reset() first."),
        (lambda: cartpoles(2).reset(options={"reset_msk": None}), InvalidOption, "Did you mean 'reset_mask'?"),
        (lambda: cartpoles(2).reset(options={"reset_mask": np.ones(3, bool)}), InvalidOption, "shape (3,) and dtype bool"),
        (lambda: cartpoles(2).reset(options={"reset_mask": np.ones(2)}), InvalidOption, "dtype float64: give 2 bools"),
        (lambda: cartpoles(2).reset(options={"reset_mask": None}), InvalidOption, "give 2 bools"),
        (
            lambda: WorldVectorEnv(CARTPOLE, 2).reset(options={"reset_mask": np.array([True, False])}),
            InvalidOption,
            "The first reset must reset every environment",
        ),
        (lambda: cartpoles(2, seed=-1), InvalidOption, "seed=-1 is out of range"),
        (lambda: cartpoles(2, seed=2**64 - 1), InvalidOption, f"seed={2**64} is out of range"),
        (lambda: cartpoles(2, seed=[1, -1]), InvalidOption, "seed=-1 is out of range"),
        (lambda: cartpoles(2, seed=[1, 2, 3]), InvalidOption, "3 seeds for 2 environments: give one for each."),
        (lambda: cartpoles(2).step(np.array([0, 2])), InvalidAction, "Environment 1: 2 is no action of CartPole"),
        (lambda: cartpoles(2).set_state(cartpoles(3).get_state()), InvalidOption, "This is no state of 2 CartPole"),
        (lambda: cartpoles(2).set_state(None), InvalidOption, "give what get_state() returned"),
    ],
    ids=[
        "no environments",
        "no threads",
        "no steps",
        "unknown autoreset mode",
        "a window",
        "render without a mode",
        "step before reset",
        "unknown option",
        "mask of another length",
        "mask of numbers",
        "no mask",
        "first reset of some",
        "negative seed",
        "last seed too large",
        "negative seed in a list",
        "too many seeds",
        "unknown branch",
        "state of another batch",
        "no state",
    ],
)
def test_a_mistake_is_refused_with_advice(mistake: Callable[[], Any], error: type[Exception], advice: str) -> None:
    with pytest.raises(error) as refusal:
        mistake()
    assert advice in str(refusal.value)


class TestResults:
    @every_mode
    def test_are_fresh_arrays(self, mode: AutoresetMode) -> None:
        batch = make_batch(IDS[0], 3, autoreset_mode=mode, configuration={"gravity": [5.0, 15.0]})
        kept = [batch.reset(seed=0)]
        kept += [batch.step(actions) for _, actions in zip(range(5), actions_of(batch), strict=False)]
        then = copy.deepcopy(kept)
        batch.reset(options={"reset_mask": np.array([True, False, True])})
        go_on(batch, 2)
        for one, other in zip(kept, then, strict=True):
            for part, part_then in zip(one, other, strict=True):
                if isinstance(part, dict):
                    for key in part:
                        np.testing.assert_array_equal(part[key], part_then[key], err_msg=key)
                else:
                    np.testing.assert_array_equal(part, part_then)

    def test_are_the_same_arrays_without_copy(self) -> None:
        batch = cartpoles(3, copy=False)
        results = [batch.step(np.ones(3, int)) for _ in range(2)]
        assert all(one is other for one, other in zip(results[0][:4], results[1][:4], strict=True))

    @every_mode
    @every_id
    def test_are_the_same_values_with_and_without_copy(self, id: str, mode: AutoresetMode) -> None:
        trajectories = []
        for own in (True, False):
            batch = make_batch(id, 3, autoreset_mode=mode, copy=own)
            trajectory: list[Any] = [batch.reset(seed=0)[0].tolist()]
            for _, actions in zip(range(60), actions_of(batch), strict=False):
                results = batch.step(actions)
                trajectory.append(as_lists(results))
                if mode == AutoresetMode.DISABLED and (ended := results[2] | results[3]).any():
                    trajectory.append(batch.reset(options={"reset_mask": ended})[0].tolist())
            trajectories.append(trajectory)
        assert trajectories[0] == trajectories[1]

    def test_shared_parts_of_info_cannot_be_overwritten(self) -> None:
        batch = cartpoles(2)
        info = batch.step(np.ones(2, int))[4]
        with pytest.raises(ValueError, match="read-only"):
            info["configuration"][:] = 0.0

    @every_id
    def test_lie_in_the_batched_spaces(self, id: str) -> None:
        batch = make_batch(id, 3)
        assert batch.observation_space.contains(batch.reset(seed=0)[0])
        observations, rewards, terminations, truncations, _ = batch.step(next(actions_of(batch)))
        assert batch.observation_space.contains(observations)
        assert [array.dtype for array in (rewards, terminations, truncations)] == [np.float64, np.bool_, np.bool_]


class TestAutoreset:
    @automatic
    @every_id
    def test_is_gymnasiums(self, id: str, mode: AutoresetMode) -> None:
        batch, expected = (
            make_batch(id, 3, autoreset_mode=mode, max_episode_steps=LIMITS[id]),
            reference(id, 3, mode, LIMITS[id]),
        )
        assert batch.reset(seed=4)[0].tolist() == expected.reset(seed=4)[0].tolist()
        endings = np.zeros(2, int)
        for _, actions in zip(range(60), actions_of(batch), strict=False):
            results = batch.step(actions)
            assert as_lists(results) == as_lists(expected.step(actions))
            endings += results[2].any(), results[3].any()
        assert endings.all(), "termination and truncation have both occurred"

    @every_id
    def test_disabled_is_gymnasiums_with_a_reset_mask(self, id: str) -> None:
        mode = AutoresetMode.DISABLED
        batch, expected = (
            make_batch(id, 3, autoreset_mode=mode, max_episode_steps=LIMITS[id]),
            reference(id, 3, mode, LIMITS[id]),
        )
        assert batch.reset(seed=4)[0].tolist() == expected.reset(seed=4)[0].tolist()
        endings = np.zeros(2, int)
        for _, actions in zip(range(60), actions_of(batch), strict=False):
            results = batch.step(actions)
            assert as_lists(results) == as_lists(expected.step(actions))
            ended = results[2] | results[3]
            endings += results[2].any(), results[3].any()
            if ended.any():
                found, wanted = (each.reset(options={"reset_mask": ended.copy()})[0] for each in (batch, expected))
                assert found.tolist() == wanted.tolist()
        assert endings.all(), "termination and truncation have both occurred"

    def test_disabled_refuses_to_step_what_has_ended(self) -> None:
        batch = make_batch(IDS[0], 3, autoreset_mode="Disabled", max_episode_steps=2)
        batch.reset(seed=0)
        batch.step(np.ones(3, int))
        batch.reset(options={"reset_mask": np.array([False, True, False])})
        batch.step(np.ones(3, int))
        before = batch.get_state().tobytes()
        with pytest.raises(ResetNeeded, match=r"environments \[0, 2\] have ended.*reset_mask"):
            batch.step(np.ones(3, int))
        assert batch.get_state().tobytes() == before
        batch.reset(options={"reset_mask": np.array([True, False, True])})
        batch.step(np.ones(3, int))

    def test_same_step_tells_how_an_episode_ended(self) -> None:
        mode = AutoresetMode.SAME_STEP
        batch, expected = make_batch(IDS[0], 4, autoreset_mode=mode), reference(IDS[0], 4, mode)
        batch.reset(seed=1)
        expected.reset(seed=1)
        endings = 0
        for _, actions in zip(range(80), actions_of(batch), strict=False):
            *_, terminations, _, info = batch.step(actions)
            wanted = expected.step(actions)[4]
            assert ("final_obs" in info) == ("final_obs" in wanted) == terminations.any()
            for index in np.flatnonzero(terminations):
                endings += 1
                assert info["_final_obs"][index]
                np.testing.assert_array_equal(info["final_obs"][index], wanted["final_obs"][index], strict=True)
                for key in INFO_KEYS:
                    assert info["final_info"][f"_{key}"][index]
                    np.testing.assert_array_equal(info["final_info"][key][index], wanted["final_info"][key][index])
            if terminations.any():
                np.testing.assert_array_equal(info["_final_info"], terminations)
        assert endings > 3

    def test_same_step_tells_the_configuration_that_an_episode_ended_in(self) -> None:
        batch = cartpoles(2, autoreset_mode="SameStep", max_episode_steps=1, configuration="random")
        before = batch.configuration
        info = batch.step(np.ones(2, int))[4]
        np.testing.assert_array_equal(info["final_info"]["configuration"], before)
        np.testing.assert_array_equal(info["configuration"], batch.configuration)
        assert (before != batch.configuration).all()

    def test_reset_with_a_mask_leaves_the_others_alone(self) -> None:
        batch = cartpoles(3)
        last = batch.step(np.ones(3, int))[0]
        before = batch.get_state()
        first = batch.reset(seed=9, options={"reset_mask": np.array([False, True, False])})[0]
        np.testing.assert_array_equal(first[[0, 2]], last[[0, 2]])
        assert batch.get_state()[[0, 2]].tobytes() == before[[0, 2]].tobytes()
        np.testing.assert_array_equal(first[1], cartpoles(1, seed=10).reset(seed=10)[0][0])

    def test_reset_of_an_ended_episode_is_not_followed_by_another(self) -> None:
        batch = cartpoles(2, max_episode_steps=1)
        batch.step(np.ones(2, int))
        batch.reset(options={"reset_mask": np.array([True, False])})
        rewards = batch.step(np.ones(2, int))[1]
        assert rewards.tolist() == [1.0, 0.0]

    @pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.value)
    def test_time_limit_truncates(self, mode: AutoresetMode) -> None:
        batch = cartpoles(2, max_episode_steps=3, autoreset_mode=mode)
        flags = [batch.step(np.array([0, 1]))[2:4] for _ in range(3)]
        assert [truncations.tolist() for _, truncations in flags] == [[False] * 2, [False] * 2, [True] * 2]
        assert not any(terminations.any() for terminations, _ in flags)

    def test_there_is_no_limit_without_one(self) -> None:
        batch = WorldVectorEnv(CARTPOLE, 2, configuration={"force": 1.0, "angle_limit": 0.7, "track_limit": 4.8})
        batch.reset(seed=0)
        assert not any(batch.step(np.array([t % 2, t % 2]))[3].any() for t in range(50))


class TestSeeds:
    def test_of_a_list_are_the_environments_own(self) -> None:
        found = make_batch(IDS[0], 3).reset(seed=[7, 7, 1])[0]
        expected = [gymnasium.make(IDS[0]).reset(seed=seed)[0] for seed in (7, 7, 1)]
        np.testing.assert_array_equal(found, expected, strict=True)

    def test_none_in_a_list_carries_on(self) -> None:
        batch, other = cartpoles(2), cartpoles(2)
        found, expected = batch.reset(seed=[None, 5])[0], other.reset()[0]
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], cartpoles(1).reset(seed=5)[0][0])

    @pytest.mark.parametrize("seed", [None, [None, None, None, 3]], ids=str)
    def test_none_at_first_is_random(self, seed: Any) -> None:
        starts = [make_batch(IDS[0], 4).reset(seed=seed)[0] for _ in range(2)]
        assert len({tuple(row) for start in starts for row in start[:3].tolist()}) == 6

    def test_carry_on_reproducibly(self) -> None:
        batch, other = cartpoles(3, seed=5), cartpoles(3, seed=5)
        go_on(other, 4)
        np.testing.assert_array_equal(batch.reset()[0], other.reset()[0], strict=True)


class TestThreads:
    @every_id
    @pytest.mark.parametrize("configuration", [None, "random"], ids=str)
    def test_change_nothing(self, id: str, configuration: Any) -> None:
        batches = [make_batch(id, 7, threads=threads, configuration=configuration) for threads in (1, 3, 20)]
        for batch in batches:
            batch.reset(seed=0)
        first, *others = [go_on(batch) for batch in batches]
        assert all(other == first for other in others)
        for batch in batches:
            batch.close()

    def test_keep_each_environments_own_configuration(self) -> None:
        gravity = np.linspace(2.0, 20.0, 5)
        batches = [cartpoles(5, threads=t, configuration={"gravity": gravity, "wind": [0.0, 3.0]}) for t in (1, 2)]
        first, second = (go_on(batch, 150) for batch in batches)
        assert first == second
        np.testing.assert_array_equal(batches[1].configuration[:, 0], gravity)
        batches[1].close()

    def test_start_again_after_close(self) -> None:
        batch = cartpoles(4, threads=2)
        expected = go_on(cartpoles(4), 4)
        assert go_on(batch, 4) == expected
        batch.close_extras()
        batch.reset(seed=0)
        assert go_on(batch, 4) == expected
        batch.close()

    @pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
    def test_work_after_a_fork(self) -> None:
        batch = cartpoles(4, threads=2)
        go_on(batch, 3)
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=lambda: sender.send(go_on(batch, 5)), daemon=True)
        with warnings.catch_warnings():
            # From Python 3.12 on every fork of a process with threads is warned of.
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
        try:
            assert receiver.poll(60.0), "the child process hangs"
            found = receiver.recv()
            child.join(60.0)
            assert child.exitcode == 0
        finally:
            child.kill()
        assert found == go_on(batch, 5)
        batch.close()

    def test_work_in_a_spawned_process(self) -> None:
        batch = cartpoles(4, threads=2)
        go_on(batch, 3)
        actions = next(actions_of(batch))
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
            found = executor.submit(batch.step, actions).result(timeout=60.0)
        assert as_lists(found) == as_lists(batch.step(actions))
        batch.close()


class TestCopies:
    @every_id
    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))], ids=["deepcopy", "pickle"])
    def test_go_on_like_the_original(self, id: str, threads: int, duplicate: Callable[[Any], Any]) -> None:
        batch = make_batch(id, 4, threads=threads, configuration="random")
        batch.reset(seed=0)
        go_on(batch, 3)
        other = duplicate(batch)
        expected = go_on(batch)
        assert go_on(other) == expected
        batch.close()
        other.close()


class TestState:
    @every_mode
    @every_id
    def test_round_trip(self, id: str, mode: AutoresetMode) -> None:
        batch, other = (make_batch(id, 3, autoreset_mode=mode, configuration="random") for _ in range(2))
        batch.reset(seed=0)
        batch.step(next(actions_of(batch)))
        state = batch.get_state()
        actions = next(actions_of(batch, seed=1))
        expected = as_lists(batch.step(actions))
        other.set_state(state)
        assert as_lists(other.step(actions)) == expected
        batch.set_state(state)
        assert as_lists(batch.step(actions)) == expected

    def test_can_be_reordered(self) -> None:
        batch, other = (cartpoles(3, seed=s, configuration="random") for s in (0, 1))
        order = [2, 0, 0]
        other.set_state(batch.get_state()[order])
        for actions in (np.array([0, 1, 1]), np.array([1, 0, 0])):
            expected = batch.step(actions)
            found = other.step(actions[order])
            for key in range(4):
                np.testing.assert_array_equal(found[key], expected[key][order], strict=True)

    def test_can_come_from_single_environments(self) -> None:
        singles: list[Any] = [gymnasium.make(IDS[0]).unwrapped for _ in range(2)]
        batch = cartpoles(2)
        for seed, env in enumerate(singles):
            env.reset(seed=seed)
        batch.set_state(np.array([env.get_state() for env in singles], batch.get_state().dtype))
        found = batch.step(np.array([0, 1]))[0]
        np.testing.assert_array_equal(found, [env.step(action)[0] for action, env in enumerate(singles)])

    def test_is_a_copy(self) -> None:
        batch = cartpoles(2)
        state = batch.get_state()
        before = state.tobytes()
        batch.step(np.array([0, 1]))
        assert state.tobytes() == before


@every_id
def test_one_more_environment_takes_less_than_a_kibibyte(id: str) -> None:
    sizes = []
    for count in (1, 4096):
        batch = make_batch(id, count)
        batch.reset(seed=0)
        batch.step(next(actions_of(batch)))
        sizes.append(len(pickle.dumps(batch)))
    assert (sizes[1] - sizes[0]) / 4095 < 1024


@automatic
@every_id
def test_gymnasium_records_the_statistics_of_its_episodes(id: str, mode: AutoresetMode) -> None:
    batch = RecordEpisodeStatistics(make_batch(id, 3, autoreset_mode=mode, max_episode_steps=LIMITS[id]))
    expected = RecordEpisodeStatistics(reference(id, 3, mode, LIMITS[id]))
    for envs in (batch, expected):
        envs.reset(seed=0)
        for _, actions in zip(range(40), actions_of(envs), strict=False):
            envs.step(actions)
    assert len(batch.return_queue) > 3
    assert list(batch.return_queue) == list(expected.return_queue)
    assert list(batch.length_queue) == list(expected.length_queue)


def test_set_state_returns_what_was_observed_there_and_other_rows_of_a_masked_reset_show_it() -> None:
    batch = make_batch("reworld/CartPole-v0", 3)
    batch.reset(seed=0)
    expected = batch.step(np.array([0, 1, 0]))
    other = make_batch("reworld/CartPole-v0", 3)
    observations, infos = other.set_state(batch.get_state())
    np.testing.assert_array_equal(observations, expected[0])
    np.testing.assert_array_equal(infos["success"], expected[4]["success"])
    rows, _ = other.reset(options={"reset_mask": np.array([True, False, False])})
    np.testing.assert_array_equal(rows[1:], expected[0][1:])
