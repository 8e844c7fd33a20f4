"""The bi-level agent as a method of `solve`."""

import numpy as np
import pytest

from reworld.changing.levels.games import cartpole_levels
from reworld_baselines.mctvmdp.deep import BilevelAgent
from reworld_baselines.mctvmdp.solving import solve


@pytest.mark.parametrize("upper", ["value_iteration", "dqn"])
def test_a_result_tells_what_was_found_and_how_sure_that_is(tmp_path, upper):
    problem = cartpole_levels()
    options = {"upper": upper, "lower_steps": 4096, "decisions": 32, "episodes": 30, "directory": tmp_path}
    result = solve(problem, "deep", seed=3, quiet=True, **options)
    assert result.policies[0].size == 0
    assert result.policies[1].shape == (4,)
    assert result.kernels.shape == (4, 4, 4)
    assert result.solves == 2
    assert result.certificate.kind == "none"
    assert any("standard error" in note for note in result.certificate.notes)
    assert (result.predicted is None) == (upper == "dqn")
    kept = BilevelAgent.load(tmp_path, problem)
    report = kept.evaluate(30)
    assert result.value == report.worth["agent"].value
    assert result.nominal_value == report.worth["none"].value
    np.testing.assert_array_equal(result.policies[1], kept.policy)
