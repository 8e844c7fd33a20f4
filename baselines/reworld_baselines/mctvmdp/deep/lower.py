"""The lower level: networks that play a world in every configuration that may come, trained by PPO of Stable-Baselines3.

Either one network sees the configuration beside the world (a universal policy, as in Yu, Tan, Liu, Turk, "Preparing for the
Unknown: Learning a Universal Policy with Online System Identification", arXiv 1702.02453), or there is one for each
configuration.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import get_device
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from tqdm import tqdm

from reworld.actions import VectorFlatBoxAction, read_flat, read_layout
from reworld.errors import InvalidOption
from reworld.finite import Reals
from reworld_baselines.checkpoints import Arrays
from reworld_baselines.mctvmdp.deep.task import Task, VectorConfigurationObservation
from reworld_baselines.stable_baselines3 import GymnasiumVecEnv, PPOSettings


class LowerLevel:
    """Networks that play a task, and how they are trained.

    Args:
        task: What is played.
        conditioned: Whether one network plays all configurations, and sees them; if not there is one for each.
        settings: What PPO is trained with.
        seed: Of the networks, the exploration and the environments.
        device: Where the networks live: ``"cpu"``, ``"cuda"`` or ``"auto"``.

    Raises:
        InvalidOption: If there is no such device.
    """

    def __init__(self, task: Task, conditioned: bool, settings: PPOSettings, seed: int, device: str) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise InvalidOption("PyTorch finds no CUDA device here: give device='cpu'.")
        self.task, self.conditioned, self.settings, self.seed = task, conditioned, settings, seed
        self.networks: list[ActorCriticPolicy] = []
        env = self._env(1, None)
        self._layout = read_layout(env.unwrapped.single_action_space)
        self._spaces = env.single_observation_space, env.single_action_space
        self._device = get_device(device)

    @property
    def size(self) -> int:
        """How many networks there are when all are trained."""
        return 1 if self.conditioned or self.task.values is None else len(self.task.values)

    def train(self, steps: int, bar: "tqdm[Any]") -> None:
        """Train the next network.

        Args:
            steps: Environment steps.
            bar: What is told how many are done.
        """
        j, settings = len(self.networks), self.settings
        configuration = None if self.conditioned or self.task.values is None else self.task.values[j]
        envs = GymnasiumVecEnv(self._env(settings.n_envs, configuration))
        ppo = make_ppo(envs, settings, int(np.random.SeedSequence([self.seed, j]).generate_state(1)[0]), self._device)
        ppo.learn(steps, Progress(bar))
        self.networks.append(ppo.policy)

    def act(self, observations: Any, configurations: Reals) -> Any:
        """Choose actions, without exploration.

        Args:
            observations: Of the world alone, float32 of shape (batch, size of one).
            configurations: Those in force, shape (batch, number of parameters).

        Returns:
            A batch of actions, as `WorldVectorEnv.step` takes them.
        """
        if self.conditioned:
            seen = np.concatenate([observations, self.task.shares(configurations)], axis=1)
            scores = _scores(self.networks[0], seen)
        else:
            assert self.task.values is not None
            which = (configurations[:, None] == self.task.values).all(axis=2).argmax(axis=1)
            scores = np.empty((len(which), self._layout.flat_size), np.float32)
            for j in np.unique(which):
                scores[which == j] = _scores(self.networks[j], observations[which == j])
        if not self._layout.hybrid:
            return scores.argmax(axis=1)
        return read_flat(self._layout, scores.clip(-1.0, 1.0), (len(observations),))

    def get_state(self, j: int) -> Arrays:
        """Copy the weights of a network."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.networks[j].state_dict().items()}

    def add(self, state: Arrays) -> None:
        """Add a network that was trained before.

        Args:
            state: From `get_state`.

        Raises:
            RuntimeError: If it is of another shape.
        """
        network = ActorCriticPolicy(*self._spaces, lambda remaining: 0.0, **self.settings.policy_arguments()).to(self._device)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        self.networks.append(network)

    def _env(self, num_envs: int, configuration: Reals | None) -> Any:
        env: Any = self.task.batch(num_envs, configuration)
        if not isinstance(env.single_action_space, spaces.Discrete):
            env = VectorFlatBoxAction(env)
        return VectorConfigurationObservation(env, self.task) if self.conditioned else env


@torch.no_grad()
def _scores(network: ActorCriticPolicy, observations: Any) -> Any:
    """What a network chooses the action by: what its `predict` does with it takes twice as long as this."""
    seen = torch.as_tensor(observations, device=network.device)
    return network.action_net(network.mlp_extractor.forward_actor(seen)).cpu().numpy()


class Stage:
    """Environments of a task side by side, each of which plays whole episodes in any configuration.

    Args:
        lower: Who plays, without exploration.
        num_envs: How many.
        seed: Environment i begins with ``seed + i``.
    """

    def __init__(self, lower: LowerLevel, num_envs: int, seed: int) -> None:
        self._lower = lower
        self._batch = lower.task.batch(num_envs)
        self._batch.reset(seed=seed)

    def play(self, configurations: Reals) -> Reals:
        """Play one episode in every environment.

        Args:
            configurations: Shape (num_envs, number of parameters).

        Returns:
            Return of each, discounted as the task is, shape (num_envs,).
        """
        observations, _ = self._batch.reset(options={"configuration": configurations})
        return play_out(
            self._batch, observations, lambda seen: self._lower.act(seen, configurations), self._lower.task.discount
        )


def play_out(batch: Any, observations: Any, act: Callable[[Any], Any], discount: float = 1.0, playing: Any = None) -> Reals:
    """Go on in every environment until its episode is over.

    Args:
        batch: Where, with same-step autoreset.
        observations: What is seen now.
        act: From observations to actions.
        discount: Weight of the next reward beside the present one.
        playing: Where an episode is under way, bool; everywhere if left out. It is written to.

    Returns:
        What is received in each from now on.
    """
    playing = np.ones(batch.num_envs, np.bool_) if playing is None else playing
    returns, weight = np.zeros(batch.num_envs), 1.0
    while playing.any():
        observations, rewards, terminations, truncations, _ = batch.step(act(observations))
        returns[playing] += weight * rewards[playing]
        playing &= ~(terminations | truncations)
        weight *= discount
    return returns


def make_ppo(envs: VecEnv, settings: PPOSettings, seed: int, device: torch.device | str) -> PPO:
    """Make PPO of Stable-Baselines3, with rewards in units of the deviation of their discounted sum.

    (Returns of an easy configuration may be many times those of a hard one, and are of another unit in every world.)

    Args:
        envs: Where it learns.
        settings: How.
        seed: Of its network and its exploration, and of the environments from there on.
        device: Where the network lives.
    """
    rewards = VecNormalize(envs, norm_obs=False, gamma=settings.gamma)
    return PPO("MlpPolicy", rewards, seed=seed, device=device, **settings.arguments())


class Progress(BaseCallback):
    """Move a bar while Stable-Baselines3 learns.

    Args:
        bar: It counts steps, over all environments.
    """

    def __init__(self, bar: "tqdm[Any]") -> None:
        super().__init__()
        self._bar = bar

    def _on_step(self) -> bool:
        self._bar.update(self.training_env.num_envs)
        return True
