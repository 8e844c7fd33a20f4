import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from hybrid import generators, hybrid, unbounded
from reworld_baselines.flexplore.config import FLEXploreSettings
from reworld_baselines.flexplore.networks import Perceptron, normal
from reworld_baselines.flexplore.planner import Plan, Planner, PlannerNoise
from reworld_baselines.flexplore.policies import Policies, information
from reworld_baselines.flexplore.world_model import Imagined, Noise, Outcomes, WorldModel

SPACE = hybrid(0, 1, 2)
STOP, SLIDE, MOVE = range(3)


class Known(nn.Module):
    """A world that is known: on a plane, SLIDE moves along the first axis, MOVE along both, and STOP pays what is near 0."""

    size, outcome_noise = 2, 1

    def __init__(self, rewards_before_the_end=-0.1):
        super().__init__()
        self.rewards_before_the_end = nn.Parameter(torch.tensor(rewards_before_the_end))

    def next(self, state, choice, own):
        slid = torch.stack([0.8 * own[..., 0], torch.zeros_like(own[..., 0])], -1)
        mean = state + torch.where((choice == SLIDE)[..., None], slid, 0.0) + 0.5 * own * (choice == MOVE)[..., None]
        return mean, torch.full_like(mean, -3.0)

    def draw(self, mean, log_deviation, noise):
        return mean if noise is None else mean + log_deviation.exp() * noise

    def imagine(self, state, choices, own, noise=None):
        steps = []
        for h in range(choices.shape[1]):
            mean, log_deviation = self.next(state, choices[:, h], own[:, h])
            state = self.draw(mean, log_deviation, None if noise is None else noise.states[:, h])
            steps.append((state, mean, log_deviation))
        states, means, log_deviations = (torch.stack(each, 1) for each in zip(*steps, strict=True))
        going = self.rewards_before_the_end - 0.05 * own.square().sum(-1)
        if noise is not None:
            going = going + 0.01 * noise.outcomes[..., 0]
        ends = (choices == STOP).float()
        outcomes = Outcomes(going, 1.0 - 4.0 * states.square().sum(-1), torch.stack([ends, 1.0 - ends], -1))
        return Imagined(states, means, log_deviations, outcomes)


def planner_of(model=None, policies=None, value=None, **changes):
    given = {"samples": 400, "elites": 40, "horizon": 2, "proposals": 0.05 if policies else 0.0, **changes}
    if policies is None:
        given["information_weight"] = 0.0
    return Planner(SPACE, model or Known(), policies, value, FLEXploreSettings(**given))


def policies_of(random):
    policies = Policies(SPACE, 2, 8, random)
    with torch.no_grad():
        for network in (policies.choosing, policies.setting):
            network.output.weight.mul_(1_000.0)
    return policies


@torch.no_grad()
def plan(planner, states, seeds=(0,), begins=None, previous=None, exploring=False, noise=None, **others):
    members, environments = states.shape[:2]
    previous = planner.first_plan(members, environments) if previous is None else previous
    begins = torch.ones(members, environments, dtype=torch.bool) if begins is None else begins
    noise = planner.draw_noise(generators(*seeds), environments, exploring) if noise is None else noise
    return planner(states, previous, begins, noise, exploring, **others)


# The optimum


STARTS = torch.tensor([[0.05, 0.0], [0.6, 0.0], [-0.3, 0.35], [1.4, 1.0], [-0.5, 0.0]])


def parameters(choice, count):
    """A grid of what a choice may have."""
    line = torch.linspace(-1.0, 1.0, count)
    none = torch.zeros(1)
    return torch.cartesian_prod(*[(line, line), (line, none), (none, none)][{STOP: 2, SLIDE: 1, MOVE: 0}[choice]])


@torch.no_grad()
def best_of_all(model, start, first=None):
    """The largest return of two steps, over all choices and a grid of parameters, and the first action that leads there."""
    best = -np.inf, None, None
    for pair in itertools.product(range(3), repeat=2):
        begin = parameters(pair[0], 13)
        if first is not None:
            if first[0] != pair[0]:
                continue
            begin = first[1][None]
        end = parameters(pair[1], 41 if first is not None else 13)
        own = torch.stack([begin.repeat_interleave(len(end), 0), end.repeat(len(begin), 1)])
        choices = torch.tensor(pair)[:, None].expand(2, own.shape[1])
        outcomes = model.imagine(start.expand(1, own.shape[1], 2), choices[None], own[None]).outcomes
        ends = outcomes.logits.argmax(-1)[0] == 0
        rewards = torch.where(ends, outcomes.ending[0], outcomes.going[0])
        returns = rewards[0] + 0.99 * (~ends[0]).float() * rewards[1]
        index = int(returns.argmax())
        if returns[index] > best[0]:
            best = float(returns[index]), pair[0], own[0, index]
    return best


@pytest.mark.parametrize("proposed", [False, True])
@pytest.mark.parametrize("exploring", [False, True])
def test_the_optimum_of_a_known_world_is_found_in_every_environment_at_once(proposed, exploring):
    model = Known()
    policies = policies_of(generators(1, 2)) if proposed else None
    planner = planner_of(model, policies, samples=800, head="deterministic", information_weight=0.0)
    decision = plan(planner, STARTS.expand(2, -1, -1), (3, 4), exploring=exploring)
    choices = set()
    for member, (i, start) in itertools.product(range(2), enumerate(STARTS)):
        largest, choice, _ = best_of_all(model, start)
        choices.add(choice)
        assert float(decision.best[member, i]) > largest - 0.02
        assert int(decision.choice[member, i]) == choice
        reached = best_of_all(model, start, (choice, decision.own[member, i]))[0]
        assert reached > largest - (0.1 if exploring else 0.03)
    assert choices == {STOP, SLIDE, MOVE}


# Drawing


def test_sequences_have_the_frequencies_of_the_plan():
    """With a single sample, which then is taken, in many environments."""
    count, random = 20_000, generators(0)
    shares, means = torch.tensor([0.5, 0.2, 0.3]), torch.tensor([0.3, -1.5, 1.0, 0.0])
    previous = Plan(shares.expand(1, 2, count, 3), means.expand(1, 2, count, 4))
    planner = planner_of(samples=1, elites=1, iterations=1, evaluate_by="draw", spread=0.7)
    states, begins = torch.zeros(1, count, 2), torch.zeros(1, count, dtype=torch.bool)
    noise = planner.draw_noise(random, count, False)
    choice, own, _, _ = plan(planner, states, begins=begins, previous=previous, noise=noise)
    for k, share in enumerate(shares.tolist()):
        taken = own[0, choice[0] == k]
        assert abs(len(taken) / count - share) < 5.0 * (share * (1.0 - share) / count) ** 0.5
        assert not taken[:, k:].any()
        for j, bound in itertools.product(range(k), (-0.99, -0.5, 0.0, 0.5, 0.99)):
            below = norm.cdf(bound, means[[0, 0, 1][k] + j], 0.7)
            assert abs((taken[:, j] <= bound).float().mean() - below) < 5.0 * (below * (1.0 - below) / len(taken)) ** 0.5
    assert own.abs().max() <= 1.0


@pytest.mark.parametrize("edge", [0.0, 1.0 - 2.0**-24])
def test_what_has_no_probability_is_not_drawn(edge):
    planner = planner_of(samples=1, elites=1, iterations=1)
    previous = Plan(torch.tensor([0.0, 1.0, 0.0]).expand(1, 2, 1, 3), torch.zeros(1, 2, 1, 4))
    noise = planner.draw_noise(generators(0), 1, False)
    noise = noise._replace(choices=torch.full_like(noise.choices, edge))
    going_on = torch.zeros(1, 1, dtype=torch.bool)
    assert plan(planner, torch.zeros(1, 1, 2), begins=going_on, previous=previous, noise=noise).choice == SLIDE


def test_the_elite_that_is_taken_is_drawn_by_its_weight():
    """From one sample of each choice, so that the choice tells which it was."""
    count, model = 20_000, Known()
    planner = planner_of(model, samples=3, elites=3, iterations=1, evaluate_by="draw", horizon=1, temperature=2.0)
    noise = planner.draw_noise(generators(0), count, False)
    noise = noise._replace(
        choices=torch.tensor([0.1, 0.5, 0.9]).expand_as(noise.choices), own=torch.tensor([0.2, 0.1]).expand_as(noise.own)
    )
    choice = plan(planner, torch.full((1, count, 2), 0.4), noise=noise).choice
    returns = np.array([1.0 - 4.0 * 0.32, -0.1 - 0.05 * 0.4**2, -0.1 - 0.05 * (0.4**2 + 0.2**2)])
    weights = np.exp(2.0 * returns) / np.exp(2.0 * returns).sum()
    found = np.bincount(choice[0], minlength=3) / count
    assert (abs(found - weights) < 5.0 * (weights * (1.0 - weights) / count) ** 0.5).all()


# The refit


def plan_by_loops(planner, state, previous, begins, noise, exploring):
    """The planner of DLPA, step by step, for one environment of one member: arrays of its own, in float64."""
    chosen, sizes = planner.settings, SPACE.layout.sizes
    horizon, count, drawn = chosen.horizon, chosen.samples, noise.choices.shape[-1]
    shares, means = [np.full(3, 1 / 3) for _ in range(horizon)], [[np.zeros(n) for n in sizes] for _ in range(horizon)]
    if not begins:
        for h in range(horizon - 1):
            shares[h] = previous.choices[h + 1].numpy().astype(float)
            means[h] = np.split(previous.means[h + 1, :-1].numpy().astype(float), np.cumsum(sizes)[:-1])
    deviations = [[np.full(n, chosen.spread) for n in sizes] for _ in range(horizon)]
    untaken = 0
    for i in range(chosen.iterations):
        choices, own = np.zeros((horizon, count), int), np.zeros((horizon, count, 2))
        for h, s in itertools.product(range(horizon), range(count)):
            if s < drawn:
                total = np.cumsum(shares[h])
                k = choices[h, s] = next(k for k in range(3) if total[k] > float(noise.choices[i, h, s]) * total[-1])
                numbers = noise.own[i, h, s, : sizes[k]].numpy()
                own[h, s, : sizes[k]] = np.clip(means[h][k] + deviations[h][k] * numbers, -1.0, 1.0)
        rows = torch.from_numpy(choices)[None], torch.from_numpy(own).float()[None]
        model_noise = None if noise.model is None else Noise(*(each[None, i] for each in noise.model))
        outcomes = planner.model.imagine(state.expand(1, count, 2), *rows, model_noise).outcomes
        returns = []
        for s in range(count):
            total, alive = 0.0, 1.0
            for h in range(horizon):
                ends = outcomes.logits[0, h, s, 0] > outcomes.logits[0, h, s, 1]
                total += chosen.discount**h * alive * float((outcomes.ending if ends else outcomes.going)[0, h, s])
                alive *= 1.0 - float(ends)
            returns.append(total)
        elites = sorted(range(count), key=lambda s: -returns[s])[: chosen.elites]
        weights = np.exp(chosen.temperature * (np.array([returns[e] for e in elites]) - returns[elites[0]]))
        weights /= weights.sum()
        first, fitted = [], []
        for h in range(horizon):
            fit = np.zeros(3)
            for weight, e in zip(weights, elites, strict=True):
                fit[choices[h, e]] += weight
            mean, deviation = [], []
            for k in range(3):
                mine = [(w, own[h, e, : sizes[k]]) for w, e in zip(weights, elites, strict=True) if choices[h, e] == k]
                mean.append(means[h][k])
                deviation.append(deviations[h][k])
                if mine:
                    whole = sum(w for w, _ in mine)
                    mean[k] = sum(w / whole * z for w, z in mine)
                    deviation[k] = np.sqrt(sum(w / whole * (z - mean[k]) ** 2 for w, z in mine))
                else:
                    untaken += 1
            if h == 0:
                first, fitted, last = mean, fit, deviation
            keep = chosen.momentum
            shares[h] = keep * shares[h] + (1.0 - keep) * fit
            means[h] = [keep * old + (1.0 - keep) * new for old, new in zip(means[h], mean, strict=True)]
            deviations[h] = [keep * old + (1.0 - keep) * new for old, new in zip(deviations[h], deviation, strict=True)]
    if not exploring and chosen.evaluate_by == "mean":
        k = int(np.argmax(fitted))
        action = first[k]
    else:
        drawn = next(e for e in range(len(elites)) if np.cumsum(weights)[e] >= float(noise.elite[0]))
        e = elites[0 if not exploring and chosen.evaluate_by == "best" else drawn]
        k = choices[0, e]
        action = own[0, e, : sizes[k]]
        if exploring:
            action = np.clip(action + last[k] * noise.action[: sizes[k]].numpy(), -1.0, 1.0)
    padded = np.zeros(2)
    padded[: sizes[k]] = action
    return k, padded, np.array(shares), np.array([np.concatenate(each) for each in means]), returns[elites[0]], untaken


def noise_of_one(noise, member, i, environments):
    """What one environment of one member is planned with."""
    model = noise.model
    if model is not None:
        model = Noise(*(each[member].unflatten(2, (environments, -1))[:, :, i] for each in model))
    whole = (each[member, :, :, i] for each in (noise.choices, noise.own))
    return PlannerNoise(*whole, model, None, None, noise.elite[member, i], noise.action[member, i])


@pytest.mark.parametrize("exploring", [True, False])
@pytest.mark.parametrize("evaluate_by", ["mean", "draw", "best"])
@pytest.mark.parametrize(("momentum", "horizon"), [(0.1, 3), (0.0, 1), (0.6, 2)])
@torch.no_grad()
def test_it_is_the_planner_of_dlpa(exploring, evaluate_by, momentum, horizon):
    planner = planner_of(samples=25, elites=5, horizon=horizon, evaluate_by=evaluate_by, momentum=momentum, iterations=4)
    random = generators(5, 6)
    previous = Plan(torch.softmax(2.0 * normal(random, horizon, 3, 3), -1), normal(random, horizon, 3, 4).tanh())
    begins = torch.tensor([[True, False, False], [False, True, False]])
    # With noise in the model no two returns are equal, so that it is clear which are the elites.
    states, noise = 0.5 * normal(random, 3, 2), planner.draw_noise(random, 3, True)
    decision = planner(states, previous, begins, noise, exploring)
    untaken = 0
    for member, i in itertools.product(range(2), range(3)):
        before = Plan(*(each[member, :, i] for each in previous))
        one = noise_of_one(noise, member, i, 3)
        choice, own, shares, means, best, never = plan_by_loops(
            planner, states[member, i], before, begins[member, i], one, exploring
        )
        untaken += never
        assert int(decision.choice[member, i]) == choice
        np.testing.assert_allclose(decision.own[member, i], own, atol=1e-4)
        np.testing.assert_allclose(decision.plan.choices[member, :, i], shares, atol=1e-4)
        np.testing.assert_allclose(decision.plan.means[member, :, i, :-1], means, atol=1e-4)
        assert float(decision.best[member, i]) == pytest.approx(best, abs=1e-4)
    assert untaken


@pytest.mark.parametrize("exploring", [True, False])
def test_a_batch_is_planned_as_its_environments_one_by_one(exploring):
    random = generators(0, 1)
    planner = planner_of(Known(), policies_of(generators(2, 3)), samples=40, elites=8)
    previous = Plan(torch.softmax(normal(random, 2, 3, 3), -1), normal(random, 2, 3, 4).tanh())
    begins, states = torch.tensor([[True, False, False], [False, True, False]]), normal(random, 3, 2)
    noise = planner.draw_noise(random, 3, exploring)
    whole = plan(planner, states, begins=begins, previous=previous, exploring=exploring, noise=noise)

    def part(each, axis, i):
        return each.unflatten(axis, (3, -1)).select(axis, i)

    for i in range(3):
        one = PlannerNoise(
            noise.choices[:, :, :, i : i + 1],
            noise.own[:, :, :, i : i + 1],
            None if noise.model is None else Noise(*(part(each, 3, i) for each in noise.model)),
            part(noise.proposed_choices, 2, i),
            part(noise.proposed_own, 2, i),
            noise.elite[:, i : i + 1].contiguous(),
            noise.action[:, i : i + 1],
        )
        before = Plan(*(each[:, :, i : i + 1] for each in previous))
        alone = plan(planner, states[:, i : i + 1], (), begins[:, i : i + 1], before, exploring, one)
        torch.testing.assert_close(alone.choice[:, 0], whole.choice[:, i])
        torch.testing.assert_close(alone.own[:, 0], whole.own[:, i])
        torch.testing.assert_close(alone.best[:, 0], whole.best[:, i])
        for mine, all_ in zip(alone.plan, whole.plan, strict=True):
            torch.testing.assert_close(mine[:, :, 0], all_[:, :, i])


@pytest.mark.parametrize("feed", ["parallel", "masking", "sequential", "embedded"])
@torch.no_grad()
def test_members_plan_as_if_alone(feed):
    def decide(seeds):
        chosen = FLEXploreSettings(samples=20, elites=4, horizon=3, hidden=16, feed=feed)
        random = generators(*seeds)
        model, policies = WorldModel(SPACE, *unbounded(2), chosen, random), Policies(SPACE, 2, 16, random)
        planner = Planner(SPACE, model, policies, None, chosen)
        begins = torch.ones(len(seeds), 2, dtype=torch.bool)
        noise = planner.draw_noise(random, 2, True)
        return planner(normal(random, 2, 2), planner.first_plan(*begins.shape), begins, noise, True, torch.tensor(0.1))

    together, alone = decide((4, 5)), [decide((4,)), decide((5,))]
    for member in range(2):
        assert torch.equal(together.choice[member], alone[member].choice[0])
        torch.testing.assert_close(together.own[member], alone[member].own[0])
        torch.testing.assert_close(together.best[member], alone[member].best[0])


@pytest.mark.parametrize("feed", ["parallel", "masking", "sequential", "embedded"])
@torch.no_grad()
def test_half_precision_imagines_nearly_the_same_returns(feed):
    chosen = FLEXploreSettings(
        samples=200, elites=200, iterations=1, horizon=3, feed=feed, proposals=0.0, information_weight=0.0
    )
    model = WorldModel(SPACE, *unbounded(2), chosen, generators(0))
    for name, weight in model.named_parameters():
        if name.endswith("output.weight"):
            weight.copy_(normal(generators(1), *weight.shape[1:]))
    returns = {}
    for precision in ("float32", "bfloat16"):
        planner = Planner(SPACE, model, None, None, dataclasses.replace(chosen, precision=precision))
        noise = planner.draw_noise(generators(2), 1, False)
        choices, own = planner._draw(planner.first_plan(1, 1), torch.ones(1, 3, 1, 5), noise.choices[:, 0], noise.own[:, 0])
        start = STARTS[None, :1].repeat_interleave(200, 1)
        returns[precision] = planner._returns(start, choices.flatten(2, 3), own.flatten(2, 3), None, None)
        assert returns[precision].dtype == torch.float32
    whole, half = returns.values()
    assert not torch.equal(half, whole)
    assert torch.corrcoef(torch.cat([half, whole]))[0, 1] > 0.99


# What else decides


def test_with_nothing_but_proposals_what_policies_do_is_done():
    policies = policies_of(generators(0))
    with torch.no_grad():
        policies.choosing.output.bias[0, 0] = torch.tensor([-90.0, -90.0, 90.0])
        policies.setting.output.bias[0, 0, 2:] = -90.0
    planner = planner_of(Known(), policies, proposals=1.0, samples=6, elites=2, information_weight=0.0)
    choice, own, _, _ = plan(planner, STARTS[None])
    assert (choice == MOVE).all()
    mean, _ = policies.parameters_of(STARTS[None], choice)
    assert (own - mean).abs().max() < 4.0 * np.exp(-3.0)


@torch.no_grad()
def test_information_and_the_last_value_are_part_of_what_is_planned_for():
    random = generators(0)
    policies, value = policies_of(random), Perceptron(2, 1, 8, random)
    value.output.weight.mul_(1_000.0)
    planner = planner_of(Known(), policies, value, horizon=1, samples=30, elites=30, iterations=1, continuation="expected")
    state, noise = STARTS[None], planner.draw_noise(random, len(STARTS), False)
    weight = torch.tensor(0.7)
    without, found = plan(planner, state, noise=noise), plan(planner, state, noise=noise, information_weight=weight)
    assert not torch.allclose(without.best, found.best)
    proposed = planner.proposed
    drawn_choices = (noise.choices[0, 0, 0] * 3).long()
    for i, start in enumerate(STARTS):
        drawn = drawn_choices[i], (2.0 * noise.own[0, 0, 0, i]).clamp(-1.0, 1.0) * planner.mask[drawn_choices[i]]
        numbers = (
            each[:, 0].unflatten(1, (len(STARTS), proposed))[:, i] for each in (noise.proposed_choices, noise.proposed_own)
        )
        told = policies.act(start.expand(1, proposed, 2), *numbers, None)
        choices, own = (torch.cat([one, other[0]])[None] for one, other in zip(drawn, told, strict=True))
        imagined = planner.model.imagine(start.expand(1, 30, 2), choices[:, None], own[:, None])
        goes = torch.softmax(imagined.outcomes.logits[:, 0], -1)[..., 1]
        rewards = goes * imagined.outcomes.going[:, 0] + (1.0 - goes) * imagined.outcomes.ending[:, 0]
        added = weight * information(policies, start.expand(1, 30, 2), choices, imagined.log_deviations[:, 0])
        returns = rewards + added + 0.99 * goes * value(imagined.states[:, 0]).squeeze(-1)
        torch.testing.assert_close(found.best[0, i], returns.max())


def test_what_is_imagined_to_be_no_number_is_not_taken():
    class Broken(Known):
        def imagine(self, state, choices, own, noise=None):
            imagined = super().imagine(state, choices, own, noise)
            going = torch.where(choices == SLIDE, torch.nan, imagined.outcomes.going)
            return imagined._replace(outcomes=imagined.outcomes._replace(going=going))

    planner = planner_of(Broken(-5.0), horizon=1)
    assert (plan(planner, torch.full((1, 50, 2), 2.0)).choice != SLIDE).all()


def test_an_action_is_one_that_the_choice_has():
    planner = planner_of(samples=5, elites=2, iterations=2)
    for exploring in (True, False):
        choice, own, _, _ = plan(planner, 2.0 * normal(generators(0), 500, 2), exploring=exploring)
        assert own.abs().max() <= 1.0
        assert not own[~torch.from_numpy(SPACE.mask)[choice]].any()


def test_the_first_plan_prefers_nothing():
    first = planner_of(horizon=4).first_plan(2, 3)
    assert first.choices.shape == (2, 4, 3, 3)
    assert (first.choices == 1 / 3).all()
    assert first.means.shape == (2, 4, 3, 4)
    assert not first.means.any()


def test_a_world_model_plans_where_no_choice_has_parameters():
    space, random = hybrid(0, 0), generators(0)
    chosen = FLEXploreSettings(samples=10, elites=3, horizon=2, hidden=4, information_weight=0.0)
    model, policies = WorldModel(space, *unbounded(2), chosen, random), Policies(space, 2, 4, random)
    planner = Planner(space, model, policies, None, chosen)
    choice, own, _, _ = plan(planner, torch.zeros(1, 3, 2), exploring=True)
    assert choice.shape == (1, 3)
    assert own.shape == (1, 3, 0)
