import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance, wasserstein_distance_nd

from hybrid import draw_windows, generators, hybrid, unbounded
from reworld_baselines.flexplore.config import FLEXploreSettings, dlpa
from reworld_baselines.flexplore.losses import Critic, ModelLoss, model_errors, smoothing, transport, worst_nearby
from reworld_baselines.flexplore.networks import normal, uniform
from reworld_baselines.flexplore.replay import Windows
from reworld_baselines.flexplore.world_model import Noise, WorldModel

SPACE, SIZE, H, N = hybrid(1, 0, 2), 3, 4, 7
WHOLE = FLEXploreSettings(hidden=8, horizon=H, flexibility=0.4)


def model_of(settings, random, size=SIZE, gain=300.0, bounds=None):
    model = WorldModel(SPACE, *(unbounded(size) if bounds is None else bounds), settings, random)
    with torch.no_grad():
        for network in (model.dynamics, *model.outcome_networks):
            network.output.weight.mul_(gain)
    return model


def noise_of(model, random, count=N):
    return Noise(normal(random, H, count, model.size), normal(random, H, count, model.outcome_noise))


def loss_and_gradients(loss, random, windows, smoothed):
    """With its noise, and, as power iteration makes the critic another one with each use, from a copy of its vectors."""
    noise, weight = noise_of(loss.model, random), torch.full((len(random),), 0.5) if smoothed else None
    found, parts = loss(windows, noise, weight, normal(random, H, N, SIZE) if smoothed else None)
    return found, parts, torch.autograd.grad(found.sum(), list(loss.parameters()), allow_unused=True)


# The squared errors


@pytest.mark.parametrize(
    "changes", [{}, {"feed": "masking"}, {"feed": "sequential"}, {"feed": "embedded"}, {"predict": "change"}]
)
@pytest.mark.parametrize("gain", [300.0, 300_000.0])
@torch.no_grad()
def test_with_no_flexibility_it_is_the_loss_of_dlpa(changes, gain):
    chosen, random = dlpa(hidden=8, horizon=H, **changes), generators(0, 1)
    model = model_of(chosen, random, gain=gain)
    windows, noise = draw_windows(SPACE, random, H, N, SIZE), noise_of(model, random)
    imagined = model.imagine(windows.start, windows.choices, windows.own, noise)
    expected, cut = [0.0, 0.0], 0
    for member, i in itertools.product(range(2), range(N)):
        sums, m = [0.0, 0.0, 0.0], 1.0
        for t in range(H):
            here = member, t, i
            if t and not windows.mask[here]:
                m = 0.0
            cont = 0.0 if windows.terminations[here] else 1.0
            reward = float((imagined.outcomes.going if cont else imagined.outcomes.ending)[here])
            ends, goes = (float(each) for each in imagined.outcomes.logits[here])
            largest = max(ends, goes)
            surprise = math.log(math.exp(ends - largest) + math.exp(goes - largest)) + largest - (goes if cont else ends)
            squares = [float(each) ** 2 for each in imagined.states[here] - windows.observations[here]]
            errors = sum(squares) / SIZE, (reward - float(windows.rewards[here])) ** 2, surprise
            sums = [total + 0.5**t * m * error for total, error in zip(sums, errors, strict=True)]
        cut += sum(total > 1e4 for total in sums)
        weighted = zip((2.0, 0.5, 0.5), sums, strict=True)
        expected[member] += sum(weight * min(total, 1e4) for weight, total in weighted) / N / H
    loss, parts = ModelLoss(model, None, chosen)(windows, noise)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-4)
    assert parts["deviation"].tolist() == [0.0, 0.0]
    assert bool(cut) == (gain > 1e3)


@pytest.mark.parametrize("smoothed", ["all", "top", "positive"])
@pytest.mark.parametrize("head", ["likelihood", "annealed", "deterministic"])
def test_what_the_mask_hides_changes_no_loss_and_no_gradient(smoothed, head):
    chosen = FLEXploreSettings(hidden=8, horizon=H, smoothed=smoothed, head=head, information_weight=0.0)
    random = generators(0, 1)
    model = model_of(chosen, random)
    windows = draw_windows(SPACE, random, H, N, SIZE)
    others = draw_windows(SPACE, random, H, N, SIZE)
    hidden = windows.mask == 0.0
    assert hidden.any()
    changed = Windows(
        windows.start,
        *(
            torch.where(hidden.view(*hidden.shape, *[1] * (a.ndim - 3)), b, a)
            for a, b in list(zip(windows, others, strict=True))[1:-1]
        ),
        windows.mask,
    )
    found = []
    for each in (windows, changed):
        critic = Critic(SIZE, 8, generators(5, 6))
        found.append(loss_and_gradients(ModelLoss(model, critic, chosen), generators(2, 3), each, smoothed=True))
    (loss, _, gradients), (same, _, same_gradients) = found
    torch.testing.assert_close(loss, same)
    torch.testing.assert_close(gradients, same_gradients)
    shown = windows._replace(rewards=windows.rewards + 1.0)
    assert not torch.allclose(loss, loss_and_gradients(ModelLoss(model, critic, chosen), generators(2, 3), shown, True)[0])


def test_members_lose_as_if_alone():
    windows = draw_windows(SPACE, generators(8, 9), H, N, SIZE)
    found = []
    for chosen in ((0, 1), (0,), (1,)):
        weights, drawn = ([generators(0, 1)[i] for i in chosen] for _ in range(2))
        loss = ModelLoss(model_of(WHOLE, weights), Critic(SIZE, 8, weights), WHOLE)
        found.append(loss_and_gradients(loss, drawn, Windows(*(each[list(chosen)] for each in windows)), True)[0])
    torch.testing.assert_close(found[0], torch.cat(found[1:]))


def windows_after(start, after):
    """Windows of steps that do nothing but to happen."""
    members, horizon, count, _ = after.shape
    shape = members, horizon, count
    nothing = torch.zeros(shape, dtype=torch.int64)
    return Windows(start, after, nothing, torch.zeros(*shape, 2), torch.zeros(shape), nothing > 0, torch.ones(shape))


@pytest.mark.parametrize("predict", ["change", "next"])
def test_the_likelihood_is_best_at_the_deviation_of_a_single_step(predict):
    """Of a walk at random, seen through several steps; or of states that were squashed."""
    chosen, random, deviation = FLEXploreSettings(hidden=4, horizon=H, predict=predict), generators(0), 0.3
    bounds = (-torch.ones(1), torch.ones(1)) if predict == "next" else None
    model = model_of(chosen, random, 1, 0.0, bounds)
    with torch.no_grad():
        model.dynamics.output.bias[0, 0] = torch.tensor([0.8 * (predict == "next"), math.log(deviation)])
    steps = deviation * normal(random, H, 20_000, 1)
    start = torch.zeros(1, 20_000, 1)
    after = (steps + 0.8).tanh() if predict == "next" else start[:, None] + steps.cumsum(1)
    windows = windows_after(start, after)
    imagined = model.imagine(start, windows.choices, windows.own, noise_of(model, random, 20_000))
    error = model_errors(model, imagined, windows, 0.5).deviation
    gradient = torch.autograd.grad(error.sum(), model.dynamics.output.bias)[0][0, 0]
    assert gradient[0] == 0.0
    assert abs(gradient[1]) < 5.0 * (2.0 / 20_000) ** 0.5


# The Kantorovich-Rubinstein loss


def lipschitz(values, points):
    """The largest function of Lipschitz constant 1 with such values at points."""
    return lambda states: (values + torch.cdist(states.double(), points)).amin(-1)


def best_for(happened, imagined, discount):
    """The f of Lipschitz constant 1 for which L_ex is largest: a linear program for each set of signs of its steps."""
    horizon, count, size = happened.shape
    points = np.concatenate([happened, imagined]).reshape(-1, size)
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    first, second = np.nonzero(~np.eye(len(points), dtype=bool))
    slopes = np.zeros((len(first), len(points)))
    slopes[np.arange(len(first)), first], slopes[np.arange(len(first)), second] = 1.0, -1.0
    best = None
    for signs in itertools.product((1.0, -1.0), repeat=horizon - 1):
        weights = (discount ** np.arange(horizon) * np.array([1.0, *signs]) / count).repeat(count)
        solved = linprog(
            -np.concatenate([weights, -weights]),
            slopes,
            distances[first, second],
            bounds=[(0.0, 0.0)] + [(None, None)] * (len(points) - 1),
        )
        if best is None or solved.fun < best.fun:
            best = solved
    return -best.fun, lipschitz(torch.from_numpy(best.x), torch.from_numpy(points))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 2), st.floats(0.0, 1.0))
def test_for_the_best_critic_it_lies_between_one_distance_and_the_sum_of_all(seed, size, discount):
    """Theorems 3.1 and 3.2."""
    random = np.random.default_rng(seed)
    happened, imagined = random.normal(size=(2, 3, 4, size)) + random.normal(size=(2, 3, 1, size))
    largest, critic = best_for(happened, imagined, discount)
    found = transport(critic, *(torch.from_numpy(each)[None] for each in (imagined, happened)), torch.ones(1, 3, 4), discount)
    assert float(found) == pytest.approx(largest, abs=1e-6)
    distances = [wasserstein_distance_nd(*pair) for pair in zip(happened, imagined, strict=True)]
    assert max(distances[h] * discount**h for h in range(3)) <= float(found) + 1e-6
    assert float(found) <= sum(distances[h] * discount**h for h in range(3)) + 1e-6


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.0, 1.0))
@torch.no_grad()
def test_a_critic_finds_the_means_of_the_steps_that_count_apart(seed, discount):
    random = generators(seed, seed + 1)
    critic = Critic(SIZE, 8, random).eval()
    happened, imagined = normal(random, H, N, SIZE), normal(random, H, N, SIZE)
    mask = (uniform(random, H, N) < 0.5).float()
    expected = [0.0, 0.0]
    for member, h in itertools.product(range(2), range(H)):
        alive = [i for i in range(N) if mask[member, h, i]]
        values = [critic(each.flatten(1, 2)).view(2, H, N)[member, h] for each in (happened, imagined)]
        means = [sum(float(each[i]) for i in alive) / max(1, len(alive)) for each in values]
        expected[member] += discount**h * abs(means[0] - means[1])
    found = transport(critic, imagined, happened, mask, discount)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_what_is_imagined_as_it_happened_is_not_moved():
    random = generators(0)
    critic, happened = Critic(SIZE, 8, random), normal(random, H, N, SIZE)
    imagined = happened.clone().requires_grad_()
    distance = transport(critic, imagined, happened, torch.ones(1, H, N), 0.9)
    assert not distance.any()
    for gradient in torch.autograd.grad(distance.sum(), [imagined, *critic.parameters()]):
        assert not gradient.any()


@pytest.fixture(scope="module")
def trained():
    """A critic after some hundred steps of ascent on samples of two states, and these."""
    random = generators(0)
    happened, imagined = normal(random, 2, 100, 1), 1.5 * normal(random, 2, 100, 1) + torch.tensor([1.0, -2.0]).view(2, 1, 1)
    critic, mask = Critic(1, 32, random), torch.ones(1, 2, 100)
    adam = torch.optim.Adam(critic.parameters(), 3e-3, (0.5, 0.9), maximize=True)
    for _ in range(300):
        distance = transport(critic, imagined, happened, mask, 0.9)
        adam.zero_grad()
        distance.sum().backward()
        adam.step()
    return critic.eval(), happened, imagined


def test_a_trained_critic_has_a_lipschitz_constant_of_at_most_one(trained):
    critic, random = trained[0], generators(1)
    some, others = (20.0 * normal(random, 5_000, 1) for _ in range(2))
    apart = (some - others).abs().squeeze(-1)
    with torch.no_grad():
        slopes = (critic(some) - critic(others)).abs()[apart > 0.1] / apart[apart > 0.1]
        norms = [torch.linalg.matrix_norm(each.weight, 2) for each in critic.modules() if isinstance(each, torch.nn.Linear)]
    assert len(norms) == 3
    assert 0.9 < slopes.max() < 1.01
    assert math.prod(float(norm) for norm in norms) < 1.01


def test_a_trained_critic_finds_most_of_the_distance_and_never_more(trained):
    critic, happened, imagined = trained
    exact = [wasserstein_distance(*(each[0, h, :, 0].numpy() for each in (happened, imagined))) for h in range(2)]
    for h in range(2):
        pair = (each[:, h : h + 1] for each in (imagined, happened))
        found = float(transport(critic, *pair, torch.ones(1, 1, 100), 1.0).detach())
        assert 0.8 * exact[h] < found < 1.01 * exact[h]


# Smoothing of the reward


def smooth_model(random):
    """With a reward that has a slope nearly everywhere, in float64."""
    return model_of(WHOLE, random).double()


def doubled(windows):
    return Windows(*(each.double() if each.is_floating_point() else each for each in windows))


def rewards_at(model, states, windows):
    outcomes = model.outcomes(states, windows.choices, windows.own)
    return torch.where(windows.terminations, outcomes.ending, outcomes.going)


def test_the_step_against_the_reward_raises_its_squared_difference():
    random, radius = generators(0, 1), 1e-5
    model, windows = smooth_model(random), doubled(draw_windows(SPACE, random, H, 200, SIZE))
    states, noise = normal(random, H, 200, SIZE).double(), normal(random, H, 200, SIZE).double()
    targets = rewards_at(model, states, windows).detach()
    moved = worst_nearby(model, states, targets, windows, radius, noise)
    nearby = states + radius * noise
    assert torch.allclose(moved - nearby, radius * torch.sign(moved - nearby))
    before, after = ((targets - rewards_at(model, each, windows)).square() for each in (nearby, moved))
    sloped = before > 0.0
    assert sloped.float().mean() > 0.9
    assert (after[sloped] > before[sloped]).all()


def test_smoothing_lowers_the_local_lipschitz_constant_of_the_reward():
    random = generators(0)
    model, windows = model_of(WHOLE, random, gain=3_000.0), draw_windows(SPACE, random, H, 50, SIZE)
    states, step = normal(random, H, 50, SIZE), 0.05 * normal(random, H, 50, SIZE)

    @torch.no_grad()
    def steepest():
        rise = (rewards_at(model, states + step, windows) - rewards_at(model, states, windows)).abs()
        return ((rise / step.norm(dim=-1)) * windows.mask).max()

    before = steepest()
    adam = torch.optim.Adam(model.outcome_networks.parameters(), 1e-3)
    for _ in range(150):
        unevenness = smoothing(model, states, windows, WHOLE, normal(random, H, 50, SIZE))
        adam.zero_grad()
        unevenness.sum().backward()
        adam.step()
    assert steepest() < 0.6 * before


@pytest.mark.parametrize("smoothed", ["all", "top", "positive"])
def test_the_rewards_that_are_asked_for_are_smoothed(smoothed):
    random = generators(0, 1)
    model, windows = smooth_model(random), doubled(draw_windows(SPACE, random, H, 40, SIZE))
    states, noise = normal(random, H, 40, SIZE).double(), normal(random, H, 40, SIZE).double()
    chosen = FLEXploreSettings(smoothed=smoothed)
    targets = rewards_at(model, states, windows)
    moved = worst_nearby(model, states, targets.detach(), windows, chosen.smoothing_radius, noise)
    squared = (targets - rewards_at(model, moved, windows)).square().detach()
    found = smoothing(model, states, windows, chosen, noise).detach()
    for member in range(2):
        steps = [
            (float(windows.rewards[member, h, i]), h, i) for h in range(H) for i in range(40) if windows.mask[member, h, i]
        ]
        if smoothed == "top":
            steps = sorted(steps, reverse=True)[: math.ceil(len(steps) / 10)]
        if smoothed == "positive":
            steps = [step for step in steps if step[0] > 0.0]
        expected = sum(float(squared[member, h, i]) for _, h, i in steps) / len(steps)
        assert float(found[member]) == pytest.approx(expected)


def test_where_nothing_is_to_be_smoothed_nothing_is():
    random = generators(0)
    windows = draw_windows(SPACE, random, H, N, SIZE)
    windows = windows._replace(rewards=-windows.rewards.abs())
    states, noise = normal(random, H, N, SIZE), normal(random, H, N, SIZE)
    model, chosen = model_of(WHOLE, random), FLEXploreSettings(smoothed="positive")
    assert not smoothing(model, states, windows, chosen, noise).any()


def test_smoothing_moves_the_reward_alone():
    random = generators(0)
    model, windows = model_of(WHOLE, random), draw_windows(SPACE, random, H, N, SIZE)
    imagined = model.imagine(windows.start, windows.choices, windows.own, noise_of(model, random))
    unevenness = smoothing(model, imagined.states, windows, WHOLE, normal(random, H, N, SIZE))
    gradients = torch.autograd.grad(unevenness.sum(), list(model.parameters()), allow_unused=True)
    moved = {
        name for (name, _), each in zip(model.named_parameters(), gradients, strict=True) if each is not None and each.any()
    }
    assert moved
    assert all(name.startswith(("outcome_networks.0.", "outcome_networks.1.")) for name in moved)


def test_the_reward_nearby_follows_that_of_the_state_itself():
    random = generators(0)
    model, windows = smooth_model(random), doubled(draw_windows(SPACE, random, H, N, SIZE))
    states, noise = normal(random, H, N, SIZE).double(), normal(random, H, N, SIZE).double()
    targets = rewards_at(model, states, windows).detach()
    moved = worst_nearby(model, states, targets, windows, WHOLE.smoothing_radius, noise)
    squared = (windows.mask * (targets - rewards_at(model, moved, windows)).square()).sum() / windows.mask.sum()
    parameters = list(model.outcome_networks[:2].parameters())
    found = torch.autograd.grad(smoothing(model, states, windows, WHOLE, noise).sum(), parameters)
    torch.testing.assert_close(found, torch.autograd.grad(squared, parameters))


# All together


def test_the_parts_add_up():
    random = generators(0, 1)
    model, critic = model_of(WHOLE, random), Critic(SIZE, 8, random).eval()
    windows = draw_windows(SPACE, random, H, N, SIZE)
    noise, smoothing_noise = noise_of(model, random), normal(random, H, N, SIZE)
    loss, parts = ModelLoss(model, critic, WHOLE)(windows, noise, torch.tensor([0.7, 0.0]), smoothing_noise)
    imagined = model.imagine(windows.start, windows.choices, windows.own, noise)
    torch.testing.assert_close(
        parts["transport"], transport(critic, imagined.states, windows.observations, windows.mask, WHOLE.discount)
    )
    torch.testing.assert_close(parts["unevenness"], smoothing(model, imagined.states, windows, WHOLE, smoothing_noise))
    errors = parts["state"] * 2.0 * 0.6 + 2.0 * 0.4 * parts["transport"] + 0.5 * parts["reward"] + 0.5 * parts["continuation"]
    expected = errors + parts["deviation"] + torch.tensor([0.7, 0.0]) * parts["unevenness"]
    torch.testing.assert_close(loss, expected / H)


def test_the_critic_draws_nothing_from_the_source_of_others():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one, same = (Critic(SIZE, 8, generators(4)) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(*pair) for pair in zip(one.state_dict().values(), same.state_dict().values(), strict=True))
