"""The contract of a world, as checks that anybody can run on their own: ``check_world("reworld/Platform-v0")``.

Each check takes a registered id and raises `AssertionError`, with what was expected and what was found, or returns.
"""

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import Error, InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from reworld.engine import loops
from reworld.engine.kernels import instances_of, replacements_for
from reworld.engine.linking import link
from reworld.environment import WorldEnv
from reworld.errors import InvalidConfiguration, InvalidOption
from reworld.policies import scripted_policy
from reworld.spaces import present
from reworld.vector import WorldVectorEnv

INFO_KEYS = {"cost", "configuration", "configured", "budget_left", "action_mask", "success"}


def check_world(id: str) -> None:
    """Run every check of this module.

    Args:
        id: Of a registered world.

    Raises:
        AssertionError: At the first part of the contract that the world breaks.
    """
    for check in CHECKS:
        check(id)


def check_plain_source(id: str) -> None:
    """The world's functions run as the plain Python that they are, where a mistake is named by Python itself."""
    env = _single(id)
    world, replacements = env.world, replacements_for(env.world)
    reset, step = (link(loop, replacements, world.constants) for loop in (loops.reset_batch, loops.step_single))
    instances: Any = instances_of(world, 1).view(np.recarray)
    start = world.default_configuration
    observations, successes = np.empty((1, world.observation_size), world.observation_dtype), np.empty(1, np.bool_)
    reports = world.reports(1)
    with np.errstate(all="ignore"):
        for _ in range(3):
            reset(instances, np.ones(1, np.bool_), np.array([[start, start]]), observations, successes, reports)
            branch, x = env.read_action(env.action_space.sample())
            step(instances, branch, x, observations[0], reports)


def check_gymnasium_api(id: str) -> None:
    """Gymnasium's own checker finds nothing to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Parameters are in physical units by design; `reworld.actions` offers them normalised.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space")
        warnings.filterwarnings("ignore", message=".* is out of date")
        check_env(_single(id), skip_render_check=True)


def check_determinism(id: str) -> None:
    """The same seed gives the same trajectory, in two environments and twice in one."""
    first, second = _single(id), _single(id)
    expected = _record(first, seed=7)
    _assert_same(_record(second, seed=7), expected, "Two environments with the same seed")
    _assert_same(_record(first, seed=7), expected, "The same seed a second time")


def check_copies(id: str) -> None:
    """An environment that is pickled or deep-copied in mid-episode goes on like the original."""
    env = _single(id)
    _record(env, seed=3, steps=1)
    copies = {"deepcopy": copy.deepcopy(env), "pickle": pickle.loads(pickle.dumps(env))}
    expected = _record(env, steps=30)
    for name, other in copies.items():
        _assert_same(_record(other, steps=30), expected, f"A copy by {name}")


def check_state(id: str) -> None:
    """What follows `set_state` is what followed `get_state`, in the same environment and in another one."""
    env, other = _single(id), _single(id)
    observation, _, _, _, info = _record(env, seed=5, steps=1)[-1]
    state = env.get_state()
    expected = _record(env, steps=30)
    for again in (env, other):
        _assert_same(again.set_state(state), (observation, info), "What set_state returns")
        _assert_same(_record(again, steps=30), expected, "What follows set_state")


def check_spec(id: str) -> None:
    """The spec survives JSON, and what is made from it behaves the same."""
    env = gymnasium.make(id)
    assert env.spec is not None
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    _assert_same(_record(again.unwrapped, seed=1), _record(env.unwrapped, seed=1), "An environment made from the spec's JSON")


def check_single_equals_batched(id: str) -> None:
    """Environment i of a batch takes the trajectory of a single one, whatever the size, autoreset and threads."""
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
        for count, threads in ((1, 1), (5, 1), (5, 2)):
            batch = make_batch(id, count, autoreset_mode=mode, threads=threads)
            reference = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(id)] * count, autoreset_mode=mode)
            steps = zip(_batch_trajectory(batch), _batch_trajectory(reference), strict=True)
            for t, (found, expected) in enumerate(steps):
                where = f"Step {t} of {count} environments in {threads} threads, autoreset {mode.value},"
                _assert_same(found[:4], expected[:4], where)
                _assert_same({key: found[4][key] for key in INFO_KEYS}, {key: expected[4][key] for key in INFO_KEYS}, where)
                for index in np.flatnonzero(expected[4].get("_final_obs", ())):
                    _assert_same(_row(found[4]["final_obs"], int(index)), expected[4]["final_obs"][index], where)
            batch.close()


def check_compiled_equals_plain(id: str) -> None:
    """The compiled world and its plain Python source give the same bits."""
    env = _single(id)
    plain = link(loops.step_single, replacements_for(env.world), env.world.constants)
    env.action_space.seed(2)
    env.reset(seed=2)
    for t in range(25):
        action = env.action_space.sample()
        branch, x = env.read_action(action)
        instances = np.array([env.get_state()]).view(np.recarray)
        observation = np.empty(env.world.observation_size, env.world.observation_dtype)
        reports = env.world.reports(1)
        with np.errstate(all="ignore"):
            outcome = plain(instances, branch, x, observation, reports)
        found = env.step(action)
        expected = (present(env.world, observation), *outcome)
        _assert_same((*found[:3], found[4]["success"]), expected, f"Compiled step {t}")
        if reports:
            said = {name: array[0] for name, array in reports._asdict().items()}
            _assert_same({name: found[4][name] for name in said}, said, f"What info says after compiled step {t}")
        _assert_same(env.get_state()["state"].tolist(), instances[0]["state"].tolist(), f"The state after compiled step {t}")
        if found[2]:
            env.reset()


def check_every_parameter_acts(id: str) -> None:
    """Every parameter changes a trajectory: a configuration that does nothing is the commonest fault of the field."""
    world = _single(id).world
    # A set-up may begin where a parameter has no room to act, as has a top speed in mud: begin where the world itself does.
    published: Any = gymnasium.make(id, changing=None).unwrapped
    start = {parameter.name: parameter.default for parameter in published.world.parameters}
    expected = list(_rollout(id, start))

    def acts(changed: dict[str, float]) -> bool:
        return any(not _same(found, step) for found, step in zip(_rollout(id, start | changed), expected, strict=True))

    for parameter in world.parameters:
        assert acts({parameter.name: parameter.low}) or acts({parameter.name: parameter.high}), (
            f"{world.name}'s parameter {parameter.name!r} changes nothing between {parameter.low} and {parameter.high}."
        )


def check_default_configuration(id: str) -> None:
    """Every parameter changed and set back to its default is the default world again, exactly."""
    env = _single(id)
    expected = _record(env, seed=11)
    # An episode for which a configuration is asked for takes over nothing from the one before, where worlds do that.
    alone = _record(env, seed=11, configuration={})
    _record(env, seed=11, configuration="random")
    back = _record(env, seed=11, configuration=env.world.default_configuration)
    _assert_same(back, alone, "Back at the default, the world")
    _record(env, seed=11, configuration="random")
    _assert_same(_record(env, seed=11), expected, "An episode after one in another configuration")


def check_configuration_is_guarded(id: str) -> None:
    """Unknown names and impossible values are refused, with the name to mend."""
    env = _single(id)
    parameter = env.world.parameters[0]
    width = parameter.high - parameter.low
    for value in (float("nan"), float("inf"), parameter.high + width + 1.0, "much", None):
        _assert_raises(InvalidConfiguration, parameter.name, env.reset, options={"configuration": {parameter.name: value}})
    misspelt = parameter.name + "x"
    _assert_raises(InvalidConfiguration, parameter.name, env.reset, options={"configuration": {misspelt: parameter.default}})
    _assert_raises(InvalidOption, "configuration", env.reset, options={"configuraton": {}})


def check_observations_lie_in_their_space(id: str) -> None:
    """In random configurations too, every observation lies in the observation space."""
    batch = make_batch(id, 64, configuration="random")
    parts = {
        name: [("state", 0, part - 1)] if isinstance(part, int) else [(entry.name, entry.low, entry.high) for entry in part]
        for name, part in batch.world.observed.items()
    }
    for observations, *_ in _batch_trajectory(batch):
        for part, entries in parts.items():
            columns = (observations[part] if part else observations).reshape(batch.num_envs, -1).T
            for (name, low, high), values in zip(entries, columns, strict=True):
                lowest, highest = np.array([low, high], columns.dtype)
                outside = values[~((values >= lowest) & (values <= highest))]
                assert not outside.size, (
                    f"The observation's {name} is {outside[0]} in {id}, outside its bounds [{lowest}, {highest}]."
                )


def check_info(id: str) -> None:
    """`info` has the same keys, shapes and types from reset on."""
    env = _single(id)
    env.action_space.seed(0)
    _, expected = env.reset(seed=0)
    assert set(expected) == INFO_KEYS, f"info has the keys {sorted(expected)}, not {sorted(INFO_KEYS)}."
    for _ in range(20):
        _, _, terminated, _, info = env.step(env.action_space.sample())
        shapes = [{key: (type(value), np.shape(value)) for key, value in each.items()} for each in (info, expected)]
        assert shapes[0] == shapes[1], f"info changed from {shapes[1]} to {shapes[0]}."
        if terminated:
            env.reset()


def check_illegal_actions(id: str) -> None:
    """An action that is none is refused with its value and the space, and nothing has happened."""
    env = _single(id)
    branches = len(env.world.branches)
    legal = env.action_space.sample()
    illegal: list[Any] = [None, "left", branches, -1, 0.5, (), (branches, ()), (0, ()), (-1, legal), np.zeros(99)]
    if isinstance(env.action_space, gymnasium.spaces.Tuple):
        own = legal[1]
        choice = next(k for k, box in enumerate(own) if box.size)
        illegal += [(choice, [box[:-1] for box in own]), (choice, [np.append(box, 0.0) for box in own])]
        illegal += [(choice, [np.full_like(box, value) for box in own]) for value in (np.nan, np.inf)]
    env.reset(seed=0)
    before = env.get_state().tobytes()
    for action in illegal:
        _assert_raises(InvalidAction, env.world.name, env.step, action)
    assert env.get_state().tobytes() == before, "A refused action changed the state."
    batch = make_batch(id, 3)
    batch.reset(seed=0)
    states = batch.get_state().tobytes()
    for action in (None, branches, np.full(3, branches), np.zeros(2, int), (np.full(3, branches), ())):
        _assert_raises(InvalidAction, env.world.name, batch.step, action)
    assert batch.get_state().tobytes() == states, "A refused action changed a batch."


def check_order(id: str) -> None:
    """A step before the first reset or after the end is refused, until the next reset."""
    env = _single(id)
    _assert_raises(ResetNeeded, "reset()", env.step, env.action_space.sample())
    env.reset(seed=0)
    for _ in range(10_000):
        if env.step(env.action_space.sample())[2]:
            _assert_raises(ResetNeeded, "reset()", env.step, env.action_space.sample())
            env.reset()
            env.step(env.action_space.sample())
            return


def check_policy(id: str) -> None:
    """The scripted policy, if there is one, plays within the action space."""
    env = _single(id)
    if env.world.policy is None:
        return
    policy = scripted_policy(env.world)
    observation, _ = env.reset(seed=0)
    for _ in range(200):
        action = policy(observation)
        assert action in env.action_space, f"The scripted policy's action {action} is not in {env.action_space}."
        observation, _, terminated, _, _ = env.step(action)
        if terminated:
            return


def check_rendering(id: str) -> None:
    """Every state has a picture, and drawing it changes nothing."""
    env: Any = gymnasium.make(id, render_mode="rgb_array").unwrapped
    expected = _record(_single(id), seed=4)
    env.reset(seed=4)
    picture = env.render()
    assert picture.dtype == np.uint8, f"A picture has dtype {picture.dtype}, not uint8."
    assert picture.ndim == 3, f"A picture has shape {picture.shape}, not (height, width, 3)."
    assert picture.shape[2] == 3, f"A picture has shape {picture.shape}, not (height, width, 3)."
    _assert_same(_record(env, seed=4, look=True), expected, "A drawn environment")


CHECKS: tuple[Callable[[str], None], ...] = (
    check_plain_source,
    check_observations_lie_in_their_space,
    check_gymnasium_api,
    check_determinism,
    check_copies,
    check_state,
    check_spec,
    check_single_equals_batched,
    check_compiled_equals_plain,
    check_every_parameter_acts,
    check_default_configuration,
    check_configuration_is_guarded,
    check_info,
    check_illegal_actions,
    check_order,
    check_policy,
    check_rendering,
)
"""All parts of the contract, in the order of `check_world`."""


def make_batch(id: str, count: int, **arguments: Any) -> WorldVectorEnv:
    """Make the native vector environment of a registered world.

    Args:
        id: Of the world.
        count: Number of environments.
        arguments: For `reworld.vector.WorldVectorEnv`.
    """
    batch = gymnasium.make_vec(id, num_envs=count, vectorization_mode="vector_entry_point", **arguments)
    assert isinstance(batch, WorldVectorEnv), f"{id} is no world of reworld."
    return batch


def _single(id: str) -> WorldEnv:
    env = gymnasium.make(id).unwrapped
    assert isinstance(env, WorldEnv), f"{id} is no world of reworld."
    return env


def _record(env: Any, seed: int | None = None, steps: int = 60, configuration: Any = None, look: bool = False) -> list[Any]:
    """A trajectory under random actions, reset where it terminated; without a seed it goes on from where it is."""
    trajectory: list[Any] = []
    env.action_space.seed(99)
    options = None if configuration is None else {"configuration": configuration}
    if seed is not None:
        trajectory.append(env.reset(seed=seed, options=options))
    running = not env.get_state()["ended"]
    for _ in range(steps):
        if not running:
            trajectory.append(env.reset(options=options))
        step = env.step(env.action_space.sample())
        trajectory.append(step)
        running = not step[2]
        if look:
            env.render()
    return trajectory


def _batch_trajectory(envs: Any, steps: int = 120, branches: int | None = None) -> Iterator[tuple[Any, ...]]:
    """A trajectory under random actions, of the first so many branches, or of all."""
    observations, infos = envs.reset(seed=21)
    count = envs.num_envs
    yield observations, np.zeros(count), np.zeros(count, bool), np.zeros(count, bool), infos
    action_space = copy.deepcopy(envs.action_space)
    action_space.seed(0)
    for _ in range(steps):
        actions = action_space.sample()
        if branches is not None:
            actions = (actions[0] % branches, actions[1]) if isinstance(actions, tuple) else actions % branches
        yield envs.step(actions)


def _row(batch: Any, index: int) -> Any:
    return {name: part[index] for name, part in batch.items()} if isinstance(batch, dict) else batch[index]


def _rollout(id: str, configuration: dict[str, float]) -> Iterator[Any]:
    batch = make_batch(id, 256, configuration=configuration)
    return (step[:4] for step in _batch_trajectory(batch, steps=80, branches=batch.world.own_branches))


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return bool(np.array_equal(found, expected))


def _assert_same(found: Any, expected: Any, what: str) -> None:
    assert _same(found, expected), f"{what} differs: {found} instead of {expected}."


def _assert_raises(error: type[Error], mention: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    message = None
    try:
        call(*arguments, **named)
    except error as raised:
        message = str(raised)
    assert message is not None, f"{arguments or named} was accepted; expected {error.__name__}."
    assert mention in message, f"The error {message!r} does not mention {mention!r}."
