"""FLEXplore: learn a world model of hybrid actions, and plan in it.

Learn A Flexible Exploration Model for Parameterized Action Markov Decision Processes (Wang et al., arXiv 2501.02774), and DLPA
(Zhang et al., arXiv 2404.03037), which it is with its ideas switched off.
"""

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.error import Error
from stable_baselines3.common.logger import Logger
from torch import Tensor, nn

from reworld_baselines import checkpoints
from reworld_baselines.checkpoints import Arrays
from reworld_baselines.evaluation import Array, make_batch
from reworld_baselines.flexplore.config import FLEXploreSettings
from reworld_baselines.flexplore.losses import Critic, ModelLoss
from reworld_baselines.flexplore.networks import Perceptron, normal, uniform
from reworld_baselines.flexplore.planner import Plan, Planner
from reworld_baselines.flexplore.policies import Policies, PolicyLoss, PolicyNoise
from reworld_baselines.flexplore.replay import Replay, Windows
from reworld_baselines.flexplore.world_model import Noise, WorldModel
from reworld_baselines.hybrid_space import HybridSpace
from reworld_baselines.runs import RunError, write_whole

# Of the value, by its target.
_FOLLOWING = 0.01
# Of the policies, to which longer ones are cut.
_LARGEST_GRADIENT = 10.0
_STEPS_BETWEEN_BOUNDARIES = 50
# The reward has settled when its error over so many steps is more than this share of that over as many before.
_SETTLING_STEPS = 500
_SETTLED = 0.95
# Of the Gumbel-Softmax, at first and at last.
_TEMPERATURES = 5.0, 0.5
# Sequences that an evaluation imagines in one call, for the memory that they take.
_SEQUENCES_AT_ONCE = 2**16


class Player:
    """One of the runs of an agent, acting as it is at the moment; it remembers its plans from one step to the next.

    Args:
        planner: Of a single member.
        seed: Of what it draws. It draws the same again when all episodes begin.
    """

    def __init__(self, planner: Planner, seed: int) -> None:
        self._planner, self._seed = planner, seed
        self._generator = torch.Generator(planner.mask.device)
        self._memory = planner.first_plan(1, 1)

    @torch.no_grad()
    def act(
        self, observations: Array, *, deterministic: bool = True, begins: Array | None = None, playing: Array | None = None
    ) -> Any:
        """Choose actions: see `reworld_baselines.evaluation.Agent`.

        Args:
            observations: float32 of shape (n, size of an observation).
            deterministic: Whether to leave out the exploration.
            begins: Where an episode begins, bool of shape (n,); everywhere, if left out. Elsewhere the plan of the last call
                goes on.
            playing: Where the action matters, bool of shape (n,); everywhere, if left out. Elsewhere it is that of zeros.
        """
        planner, count = self._planner, len(observations)
        begins = np.ones(count, np.bool_) if begins is None else begins
        if begins.all():
            self._generator.manual_seed(self._seed)
            self._memory = planner.first_plan(1, count)
        choices, own = np.zeros(count, np.int64), np.zeros((count, planner.space.own_size), np.float32)
        rows = np.arange(count) if playing is None else np.flatnonzero(playing)
        at_once = max(1, _SEQUENCES_AT_ONCE // planner.settings.samples)
        for first in range(0, len(rows), at_once):
            part, device = rows[first : first + at_once], planner.mask.device
            index = torch.from_numpy(part).to(device)
            states = planner.model.scales.state(torch.from_numpy(observations[part]).to(device)[None])
            previous = Plan(*(each[:, :, index] for each in self._memory))
            noise = planner.draw_noise([self._generator], len(part), not deterministic)
            fresh = torch.from_numpy(begins[part]).to(device)[None]
            decision = planner(states, previous, fresh, noise, not deterministic)
            for memory, moved in zip(self._memory, decision.plan, strict=True):
                memory[:, :, index] = moved
            choices[part], own[part] = decision.choice[0].cpu().numpy(), decision.own[0].cpu().numpy()
        return planner.space.action(choices, own)


def _member(planner: Planner, index: int) -> Planner:
    """A planner of one member, of which all numbers are those of the whole, also when they change."""
    one = copy.deepcopy(planner)
    for ours, whole in (one.parameters(), planner.parameters()), (one.buffers(), planner.buffers()):
        for tensor, theirs in zip(list(ours), whole, strict=True):
            tensor.data = theirs.data[index : index + 1]
    return one


@torch.no_grad()
def _follow(ours: nn.Module, theirs: nn.Module, share: float) -> None:
    torch._foreach_lerp_(list(ours.parameters()), list(theirs.parameters()), share)


class FLEXplore:
    """FLEXplore on one environment; or several independent runs of it at once, each with its own seed.

    Args:
        environment: Id, such as ``"reworld/Platform-v0"``.
        settings: What it learns with.
        seed: Seed of weights, environments, exploration and sampling; or several, one for each run.
        device: Where it learns: ``"cpu"`` or ``"cuda"``.
        arguments: Of the environment, such as ``n=6``.

    Raises:
        gymnasium.error.Error: If there is no such environment in reworld, or its observations are no Box.
    """

    def __init__(
        self,
        environment: str,
        settings: FLEXploreSettings | None = None,
        seed: int | Sequence[int] = 0,
        device: str | torch.device = "cpu",
        **arguments: Any,
    ) -> None:
        self.environment, self.arguments = environment, arguments
        self.settings = settings = FLEXploreSettings() if settings is None else settings
        self.seeds = (seed,) if isinstance(seed, int) else tuple(seed)
        self.device = torch.device(device)
        members = len(self.seeds)
        limit = {} if settings.episode_steps is None else {"max_episode_steps": settings.episode_steps}
        self._batch = make_batch(environment, members * settings.n_envs, **limit, **arguments)
        observed = self._batch.single_observation_space
        if not isinstance(observed, spaces.Box):
            raise Error(f"The observations of {environment} are {observed}: FLEXplore needs a Box.")
        self.space = HybridSpace.of(self._batch.single_action_space)
        low, high = (torch.from_numpy(bound).to(self.device) for bound in (observed.low, observed.high))

        states = [np.random.SeedSequence(each).generate_state(4 + settings.n_envs).tolist() for each in self.seeds]
        self._generators = {
            name: [torch.Generator(self.device).manual_seed(state[part]) for state in states]
            for part, name in enumerate(("weights", "acting", "learning"))
        }
        self._env_seeds = [each for state in states for each in state[4:]]
        weights, size, hidden = self._generators["weights"], len(low), settings.hidden
        self.model = WorldModel(self.space, low, high, settings, weights)
        self.critic = Critic(size, hidden, weights) if settings.flexibility else None
        self.policies = Policies(self.space, size, hidden, weights) if settings.proposals else None
        self.value = Perceptron(size, 1, hidden, weights) if settings.terminal_value else None
        self._target = copy.deepcopy(self.value)
        self._average = self.model
        if settings.following < 1.0:
            self._average = copy.deepcopy(self.model).requires_grad_(False)
            self._average.scales = self.model.scales
        self.planner = Planner(self.space, self._average, self.policies, self.value, settings)
        self.players = [Player(_member(self.planner, i), states[i][3]) for i in range(members)]

        self._plan: Any = self.planner
        self._model_loss: Any = ModelLoss(self.model, self.critic, settings)
        self._optimizers = {"model": self._adam(self.model)}
        if self.critic is not None:
            self._optimizers["critic"] = self._adam(self.critic, betas=(0.5, 0.9), maximize=True)
        if self.policies is not None:
            self._policy_loss: Any = PolicyLoss(self.model, self.policies, self.value, self._target, settings)
            self._optimizers["policies"] = self._adam(self.policies, self.value)
        if settings.compiled:
            self._compile()

        self._replay = Replay(
            members, settings.n_envs, max(1, settings.buffer_size // settings.n_envs), size, self.space.own_size, self.device
        )
        self._observations: Array | None = None
        self._begins = np.ones((members, settings.n_envs), np.bool_)
        self._returns = np.zeros((members, settings.n_envs))
        self._current = self.planner.first_plan(members, settings.n_envs)
        self._surprises = torch.zeros(members, 2 * _SETTLING_STEPS, device=self.device)
        self._smoothing = torch.zeros(members, device=self.device)
        self._smooths = False
        self._figures: dict[str, list[Tensor]] = {}

    def _adam(self, *modules: nn.Module | None, **arguments: Any) -> torch.optim.Adam:
        parameters = [parameter for module in modules if module is not None for parameter in module.parameters()]
        return torch.optim.Adam(parameters, lr=self.settings.learning_rate, foreach=True, **arguments)

    def _compile(self) -> None:
        if self.device.type == "cuda":
            self._plan = torch.compile(self._plan, mode="reduce-overhead")
        mode = "reduce-overhead" if self.device.type == "cuda" else "default"
        self._model_loss = torch.compile(self._model_loss, mode=mode)

    @property
    def steps(self) -> int:
        """Environment steps that each run has learned from so far."""
        return self._replay.written * self.settings.n_envs

    def act(
        self, observations: Array, *, deterministic: bool = True, begins: Array | None = None, playing: Array | None = None
    ) -> Any:
        """Choose actions as the first run does: see `Player.act`."""
        return self.players[0].act(observations, deterministic=deterministic, begins=begins, playing=playing)

    def predict(
        self,
        observation: Array,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[Any, None]:
        """Choose the action of a single environment, in its own form.

        Args:
            observation: float32 of shape (size of an observation,).
            state: Has no meaning: the agent itself remembers the plan of the step before. It is here since policies of
                Stable-Baselines3 have it.
            episode_start: Whether an episode begins; True, if left out.
            deterministic: Whether to leave out the exploration.

        Returns:
            The action, and None.
        """
        begins = np.array([True if episode_start is None else bool(np.all(episode_start))])
        action = self.act(np.asarray(observation, np.float32)[None], deterministic=deterministic, begins=begins)
        if not self.space.layout.hybrid:
            return action[0], None
        return (action[0][0], self.space.layout.split(action[1][0])), None

    def windows(self, count: int) -> Windows:
        """Draw windows of what is remembered; learning goes on as if there had been none.

        Args:
            count: How many of each run.
        """
        generators = [torch.Generator(self.device).manual_seed(seed) for seed in self.seeds]
        return self._replay.sample(count, self.settings.horizon, generators)

    # Learning

    def learn(self, steps: int, logger: Logger | None = None, at_boundary: Callable[[], None] | None = None) -> Self:
        """Learn until each run has done so many environment steps, or a few more: all environments step together.

        Args:
            steps: Environment steps, those of before included.
            logger: What receives the figures.
            at_boundary: Called at the start, every now and then, and at the end: whenever `get_state` may be called.
        """
        while True:
            regular = self._replay.written % _STEPS_BETWEEN_BOUNDARIES == 0
            if regular:
                self._decide_on_smoothing()
            if regular or self.steps >= steps:
                self._report(logger)
                if at_boundary is not None:
                    at_boundary()
            if self.steps >= steps:
                return self
            self._interact()
            if self.steps >= self.settings.random_steps:
                self._learn_once()

    @torch.no_grad()
    def _interact(self) -> None:
        """Take a step in every environment, and remember it."""
        settings, acting = self.settings, self._generators["acting"]
        shape = len(self.seeds), settings.n_envs
        if self._observations is None:
            self._observations, _ = self._batch.reset(seed=self._env_seeds)
        before = self._tensor(self._observations).view(*shape, -1)
        choices = (uniform(acting, settings.n_envs) * self.space.choices).long().clamp(max=self.space.choices - 1)
        own = (2.0 * uniform(acting, settings.n_envs, self.space.own_size) - 1.0) * self.planner.mask[choices]
        if self.steps >= settings.random_steps:
            noise = self.planner.draw_noise(acting, settings.n_envs, exploring=True)
            states, begins = self.model.scales.state(before), self._tensor(self._begins)
            decision = self._plan(states, self._current, begins, noise, True, self._information_weight())
            planned = uniform(acting, settings.n_envs) >= settings.random_share
            choices = torch.where(planned, decision.choice, choices)
            own = torch.where(planned[..., None], decision.own, own)
            self._current = decision.plan
        action = self.space.action(choices.flatten().cpu().numpy(), own.flatten(0, 1).cpu().numpy())
        self._observations, rewards, terminations, truncations, info = self._batch.step(action)
        ends = terminations | truncations
        after = np.where(ends[:, None], info["final_obs"], self._observations) if ends.any() else self._observations
        step = {"after": after, "rewards": rewards.astype(np.float32), "terminations": terminations, "ends": ends}
        stored = {name: self._tensor(each).view(*shape, *each.shape[1:]) for name, each in step.items()}
        stored |= {"before": before, "choices": choices, "own": own}
        if settings.smoothing_from == "auto" and self.steps >= settings.random_steps:
            self._surprises[:, self._replay.written % (2 * _SETTLING_STEPS)] = self._surprise(stored)
        self._replay.add(**stored)
        self._begins = ends.reshape(shape)
        self._returns += rewards.reshape(shape)
        if ends.any():
            self._note("rollout", {"ep_rew_mean": torch.from_numpy(self._returns[self._begins])})
            self._returns[self._begins] = 0.0
        if self.steps - settings.n_envs < settings.random_steps <= self.steps and settings.predict == "change":
            self.model.scales.fit(*(self._replay.column(name).flatten(1, 2) for name in ("before", "after", "rewards")))

    def _learn_once(self) -> None:
        """Improve the world model, its critic and the policies by what is remembered."""
        settings, learning = self.settings, self._generators["learning"]
        horizon, count, size = settings.horizon, settings.batch_size, self.model.size
        smoothing = self._smoothing if self._smooths else None
        for _ in range(settings.updates):
            windows = self._replay.sample(count, horizon, learning)
            noise = Noise(normal(learning, horizon, count, size), normal(learning, horizon, count, self.model.outcome_noise))
            smoothing_noise = None if smoothing is None else normal(learning, horizon, count, size)
            loss, parts = self._model_loss(windows, noise, smoothing, smoothing_noise)
            self._descend(loss, "model", *(["critic"] if self.critic is not None else []))
            if self._average is not self.model:
                _follow(self._average, self.model, settings.following)
            self._note("model", parts)
        for _ in range(settings.policy_updates if self.policies is not None else 0):
            windows = self._replay.sample(count, 1, learning)
            policy_noise = PolicyNoise(
                uniform(learning, horizon, count, self.space.choices),
                normal(learning, horizon, count, self.space.own_size),
                normal(learning, horizon, count, size),
            )
            loss, parts = self._policy_loss(windows.start, policy_noise, self._temperature(), self._information_weight())
            self._descend(loss, "policies")
            self._note("policies", parts)
            if self.value is not None and self._target is not None:
                _follow(self._target, self.value, _FOLLOWING)

    def _descend(self, loss: Tensor, *names: str) -> None:
        """Take a step of the optimizers. What the critic descends by is what the model ascends by: its optimizer ascends."""
        parameters = [each for name in names for each in self._optimizers[name].param_groups[0]["params"]]
        gradients = torch.autograd.grad(loss.sum(), parameters)
        if names == ("policies",):
            norm = sum(gradient.square().flatten(1).sum(1) for gradient in gradients).sqrt()  # type: ignore[union-attr]
            share = (_LARGEST_GRADIENT / norm.clamp(min=_LARGEST_GRADIENT)).view(-1, 1, 1)
            gradients = tuple(share * gradient for gradient in gradients)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        for name in names:
            self._optimizers[name].step()

    def _surprise(self, step: dict[str, Tensor]) -> Tensor:
        """Squared error of the reward that is predicted for steps that nothing was learned from yet, of shape (members,)."""
        scales = self.model.scales
        states, _ = self.model.next(scales.state(step["before"]), step["choices"], step["own"])
        states = self.model.draw(states, states, None)
        outcomes = self.model.outcomes(states[:, None], step["choices"][:, None], step["own"][:, None])
        predicted = torch.where(step["terminations"], outcomes.ending[:, 0], outcomes.going[:, 0])
        return (predicted - step["rewards"] / scales.reward).square().mean(-1)

    def _decide_on_smoothing(self) -> None:
        """Let smoothing begin when its time has come: see `FLEXploreSettings.smoothing_from`."""
        begins, weight = self.settings.smoothing_from, self.settings.smoothing_weight
        if begins == "auto":
            if self.steps >= self.settings.random_steps + 2 * _SETTLING_STEPS * self.settings.n_envs:
                ordered = self._surprises.roll(-(self._replay.written % (2 * _SETTLING_STEPS)), 1)
                earlier, later = ordered.chunk(2, 1)
                settled = later.mean(1) > _SETTLED * earlier.mean(1)
                self._smoothing = torch.where(settled, weight, self._smoothing)
        elif begins is not None and self.steps > begins:
            self._smoothing = torch.full_like(self._smoothing, weight)
        self._smooths = bool(self._smoothing.any())

    def _information_weight(self) -> Tensor | None:
        left = 1.0 - self.steps / self.settings.information_steps
        if not self.settings.information_weight or left <= 0.0:
            return None
        return torch.tensor(self.settings.information_weight * left, device=self.device)

    def _temperature(self) -> Tensor:
        share = min(1.0, self.steps / self.settings.temperature_steps)
        return torch.tensor(_TEMPERATURES[0] + share * (_TEMPERATURES[1] - _TEMPERATURES[0]), device=self.device)

    def _note(self, group: str, parts: dict[str, Tensor]) -> None:
        for name, values in parts.items():
            self._figures.setdefault(f"{group}/{name}", []).append(values.detach())

    def _report(self, logger: Logger | None) -> None:
        """Hand the figures since the last report to the log, averaged."""
        if logger is not None and self._figures:
            for name, values in self._figures.items():
                logger.record(name, float(torch.cat([each.flatten() for each in values]).mean()))
            logger.record("time/total_timesteps", self.steps, exclude="tensorboard")
            logger.dump(self.steps)
        self._figures = {}

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    # Keeping

    def get_state(self) -> Arrays:
        """Copy everything that further learning depends on."""
        tensors: dict[str, Tensor] = {f"replay/{name}": each for name, each in self._replay.get_state().items()}
        for name, module in self._modules().items():
            tensors |= {f"{name}/{key}": each for key, each in module.state_dict().items()}
        for name, optimizer in self._optimizers.items():
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizers/{name}/{index}/{moment}": each for moment, each in moments.items()}
        for name, generators in self._generators.items():
            tensors |= {f"random/{name}/{member}": each.get_state() for member, each in enumerate(generators)}
        tensors |= {"plan/choices": self._current.choices, "plan/means": self._current.means}
        tensors |= {"smoothing/surprises": self._surprises, "smoothing/weights": self._smoothing}
        state = {name: each.detach().cpu().numpy().copy() for name, each in tensors.items()}
        state |= {"steps": np.array(self._replay.written)}
        state |= {"environments/begins": self._begins, "environments/returns": self._returns.copy()}
        if self._observations is not None:
            state["environments/observations"] = self._observations
            state["environments/state"] = np.frombuffer(self._batch.get_state().tobytes(), np.uint8)
        return state

    def set_state(self, state: Arrays) -> None:
        """Go back to a state from `get_state`: what is learned from there on is then, on a CPU, the same bit for bit.

        Args:
            state: From an agent with the same environment, settings and number of seeds.

        Raises:
            ValueError: If it is of an agent with other settings. Nothing has changed then.
            KeyError: If something else is missing.
        """
        here = self.get_state()
        # Before the first step there are neither moments nor episodes.
        odd = {name for name in state.keys() ^ here.keys() if not name.startswith(("optimizers/", "environments/"))}
        odd |= {
            name
            for name in state.keys() & here.keys()
            if state[name].shape != here[name].shape and not name.startswith(("replay/", "random/"))
        }
        if odd:
            raise ValueError(f"It is of an agent with other settings: see {min(odd)}.")
        groups: dict[str, dict[str, Tensor]] = {}
        for name, array in state.items():
            group, _, rest = name.partition("/")
            if rest and group != "environments":
                groups.setdefault(group, {})[rest] = torch.tensor(array, device=self.device)
        for name, module in self._modules().items():
            module.load_state_dict(groups[name])
        for name, optimizer in self._optimizers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in groups.get("optimizers", {}).items():
                owner, index, moment = key.split("/")
                if owner == name:
                    moments.setdefault(int(index), {})[moment] = tensor
            optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        for name, generators in self._generators.items():
            for member, generator in enumerate(generators):
                random = groups["random"][f"{name}/{member}"].cpu()
                # A generator of another kind of device has another state.
                if random.shape == generator.get_state().shape:
                    generator.set_state(random)
        self._replay.set_state(groups["replay"], int(state["steps"]))
        self._current = Plan(groups["plan"]["choices"], groups["plan"]["means"])
        self._surprises, self._smoothing = groups["smoothing"]["surprises"], groups["smoothing"]["weights"]
        self._smooths = bool(self._smoothing.any())
        self._begins, self._returns = state["environments/begins"].copy(), state["environments/returns"].copy()
        if "environments/state" in state:
            self._observations = state["environments/observations"].copy()
            form = self._batch.get_state().dtype
            self._batch.reset()
            self._batch.set_state(np.frombuffer(bytearray(state["environments/state"]), form))

    def _modules(self) -> dict[str, nn.Module]:
        modules: dict[str, nn.Module | None] = {"model": self.model, "critic": self.critic, "policies": self.policies}
        modules |= {"value": self.value, "target": self._target}
        if self._average is not self.model:
            modules["average"] = self._average
        return {name: module for name, module in modules.items() if module is not None}

    def save(self, directory: Path) -> None:
        """Keep the agent in a directory, with all that is needed to learn on.

        Args:
            directory: Where; it is made if there is none.
        """
        directory.mkdir(parents=True, exist_ok=True)
        content = {
            "environment": self.environment,
            "arguments": self.arguments,
            "seeds": self.seeds,
            "settings": dataclasses.asdict(self.settings),
        }
        checkpoints.write(directory / "checkpoint.safetensors", self.get_state())
        write_whole(directory / "agent.json", json.dumps(content, indent=1).encode())

    @classmethod
    def load(cls, directory: Path, device: str | torch.device = "cpu") -> Self:
        """Load an agent that `save` kept.

        Args:
            directory: Where it is.
            device: Where it shall learn.

        Raises:
            RunError: If there is none, or it is damaged. The files are left as they are.
        """
        file = directory / "agent.json"
        try:
            content = json.loads(file.read_bytes())
            settings = FLEXploreSettings(**content["settings"])
            agent = cls(content["environment"], settings, content["seeds"], device, **content["arguments"])
            agent.set_state(checkpoints.read(directory / "checkpoint.safetensors"))
        except OSError as error:
            raise RunError(f"There is no agent in {directory}: {file.name} cannot be read ({error.strerror}).") from error
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise RunError(
                f"The agent in {directory} is damaged, or of another version ({error}). It was left as it is."
            ) from error
        return agent
