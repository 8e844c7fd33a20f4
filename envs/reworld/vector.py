"""A world as a native `gymnasium.vector.VectorEnv`: one call steps the whole batch."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from reworld.configuration import Request, starting_configurations
from reworld.engine import loops
from reworld.engine.kernels import Instances, instances_of, kernels
from reworld.environment import Family, Observation, Offer, check_seed, describe_invalid_action, find_world, read_options
from reworld.errors import InvalidOption
from reworld.generator import seed_generator
from reworld.rendering import Film
from reworld.spaces import action_space, configuration_space, observation_space, present
from reworld.world import Reports

_AUTORESET = {
    AutoresetMode.DISABLED: loops.AUTORESET_DISABLED,
    AutoresetMode.NEXT_STEP: loops.AUTORESET_NEXT_STEP,
    AutoresetMode.SAME_STEP: loops.AUTORESET_SAME_STEP,
}


# What a new episode's configuration is drawn from, where it is that of the last one.
_AS_IT_IS = np.empty((1, 1, 0))


class WorldVectorEnv(VectorEnv[Observation, Any, Any]):
    """A batch of environments over one world, each with its own configuration.

    Environment i of a batch seeded ``s`` takes the same trajectory as a `WorldEnv` seeded ``s + i``, bit for bit, for any
    size of the batch and number of threads. `info` holds, for every environment, what `WorldEnv` documents, each key with
    its mask ``_key`` as is Gymnasium's custom; under same-step autoreset ``final_obs`` and ``final_info`` too.

    Args:
        world: A world or a family of worlds, or where to find it, as in ``"reworld.worlds.platform:WORLD"``.
        num_envs: Size of the batch.
        max_episode_steps: Steps after which an episode is truncated; None for never.
        autoreset_mode: A `gymnasium.vector.AutoresetMode` or its value.
        configuration: What every episode starts with: see `reworld.configuration.starting_configurations`.
        changing: Which model-changing actions there are: see `WorldEnv`.
        render_mode: None or ``"rgb_array"``.
        copy: Whether `step` returns fresh arrays. If False it returns the same ones each time, overwritten.
        threads: Over how many threads a step is spread. Worth it from about 1024 environments on.
        family: What a family of worlds takes, such as ``n=6``.

    Raises:
        InvalidConfiguration: If `configuration` is none of this world.
        InvalidOption: If another argument is out of range or unknown.
    """

    # Older versions of Gymnasium close an environment whose construction was refused, too.
    _executor: tuple[int, ThreadPoolExecutor] | None = None

    def __init__(
        self,
        world: Family | str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        configuration: Request = None,
        changing: Offer = None,
        render_mode: str | None = None,
        copy: bool = True,
        threads: int = 1,
        **family: Any,
    ) -> None:
        for name, count in (("num_envs", num_envs), ("threads", threads), ("max_episode_steps", max_episode_steps or 1)):
            if count < 1:
                raise InvalidOption(f"{name}={count}: give at least 1.")
        try:
            self.autoreset_mode = AutoresetMode(autoreset_mode)
        except ValueError:
            raise InvalidOption(
                f"autoreset_mode={autoreset_mode!r} is unknown: give one of {[mode.value for mode in AutoresetMode]}."
            ) from None
        if render_mode not in {None, "rgb_array"}:
            raise InvalidOption(f"render_mode={render_mode!r}: a batch renders as 'rgb_array' or not at all.")
        self.world = find_world(world, changing, **family)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": self.world.frames_per_second,
            "autoreset_mode": self.autoreset_mode,
        }
        self.single_action_space = action_space(self.world)
        self.single_observation_space = observation_space(self.world)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.configuration_space = configuration_space(self.world)
        self._time_limit = max_episode_steps or 2**62
        self._starts = starting_configurations(self.world, configuration, num_envs)
        self._fixed_starts = np.ascontiguousarray(self._starts[:, :1])
        self._configuration_varies = False
        self._film = None if render_mode is None else Film(self.world, render_mode)
        self._offsets = self.world.branch_offsets
        self._hybrid = bool(self._offsets[-1])
        self._own = np.zeros((num_envs, max(len(branch.parameters) for branch in self.world.branches)))
        self._own_shapes = [(num_envs, len(branch.parameters)) for branch in self.world.branches] if self._hybrid else []
        self._instances = instances_of(self.world, num_envs)
        self._blank = self._instances["state"][0].copy()
        self._reporting = self.world.report is not None
        self._seeded = False
        self._running = False
        self._copy = copy
        self._final_observations = np.zeros((num_envs, self.world.observation_size), self.world.observation_dtype)
        self._final_successes = np.zeros(num_envs, np.bool_)
        self._final_reports = self.world.reports(num_envs)
        self._outputs = self._fresh_outputs()
        edges = np.linspace(0, num_envs, min(threads, num_envs) + 1).astype(int)
        self._slices = [slice(int(start), int(stop)) for start, stop in pairwise(edges)]
        self._everywhere = _read_only(np.ones(num_envs, np.bool_))
        self._kernels = kernels(self.world)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every environment.

        Args:
            seed: Environment i is seeded ``seed + i``, or with the i-th of a list.
            options: ``{"configuration": …}`` as in `WorldEnv.reset`, for the coming episodes alone, possibly one value for
                each environment; ``{"reset_mask": …}``, bool of shape (num_envs,), resets only some environments.

        Returns:
            First observations, float32 of shape (num_envs, size of an observation), and infos.

        Raises:
            InvalidOption: If an option is unknown or malformed, or a seed is out of range.
            InvalidConfiguration: If the configuration is none of this world.
        """
        options = dict(read_options(options, ("configuration", "reset_mask")))
        starts = self._starts
        if "configuration" in options:
            starts = starting_configurations(self.world, options["configuration"], self.num_envs)
        chosen = np.asarray(options.get("reset_mask", self._everywhere))
        if chosen.shape != (self.num_envs,) or chosen.dtype != np.bool_:
            raise InvalidOption(f"reset_mask has shape {chosen.shape} and dtype {chosen.dtype}: give {self.num_envs} bools.")
        if not (self._running or chosen.all()):
            raise InvalidOption("The first reset must reset every environment: leave out reset_mask.")
        seeded = self._seed(seed, chosen)
        self._instances["state"][chosen if "configuration" in options else seeded] = self._blank
        # Rows that are not reset keep what they showed.
        self._outputs = _each(np.copy, self._outputs) if self._copy else self._outputs
        observations, _, _, _, successes, reports = self._outputs
        self._kernels.reset_batch(self._instances, chosen.copy(), starts, observations, successes, reports)
        self._running = True
        # Environments that are not reset may still be in a configuration of their own.
        others_vary = self._configuration_varies and not chosen.all()
        self._configuration_varies = others_vary or "configuration" in options or not np.array_equal(starts[:, 0], starts[:, 1])
        self._note_configuration()
        return present(self.world, observations), self._info(successes, reports)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action in every environment.

        Args:
            actions: An element of the batched action space: ``(branches, parameters)``, where the k-th array of
                `parameters` has shape (num_envs, parameters of branch k); or just ``branches``. The parameters of all
                branches may also come as one array of shape (num_envs, number of them), which is fastest where branches
                are many.

        Returns:
            Observations, float32 of shape (num_envs, size of an observation); rewards, float64, terminations and
            truncations, bool, of shape (num_envs,); infos.

        Raises:
            gymnasium.error.ResetNeeded: If an environment has no episode under way.
            gymnasium.error.InvalidAction: If an action is none of this world's. All states are then as before.
        """
        if not self._running:
            raise ResetNeeded("No episode is under way. Call reset() first.")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._instances["ended"].any():
            ended = np.flatnonzero(self._instances["ended"])
            raise ResetNeeded(
                f"The episodes of environments {ended[:8].tolist()} have ended. "
                "Call reset(options={'reset_mask': terminations | truncations}) first."
            )
        branches = self._read_actions(actions)
        outputs = self._fresh_outputs() if self._copy else self._outputs
        before = self._constant_info
        self._step_kernel(branches, outputs)
        observations, rewards, terminations, truncations, successes, reports = self._outputs = outputs
        if self._configuration_varies and not self._reporting:
            self._note_configuration()
        info = self._info(successes, reports)
        if self.autoreset_mode == AutoresetMode.SAME_STEP:
            self._add_final(info, before, terminations | truncations)
        return present(self.world, observations), rewards, terminations, truncations, info

    def render(self) -> tuple[np.ndarray[Any, Any], ...] | None:
        """Draw every environment.

        Returns:
            Pictures, uint8 of shape (height, width, 3).
        """
        if self._film is None:
            raise InvalidOption("This environment was made without a render_mode: give render_mode='rgb_array'.")
        return tuple(self._film.picture(instance) for instance in self._instances)

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go."""
        if self._executor:
            self._executor[1].shutdown()
            self._executor = None

    @property
    def configuration(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The parameters in force, float64 of shape (num_envs, number of parameters)."""
        return np.array(self._instances["configuration"]["values"])

    @property
    def action_mask(self) -> np.ndarray[Any, np.dtype[np.int8]]:
        """Which branches may be chosen now, int8 of shape (num_envs, number of branches), as in `info`."""
        if not self._reporting:
            return np.ones((self.num_envs, len(self.world.branches)), np.int8)
        return self._outputs[-1].action_mask.copy()  # type: ignore[no-any-return]

    def get_state(self) -> Instances:
        """Copy everything that the future depends on, a structured array of shape (num_envs,): see `WorldEnv.get_state`."""
        return self._instances.copy()

    def set_state(self, state: Instances) -> tuple[Any, dict[str, Any]]:
        """Go back to a state from `get_state`: what follows is then what followed.

        Args:
            state: What `get_state` returned; its elements may be reordered, or come from single environments.

        Returns:
            Observations and infos there, as from `reset`.

        Raises:
            InvalidOption: If it is a state of another world or number of environments.
        """
        if getattr(state, "dtype", None) != self._instances.dtype or state.shape != (self.num_envs,):
            raise InvalidOption(f"This is no state of {self.num_envs} {self.world.name}: give what get_state() returned.")
        self._instances[:] = state
        self._seeded = self._running = self._configuration_varies = True
        self._note_configuration()
        self._outputs = self._fresh_outputs() if self._copy else self._outputs
        observations, *_, successes, reports = self._outputs
        self._kernels.observe_batch(self._instances, observations, successes, reports)
        return present(self.world, observations), self._info(successes, reports)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is compiled, and the threads."""
        return {**{key: value for key, value in vars(self).items() if key != "_kernels"}, "_executor": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile again what was left out."""
        vars(self).update(state)
        self._kernels = kernels(self.world)

    def _seed(self, seed: int | list[int | None] | None, chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> Any:
        """Seed the chosen environments that a seed is for, and return their indices."""
        if isinstance(seed, int | np.integer):
            check_seed(int(seed))
            super().reset(seed=int(seed))
            seeds: list[int | None] = [int(seed) + index for index in range(self.num_envs)]
        elif seed is not None:
            seeds = list(seed)
            if len(seeds) != self.num_envs:
                raise InvalidOption(f"{len(seeds)} seeds for {self.num_envs} environments: give one for each.")
        elif self._seeded:
            return []
        else:
            seeds = [None] * self.num_envs
        if not self._seeded:
            drawn = self.np_random.integers(2**63, size=self.num_envs).tolist()
            seeds = [other if own_seed is None else own_seed for own_seed, other in zip(seeds, drawn, strict=True)]
        for own_seed in seeds:
            check_seed(own_seed)
        given = np.flatnonzero(chosen & np.array([own_seed is not None for own_seed in seeds]))
        generators = self._instances["generator"][given]
        seed_generator(generators, np.array([seeds[index] for index in given], np.uint64))
        self._instances["generator"][given] = generators
        self._seeded = True
        return given

    def _read_actions(self, actions: Any) -> np.ndarray[Any, Any]:
        """Check a batch of actions, note the parameters of the chosen branches, and return the branches."""
        try:
            choice, parameters = actions if self._hybrid else (actions, ())
            branches = np.ascontiguousarray(choice)
            shapes = self._own_shapes
            if not (isinstance(parameters, np.ndarray) and parameters.shape == (self.num_envs, self._offsets[-1])):
                shapes = [np.shape(part) for part in parameters]
                parameters = np.concatenate(parameters, axis=1) if shapes else self._own
            parameters = np.ascontiguousarray(parameters, None if parameters.dtype == np.float32 else np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidAction(describe_invalid_action(self.world, actions, self.action_space)) from error
        if branches.shape != (self.num_envs,) or branches.dtype.kind not in "iu" or shapes != self._own_shapes:
            raise InvalidAction(describe_invalid_action(self.world, actions, self.action_space))
        branches = branches.astype(np.int64, copy=False)
        illegal = self._kernels.first_out_of_range(branches, len(self.world.branches))
        if illegal < 0 and self._hybrid:
            illegal = self._kernels.choose_own(branches, parameters, self._offsets, self._own)
        if illegal >= 0:
            action = (int(branches[illegal]), parameters[illegal].tolist()) if self._hybrid else int(branches[illegal])
            reason = describe_invalid_action(self.world, action, self.single_action_space)
            raise InvalidAction(f"Environment {illegal}: {reason}")
        return branches

    def _step_kernel(self, branches: Any, outputs: tuple[Any, ...]) -> None:
        finals = (self._final_observations, self._final_successes, self._final_reports)
        arrays = (self._instances, branches, self._own, *outputs, *finals)
        all_starts = self._fixed_starts if self._reporting else _AS_IT_IS
        if self._configuration_varies:
            all_starts = self._starts
        if len(self._slices) == 1:
            self._step_part(all_starts, arrays)
            return
        pieces = [_each(itemgetter(part), arrays) for part in self._slices]
        starts = [all_starts if len(all_starts) == 1 else all_starts[part] for part in self._slices]
        for _ in self._threads().map(self._step_part, starts, pieces):
            pass

    def _step_part(self, starts: Any, arrays: tuple[Any, ...]) -> None:
        instances, branches, own, *outputs = arrays
        self._kernels.step_batch(
            instances,
            branches,
            own,
            starts,
            _AUTORESET[self.autoreset_mode],
            self._time_limit,
            *outputs,
        )

    def _threads(self) -> ThreadPoolExecutor:
        # Threads do not survive a fork: a child process needs its own.
        if self._executor is None or self._executor[0] != os.getpid():
            self._executor = (os.getpid(), ThreadPoolExecutor(len(self._slices), "reworld"))
        return self._executor[1]

    def _fresh_outputs(self) -> tuple[Any, ...]:
        n = self.num_envs
        observations = np.empty((n, self.world.observation_size), self.world.observation_dtype)
        reports = _each(np.empty_like, self._final_reports)
        return observations, np.empty(n), np.empty(n, np.bool_), np.empty(n, np.bool_), np.empty(n, np.bool_), reports

    def _note_configuration(self) -> None:
        self._constant_info = {
            "cost": _read_only(np.zeros(self.num_envs)),
            "configuration": _read_only(self.configuration),
            "configured": _read_only(np.zeros(self.num_envs, np.bool_)),
            "budget_left": _read_only(np.full(self.num_envs, math.inf)),
            "action_mask": _read_only(np.ones((self.num_envs, len(self.world.branches)), np.int8)),
            **{f"_{key}": self._everywhere for key in _INFO_KEYS},
        }

    def _info(self, successes: Any, reports: Any) -> dict[str, Any]:
        if self._reporting:
            return {**self._constant_info, **reports._asdict(), "success": successes}
        return {**self._constant_info, "success": successes}

    def _add_final(self, info: dict[str, Any], before: dict[str, Any], ended: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        indices = np.flatnonzero(ended)
        if len(indices):
            final_observations = np.zeros_like(self._final_observations)
            final_observations[indices] = self._final_observations[indices]
            info["final_obs"] = present(self.world, final_observations)
            info["final_info"] = {
                **before,
                **({key: array.copy() for key, array in self._final_reports._asdict().items()} if self._final_reports else {}),
                "success": self._final_successes.copy(),
                **{f"_{key}": ended for key in _INFO_KEYS},
            }
            info["_final_obs"] = info["_final_info"] = ended


_INFO_KEYS = ("cost", "configuration", "configured", "budget_left", "action_mask", "success")


def _each(change: Callable[[Any], Any], arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """Change every array of a tuple, those of `Reports` in it, too."""
    changed = [_each(change, each) if isinstance(each, tuple) else change(each) for each in arrays]
    return Reports._make(changed) if isinstance(arrays, Reports) else tuple(changed)


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array
