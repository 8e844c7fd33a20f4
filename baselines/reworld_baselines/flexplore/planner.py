"""Model predictive path integral control over sequences of hybrid actions, for a batch of environments at once.

The distribution over sequences has, for each step of the horizon, a probability of every choice, and an independent Gaussian
over the parameters of all choices. It is fitted to the best of its own samples, several times, and its first action is taken
(DLPA, arXiv 2404.03037, as implemented by its authors; FLEXplore adds sequences that its policies propose).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reworld_baselines.flexplore.config import FLEXploreSettings
from reworld_baselines.flexplore.networks import Generators, Perceptron, normal, uniform
from reworld_baselines.flexplore.policies import Policies, discounted, information, rewards_and_continuation
from reworld_baselines.flexplore.world_model import Noise, WorldModel
from reworld_baselines.hybrid_space import HybridSpace


class Plan(NamedTuple):
    """What the next H actions of each environment may be.

    Args:
        choices: Probability of each choice, shape (members, H, environments, K).
        means: Mean of each parameter of every choice, shape (members, H, environments, P + 1). The last belongs to parameters
            that a choice has not.
    """

    choices: Tensor
    means: Tensor


class PlannerNoise(NamedTuple):
    """What a plan is drawn with, for I iterations of N samples, of which n are proposed.

    Args:
        choices: Uniform, shape (members, I, H, environments, N - n).
        own: Standard normal, shape (members, I, H, environments, N - n, Z).
        model: Standard normal, for the model, shapes (members, I, H, environments * N, …); None to imagine means.
        proposed_choices: Uniform, shape (members, H, environments * n, K).
        proposed_own: Standard normal, shape (members, H, environments * n, Z).
        elite: Uniform, shape (members, environments, 1).
        action: Standard normal, shape (members, environments, Z).
    """

    choices: Tensor
    own: Tensor
    model: Noise | None
    proposed_choices: Tensor
    proposed_own: Tensor
    elite: Tensor
    action: Tensor


class Decision(NamedTuple):
    """What is to be done, and how sure the plan is.

    Args:
        choice: int64 of shape (members, environments).
        own: In [-1, 1], of shape (members, environments, Z).
        plan: To begin with in the next step.
        best: Imagined return of the best sequence, shape (members, environments).
    """

    choice: Tensor
    own: Tensor
    plan: Plan
    best: Tensor


class Planner(nn.Module):
    """Chooses the next action of each environment.

    Args:
        space: Of the actions.
        model: That imagines.
        policies: That propose; None for none.
        value: Of the last imagined state; None for none.
        settings: Numbers of samples, elites and iterations, …
    """

    def __init__(
        self,
        space: HybridSpace,
        model: WorldModel,
        policies: Policies | None,
        value: Perceptron | None,
        settings: FLEXploreSettings,
    ) -> None:
        super().__init__()
        self.model, self.policies, self.value, self.settings, self.space = model, policies, value, settings, space
        device = next(model.parameters()).device
        self.mask = torch.from_numpy(space.mask).float().to(device)
        self.columns = torch.from_numpy(space.columns).to(device)
        self.proposed = 0 if policies is None else math.ceil(settings.proposals * settings.samples)

    def first_plan(self, members: int, environments: int) -> Plan:
        """The plan before anything is known: every choice alike, every parameter in the middle."""
        shape = members, self.settings.horizon, environments
        device = self.mask.device
        return Plan(
            torch.full((*shape, self.space.choices), 1.0 / self.space.choices, device=device),
            torch.zeros(*shape, self.space.all_size + 1, device=device),
        )

    def draw_noise(self, generators: Generators, environments: int, exploring: bool) -> PlannerNoise:
        """Draw what `forward` needs.

        Args:
            generators: One for each member.
            environments: Of each member.
            exploring: Whether steps of the model are drawn, or means.
        """
        settings, drawn = self.settings, self.settings.samples - self.proposed
        shape = settings.iterations, settings.horizon, environments
        z, rows = self.space.own_size, environments * settings.samples
        steps = settings.iterations, settings.horizon, rows
        model = None
        if exploring and settings.head != "deterministic":
            outcomes = normal(generators, *steps, self.model.outcome_noise)
            model = Noise(normal(generators, *steps, self.model.size), outcomes)
        return PlannerNoise(
            choices=uniform(generators, *shape, drawn),
            own=normal(generators, *shape, drawn, z),
            model=model,
            proposed_choices=uniform(generators, settings.horizon, environments * self.proposed, self.space.choices),
            proposed_own=normal(generators, settings.horizon, environments * self.proposed, z),
            elite=uniform(generators, environments, 1),
            action=normal(generators, environments, z),
        )

    def forward(
        self,
        state: Tensor,
        previous: Plan,
        begins: Tensor,
        noise: PlannerNoise,
        exploring: bool,
        information_weight: Tensor | None = None,
    ) -> Decision:
        """Plan.

        Args:
            state: Scaled, shape (members, environments, size of a state).
            previous: The plan of the step before.
            begins: Whether an episode begins, so that there is none, bool of shape (members, environments).
            noise: From `draw_noise`.
            exploring: Whether noise is added to the action.
            information_weight: eta, a number; None for none.
        """
        settings = self.settings
        members, environments = begins.shape
        plan = self._moved_on(previous, begins)
        deviations = torch.full_like(plan.means, settings.spread)
        start = state.repeat_interleave(settings.samples, 1)
        proposals = None
        if self.proposed:
            proposals = self._propose(state.repeat_interleave(self.proposed, 1), noise, environments)
        for i in range(settings.iterations):
            choices, own = self._draw(plan, deviations, noise.choices[:, i], noise.own[:, i])
            if proposals is not None:
                choices = torch.cat([choices, proposals[0]], 3)
                own = torch.cat([own, proposals[1]], 3)
            model_noise = None
            if noise.model is not None:
                model_noise = Noise(noise.model.states[:, i], noise.model.outcomes[:, i])
            returns = self._returns(start, choices.flatten(2, 3), own.flatten(2, 3), model_noise, information_weight)
            returns = returns.view(members, environments, settings.samples).nan_to_num(nan=torch.finfo().min)
            best, chosen = returns.topk(settings.elites, -1)
            weights = torch.softmax(settings.temperature * best, -1)
            index = chosen[:, None].expand(-1, settings.horizon, -1, -1)
            choices = choices.gather(3, index)
            own = own.gather(3, index[..., None].expand(-1, -1, -1, -1, own.shape[-1]))
            fitted, deviation = self._fit(plan, deviations, choices, own, weights)
            keep = settings.momentum
            plan = Plan(*(keep * old + (1.0 - keep) * new for old, new in zip(plan, fitted, strict=True)))
            deviations = keep * deviations + (1.0 - keep) * deviation
        if not exploring and settings.evaluate_by == "mean":
            choice = fitted.choices[:, 0].argmax(-1)
            action = fitted.means[:, 0].gather(-1, self.columns[choice])
        else:
            drawn = torch.searchsorted(weights.cumsum(-1), noise.elite).clamp(max=settings.elites - 1)
            if not exploring and settings.evaluate_by == "best":
                drawn = torch.zeros_like(drawn)
            choice = choices[:, 0].gather(-1, drawn).squeeze(-1)
            action = own[:, 0].gather(2, drawn[..., None].expand(-1, -1, -1, own.shape[-1])).squeeze(2)
            if exploring:
                action = action + deviation[:, 0].gather(-1, self.columns[choice]) * noise.action
        return Decision(choice, action.clamp(-1.0, 1.0) * self.mask[choice], plan, best[..., 0])

    def _moved_on(self, previous: Plan, begins: Tensor) -> Plan:
        first = self.first_plan(*begins.shape)
        fresh = begins[:, None, :, None]
        return Plan(
            *(
                torch.where(fresh, new, torch.cat([old[:, 1:], new[:, -1:]], 1))
                for old, new in zip(previous, first, strict=True)
            )
        )

    def _draw(self, plan: Plan, deviations: Tensor, uniform: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
        """Draw sequences: choices of shape (members, H, environments, n), and their parameters."""
        steps = plan.choices.cumsum(-1)
        choices = torch.searchsorted(steps, uniform * steps[..., -1:], right=True).clamp(max=self.space.choices - 1)
        columns = self.columns[choices].flatten(3)
        mean = plan.means.gather(-1, columns).view_as(normal)
        deviation = deviations.gather(-1, columns).view_as(normal)
        return choices, (mean + deviation * normal).clamp(-1.0, 1.0) * self.mask[choices]

    def _propose(self, state: Tensor, noise: PlannerNoise, environments: int) -> tuple[Tensor, Tensor]:
        """Let the policies act in the model for H steps."""
        assert self.policies is not None
        choices, owns = [], []
        for h in range(self.settings.horizon):
            choice, own = self.policies.act(state, noise.proposed_choices[:, h], noise.proposed_own[:, h], None)
            state = self.model.draw(*self.model.next(state, choice, own), None)
            choices.append(choice)
            owns.append(own)
        shape = len(state), self.settings.horizon, environments, self.proposed
        return torch.stack(choices, 1).view(shape), torch.stack(owns, 1).view(*shape, -1)

    def _returns(
        self, start: Tensor, choices: Tensor, own: Tensor, noise: Noise | None, information_weight: Tensor | None
    ) -> Tensor:
        low = self.settings.precision == "bfloat16"
        with torch.autocast(start.device.type, torch.bfloat16, enabled=low):
            imagined = self.model.imagine(start, choices, own, noise)
        rewards, going_on = rewards_and_continuation(imagined.outcomes, self.settings.continuation)
        if information_weight is not None and self.policies is not None:
            begins = torch.cat([start[:, None], imagined.states[:, :-1]], 1)
            rows = [each.flatten(1, 2) for each in (begins, choices, imagined.log_deviations)]
            rewards = rewards + information_weight * information(self.policies, *rows).view_as(rewards)
        last = None if self.value is None else self.value(imagined.states[:, -1]).squeeze(-1)
        return discounted(rewards, going_on, self.settings.discount, last)[:, 0]

    def _fit(self, plan: Plan, deviations: Tensor, choices: Tensor, own: Tensor, weights: Tensor) -> tuple[Plan, Tensor]:
        """Fit the distribution to the elites. What no elite chose stays as it was."""
        weights = weights[:, None].expand_as(choices)
        probabilities = torch.zeros_like(plan.choices).scatter_add(-1, choices, weights)
        columns = self.columns[choices].flatten(3)
        shares = weights[..., None].expand_as(own).flatten(3)
        values = own.flatten(3)
        nothing = torch.zeros_like(plan.means)
        total = nothing.scatter_add(-1, columns, shares)
        chosen = total > 0.0
        total = torch.where(chosen, total, 1.0)
        means = torch.where(chosen, nothing.scatter_add(-1, columns, shares * values) / total, plan.means)
        squares = shares * (values - means.gather(-1, columns)).square()
        spread = torch.where(chosen, (nothing.scatter_add(-1, columns, squares) / total).sqrt(), deviations)
        return Plan(probabilities, means), spread
