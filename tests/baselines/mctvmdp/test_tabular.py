"""Exact solvers: each against the linear algebra that defines what it finds, alone and in stacks, in NumPy and PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reworld.errors import InvalidOption
from reworld.worlds.block_world import SLIP_LEVELS, block_world
from reworld_baselines.mctvmdp.instances import arrays_of, settings_of
from reworld_baselines.mctvmdp.mdp import MDP, SparseKernel
from reworld_baselines.mctvmdp.tabular import (
    Solution,
    action_values,
    evaluate,
    kernel_slopes,
    occupancy,
    policy_iteration,
    policy_iteration_along,
    soft_policy_iteration,
    value_iteration,
)


def draw(seed: int, states: int = 6, actions: int = 3, lead: tuple[int, ...] = (), discount: float = 0.9, **how: Any) -> MDP:
    """Random processes; `few` successors of each action, `transitions` that are rewarded each for itself."""
    rng = np.random.default_rng(seed)
    kernel = rng.dirichlet(np.ones(states), (*lead, states, actions))
    if "few" in how:
        kernel[..., rng.permuted(np.tile(np.arange(states) >= how["few"], (states, actions, 1)), axis=-1)] = 0.0
        kernel /= kernel.sum(axis=-1, keepdims=True)
    rewards = rng.normal(size=(*lead, states, actions, states) if how.get("transitions") else (*lead, states, actions))
    return MDP(kernel, rewards, discount, rng.dirichlet(np.ones(states)))


def stored(name: str) -> MDP:
    arrays = arrays_of(name)
    return MDP(arrays["P"], arrays["r"], settings_of(name)["gamma"])


def sparse(mdp: MDP) -> MDP:
    return mdp.with_kernel(SparseKernel.of(mdp.kernel))


def solved_directly(mdp: MDP, policy: Any) -> Any:
    """Values of a policy of probabilities of a single process, by the book."""
    matrix = np.einsum("sa,sat->st", policy, mdp.kernel)
    return np.linalg.solve(np.eye(mdp.states) - mdp.discount * matrix, (policy * mdp.expected_rewards).sum(axis=-1))


def best_of_all(mdp: MDP) -> Any:
    """Optimal values of a single process, from every policy there is."""
    policies = np.indices((mdp.actions,) * mdp.states).reshape(mdp.states, -1).T
    return np.max([solved_directly(mdp, np.eye(mdp.actions)[policy]) for policy in policies], axis=0)


def value(mdp: MDP, policy: Any) -> float:
    return float(mdp.start @ evaluate(mdp, policy))


processes = st.builds(
    draw,
    seed=st.integers(0, 2**32 - 1),
    states=st.integers(1, 7),
    actions=st.integers(1, 4),
    discount=st.sampled_from((0.0, 0.3, 0.9, 0.99)),
    few=st.integers(1, 7),
    transitions=st.booleans(),
)


class TestEvaluation:
    @given(processes, st.integers(0, 2**32 - 1))
    def test_values_of_a_policy_of_probabilities_solve_its_equations(self, mdp: MDP, seed: int) -> None:
        policy = np.random.default_rng(seed).dirichlet(np.ones(mdp.actions), mdp.states)
        expected = solved_directly(mdp, policy)
        for form in (mdp, sparse(mdp)):
            np.testing.assert_allclose(evaluate(form, policy), expected, rtol=0.0, atol=1e-12 * (1.0 + np.abs(expected).max()))

    @given(processes, st.integers(0, 2**32 - 1))
    def test_a_policy_of_actions_is_one_of_certain_actions(self, mdp: MDP, seed: int) -> None:
        policy = np.random.default_rng(seed).integers(0, mdp.actions, mdp.states)
        for form in (mdp, sparse(mdp)):
            np.testing.assert_allclose(evaluate(form, policy), evaluate(form, np.eye(mdp.actions)[policy]), atol=1e-11)

    def test_action_values_look_one_step_ahead(self) -> None:
        mdp, values = draw(0, transitions=True), np.arange(6.0)
        expected = np.einsum("sat,sat->sa", mdp.kernel, mdp.rewards + 0.9 * values)
        for form in (mdp, sparse(mdp)):
            np.testing.assert_allclose(action_values(form, values), expected, atol=1e-14)

    @given(processes, st.integers(0, 2**32 - 1))
    def test_occupancy_counts_discounted_visits_and_pays_the_value(self, mdp: MDP, seed: int) -> None:
        policy = np.random.default_rng(seed).dirichlet(np.ones(mdp.actions), mdp.states)
        for form in (mdp, sparse(mdp)):
            visits = occupancy(form, policy)
            assert visits.min() >= 0.0
            np.testing.assert_allclose(visits.sum(), 1.0 / (1.0 - mdp.discount), rtol=1e-12)
            paid = (visits[:, None] * policy * mdp.expected_rewards).sum()
            np.testing.assert_allclose(paid, value(mdp, policy), atol=1e-11)


class TestPolicyIteration:
    @settings(max_examples=30)
    @given(seed=st.integers(0, 2**32 - 1), transitions=st.booleans(), few=st.integers(1, 4))
    def test_no_policy_is_better(self, seed: int, transitions: bool, few: int) -> None:
        mdp = draw(seed, states=4, actions=3, few=few, transitions=transitions)
        for form in (mdp, sparse(mdp)):
            solution = policy_iteration(form)
            np.testing.assert_allclose(solution.values, best_of_all(mdp), atol=1e-12)
            np.testing.assert_allclose(solution.values, evaluate(mdp, solution.policy), atol=1e-12)
            assert solution.error <= 1e-12

    def test_a_single_solution_is_of_plain_numbers(self) -> None:
        solution = policy_iteration(draw(0))
        assert isinstance(solution, Solution)
        assert (type(solution.iterations), type(solution.error)) == (int, float)
        assert (solution.values.dtype, solution.policy.dtype) == (np.float64, np.int64)

    def test_of_equal_actions_that_of_the_first_policy_stays(self) -> None:
        mdp = draw(3, actions=2)
        twins = MDP(np.repeat(mdp.kernel, 2, axis=1), np.repeat(mdp.rewards, 2, axis=1), 0.9)
        best = 2 * policy_iteration(mdp).policy
        for incumbent in (best, best + 1):
            solution = policy_iteration(twins, incumbent)
            np.testing.assert_array_equal(solution.policy, incumbent)
            assert solution.iterations == 1

    @pytest.mark.parametrize("discount", [0.9, 0.999, 1.0 - 1e-9])
    def test_it_ends_where_all_actions_are_equal_but_for_rounding(self, discount: float) -> None:
        rng = np.random.default_rng(0)
        once = rng.dirichlet(np.ones(40), 40)
        kernel = np.stack([once * scale / (once * scale).sum(axis=-1, keepdims=True) for scale in (1.0, 1 / 3, 1 / 7)], axis=1)
        rewards = np.repeat(rng.normal(size=(40, 1)) * 1e6, 3, axis=1) * (1.0 + 1e-16 * rng.normal(size=(40, 3)))
        for start in rng.integers(0, 3, (20, 40)):
            solution = policy_iteration(MDP(kernel, rewards, discount), start)
            assert solution.iterations <= 10

    def test_the_policy_to_begin_with_is_not_written_to(self) -> None:
        mdp, policy = draw(0, lead=(5,)), np.zeros((5, 6), np.int64)
        assert policy_iteration(mdp, policy).policy.any()
        assert not policy.any()

    def test_a_few_iterations_solve_bilevel_6state(self) -> None:
        solution = policy_iteration(stored("bilevel_6state"))
        assert solution.iterations <= 6
        assert solution.error.max() <= 1e-11


class TestValueIteration:
    @given(processes, st.sampled_from((1e-3, 1e-6, 1e-10)), st.sampled_from(("span", "sup", "sweeps")))
    def test_no_value_is_further_from_the_optimal_one_than_said(self, mdp: MDP, epsilon: float, stop: str) -> None:
        exact = policy_iteration(mdp).values
        for form in (mdp, sparse(mdp)):
            solution = value_iteration(form, epsilon, stop, sweeps=20)
            rounding = 1e-13 * (1.0 + np.abs(exact).max()) / (1.0 - mdp.discount)
            assert np.abs(solution.values - exact).max() <= solution.error + rounding
            assert solution.error <= epsilon or stop == "sweeps"
            assert stop != "sweeps" or solution.iterations == 20

    @pytest.mark.parametrize(
        ("name", "at_most"), [("bilevel_6state", 30), ("random_s6a2", 30), ("random_s20a4", 20), ("two_doors", 80)]
    )
    def test_the_span_stop_finds_the_policy_of_a_thousand_sweeps_in_few(self, name: str, at_most: int) -> None:
        mdp = stored(name)
        quick, fixed = value_iteration(mdp), value_iteration(mdp, stop="sweeps")
        np.testing.assert_array_equal(quick.policy, fixed.policy)
        np.testing.assert_array_equal(quick.policy, policy_iteration(mdp).policy)
        assert fixed.iterations == 1000
        assert quick.iterations <= at_most

    @pytest.mark.parametrize("stop", ["span", "sup"])
    def test_an_error_that_rounding_never_lets_it_reach_is_refused(self, stop: str) -> None:
        to_and_fro = MDP([[[0.0, 1.0]], [[1.0, 0.0]]], [[-0.7], [0.7]], 0.5)  # The last bit never comes to rest.
        with pytest.raises(InvalidOption, match="epsilon=1e-18 is less than rounding allows"):
            value_iteration(to_and_fro, 1e-18, stop)

    @pytest.mark.parametrize(
        "wrong", [{"stop": "soon"}, {"epsilon": 0.0}, {"epsilon": float("nan")}, {"stop": "sweeps", "sweeps": 0}]
    )
    def test_bad_options_are_refused_by_name(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidOption, match=f"{list(wrong)[-1]}="):
            value_iteration(draw(0), **wrong)


class TestSlopes:
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), transitions=st.booleans(), discount=st.sampled_from((0.5, 0.9, 0.99)))
    def test_they_are_the_differences_that_small_changes_make(self, seed: int, transitions: bool, discount: float) -> None:
        mdp = draw(seed, states=5, actions=2, discount=discount, transitions=transitions)
        rng = np.random.default_rng(seed)
        policy = rng.dirichlet(np.ones(2), 5)
        change = rng.normal(size=mdp.kernel.shape)
        change -= change.mean(axis=-1, keepdims=True)
        slope = (kernel_slopes(mdp, policy) * change).sum()
        step = 1e-5
        up, down = (value(mdp.with_kernel(mdp.kernel + sign * step * change), policy) for sign in (1, -1))
        size = np.abs(kernel_slopes(mdp, policy) * change).sum()
        assert abs((up - down) / (2.0 * step) - slope) <= 1e-6 * size

    @pytest.mark.parametrize("transitions", [False, True])
    def test_they_are_what_autograd_finds(self, transitions: bool) -> None:
        for seed in range(20):
            mdp = draw(seed, discount=0.95, transitions=transitions)
            policy = policy_iteration(mdp).policy
            tensors = mdp.to("cpu")
            kernel = tensors.kernel.requires_grad_()
            (tensors.start @ evaluate(tensors.with_kernel(kernel), torch.tensor(policy))).backward()
            slopes = kernel_slopes(mdp, policy)
            assert np.abs(slopes - kernel.grad.numpy()).max() <= 1e-12 * np.abs(slopes).max()

    def test_known_values_are_taken_and_sparse_kernels_have_dense_slopes(self) -> None:
        mdp = draw(0, few=3)
        solution = policy_iteration(mdp)
        slopes = kernel_slopes(mdp, solution.policy)
        np.testing.assert_allclose(kernel_slopes(sparse(mdp), solution.policy, solution.values), slopes, atol=1e-12)


class TestLargeChanges:
    """What is exact of the linearisation, however large the change: (I1) to (I3) of the resolvent."""

    @given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.0, 1.0), discount=st.sampled_from((0.5, 0.9, 0.99)))
    @settings(max_examples=200, deadline=None)
    def test_the_remainder_is_as_the_identity_says_and_within_its_bounds(self, seed: int, size: float, discount: float) -> None:
        mdp, target = draw(seed, discount=discount), draw(seed + 1)
        rng = np.random.default_rng(seed)
        policy = rng.integers(0, 3, 6)
        other = mdp.with_kernel((1.0 - size) * mdp.kernel + size * target.kernel)
        change = other.kernel - mdp.kernel
        values, values_after = evaluate(mdp, policy), evaluate(other, policy)
        visits = occupancy(mdp, policy)
        remainder = mdp.start @ (values_after - values) - (kernel_slopes(mdp, policy) * change).sum()
        rows = change[np.arange(6), policy]
        identity = discount * visits @ rows @ (values_after - values)
        exact = 1e-10 * max(1.0, abs(float(mdp.start @ values)))
        assert abs(remainder - identity) <= exact
        far = 0.5 * np.abs(rows).sum(axis=-1)
        moved = (visits * far).sum()
        assert abs(remainder) <= discount * moved * np.ptp(values_after - values) + exact
        assert abs(remainder) <= discount**2 / (1.0 - discount) * moved * np.ptp(rows @ values) + exact
        assert abs(remainder) <= 2.0 * discount**2 / (1.0 - discount) * moved * far.max() * np.ptp(values) + exact

    @given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.0, 1.0))
    def test_rows_that_lead_to_better_states_never_hurt(self, seed: int, size: float) -> None:
        mdp, target = draw(seed), draw(seed + 1)
        policy = policy_iteration(mdp).policy
        values = evaluate(mdp, policy)
        better = (target.kernel @ values >= mdp.kernel @ values)[..., None]
        other = mdp.with_kernel(np.where(better, (1.0 - size) * mdp.kernel + size * target.kernel, mdp.kernel))
        after = evaluate(other, policy)
        assert (after - values).min() >= -1e-12
        led = ((other.kernel - mdp.kernel) @ values)[np.arange(6), policy]
        assert mdp.start @ (after - values) == pytest.approx(0.9 * occupancy(other, policy) @ led, abs=1e-11)


class TestSoftPolicyIteration:
    @given(processes, st.sampled_from((1e-3, 0.1, 10.0)))
    def test_it_solves_the_soft_equations(self, mdp: MDP, temperature: float) -> None:
        for form in (mdp, sparse(mdp)):
            values, policy = soft_policy_iteration(form, temperature)
            worth = action_values(mdp, values) / temperature
            top = worth.max(axis=-1, keepdims=True)
            total = np.exp(worth - top).sum(axis=-1, keepdims=True)
            size = 1e-12 * (1.0 + np.abs(values).max())
            np.testing.assert_allclose(values, temperature * (top + np.log(total))[:, 0], rtol=0.0, atol=size)
            np.testing.assert_allclose(policy, np.exp(worth - top) / total, rtol=0.0, atol=1e-12 + size / temperature)

    def test_where_it_is_cold_it_is_the_optimum(self) -> None:
        mdp = draw(1)
        values, policy = soft_policy_iteration(mdp, 1e-4)
        solution = policy_iteration(mdp)
        np.testing.assert_allclose(values, solution.values, atol=1e-3 * np.log(3.0) / 0.1)
        np.testing.assert_array_equal(policy.argmax(axis=-1), solution.policy)

    def test_a_temperature_of_zero_is_refused(self) -> None:
        with pytest.raises(InvalidOption, match=r"temperature=0\.0"):
            soft_policy_iteration(draw(0), 0.0)


class TestStacks:
    @pytest.fixture(params=["dense", "sparse"])
    def stack(self, request: pytest.FixtureRequest) -> MDP:
        mdp = draw(0, states=7, lead=(3, 20), discount=0.97, few=4, transitions=True)
        return mdp if request.param == "dense" else sparse(mdp)

    @staticmethod
    def single(stack: MDP, i: int, j: int) -> MDP:
        kernel = stack.kernel.to_dense() if isinstance(stack.kernel, SparseKernel) else stack.kernel
        return MDP(kernel[i, j], stack.rewards[i, j], stack.discount, stack.start)

    @pytest.mark.parametrize("solve", [policy_iteration, value_iteration, policy_iteration_along])
    def test_each_process_gets_the_solution_that_it_gets_alone(self, stack: MDP, solve: Any) -> None:
        solution = solve(stack)
        alone = {(i, j): solve(self.single(stack, i, j)) for i in range(3) for j in range(20)}
        for index, own in alone.items():
            np.testing.assert_array_equal(solution.policy[index], own.policy)
            np.testing.assert_allclose(solution.values[index], own.values, rtol=0.0, atol=1e-12)
        if solve is not policy_iteration_along:
            assert solution.iterations == max(own.iterations for own in alone.values())
        assert solution.error.shape == (3, 20)

    def test_other_functions_take_stacks_too(self, stack: MDP) -> None:
        solution = policy_iteration(stack)
        soft, probabilities = soft_policy_iteration(stack, 0.1)
        found = (
            evaluate(stack, probabilities),
            occupancy(stack, solution.policy),
            kernel_slopes(stack, solution.policy),
            action_values(stack, soft),
            soft,
            probabilities,
        )
        for i, j in ((0, 0), (2, 19), (1, 7)):
            own = self.single(stack, i, j)
            own_soft, own_probabilities = soft_policy_iteration(own, 0.1)
            policy = solution.policy[i, j]
            expected = (
                evaluate(own, own_probabilities),
                occupancy(own, policy),
                kernel_slopes(own, policy),
                action_values(own, own_soft),
                own_soft,
                own_probabilities,
            )
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours[i, j], theirs, rtol=0.0, atol=1e-11)

    def test_what_does_not_fit_a_cache_is_solved_in_blocks(self) -> None:
        mdp = draw(0, states=60, actions=2, lead=(150,), few=3)
        solution = policy_iteration(sparse(mdp))
        for i in (0, 77, 149):
            own = policy_iteration(MDP(mdp.kernel[i], mdp.rewards[i], 0.9, mdp.start))
            np.testing.assert_array_equal(solution.policy[i], own.policy)
            np.testing.assert_allclose(solution.values[i], own.values, atol=1e-12)
            visits = occupancy(MDP(mdp.kernel[i], mdp.rewards[i], 0.9, mdp.start), own.policy)
            np.testing.assert_allclose(occupancy(sparse(mdp), solution.policy)[i], visits, atol=1e-12)

    def test_leading_axes_broadcast(self) -> None:
        many, one = draw(0, lead=(4, 1)), draw(1)
        rewards = np.random.default_rng(2).normal(size=(5, 6, 3))
        for kernel in (many.kernel, one.kernel):
            mdp = MDP(kernel, rewards, 0.9)
            for form in (mdp, sparse(mdp)):
                solution = policy_iteration(form)
                assert solution.values.shape == (*np.broadcast_shapes(kernel.shape[:-3], (5,)), 6)
                own = policy_iteration(MDP(kernel.reshape(-1, 6, 3, 6)[-1], rewards[-1], 0.9))
                np.testing.assert_allclose(solution.values.reshape(-1, 6)[-1], own.values, atol=1e-12)
                np.testing.assert_allclose(value_iteration(form).values, solution.values, atol=1.01e-10)

    def test_one_process_may_be_evaluated_under_many_policies(self) -> None:
        mdp, policies = draw(0), np.random.default_rng(0).integers(0, 3, (9, 6))
        for form in (mdp, sparse(mdp)):
            np.testing.assert_allclose(evaluate(form, policies), [evaluate(mdp, policy) for policy in policies], atol=1e-13)
            np.testing.assert_allclose(occupancy(form, policies), [occupancy(mdp, policy) for policy in policies], atol=1e-13)
        assert policy_iteration(mdp, policies).policy.shape == (9, 6)


class TestPyTorch:
    """The same source computes with tensors."""

    @pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
    def on(self, request: pytest.FixtureRequest) -> str:
        if request.param == "cuda" and not torch.cuda.is_available():
            pytest.skip("There is no CUDA device.")
        return str(request.param)

    @pytest.mark.parametrize("lead", [(), (40,)])
    @pytest.mark.parametrize("form", [lambda mdp: mdp, sparse])
    @pytest.mark.parametrize("transitions", [False, True])
    def test_it_finds_what_numpy_finds(self, on: str, lead: tuple[int, ...], form: Any, transitions: bool) -> None:
        mdp = form(draw(0, lead=lead, few=4, transitions=transitions))
        tensors = mdp.to(on)
        ours, theirs = policy_iteration(mdp), policy_iteration(tensors)
        swept, swept_theirs = value_iteration(mdp), value_iteration(tensors)
        soft, soft_theirs = soft_policy_iteration(mdp, 0.1), soft_policy_iteration(tensors, 0.1)
        assert ours.iterations == theirs.iterations
        assert swept.iterations == swept_theirs.iterations
        for mine, tensor in (
            (ours.policy, theirs.policy),
            (ours.values, theirs.values),
            (swept.policy, swept_theirs.policy),
            (swept.values, swept_theirs.values),
            (soft[0], soft_theirs[0]),
            (soft[1], soft_theirs[1]),
            (occupancy(mdp, ours.policy), occupancy(tensors, theirs.policy)),
            (occupancy(mdp, soft[1]), occupancy(tensors, soft_theirs[1])),
            (kernel_slopes(mdp, ours.policy), kernel_slopes(tensors, theirs.policy)),
            (action_values(mdp, ours.values), action_values(tensors, theirs.values)),
            (policy_iteration_along(mdp).values, policy_iteration_along(tensors).values),
        ):
            assert tensor.device.type == on
            np.testing.assert_allclose(tensor.cpu().numpy(), mine, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def family() -> MDP:
    """Block-world with a thousand slips, of 0 to 1."""
    settings = settings_of("blockworld10")
    return sparse(MDP.of_world(block_world(map=settings["map"]), settings["gamma"], {"slip": SLIP_LEVELS}))


class TestBlockWorld:
    @pytest.mark.parametrize("solve", [policy_iteration_along, value_iteration])
    def test_start_values_are_those_stored(self, family: MDP, solve: Any) -> None:
        worth = (family.start * solve(family).values).sum(axis=-1)
        assert np.abs(worth - arrays_of("blockworld10")["W"]).max() <= (1e-12 if solve is policy_iteration_along else 1.01e-10)

    def test_neighbours_policies_find_what_each_finds_alone(self, family: MDP) -> None:
        along = policy_iteration_along(family)
        assert along.error.max() <= 1e-12
        for k in (0, 1, 500, 998, 999):
            kernel = SparseKernel(family.kernel.successors, family.kernel.weights[k])
            own = policy_iteration(MDP(kernel, family.rewards[k], 0.99, family.start[k]))
            np.testing.assert_allclose(along.values[k], own.values, atol=1e-12)
