"""Decision processes whose kernel is a function of a few numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from reworld.errors import InvalidConfiguration, InvalidOption
from reworld_baselines.mctvmdp.instances import load, settings_of
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.parametric import ParametricMDP, between, mixture, softmax
from reworld_baselines.mctvmdp.tabular import kernel_slopes, policy_iteration

BLOCKS = "reworld.worlds.block_world:block_world"


def random_mdp(seed=0, states=5, actions=2, of_transitions=False):
    rng = np.random.default_rng(seed)
    kernel = rng.dirichlet(np.full(states, 0.7), (states, actions))
    kernel[0, 0] = np.eye(states)[1]  # So that something is impossible.
    rewards = rng.normal(size=(states, actions, states) if of_transitions else (states, actions))
    return MDP(kernel, rewards, 0.9)


def softmax_by_torch(mdp, reach=3.0):
    """The same as `softmax`, by PyTorch."""
    possible = torch.as_tensor(mdp.kernel > 0.0)

    def kernel(numbers):
        logits = torch.full(mdp.kernel.shape, -torch.inf, dtype=torch.float64)
        logits[possible] = torch.log(torch.as_tensor(mdp.kernel)[possible]) + numbers
        return torch.softmax(logits, -1)

    return ParametricMDP(mdp, kernel, np.zeros(int(possible.sum())), -reach, reach)


def random_mixture(seed=0, n=4, **options):
    rng = np.random.default_rng(seed)
    return mixture(rng.dirichlet(np.ones(5), (n, 5, 2)), rng.normal(size=(5, 2)), 0.9, **options)


def value_of(problem, configuration):
    model = problem.model(configuration)
    return model.start @ policy_iteration(model).values


def slopes_of(problem, configuration):
    model = problem.model(configuration)
    solution = policy_iteration(model)
    return problem.pull_back(configuration, kernel_slopes(model, solution.policy, solution.values))


PROBLEMS = {
    "softmax": lambda: softmax(random_mdp()),
    "softmax where transitions pay": lambda: softmax(random_mdp(of_transitions=True)),
    "softmax by PyTorch": lambda: softmax_by_torch(random_mdp()),
    "mixture": random_mixture,
    "slip of a Block-world": lambda: between(BLOCKS, {"slip": (0.0, 1.0)}, 0.95, map=("S..", ".X.", "..G")),
}


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return PROBLEMS[request.param]()


def test_slopes_of_the_optimal_value_are_those_of_finite_differences(problem):
    at = problem.decode(np.random.default_rng(1).uniform(0.3, 0.7, problem.dimension))
    slopes = slopes_of(problem, at)
    for i in range(len(at)):
        step = 1e-5 * np.eye(len(at))[i]
        if problem.simplex:
            step -= 1e-5 * np.eye(len(at))[i - 1]
        difference = value_of(problem, at + step) - value_of(problem, at - step)
        assert difference == pytest.approx(2.0 * slopes @ step, rel=1e-6, abs=1e-6 * 1e-5 * np.abs(slopes).max())


def test_every_point_of_the_cube_is_a_configuration_of_the_set(problem):
    rng = np.random.default_rng(2)
    for point in [rng.uniform(size=problem.dimension), np.zeros(problem.dimension), np.ones(problem.dimension)]:
        configuration = problem.decode(point)
        assert (configuration >= problem.low).all()
        assert (configuration <= problem.high).all()
        if problem.simplex:
            assert configuration.sum() == pytest.approx(1.0, abs=1e-12)
        assert problem.model(configuration).kernel.sum(axis=-1) == pytest.approx(1.0, abs=1e-12)


def test_a_formula_and_pytorch_agree():
    mdp = random_mdp()
    by_formula, by_torch = softmax(mdp), softmax_by_torch(mdp)
    at = np.random.default_rng(1).normal(size=by_formula.dimension)
    assert by_formula.model(at).kernel == pytest.approx(by_torch.model(at).kernel, abs=1e-15)
    assert slopes_of(by_formula, at) == pytest.approx(slopes_of(by_torch, at), rel=1e-12, abs=1e-14)


@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 6),
    penalty=st.sampled_from([0.0, 0.3, 2.0]),
    radius=st.sampled_from([0.05, 0.3, np.inf]),
    simplex=st.booleans(),
)
def test_the_best_configuration_is_that_of_a_linear_program(seed, n, penalty, radius, simplex):
    rng = np.random.default_rng(seed)
    kernels, nominal = rng.dirichlet(np.ones(2), (n, 2, 1)), rng.dirichlet(np.ones(n))
    made = mixture(kernels, np.zeros((2, 1)), 0.9, nominal=nominal)
    problem = ParametricMDP(
        made.mdp, made.kernel, nominal, rng.uniform(0.0, nominal), rng.uniform(nominal, 1.0), simplex, penalty, made.gradient
    )
    slopes, centre = rng.normal(size=n), problem.decode(rng.uniform(size=n))
    found = problem.best(slopes, centre, radius)
    low, high = np.maximum(problem.low, centre - radius), np.minimum(problem.high, centre + radius)
    # Numbers are nominal plus a rise, minus a fall.
    program = linprog(
        np.concatenate([penalty - slopes, penalty + slopes]),
        A_ub=np.block([[np.eye(n), -np.eye(n)], [-np.eye(n), np.eye(n)]]),
        b_ub=np.concatenate([high - nominal, nominal - low]),
        A_eq=np.concatenate([np.ones(n), -np.ones(n)])[None] if simplex else None,
        b_eq=[0.0] if simplex else None,
    )
    assert slopes @ (found - nominal) - penalty * problem.price(found) == pytest.approx(-program.fun, abs=1e-9)
    assert (found >= low - 1e-12).all()
    assert (found <= high + 1e-12).all()
    assert not simplex or found.sum() == pytest.approx(1.0, abs=1e-12)


def test_every_configuration_of_a_simplex_is_decoded_from_some_point():
    problem = random_mixture()
    for weights in (np.array([0.5, 0.0, 0.2, 0.3]), np.eye(4)[2]):
        point = 0.5 + 0.5 * (weights - problem.nominal)
        assert problem.decode(point) == pytest.approx(weights, abs=1e-15)


def test_a_change_costs_how_far_it_goes():
    problem = random_mixture(nominal=[1.0, 0.0, 0.0, 0.0], penalty=0.5)
    assert problem.price(problem.nominal) == 0.0
    assert problem.price(np.array([0.75, 0.25, 0.0, 0.0])) == 0.5
    assert problem.best(np.array([0.0, 0.9, 0.0, 0.0])) == pytest.approx(problem.nominal)
    assert problem.best(np.array([0.0, 1.1, 0.0, 0.0])) == pytest.approx([0.0, 1.0, 0.0, 0.0])


def test_the_hull_has_its_stored_values():
    problem = load("hull_s12").problem
    assert value_of(problem, problem.nominal) == pytest.approx(settings_of("hull_s12")["J_uniform"], rel=1e-12)
    vertices = [value_of(problem, vertex) for vertex in np.eye(problem.dimension)]
    assert max(vertices) == pytest.approx(settings_of("hull_s12")["best_vertex"], rel=1e-12)


def test_the_slip_of_a_block_world_has_its_stored_values():
    stored = settings_of("blockworld10")
    problem = between(BLOCKS, {"slip": (0.0, 1.0)}, stored["gamma"], map=tuple(stored["map"]))
    for level, value in stored["W_samples"].items():
        assert value_of(problem, np.array([int(level) / 999])) == pytest.approx(value, abs=1e-9)


def test_parameters_of_a_world_are_in_their_own_units():
    problem = between(BLOCKS, {"slip": (0.1, 0.8), "stay": (0.0, 0.0 + 1e-9)}, 0.9)
    assert problem.nominal == pytest.approx([0.2, 0.0])
    assert problem.low == pytest.approx([0.1, 0.0])


@pytest.mark.parametrize(
    ("ranges", "reason"),
    [
        ({"slip": (0.0, 1.0), "wind": (0.0, 1.0)}, "not linear"),
        ({"slip": (0.0, 1.0), "step_cost": (0.0, 1.0)}, "pays something else"),
        ({"slip": (0.5, 0.5)}, "low < high"),
        ({}, "at least one"),
        ({"slip": (0.5, 0.6)}, "must be within"),
    ],
)
def test_a_world_that_is_not_between_two_is_refused(ranges, reason):
    with pytest.raises(InvalidOption, match=reason):
        between(BLOCKS, ranges, 0.9)


def test_an_unknown_parameter_is_refused():
    with pytest.raises(InvalidConfiguration, match="no parameter 'slipp'"):
        between(BLOCKS, {"slipp": (0.0, 1.0)}, 0.9)


def test_what_is_given_must_fit():
    mdp = random_mdp()
    fine = softmax(mdp)
    zeros, flat = np.zeros(fine.dimension), random_mixture()

    def refused(reason, *fields, **more):
        with pytest.raises(InvalidOption, match=reason):
            ParametricMDP(*fields, **more)

    refused("single MDP", MDP(mdp.kernel[None], mdp.rewards, 0.9), fine.kernel, zeros, -1.0, 1.0)
    refused("penalty=-1", mdp, fine.kernel, zeros, -1.0, 1.0, penalty=-1.0, gradient=fine.gradient)
    refused(r"shape \(\)", mdp, fine.kernel, 0.0, -1.0, 1.0, gradient=fine.gradient)
    refused("low has shape", mdp, fine.kernel, zeros, [-1.0, -1.0], 1.0, gradient=fine.gradient)
    refused("must be within", mdp, fine.kernel, zeros, 1.0, 2.0, gradient=fine.gradient)
    refused("sums to 0", mdp, fine.kernel, zeros, 0.0, 1.0, simplex=True, gradient=fine.gradient)
    refused(
        "is .*, of sum", flat.mdp, lambda weights: 2.0 * flat.kernel(weights), flat.nominal, 0.0, 1.0, gradient=flat.gradient
    )
    refused("differentiate", mdp, lambda numbers: torch.as_tensor(mdp.kernel), zeros, -1.0, 1.0)
    with pytest.raises(InvalidOption, match="shape \\(5, 2, 5\\)"):
        mixture(random_mixture().mdp.kernel, np.zeros((5, 2)), 0.9)
    with pytest.raises(InvalidOption, match="4 weights"):
        random_mixture(nominal=[0.5, 0.5])


def test_the_nominal_numbers_make_the_nominal_process():
    problem, other = random_mixture(), random_mixture(seed=1)
    with pytest.raises(InvalidOption, match="give the decision process that the nominal numbers make"):
        ParametricMDP(problem.mdp, other.kernel, other.nominal, 0.0, 1.0, True, gradient=other.gradient)


def test_numbers_that_make_no_law_are_refused_when_they_are_used():
    problem = random_mixture()
    unbounded = ParametricMDP(problem.mdp, problem.kernel, problem.nominal, 0.0, 1.0, gradient=problem.gradient)
    with pytest.raises(InvalidOption, match="of sum 4"):
        unbounded.model(unbounded.decode(np.ones(4)))
