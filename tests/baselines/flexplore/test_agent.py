import csv
import dataclasses
import json

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import Error
from stable_baselines3.common.logger import configure

from reworld_baselines import checkpoints
from reworld_baselines.evaluation import evaluate, make_batch
from reworld_baselines.flexplore import agent as module
from reworld_baselines.flexplore.agent import FLEXplore
from reworld_baselines.flexplore.config import FLEXploreSettings, dlpa
from reworld_baselines.runs import RunError

PLATFORM, CARTPOLE, CONFIGURABLE = "reworld/Platform-v0", "reworld/CartPole-v0", "reworld/ConfigurablePlatform-v0"
TINY = {
    "samples": 16,
    "elites": 4,
    "iterations": 2,
    "horizon": 3,
    "hidden": 16,
    "updates": 1,
    "batch_size": 8,
    "random_steps": 8,
}
STATEFUL = {
    "everything": {},
    "nothing": dataclasses.asdict(dlpa(**TINY)),
    "policies": {"flexibility": 0.0},
    "critic": {"proposals": 0.0, "information_weight": 0.0},
    "terminal value": {"terminal_value": True},
    "an embedding of actions": {"feed": "embedded"},
    "smoothing from a step on": {"smoothing_from": 12},
    "smoothing as it settles": {"smoothing_from": "auto"},
    "several environments": {"n_envs": 2, "smoothing_from": "auto", "random_share": 0.5},
    "a full memory": {"buffer_size": 10},
}


def tiny(**changes):
    return FLEXploreSettings(**{**TINY, **changes})


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name, strict=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def soon():
    """Boundaries and decisions on smoothing come within a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STEPS_BETWEEN_BOUNDARIES", 5)
        patch.setattr(module, "_SETTLING_STEPS", 2)
        yield


@pytest.fixture(scope="module")
def learned():
    return FLEXplore(PLATFORM, tiny()).learn(14)


@pytest.fixture
def kept(learned, tmp_path):
    learned.save(tmp_path)
    return tmp_path


# Learning


@pytest.mark.parametrize("changes", STATEFUL.values(), ids=STATEFUL)
def test_an_agent_that_is_stopped_learns_on_as_if_it_were_not(changes):
    settings = tiny(**changes)
    whole = FLEXplore(PLATFORM, settings).learn(22)
    stopped = FLEXplore(PLATFORM, settings).learn(16)
    state = stopped.get_state()
    resumed = FLEXplore(PLATFORM, settings)
    resumed.set_state(state)
    assert_same(resumed.get_state(), state)
    assert resumed.steps == stopped.steps
    assert_same(resumed.learn(22).get_state(), whole.get_state())
    assert_same(stopped.learn(22).get_state(), whole.get_state())


def test_a_state_is_not_learned_into(learned):
    state = learned.get_state()
    before = {name: array.copy() for name, array in state.items()}
    again = FLEXplore(PLATFORM, tiny())
    again.set_state(state)
    again.learn(18)
    assert_same(state, before)


def test_smoothing_that_settled_is_part_of_the_state():
    settings = tiny(smoothing_from="auto", smoothing_weight=0.25, n_envs=2)
    assert set(np.unique(FLEXplore(PLATFORM, settings, range(8)).learn(40).get_state()["smoothing/weights"])) == {0.0, 0.25}


def test_a_boundary_comes_at_the_start_now_and_then_and_at_the_end():
    agent, boundaries = FLEXplore(PLATFORM, tiny()), []
    agent.learn(12, at_boundary=lambda: boundaries.append(agent.steps))
    assert boundaries == [0, 5, 10, 12]


def test_what_episodes_returned_is_reported_with_what_was_learned(tmp_path):
    logger = configure(str(tmp_path), ["csv"])
    agent = FLEXplore(PLATFORM, tiny(n_envs=2, episode_steps=1), (0, 1)).learn(20, logger)
    logger.close()
    with (tmp_path / "progress.csv").open(newline="") as file:
        reported = [float(row["rollout/ep_rew_mean"]) for row in csv.DictReader(file)]
    # An episode is a step here, and there is a report every five.
    rewards = agent.get_state()["replay/rewards"].reshape(4, 2, 5)
    np.testing.assert_allclose(reported, rewards.mean((0, 2)), rtol=1e-6)


def test_looking_on_changes_nothing(learned):
    before = learned.get_state()
    evaluate(learned, make_batch(PLATFORM, 3))
    assert_same(learned.get_state(), before)


@pytest.mark.parametrize(
    "settings",
    [tiny(n_envs=2, terminal_value=True), tiny(feed="embedded"), dlpa(**TINY)],
    ids=["flexplore", "embedded", "dlpa"],
)
def test_a_run_among_others_is_the_run_alone(settings):
    together = FLEXplore(PLATFORM, settings, [5, 1, 9]).learn(20)
    observations = np.random.default_rng(0).uniform(size=(3, 9)).astype(np.float32)
    for member, seed in enumerate(together.seeds):
        alone = FLEXplore(PLATFORM, settings, seed).learn(20)
        for group in ("model", "policies", "value"):
            pairs = [(alone._modules()[group], together._modules()[group])] if group in alone._modules() else []
            for one, many in pairs:
                for ours, theirs in zip(one.parameters(), many.parameters(), strict=True):
                    assert torch.equal(ours[0], theirs[member])
        one, many = alone.get_state(), together.get_state()
        for name in one:
            if name.startswith("replay/"):
                np.testing.assert_array_equal(one[name][0], many[name][member], err_msg=name)
        for ours, theirs in zip(alone.act(observations), together.players[member].act(observations), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(many["replay/own"][0], many["replay/own"][1])


# Acting


@pytest.mark.parametrize("environment", [PLATFORM, CARTPOLE, CONFIGURABLE])
def test_an_action_is_one_of_the_world(environment):
    agent = FLEXplore(environment, tiny()).learn(12)
    env = gymnasium.make(environment)
    observation, _ = env.reset(seed=0)
    begins = True
    for _ in range(5):
        action, state = agent.predict(observation, episode_start=np.array([begins]))
        assert state is None
        assert env.action_space.contains(action)
        observation, _, terminated, truncated, _ = env.step(action)
        begins = terminated or truncated
        if begins:
            observation, _ = env.reset()
    env.close()


def test_a_single_environment_is_played_as_a_batch_of_one(learned):
    observations = np.random.default_rng(0).uniform(size=(4, 1, 9)).astype(np.float32)
    single = [learned.predict(observation[0], episode_start=i == 0)[0] for i, observation in enumerate(observations)]
    batched = [learned.act(observation, begins=np.array([i == 0])) for i, observation in enumerate(observations)]
    for (choice, parameters), (choices, rows) in zip(single, batched, strict=True):
        assert choice == choices[0]
        np.testing.assert_array_equal(np.concatenate(parameters), rows[0])


def test_an_episode_that_begins_forgets_the_plan(learned):
    observation = np.zeros(9, np.float32)
    (_, first), (_, going_on), (_, anew) = (
        learned.predict(observation, episode_start=begins)[0] for begins in (True, False, True)
    )
    np.testing.assert_array_equal(first, anew)
    assert not np.array_equal(first, going_on)


def test_an_action_that_does_not_matter_is_not_planned(learned):
    observations = np.random.default_rng(0).uniform(size=(3, 9)).astype(np.float32)
    choices, rows = learned.act(observations, playing=np.array([False, True, False]))
    _, all_rows = learned.act(observations[1:2])
    middle = learned.space.action(np.zeros(1, np.int64), np.zeros((1, learned.space.own_size)))[1]
    np.testing.assert_array_equal(rows, [middle[0], all_rows[0], middle[0]])
    assert choices[0] == choices[2] == 0
    nothing, zeros = learned.act(observations, playing=np.zeros(3, np.bool_))
    np.testing.assert_array_equal(nothing, 0)
    np.testing.assert_array_equal(zeros, np.repeat(middle, 3, 0))


# Keeping


def test_an_agent_is_loaded_as_it_was_saved(learned, kept):
    again = FLEXplore.load(kept)
    assert (again.environment, again.seeds, again.settings) == (learned.environment, learned.seeds, learned.settings)
    assert_same(again.get_state(), learned.get_state())


def test_the_arguments_of_the_world_are_kept(tmp_path):
    FLEXplore("reworld/HardMove-v0", tiny(), [3, 4], n=6).save(tmp_path)
    again = FLEXplore.load(tmp_path)
    assert again.space.choices == 2**6
    assert again.seeds == (3, 4)
    assert again.steps == 0


@pytest.mark.parametrize("name", ["agent.json", "checkpoint.safetensors"])
def test_a_damaged_file_is_refused_and_left_alone(name, kept):
    file = kept / name
    file.write_bytes(file.read_bytes()[:-100])
    before = file.read_bytes()
    with pytest.raises(RunError, match=r"damaged.*left as it is"):
        FLEXplore.load(kept)
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["agent.json", "checkpoint.safetensors"])
def test_a_missing_file_is_named(name, kept):
    (kept / name).unlink()
    with pytest.raises(RunError, match=name):
        FLEXplore.load(kept)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": 8},
        {"horizon": 4},
        {"n_envs": 2},
        {"proposals": 0.0, "information_weight": 0.0},
        {"flexibility": 0.0},
        {"terminal_value": True},
        {"shared_outcomes": True},
    ],
    ids=str,
)
def test_a_state_of_other_settings_is_refused(changes, learned):
    other = FLEXplore(PLATFORM, tiny(**changes))
    before = other.get_state()
    with pytest.raises(ValueError, match="other settings"):
        other.set_state(learned.get_state())
    assert_same(other.get_state(), before)


def test_a_state_with_something_missing_is_refused(kept):
    state = checkpoints.read(kept / "checkpoint.safetensors")
    del state["random/acting/0"]
    checkpoints.write(kept / "checkpoint.safetensors", state)
    with pytest.raises(RunError, match=r"random/acting/0.*left as it is"):
        FLEXplore.load(kept)


def test_settings_that_there_are_not_are_refused(kept):
    content = json.loads((kept / "agent.json").read_text())
    content["settings"]["horizons"] = 3
    (kept / "agent.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="horizons"):
        FLEXplore.load(kept)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ("reworld/Platfrom-v0", "Platform"),
        ("CartPole-v1", "no environment of reworld"),
        ("reworld/BlockWorld-v0", "needs a Box"),
    ],
)
def test_what_it_cannot_learn_in_is_refused(environment, reason):
    with pytest.raises(Error, match=reason):
        FLEXplore(environment)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("compiled", [False, True])
def test_it_learns_on_cuda_and_is_loaded_on_a_cpu(compiled, tmp_path):
    settings = tiny(compiled=compiled, n_envs=4, terminal_value=True, smoothing_from=0)
    agent = FLEXplore(PLATFORM, settings, [0, 1], device="cuda").learn(80)
    assert all(parameter.isfinite().all() for module in agent._modules().values() for parameter in module.parameters())
    agent.save(tmp_path)
    again = FLEXplore.load(tmp_path)
    own_generators = {name for name in again.get_state() if name.startswith("random/")}
    before, after = ({k: v for k, v in each.get_state().items() if k not in own_generators} for each in (agent, again))
    assert_same(before, after)
    assert again.learn(88).steps == 88
