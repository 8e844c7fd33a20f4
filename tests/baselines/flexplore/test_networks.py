import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from hybrid import generators
from reworld_baselines.flexplore.networks import ActionEmbedding, ActionPerceptron, Perceptron, normal, uniform

FEEDS = "parallel", "masking", "sequential"
few = settings(max_examples=20, deadline=None)
feeds, widths = st.sampled_from(FEEDS), st.integers(1, 5)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def inputs(random, count, state_size, choices, own_size):
    choice = (uniform(random, count) * choices).long()
    return normal(random, count, state_size), choice, normal(random, count, own_size)


def spread(network, random):
    """Weights of the last layer that are not as small as they begin."""
    with torch.no_grad():
        network.output.weight.copy_(normal(random, *network.output.weight.shape[1:]))
    return network


def dense(network, member, state, choice, own):
    """What a network says of one row: by one-hot vectors, in float64."""
    weights = {name: each[member].detach().double().numpy() for name, each in network.named_parameters()}

    def layer(name, row, extra=0.0):
        return row @ weights[f"{name}.weight"] + weights[f"{name}.bias"][0] + extra

    chosen = 0.0
    if network.feed != "masking":
        one_hot = np.eye(len(weights["choice.weight"]))[choice]
        chosen = one_hot @ weights["choice.weight"]
    first = np.concatenate([state, own]) if network.feed in ("parallel", "masking") else state
    hidden = np.maximum(layer("first", first, chosen), 0.0)
    if network.feed == "sequential":
        hidden = np.concatenate([hidden, own])
    output = layer("output", np.maximum(layer("second", hidden), 0.0))
    return output.reshape(network.blocks, -1)[choice if network.feed == "masking" else 0]


@few
@given(feeds, widths, widths, st.integers(0, 3), widths, st.integers(0, 2**32))
def test_each_feed_is_the_dense_network_of_a_one_hot_choice(feed, state_size, choices, own_size, outputs, seed):
    random = generators(seed, seed + 1)
    network = spread(ActionPerceptron(feed, state_size, choices, own_size, outputs, 8, random), random)
    rows = inputs(random, 6, state_size, choices, own_size)
    answer = network(*rows)
    assert answer.shape == (2, 6, outputs)
    for member, row in itertools.product(range(2), range(6)):
        state, choice, own = (each[member, row].double().numpy() for each in rows)
        reference = dense(network, member, state, int(choice), own)
        np.testing.assert_allclose(answer[member, row].detach().numpy(), reference, rtol=1e-4, atol=1e-5)


@few
@given(st.integers(1, 40), st.integers(0, 3), st.integers(0, 2**32))
def test_an_embedding_is_affine_in_the_parameters_of_each_choice(choices, own_size, seed):
    random = generators(seed, seed + 1)
    embedding = ActionEmbedding(choices, own_size, random)
    _, choice, own = inputs(random, 6, 1, choices, own_size)
    answer = embedding(choice, own)
    assert answer.shape == (2, 6, embedding.size)
    for member, row in itertools.product(range(2), range(6)):
        table = embedding.table.weight[member, choice[member, row]].view(own_size + 1, -1)
        torch.testing.assert_close(answer[member, row], table[0] + own[member, row] @ table[1:])
    torch.testing.assert_close(embedding(functional.one_hot(choice, choices).float(), own), answer)


def test_an_embedding_that_is_not_to_learn_still_passes_gradients_to_actions():
    random = generators(0)
    embedding = ActionEmbedding(3, 1, random)
    choice, own = uniform(random, 4, 3).requires_grad_(), normal(random, 4, 1).requires_grad_()
    embedding(choice, own, learned=False).square().sum().backward()
    assert embedding.table.weight.grad is None
    assert choice.grad.abs().min() > 0.0
    assert own.grad.abs().min() > 0.0


def test_the_second_layer_and_the_outputs_of_masking_have_a_block_for_each_choice():
    wide = ActionPerceptron("masking", 4, 3, 2, 5, 8, generators(0))
    assert wide.second.weight.shape == (1, 8, 24)
    assert wide.output.weight.shape == (1, 24, 15)
    assert not hasattr(wide, "choice")
    narrow = ActionPerceptron("sequential", 4, 3, 2, 5, 8, generators(0))
    assert (narrow.first.weight.shape, narrow.second.weight.shape) == ((1, 4, 8), (1, 10, 8))


@few
@given(feeds, widths, st.integers(1, 40), st.integers(0, 3), st.integers(0, 2**32))
def test_a_choice_means_the_same_as_an_index_and_as_a_weight_of_one(feed, state_size, choices, own_size, seed):
    random = generators(seed)
    network = spread(ActionPerceptron(feed, state_size, choices, own_size, 2, 4, random), random).double()
    state, choice, own = inputs(random, 9, state_size, choices, own_size)
    one_hot = functional.one_hot(choice, choices).double()
    by_index = network(state.double(), choice, own.double())
    torch.testing.assert_close(network(state.double(), one_hot, own.double()), by_index)
    by_index, by_weight = (
        torch.autograd.grad(network(state.double(), each, own.double()).tanh().sum(), list(network.parameters()))
        for each in (choice, one_hot)
    )
    torch.testing.assert_close(by_index, by_weight)


def test_weights_of_choices_mix_the_blocks_of_their_outputs():
    random = generators(0)
    network = spread(ActionPerceptron("masking", 3, 4, 2, 2, 8, random), random)
    state, _, own = inputs(random, 5, 3, 4, 2)
    shares = torch.softmax(normal(random, 5, 4), -1)
    each = torch.stack([network(state, torch.full((1, 5), k), own) for k in range(4)], -1)
    torch.testing.assert_close(network(state, shares, own), (each * shares[:, :, None]).sum(-1))


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("width", [1, 2, 9])
@pytest.mark.parametrize("count", [1, 2, 64, 257])
def test_members_are_the_same_bit_for_bit_in_any_number(feed, width, count):
    def answer_and_gradients(seeds):
        network = ActionPerceptron(feed, width, 3, width - 1, width, 16, generators(*seeds))
        random = generators(*(seed + 100 for seed in seeds))
        rows = [each.requires_grad_(each.is_floating_point()) for each in inputs(random, count, width, 3, width - 1)]
        answer = network(*rows)
        given = [*network.parameters(), *(row for row in rows if row.requires_grad and row.numel())]
        return answer, *torch.autograd.grad(((1000.0 * answer).tanh() * normal(random, count, width)).sum(), given)

    seeds = 3, 1, 4, 1, 5
    together = answer_and_gradients(seeds)
    for some in ((0,), (4,), (1, 2), (2, 3, 4)):
        apart = answer_and_gradients([seeds[i] for i in some])
        for one, all_ in zip(apart, together, strict=True):
            assert torch.equal(one, all_[list(some)])


def test_equal_seeds_are_equal_members_and_no_gradient_crosses_them():
    random = generators(7, 7, 8)
    network = Perceptron(2, 2, 8, random)
    rows = normal(random, 5, 2)
    answer = network(rows)
    assert torch.equal(answer[0], answer[1])
    assert not torch.equal(answer[0], answer[2])
    for gradient in torch.autograd.grad(answer[1].square().sum(), list(network.parameters())):
        assert not gradient[[0, 2]].any()
        assert gradient[1].any()


def test_weights_begin_within_what_was_given_and_fill_it():
    network = ActionPerceptron("sequential", 40, 30, 4, 20, 64, generators(0))
    bounds = {"first": 64**-0.5, "choice": 64**-0.5, "second": 64**-0.5, "output": 1e-3}
    for name, bound in bounds.items():
        layer = getattr(network, name)
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.mean().abs() < 0.05 * bound
        if name != "choice":
            assert (layer.bias == (0.0 if name == "output" else 0.1)).all()


def test_each_member_draws_from_its_own_source():
    alone = [(normal(random, 3, 2), uniform(random, 4)) for random in (generators(5), generators(6))]
    both = generators(5, 6)
    together = normal(both, 3, 2), uniform(both, 4)
    for member, (numbers, shares) in enumerate(alone):
        assert torch.equal(together[0][member], numbers[0])
        assert torch.equal(together[1][member], shares[0])
        assert ((shares >= 0.0) & (shares < 1.0)).all()
