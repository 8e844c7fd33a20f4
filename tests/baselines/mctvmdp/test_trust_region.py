"""Sequential convex programming: it never falls, it ends where nothing small is better, and many starts find the best known."""

import cvxpy as cp
import numpy as np
import pytest

from recording import Recording
from reworld.changing.setup import COSTS
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp.bounds import flow_bound, rectangular_bound
from reworld_baselines.mctvmdp.configurable import slopes_at, solve_at
from reworld_baselines.mctvmdp.costs import OwnCost, RowCost
from reworld_baselines.mctvmdp.instances import load, names, settings_of
from reworld_baselines.mctvmdp.mdp import MDP
from reworld_baselines.mctvmdp.parametric import softmax
from reworld_baselines.mctvmdp.results import Search
from reworld_baselines.mctvmdp.tabular import evaluate
from reworld_baselines.mctvmdp.trust_region import linearised, multistart, trust_region
from reworld_baselines.mctvmdp.tvcmdp import TVCMDP

TINY = [name for name in names() if name.startswith("tiny_s2")]
ONE_OFF = [name for name in names() if name.startswith(("two_doors", "random_s6a2", "stepping_stones5", "random_s20a4"))]


def search():
    return Search("test", quiet=True)


def random_problem(seed):
    rng = np.random.default_rng(seed)
    states, actions = int(rng.integers(2, 8)), int(rng.integers(1, 4))
    rewards = rng.normal(size=(states, actions, states) if seed % 3 == 0 else (states, actions))
    kernel = rng.dirichlet(np.full(states, rng.choice([0.1, 0.5, 2.0])), (states, actions))
    mdp = MDP(kernel, rewards, float(rng.choice([0.5, 0.9, 0.99])), rng.dirichlet(np.ones(states)))
    penalty = float(rng.choice([0.0, 0.1]))
    budget = None if penalty and rng.random() < 0.5 else float(rng.choice([0.1, 1.0, 10.0]))
    return TVCMDP(mdp, RowCost(COSTS[seed % 5]), budget, penalty=penalty, keep_support=bool(rng.random() < 0.3))


def assert_that_a_climb_is_sound(problem):
    recording = Recording()
    found = trust_region(problem, recording)
    nominal = recording.recorded[0]
    climbed = recording.recorded[2:]
    # After the nominal value and that of the first step come the accepted ones, each of which is better.
    assert climbed == sorted(climbed)
    assert all(value > max(recording.recorded[:2]) for value in climbed)
    objective = found.value - problem.penalty * found.cost
    assert objective == max(recording.recorded) >= nominal
    assert found.certificate.kind == "stationary"
    # A step of the Wasserstein cost within a region is a linear program, which is solved less precisely.
    precision = 1e-5 if problem.cost.kind == "wasserstein" else 1e-8
    assert 0.0 <= found.certificate.gap <= precision * max(1.0, abs(found.value))
    assert found.value <= found.certificate.upper_bound + 1e-9 * abs(found.value)
    assert problem.budget is None or found.cost <= problem.budget * (1.0 + 1e-9)
    assert found.value == pytest.approx(
        float(problem.mdp.start @ evaluate(problem.mdp.with_kernel(found.kernels), found.policies[0])), rel=1e-12, abs=1e-12
    )
    once = linearised(problem, search())
    assert objective >= once.value - problem.penalty * once.cost - 1e-12 * max(1.0, abs(objective))


@pytest.mark.parametrize("seed", range(60))
def test_a_climb_never_falls_and_ends_where_nothing_small_is_better(seed):
    assert_that_a_climb_is_sound(random_problem(seed))


@pytest.mark.slow
def test_a_thousand_climbs_never_fall():
    for seed in range(1000):
        assert_that_a_climb_is_sound(random_problem(seed))


@pytest.mark.parametrize("name", [*TINY, *ONE_OFF])
def test_one_step_has_the_stored_value_and_prediction(name):
    instance = load(name)
    found = linearised(instance.problem, search())
    assert found.value == pytest.approx(instance.known["oneshot"], abs=1e-7)
    assert found.predicted == pytest.approx(instance.known["oneshot_pred"], abs=1e-7)
    assert found.nominal_value == pytest.approx(instance.known["J0"], rel=1e-12)


@pytest.mark.parametrize("name", ONE_OFF)
def test_a_climb_is_at_least_as_good_as_one_step_and_within_the_bound(name):
    instance = load(name)
    found = trust_region(instance.problem, search())
    assert found.value >= instance.known["oneshot"] - 1e-12
    assert found.value >= instance.known["proto_scp_from_zero"] - 1e-9
    assert found.certificate.gap <= 1e-8 * max(1.0, found.value)
    assert found.certificate.upper_bound == pytest.approx(rectangular_bound(instance.problem, search()))
    assert found.value <= found.certificate.upper_bound
    assert (np.diff(found.trace[:, 2]) > 0.0).all()


@pytest.mark.parametrize("name", TINY)
def test_many_starts_find_every_certified_optimum(name):
    instance = load(name)
    assert multistart(instance.problem, search(), starts=8).value == pytest.approx(instance.best_known, rel=1e-9)


@pytest.mark.parametrize("name", ONE_OFF)
def test_many_starts_find_the_best_known(name):
    instance = load(name)
    assert multistart(instance.problem, search()).value >= instance.best_known * (1.0 - 1e-6)


def test_one_start_is_trapped_where_many_are_not():
    for budget, alone, known in ((1, 4.3140, 4.6437), (2, 6.1102, 7.0840), (5, 12.2859, 13.4130)):
        problem = load(f"two_doors:B={budget}").problem
        assert trust_region(problem, search()).value == pytest.approx(alone, abs=1e-4)
        assert multistart(problem, search(), starts=8).value >= known


@pytest.mark.parametrize("name", ["hull_s12", "hull_s12_trap"])
def test_mixtures_of_kernels_are_climbed_as_well(name):
    problem, known = load(name).problem, settings_of(name)
    alone, many = trust_region(problem, search()), multistart(problem, search())
    assert alone.value == pytest.approx(known["fw_from_uniform"], abs=1e-8)
    assert many.value >= known["best_known"] - 1e-9
    assert many.configuration.sum() == pytest.approx(1.0)
    assert alone.certificate.upper_bound is None


def test_logits_of_kernels_are_climbed_as_well():
    problem = softmax(load("random_s6a2:B=2").problem.mdp, 2.0, penalty=0.01)
    found = trust_region(problem, search())
    assert found.certificate.gap <= 1e-6
    assert found.gain > 0.01 * found.cost
    assert found.solves < 200


def test_the_notes_say_what_the_starts_have_led_to():
    found = multistart(load("two_doors:B=1").problem, search(), starts=3)
    assert found.certificate.notes == [
        "4.6437521 is where these starts led: soft policies, vertices: 1",
        "5 other starts led lower, to 4.3140267",
    ]


def test_many_starts_come_with_the_tighter_bound():
    problem = load("two_doors:B=2").problem
    assert multistart(problem, search(), starts=0).certificate.upper_bound == pytest.approx(flow_bound(problem, search()))
    assert flow_bound(problem, search()) < trust_region(problem, search()).certificate.upper_bound - 1.0


def test_constraints_that_tie_rows_hold_from_every_start():
    own = OwnCost(lambda change, rows: cp.sum(cp.square(change), axis=1), lambda change, rows: [change[0] == change[2]])
    # The third state is never reached, so that its row would not be changed for its own sake.
    kernel = np.broadcast_to([0.6, 0.4, 0.0], (3, 1, 3))
    problem = TVCMDP(MDP(kernel, [[1.0], [0.0], [0.0]], 0.9, [1.0, 0.0, 0.0]), own, 0.5, keep_support=True)
    found = multistart(problem, search(), starts=1)
    first, _, third = found.configuration.reshape(3, 3)
    np.testing.assert_allclose(third, first, atol=1e-7)
    assert first[0] > 0.1


def test_the_same_seed_makes_the_same_result():
    problem = load("random_s6a2:B=20").problem
    first, again = (multistart(problem, search(), seed=3, starts=5) for _ in range(2))
    assert first.value == again.value
    np.testing.assert_array_equal(first.configuration, again.configuration)
    np.testing.assert_array_equal(first.trace[:, 1:], again.trace[:, 1:])


def test_rows_of_the_first_step_lead_to_no_worse_successors_so_no_value_falls():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        mdp = MDP(rng.dirichlet(np.full(6, 0.5), (6, 2)), rng.normal(size=(6, 2)), 0.95)
        problem = TVCMDP(mdp, RowCost(), float(rng.choice([0.5, 2.0, 10.0])))
        nominal = solve_at(problem, problem.nominal, search())
        kernel = problem.model(problem.best(slopes_at(problem, nominal))).kernel
        assert ((kernel - mdp.kernel)[np.arange(6), nominal.policy] @ nominal.values >= -1e-12).all()
        values = evaluate(mdp.with_kernel(kernel), nominal.policy)
        assert (values >= nominal.values - 1e-12 * np.abs(nominal.values).max()).all()


def test_an_optimal_policy_that_is_as_good_but_can_be_improved_is_found():
    # Both actions of state 0 lead to state 2; only the second can be made to lead to state 1, which pays.
    kernel = np.zeros((3, 2, 3))
    kernel[0, :, 2] = kernel[1, :, 1] = kernel[2, :, 0] = 1.0
    rewards = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    changeable = np.zeros((3, 2), bool)
    changeable[0, 1] = True
    problem = TVCMDP(MDP(kernel, rewards, 0.9, [1.0, 0.0, 0.0]), RowCost("l1"), 1.0, changeable=changeable)
    nominal = solve_at(problem, problem.nominal, search())
    assert nominal.policy[0] == 0
    assert linearised(problem, search()).value == 0.0
    found = trust_region(problem, search())
    assert found.policies[0][0] == 1
    # Half of the row moves: v = 0.9 (10 / 2 + 0.9 v / 2).
    assert found.value == pytest.approx(4.5 / (1.0 - 0.405))


def test_a_penalty_is_worth_what_the_best_budget_is():
    for row in settings_of("tiny_s2")["rows"][1::10]:
        problem = load(f"tiny_s2:seed={row['seed']},A={row['A']},B={row['B']:g}").problem
        penalised = TVCMDP(problem.mdp, problem.cost, penalty=0.1)
        found = multistart(penalised, search())
        objective = found.value - 0.1 * found.cost
        assert objective >= row["optimum"] - 0.1 * row["B"] - 1e-9
        assert objective >= row["J0"]
        # With what it spends as the budget, nothing better can be bought.
        budgeted = multistart(TVCMDP(problem.mdp, problem.cost, found.cost), search())
        assert budgeted.value == pytest.approx(found.value, rel=1e-9)


@pytest.mark.parametrize("method", [linearised, trust_region, multistart])
@pytest.mark.parametrize("kind", COSTS)
def test_without_budget_nothing_changes(method, kind):
    problem = TVCMDP(load("random_s6a2:B=2").problem.mdp, RowCost(kind), 0.0)
    found = method(problem, search())
    assert not found.configuration.any()
    assert found.value == found.nominal_value
    assert found.cost == 0.0


def test_the_notes_of_one_step_bound_its_error():
    found = linearised(load("two_doors:B=2").problem, search())
    assert found.certificate.notes[0].startswith("With the policy of before the value is 5.929840887. ")
    assert "it would be 6.727097165; the difference is at most" in found.certificate.notes[0]


@pytest.mark.parametrize("method", [linearised, trust_region, multistart])
def test_a_budget_per_use_is_refused(method):
    problem = load("class_b:seed=0,B=1").problem
    with pytest.raises(InvalidOption, match="take the method 'dual' or 'flow'"):
        method(problem, search())
