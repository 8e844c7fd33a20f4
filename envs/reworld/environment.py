"""A world as a `gymnasium.Env`."""

import importlib
import inspect
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded

from reworld.changing.change import change
from reworld.changing.setup import Changing, SetUp
from reworld.configuration import Request, starting_configurations
from reworld.engine.kernels import instances_of, kernels
from reworld.errors import InvalidOption, InvalidWorld, nearest
from reworld.generator import seed_generator
from reworld.rendering import Film
from reworld.spaces import action_space, configuration_space, observation_space, present
from reworld.world import Vector, World

Observation = Any
"""float32 array, or the index of a state, int64."""

Offer = Changing | SetUp | Mapping[str, Any] | str | None
"""Which model-changing actions there are, or where that is written; None for none."""

Family = World | Callable[..., World]
"""A world, or a function that returns one."""


class WorldEnv(gymnasium.Env[Observation, Any]):
    """One environment over a world.

    Every reset begins an episode in the configuration given here; ``reset(options={"configuration": …})`` gives another one
    for that episode alone. `info` has the same keys from `reset` on:

    - ``cost``: what was paid in this step for changes, float.
    - ``configuration``: the parameters in force, float64 of shape (number of parameters,).
    - ``configured``: whether this step's action changed the configuration, or the one that waits for the next epoch, bool.
    - ``budget_left``: how much may still be paid, float (inf where there is no budget).
    - ``action_mask``: which branches may be chosen, int8 of shape (number of branches,).
    - ``success``: whether an episode that ended here would be a success, bool.

    Args:
        world: A world or a family of worlds, or where to find it, as in ``"reworld.worlds.platform:WORLD"``.
        configuration: What every episode starts with: see `reworld.configuration.Request`.
        changing: Which model-changing actions there are: a `reworld.changing.Changing`, its fields as a dictionary, or where
            to find a set-up, as in ``"reworld.changing.recommended.platform:SET_UP"``.
        render_mode: None, ``"human"`` (a window), ``"rgb_array"`` (a picture of the present state) or
            ``"rgb_array_list"`` (all pictures since the last call of `render`, sub-steps of an action included).
        family: What a family of worlds takes, such as ``n=6``.

    Raises:
        InvalidConfiguration: If `configuration` is none of this world.
        InvalidOption: If `render_mode` or an argument of the family is unknown, or `changing` does not fit the world.
        gymnasium.error.Error: If ``"human"`` is asked for and there is no display.
    """

    metadata = {"render_modes": ["human", "rgb_array", "rgb_array_list"]}  # noqa: RUF012 (declared so by Gymnasium)

    def __init__(
        self,
        world: Family | str,
        configuration: Request = None,
        changing: Offer = None,
        render_mode: str | None = None,
        **family: Any,
    ) -> None:
        self.world = find_world(world, changing, **family)
        self.action_space = action_space(self.world)
        self.observation_space = observation_space(self.world)
        self.configuration_space = configuration_space(self.world)
        self.metadata = {**self.metadata, "render_fps": self.world.frames_per_second}
        self.render_mode = render_mode
        self._starts = starting_configurations(self.world, configuration)
        self._film = None if render_mode is None else Film(self.world, render_mode)
        self._size, self._dtype = self.world.observation_size, self.world.observation_dtype
        self._plain = isinstance(self.world.observation, tuple)
        self._offsets = self.world.branch_offsets.tolist()
        self._hybrid = self._offsets[-1] > 0
        self._row = (self._offsets[-1],)
        self._instances = instances_of(self.world, 1)
        self._blank = self._instances["state"].copy()
        self._reports = self.world.reports(1)
        self._every_branch = np.ones(len(self.world.branches), np.int8)
        self._seeded = False
        self._running = False
        self._kernels = kernels(self.world)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: Seed of this episode and, without a new one, of all that follow, in [0, 2**64).
            options: ``{"configuration": …}`` starts this one episode in another configuration (see
                `reworld.configuration.Request`).

        Returns:
            The first observation and info.

        Raises:
            InvalidOption: If an option is unknown, or the seed is out of range.
            InvalidConfiguration: If the configuration is none of this world.
        """
        starts = self._starts
        asked = bool(options) and "configuration" in read_options(options, ("configuration",))
        if asked:
            starts = starting_configurations(self.world, options["configuration"])  # type: ignore[index]
        check_seed(seed)
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**63))
        if seed is not None:
            seed_generator(self._instances["generator"][0], seed)
            self._seeded = True
        if asked or seed is not None:
            self._instances["state"] = self._blank
        observations, successes = np.empty((1, self._size), self._dtype), np.empty(1, np.bool_)
        self._kernels.reset_batch(self._instances, _CHOSEN, starts, observations, successes, self._reports)
        return self._arrive(observations, successes, running=True)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Args:
            action: An element of the action space: parameters of branches other than the chosen one are not read. The
                parameters of all branches may also come as one array, of shape (number of them,).

        Returns:
            Observation, reward, terminated, truncated (always False: the time limit is a wrapper's) and info.

        Raises:
            gymnasium.error.ResetNeeded: If no episode is under way.
            gymnasium.error.InvalidAction: If the action is none of this world's. The state is then as before.
        """
        if not self._running:
            raise ResetNeeded("No episode is under way: it has not begun, or it has terminated. Call reset() first.")
        branch, x = self.read_action(action)
        if self._film:
            self._film.watch(self._instances[0], branch, x)
        observation = np.empty(self._size, self._dtype)
        reward, terminated, succeeded = self._kernels.step_single(self._instances, branch, x, observation, self._reports)
        self._running = not terminated
        if self._film:
            self._film.take(self._instances[0], reward)
        shown = observation if self._plain else present(self.world, observation)
        return shown, reward, terminated, False, self._info(succeeded)

    def render(self) -> Any:
        """Draw the world.

        Returns:
            For ``"rgb_array"`` a picture, uint8 of shape (height, width, 3); for ``"rgb_array_list"`` the pictures since
            the last call; otherwise None.
        """
        if self._film is None:
            raise InvalidOption(
                "This environment was made without a render_mode. Say which one when you make it: "
                "gymnasium.make(…, render_mode='rgb_array')."
            )
        return self._film.show(self._instances[0])

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._film:
            self._film.close()

    @property
    def configuration(self) -> Vector:
        """The parameters in force, float64 of shape (number of parameters,), in the order of ``world.parameters``."""
        return self._instances["configuration"]["values"][0].copy()  # type: ignore[no-any-return]

    @property
    def action_mask(self) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        """Which branches may be chosen now, int8 of shape (number of branches,), as in `info`."""
        return self._reports.action_mask[0].copy() if self._reports else self._every_branch.copy()

    def get_state(self) -> np.void:
        """Copy everything that the future depends on: state, configuration, generator, age of the episode.

        Returns:
            A structured scalar that `set_state` of any environment over the same world accepts.
        """
        return self._instances.copy()[0]  # type: ignore[no-any-return]

    def set_state(self, state: np.void) -> tuple[Observation, dict[str, Any]]:
        """Go back to a state from `get_state`: what follows is then what followed.

        Args:
            state: What `get_state` returned.

        Returns:
            The observation and info there, as from `reset`.

        Raises:
            InvalidOption: If it is a state of another world, or of a batch.
        """
        if getattr(state, "dtype", None) != self._instances.dtype or state.shape != ():
            raise InvalidOption(f"This is no state of {self.world.name}: give what get_state() returned.")
        self._instances[0] = state
        self._seeded = True
        observations, successes = np.empty((1, self._size), self._dtype), np.empty(1, np.bool_)
        self._kernels.observe_batch(self._instances, observations, successes, self._reports)
        return self._arrive(observations, successes, running=not state["ended"])

    def _arrive(self, observations: Any, successes: Any, running: bool) -> tuple[Observation, dict[str, Any]]:
        self._running = running
        self._configuration = self.configuration
        if self._film:
            self._film.begin(self._instances[0])
        return present(self.world, observations[0]), self._info(bool(successes[0]))

    def read_action(self, action: Any) -> tuple[int, Vector]:
        """Take an action apart, or refuse it.

        Args:
            action: As in `step`.

        Returns:
            The branch, and its own parameters as float64.

        Raises:
            gymnasium.error.InvalidAction: If the action is none of this world's.
        """
        try:
            branch = operator.index(action[0] if self._hybrid else action)
            start, stop = self._offsets[branch], self._offsets[branch + 1]
            if branch < 0:
                raise IndexError
            if not self._hybrid:
                return branch, _NO_PARAMETERS
            own = action[1]
            if isinstance(own, np.ndarray) and own.shape == self._row:
                x = own[start:stop].astype(np.float64)
            else:
                x = np.ascontiguousarray(own[branch], np.float64)
        except (TypeError, IndexError, KeyError, ValueError) as error:
            raise InvalidAction(describe_invalid_action(self.world, action, self.action_space)) from error
        if x.shape != (stop - start,) or not all(map(math.isfinite, x)):
            raise InvalidAction(describe_invalid_action(self.world, action, self.action_space))
        return branch, x

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is compiled."""
        return {key: value for key, value in vars(self).items() if key != "_kernels"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Compile again what was left out."""
        vars(self).update(state)
        self._kernels = kernels(self.world)

    def _info(self, succeeded: bool) -> dict[str, Any]:
        if not self._reports:
            return {
                "cost": 0.0,
                "configuration": self._configuration.copy(),
                "configured": False,
                "budget_left": _NO_BUDGET,
                "action_mask": self._every_branch.copy(),
                "success": succeeded,
            }
        cost, configuration, configured, budget_left, action_mask = self._reports
        return {
            "cost": cost.item(),
            "configuration": configuration[0].copy(),
            "configured": configured.item(),
            "budget_left": budget_left.item(),
            "action_mask": action_mask[0].copy(),
            "success": succeeded,
        }


_CHOSEN = np.ones(1, np.bool_)
_NO_PARAMETERS = np.empty(0)
_NO_BUDGET = math.inf


def find_world(world: Family | str, changing: Offer = None, **family: Any) -> World:
    """Find a world, or the member of a family, and make it changeable if that is asked for.

    Args:
        world: A world, a function that returns one, or ``"module:NAME"`` of either.
        changing: As in `WorldEnv`.
        family: The arguments of that function.

    Raises:
        InvalidWorld: If there is none of that name.
        InvalidOption: If an argument is unknown or missing, or `changing` does not fit the world.
    """
    found: Any = world
    if isinstance(world, str):
        module, _, name = world.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except InvalidWorld:  # Its file was found, and contradicts itself.
            raise
        except (ImportError, AttributeError, ValueError) as error:
            raise InvalidWorld(f"There is no world {world!r}: name it as 'package.module:NAME'. ({error})") from error
    if isinstance(found, World):
        known: list[str] = []
    elif callable(found):
        known = list(inspect.signature(found).parameters)
    else:
        raise InvalidWorld(f"{world!r} is a {type(found).__name__}, neither a reworld.World nor a function that returns one.")
    for name in family:
        if name not in known:
            takes = nearest(name, ("configuration", "changing", "render_mode", *known))
            raise InvalidOption(f"This world takes no argument {name!r}. {takes}")
    member = found if isinstance(found, World) else found(**family)
    return member if changing is None else change(member, changing)


def read_options(options: Mapping[str, Any] | None, known: tuple[str, ...]) -> Mapping[str, Any]:
    """Refuse unknown options of `reset`.

    Args:
        options: What was given.
        known: What exists.

    Raises:
        InvalidOption: If a name is unknown.
    """
    for name in options or {}:
        if name not in known:
            raise InvalidOption(f"reset has no option {name!r}. {nearest(name, known)}")
    return options or {}


def check_seed(seed: int | None) -> None:
    """Refuse a seed that the generator cannot hold.

    Args:
        seed: What was given.

    Raises:
        InvalidOption: If it is out of range.
    """
    if seed is not None and not 0 <= seed < 2**64:
        raise InvalidOption(f"seed={seed} is out of range: give an integer in [0, 2**64).")


def describe_invalid_action(world: World, action: Any, space: Any) -> str:
    """Say what was wrong with an action, what was expected, and how to mend it.

    Args:
        world: Which refuses it.
        action: What was given.
        space: Where it should lie.
    """
    if any(branch.parameters for branch in world.branches):
        form = ", ".join(f"{k} {b.name}{[p.name for p in b.parameters]}" for k, b in enumerate(world.branches[:12]))
        hint = (
            f"Give (branch, parameters), where parameters holds one array of finite numbers for each branch. Branches: {form}"
        )
    else:
        hint = "Give the index of a branch: " + ", ".join(f"{k} {b.name}" for k, b in enumerate(world.branches[:12]))
    return f"{_brief(action)} is no action of {world.name}, whose action space is {_brief(space)}. {hint}."


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:300]} … {text[-40:]}"
