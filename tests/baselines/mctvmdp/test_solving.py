"""One door to every method: what it refuses, and the command that leads through it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reworld.errors import InvalidOption
from reworld_baselines.__main__ import main
from reworld_baselines.mctvmdp import MDP, Search, figures, instances, methods_of, solve, solve_for_budgets
from reworld_baselines.mctvmdp.estimation import EstimatedMDP

DOORS, RIVER, LEVELS = "two_doors:B=2", "stepping_stones5:B=2", "bilevel_6state"


class TestSolve:
    @pytest.mark.parametrize("name", [DOORS, "class_b:seed=0,B=1", "finite_horizon:B=2", "hull_s12", LEVELS])
    def test_takes_the_recommended_method_where_none_is_named(self, name: str) -> None:
        problem = instances.load(name).problem
        assert solve(problem, quiet=True).method == methods_of(problem)[0]

    def test_refuses_a_method_of_another_problem(self) -> None:
        with pytest.raises(InvalidOption, match="no method 'levels' for a TVCMDP"):
            solve(instances.load(DOORS).problem, "levels")

    def test_refuses_an_unknown_option_with_those_there_are(self) -> None:
        with pytest.raises(InvalidOption, match="Did you mean 'starts'"):
            solve(instances.load(DOORS).problem, "multistart", start=3)

    @pytest.mark.parametrize(
        ("method", "options", "says"),
        [
            ("multistart", {"starts": -1}, "starts=-1: give an integer of at least 0, such as 32"),
            ("trust_region", {"steps": 1.5}, "steps=1.5: give an integer"),
            ("trust_region", {"tolerance": -1.0}, "tolerance=-1.0: give a finite number"),
            ("value_gradient", {"rate": "fast"}, "rate='fast': give a finite number"),
            ("cross_entropy", {"elite": 0}, "elite=0 of population=40"),
            ("cross_entropy", {"population": 4}, "elite=8 of population=4"),
        ],
    )
    def test_refuses_options_that_are_none(self, method: str, options: dict[str, Any], says: str) -> None:
        with pytest.raises(InvalidOption, match=says):
            solve(instances.load(DOORS).problem, method, quiet=True, **options)

    def test_asks_for_an_option_that_is_needed(self) -> None:
        mdp = MDP([[[1.0]]], [[1.0]], 0.9)
        estimated = EstimatedMDP(mdp, np.ones((1, 1), np.int64), np.zeros((1, 1), np.bool_), (0.0, 1.0))
        with pytest.raises(InvalidOption, match="'certainty_equivalent' needs the option 'fresh'"):
            solve(estimated)

    def test_refuses_what_is_no_problem(self) -> None:
        with pytest.raises(InvalidOption, match="No problem is of class str: give a TVCMDP"):
            solve(DOORS)

    @pytest.mark.parametrize("method", ["multistart", "cross_entropy"])
    def test_of_the_same_seed_finds_the_same_bit_for_bit(self, method: str) -> None:
        first, second = (solve(instances.load(DOORS).problem, method, seed=3, quiet=True) for _ in range(2))
        np.testing.assert_array_equal(first.kernels, second.kernels)
        np.testing.assert_array_equal(first.trace[:, 1:], second.trace[:, 1:])
        assert first.value == second.value


class TestResults:
    def test_sum_up_what_was_found_and_what_is_known_of_it(self) -> None:
        result = solve(instances.load(RIVER).problem, "linearised", quiet=True)
        lines = str(result).splitlines()
        assert lines[0] == "TVCMDP by linearised"
        assert lines[1].split() == ["value", f"{result.value:.10g}"]
        assert lines[3].split() == ["predicted", f"{result.predicted:.10g}"]

    def test_of_a_search_keep_what_is_better_alone(self) -> None:
        search = Search("any", quiet=True)
        for value, cost in ((1.0, 0.0), (0.5, 3.0), (2.0, 4.0)):
            search.count()
            search.record(value, cost)
        np.testing.assert_array_equal(search.trace[:, 1:], [[1, 1.0, 0.0], [3, 2.0, 4.0]])

    @pytest.mark.parametrize("name", [DOORS, "class_b:seed=0,B=1", "finite_horizon:B=2", "hull_s12", LEVELS, "cartpole4"])
    def test_are_drawn_whatever_the_problem(self, name: str, tmp_path: Path) -> None:
        problem = instances.load(name).problem
        for method in methods_of(problem):
            if method in ("multistart", "dual", "trust_region", "stages", "levels", "flat", "random"):
                options = {"starts": 1} if method == "multistart" else {}
                solve(problem, method, quiet=True, **options).plot(tmp_path / f"{method}.png")
        assert all(file.stat().st_size > 5000 for file in tmp_path.iterdir())

    def test_for_many_budgets_rise_with_the_budget(self, tmp_path: Path) -> None:
        solved = solve_for_budgets(instances.load(RIVER).problem, (0.0, 0.5, 1.0, 2.0), ("trust_region", "linearised"))
        values = [result.value for result in solved["trust_region"]]
        assert values == sorted(values)
        assert values[0] == solved["trust_region"][0].nominal_value
        figures.draw_budgets(solved, tmp_path / "budgets.png")
        assert (tmp_path / "budgets.png").stat().st_size > 5000


class TestCommand:
    def test_solves_and_keeps_all_of_it(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        directory = tmp_path / "river"
        assert (
            main(
                [
                    "solve",
                    RIVER,
                    "--method",
                    "multistart",
                    "--options",
                    "starts=2",
                    "--budgets",
                    "0.5",
                    "1",
                    "--run-dir",
                    str(directory),
                ]
            )
            == 0
        )
        out = capsys.readouterr().out
        assert "best known                15.3932182" in out
        record = json.loads((directory / "result.json").read_text())
        assert record["value"] == pytest.approx(15.3932182, abs=1e-6)
        assert record["instance"] == RIVER
        assert [each["budget"] for each in record["budgets"]["linearised"]] == [0.5, 1.0]
        assert {"command", "versions", "commit", "seed", "certificate"} <= set(record)
        with np.load(directory / "result.npz") as arrays:
            assert arrays["kernels"].shape == (6, 1, 6)
            np.testing.assert_allclose(arrays["kernels"].sum(axis=-1), 1.0, rtol=0.0, atol=1e-12)
        assert all((directory / name).stat().st_size > 5000 for name in ("result.png", "budgets.png"))

    def test_compares_budgets_where_nothing_is_linearised(self, tmp_path: Path) -> None:
        directory = tmp_path / "per_use"
        assert main(["solve", "class_b:seed=0,B=1", "--budgets", "1", "2", "--run-dir", str(directory)]) == 0
        record = json.loads((directory / "result.json").read_text())
        assert {method: len(results) for method, results in record["budgets"].items()} == {"dual": 2}

    def test_leaves_a_directory_alone_that_holds_something(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "mine").write_text("mine")
        assert main(["solve", LEVELS, "--run-dir", str(tmp_path)]) == 2
        assert "holds something already" in capsys.readouterr().err
        assert [file.name for file in tmp_path.iterdir()] == ["mine"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["nothing"], "There is no instance 'nothing'"),
            ([DOORS, "--method", "dual"], "no method 'dual'"),
            ([DOORS, "--options", "starts"], "give NAME=VALUE"),
            ([LEVELS, "--budgets", "1"], "has no budget"),
        ],
    )
    def test_refuses_in_a_line(
        self, arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["solve", *arguments, "--run-dir", str(tmp_path / "run")]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error
        assert not (tmp_path / "run").exists()
