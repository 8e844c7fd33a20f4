"""Decision processes in arrays: what is taken, what is refused and what is said of it, and the two forms of a kernel."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reworld.errors import InvalidOption
from reworld.finite import exact_model
from reworld.worlds.block_world import block_world
from reworld_baselines.mctvmdp.mdp import MDP, SparseKernel

HALF = np.full((2, 1, 2), 0.5)
NO_REWARD = np.zeros((2, 1))


def random_kernel(seed: int, lead: tuple[int, ...] = (), states: int = 5, actions: int = 2) -> Any:
    """Rows with between one and all successors."""
    rng = np.random.default_rng(seed)
    kernel = rng.dirichlet(np.ones(states), (*lead, states, actions)) * (rng.random((states, actions, states)) < 0.5)
    kernel[..., 0] += 0.1
    return kernel / kernel.sum(axis=-1, keepdims=True)


def with_entry(array: Any, index: tuple[int, ...], entry: float) -> Any:
    changed = array.copy()
    changed[index] = entry
    return changed


def of_numpy(array: Any) -> Any:
    return array


FORMS = pytest.mark.parametrize("form", [of_numpy, torch.tensor])


class TestWhatIsTaken:
    def test_lists_become_arrays(self) -> None:
        mdp = MDP([[[0.5, 0.5]], [[0, 1]]], [[1], [0]], 0)
        assert (mdp.states, mdp.actions) == (2, 1)
        assert mdp.rewards.dtype == mdp.kernel.dtype == np.float64

    @FORMS
    def test_the_start_is_uniform_unless_given(self, form: Any) -> None:
        mdp = MDP(form(HALF), form(NO_REWARD), 0.9)
        assert mdp.start.tolist() == [0.5, 0.5]
        assert MDP(form(HALF), form(NO_REWARD), 0.9, form(np.array([0.0, 1.0]))).start.tolist() == [0.0, 1.0]

    def test_what_a_sum_misses_one_by_is_spread(self) -> None:
        mdp = MDP(HALF * (1.0 + 1e-12), NO_REWARD, 0.9)
        np.testing.assert_array_equal(mdp.kernel.sum(axis=-1), 1.0)

    def test_a_finite_world_is_taken_with_its_model(self) -> None:
        slips = {"slip": np.array([0.0, 0.5])}
        mdp, model = MDP.of_world("reworld.worlds.block_world:block_world", 0.9, slips), exact_model(block_world(), slips)
        np.testing.assert_allclose(mdp.kernel, model.kernel, atol=1e-15)
        np.testing.assert_allclose(mdp.expected_rewards, model.expected_rewards, atol=1e-15)
        assert mdp.start.shape == (2, mdp.states)


class TestWhatIsRefused:
    @FORMS
    @pytest.mark.parametrize(
        ("kernel", "message"),
        [
            (with_entry(HALF, (1, 0, 0), 0.6), r"kernel\[1, 0\] is \[0\.6, 0\.5\], of sum 1\.1: give probabilities of sum 1"),
            (with_entry(HALF, (0, 0), [-0.5, 1.5]), r"kernel\[0, 0\] is \[-0\.5, 1\.5\]"),
            (with_entry(HALF, (1, 0, 1), np.nan), r"kernel\[1, 0, 1\] is nan: give finite numbers"),
            (with_entry(HALF, (1, 0, 1), np.inf), r"kernel\[1, 0, 1\] is inf"),
            (np.full((2, 1, 3), 1 / 3), r"kernel has shape \(2, 1, 3\): give kernel\[s, a, s'\], of shape \(…, S, A, S\)"),
            (np.full((2, 2), 0.5), r"kernel has shape \(2, 2\)"),
            (np.zeros((2, 0, 2)), r"kernel has shape \(2, 0, 2\)"),
        ],
    )
    def test_a_row_that_is_no_law_is_named_with_its_numbers(self, form: Any, kernel: Any, message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            MDP(form(kernel), form(NO_REWARD), 0.9)

    @FORMS
    def test_so_it_is_in_a_stack(self, form: Any) -> None:
        kernel = with_entry(np.tile(HALF, (7, 1, 1, 1)), (5, 1, 0, 0), 0.25)
        with pytest.raises(InvalidOption, match=r"kernel\[5, 1, 0\] is \[0\.25, 0\.5\], of sum 0\.75"):
            MDP(form(kernel), form(NO_REWARD), 0.9)

    @FORMS
    @pytest.mark.parametrize(
        ("rewards", "message"),
        [
            (np.zeros(2), r"rewards has shape \(2,\): give rewards\[s, a\], of shape \(…, 2, 1\), or \[s, a, s'\]"),
            (np.zeros((2, 2)), r"rewards has shape \(2, 2\)"),
            (with_entry(NO_REWARD, (1, 0), np.nan), r"rewards\[1, 0\] is nan"),
            (np.zeros((3, 2, 1)), r"shapes \(4,\), \(3,\) and \(\): give leading axes that broadcast"),
        ],
    )
    def test_rewards_that_do_not_fit_are_refused(self, form: Any, rewards: Any, message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            MDP(form(np.tile(HALF, (4, 1, 1, 1))), form(rewards), 0.9)

    @FORMS
    def test_rewards_that_may_be_meant_in_two_ways_are_refused_until_they_are_not(self, form: Any) -> None:
        kernel, rewards = np.stack([np.eye(2)[[[0, 1], [0, 1]]]] * 2), np.arange(8.0).reshape(2, 2, 2)
        with pytest.raises(InvalidOption, match=r"those of transitions, or those of actions in each of 2 kernels\?"):
            MDP(form(kernel), form(rewards), 0.9)
        of_stack = MDP(form(kernel), form(np.repeat(rewards[..., None], 2, axis=-1)), 0.9)
        assert of_stack.expected_rewards.tolist() == rewards.tolist()
        of_transitions = MDP(form(kernel), form(rewards[None]), 0.9)
        assert of_transitions.expected_rewards.tolist() == [[[0.0, 3.0], [4.0, 7.0]]] * 2
        assert MDP(form(kernel[0]), form(rewards), 0.9).expected_rewards.tolist() == [[0.0, 3.0], [4.0, 7.0]]

    @FORMS
    @pytest.mark.parametrize(
        ("start", "message"),
        [
            (np.full(3, 1 / 3), r"start has shape \(3,\): give 2 probabilities"),
            (np.array([0.5, 0.4]), r"start is \[0\.5, 0\.4\], of sum 0\.9"),
            (np.array([[1.0, 0.0], [1.5, -0.5]]), r"start\[1\] is \[1\.5, -0\.5\]"),
        ],
    )
    def test_a_start_that_is_no_law_is_refused(self, form: Any, start: Any, message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            MDP(form(HALF), form(NO_REWARD), 0.9, form(start))

    @pytest.mark.parametrize("discount", [1.0, -0.1, float("nan"), "0.9", None])
    def test_a_discount_out_of_range_is_refused(self, discount: Any) -> None:
        with pytest.raises(InvalidOption, match=r"discount=.*: give a number in \[0, 1\)"):
            MDP(HALF, NO_REWARD, discount)

    def test_what_is_no_array_of_numbers_is_refused(self) -> None:
        with pytest.raises(InvalidOption, match="kernel is no array of numbers"):
            MDP("half", NO_REWARD, 0.9)

    def test_an_empty_stack_is_refused(self) -> None:
        with pytest.raises(InvalidOption, match="The stack is empty"):
            MDP(np.zeros((0, 2, 1, 2)), NO_REWARD, 0.9)

    @pytest.mark.parametrize("rewards", [NO_REWARD, torch.zeros(2, 1)])
    def test_tensors_do_not_mix_with_arrays_nor_with_other_dtypes(self, rewards: Any) -> None:
        with pytest.raises(InvalidOption, match="rewards is no tensor of float64 on cpu"):
            MDP(torch.tensor(HALF), rewards, 0.9)

    @FORMS
    @pytest.mark.parametrize(
        ("successors", "weights", "message"),
        [
            ([[[0, 1]], [[0, 2]]], HALF, r"kernel\.successors\[1, 0, 1\] is 2: give the number of a state, 0 to 1"),
            ([[[0, 1]], [[-1, 0]]], HALF, r"kernel\.successors\[1, 0, 0\] is -1"),
            ([[[0]], [[1]]], HALF, r"weights have shape \(2, 1, 2\), and its successors \(2, 1, 1\)"),
            ([[[0.0, 1.0]], [[0.0, 1.0]]], HALF, r"successors have dtype .*float64: give the numbers of states, int64"),
            ([[[0, 1]], [[0, 1]]], with_entry(HALF, (1, 0, 0), 0.6), r"kernel.*\[1, 0\] is \[0\.6, 0\.5\]"),
        ],
    )
    def test_a_sparse_kernel_that_leads_nowhere_is_refused(
        self, form: Any, successors: Any, weights: Any, message: str
    ) -> None:
        with pytest.raises(InvalidOption, match=message):
            MDP(SparseKernel(form(np.array(successors)), form(weights)), form(NO_REWARD), 0.9)


class TestSparseKernel:
    @FORMS
    @given(seed=st.integers(0, 2**32 - 1), lead=st.sampled_from(((), (3,), (2, 3))))
    def test_it_holds_what_the_dense_one_holds(self, form: Any, seed: int, lead: tuple[int, ...]) -> None:
        kernel = random_kernel(seed, lead)
        kept = SparseKernel.of(form(kernel))
        assert tuple(kept.shape) == kernel.shape
        assert kept.successors.shape[-1] == (kernel != 0.0).sum(axis=-1).max()
        np.testing.assert_array_equal(np.asarray(kept.to_dense()), kernel)

    @FORMS
    def test_a_state_may_be_named_twice(self, form: Any) -> None:
        kernel = SparseKernel(
            form(np.array([[[0, 0, 1]], [[1, 0, 1]]])), form(np.array([[[0.2, 0.3, 0.5]], [[0.25, 0.5, 0.25]]]))
        )
        np.testing.assert_allclose(np.asarray(kernel.to_dense()), HALF, atol=1e-16)

    @FORMS
    def test_rewards_of_transitions_are_expected_under_either(self, form: Any) -> None:
        kernel, rewards = random_kernel(0, (4,)), np.random.default_rng(0).normal(size=(5, 2, 5))
        expected = np.einsum("nsat,sat->nsa", kernel, rewards)
        for own in (form(kernel), SparseKernel.of(form(kernel))):
            np.testing.assert_allclose(np.asarray(MDP(own, form(rewards), 0.9).expected_rewards), expected, atol=1e-15)


class TestCopies:
    def test_another_kernel_is_taken_as_it_is(self) -> None:
        mdp = MDP(HALF, NO_REWARD, 0.9)
        other = mdp.with_kernel(2.0 * HALF)
        assert other.kernel.max() == 1.0
        assert other.rewards is mdp.rewards
        assert mdp.kernel.max() == 0.5

    @pytest.mark.parametrize("kernel", [HALF, SparseKernel.of(HALF), np.broadcast_to(HALF, (3, 2, 1, 2))])
    def test_a_copy_in_pytorch_is_one_of_all_arrays(self, kernel: Any) -> None:
        mdp = MDP(kernel, NO_REWARD, 0.9)
        tensors = mdp.to("cpu")
        weights = tensors.kernel.weights if isinstance(tensors.kernel, SparseKernel) else tensors.kernel
        for tensor in (weights, tensors.rewards, tensors.start):
            assert tensor.dtype == torch.float64
        weights.zero_()
        assert (mdp.kernel.weights if isinstance(mdp.kernel, SparseKernel) else mdp.kernel).min() == 0.5
