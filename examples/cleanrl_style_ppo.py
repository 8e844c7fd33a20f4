"""PPO in one file, for a branch with parameters of its own: `python examples/cleanrl_style_ppo.py [STEPS] [ID]`.

In the style of CleanRL, on the native batch of any world whose branches have parameters. All that a hybrid action needs is in
`Policy.forward` and `evaluate`: a categorical distribution over the branches, a normal one for every parameter, and the
likelihood of an action, which is that of its branch times that of the branch's own parameters. The others do not count: the
world did not read them.
"""

import sys
import time

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import nn
from torch.distributions import Categorical, Normal

import reworld  # noqa: F401  (registers the worlds)
from reworld.actions import VectorFlatTupleAction, VectorRescaleParameters, read_layout

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 65_536
ID = sys.argv[2] if len(sys.argv) > 2 else "reworld/Platform-v0"
ENVS, ROLLOUT, EPOCHS, BATCH = 32, 64, 10, 256
RATE, GAMMA, LAMBDA, CLIP, ENTROPY = 1e-3, 0.99, 0.95, 0.2, 0.005

torch.manual_seed(0)
torch.set_num_threads(1)
batch = gymnasium.make_vec(ID, num_envs=ENVS, vectorization_mode="vector_entry_point", autoreset_mode=AutoresetMode.SAME_STEP)
layout = read_layout(batch.single_action_space)
envs = VectorFlatTupleAction(VectorRescaleParameters(batch))
# Which of all parameters each branch reads.
own = torch.zeros(layout.branches, len(layout.low))
for branch, offset in enumerate(layout.offsets[:-1]):
    own[branch, offset : offset + layout.sizes[branch]] = 1.0


class Policy(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        outputs = layout.branches + len(layout.low)
        self.actor = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))
        self.critic = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        self.log_std = nn.Parameter(torch.full((len(layout.low),), -0.5))

    def forward(self, observations: torch.Tensor, masks: torch.Tensor) -> tuple[Categorical, Normal]:
        scores, means = self.actor(observations).split((layout.branches, len(layout.low)), dim=1)
        return Categorical(logits=scores.masked_fill(masks == 0, -1e9)), Normal(means, self.log_std.exp())

    def evaluate(self, observations, masks, branches, rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-likelihood and entropy of actions."""
        choice, parameters = self(observations, masks)
        reads = own[branches]
        likelihood = choice.log_prob(branches) + (reads * parameters.log_prob(rows)).sum(1)
        return likelihood, choice.entropy() + (choice.probs @ own * parameters.entropy()).sum(1)

    def value(self, observations: torch.Tensor) -> torch.Tensor:
        return self.critic(observations).squeeze(1)


policy = Policy(envs.single_observation_space.shape[0])
optimizer = torch.optim.Adam(policy.parameters(), RATE, eps=1e-5)
observations, info = envs.reset(seed=0)
running, finished, started = np.zeros(ENVS), [], time.perf_counter()
updates = max(1, STEPS // (ENVS * ROLLOUT))
for update in range(updates):
    optimizer.param_groups[0]["lr"] = RATE * (1.0 - update / updates)
    memory: dict[str, list[torch.Tensor]] = {name: [] for name in ("o", "mask", "branch", "row", "reward", "end", "value")}
    for _ in range(ROLLOUT):
        o, mask = torch.as_tensor(observations), torch.as_tensor(info["action_mask"].copy())
        with torch.no_grad():
            choice, parameters = policy(o, mask)
            branch, row, value = choice.sample(), parameters.sample(), policy.value(o)
        observations, rewards, terminations, truncations, info = envs.step((branch.numpy(), row.clamp(-1.0, 1.0).numpy()))
        running += rewards
        ends = terminations | truncations
        finished += running[ends].tolist()
        running[ends] = 0.0
        if truncations.any():  # A time limit is no end of the world: what would have followed is worth its value.
            with torch.no_grad():
                rewards = rewards + GAMMA * truncations * policy.value(torch.as_tensor(info["final_obs"])).numpy()
        reward, end = torch.as_tensor(rewards, dtype=torch.float32), torch.as_tensor(ends, dtype=torch.float32)
        for name, tensor in zip(memory, (o, mask, branch, row, reward, end, value), strict=True):
            memory[name].append(tensor)
    with torch.no_grad():
        following, advantage = policy.value(torch.as_tensor(observations)), torch.zeros(ENVS)
    advantages = []
    for reward, end, value in reversed(list(zip(memory["reward"], memory["end"], memory["value"], strict=True))):
        error = reward + GAMMA * (1.0 - end) * following - value
        advantage = error + GAMMA * LAMBDA * (1.0 - end) * advantage
        advantages.append(advantage)
        following = value
    gains = torch.cat(advantages[::-1])
    o, mask, branch, row, _, _, value = (torch.cat(tensors) for tensors in memory.values())
    with torch.no_grad():
        before, _ = policy.evaluate(o, mask, branch, row)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(o)).split(BATCH):
            likelihood, entropy = policy.evaluate(o[part], mask[part], branch[part], row[part])
            ratio = (likelihood - before[part]).exp()
            gain = (gains[part] - gains[part].mean()) / (gains[part].std() + 1e-8)
            improvement = torch.minimum(ratio * gain, ratio.clamp(1.0 - CLIP, 1.0 + CLIP) * gain).mean()
            mistake = (policy.value(o[part]) - (gains + value)[part]).square().mean()
            optimizer.zero_grad()
            (0.5 * mistake - improvement - ENTROPY * entropy.mean()).backward()
            nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
            optimizer.step()
    if update % 5 == 4 or update == updates - 1:
        steps = (update + 1) * ENVS * ROLLOUT
        print(f"{steps:8d} steps  {time.perf_counter() - started:5.1f} s  return {np.mean(finished[-200:]):6.3f}")
