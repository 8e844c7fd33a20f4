"""Problems by name: those that come with reworld, those of a user's own file, and those of a module."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reworld.changing.levels import Levels
from reworld.errors import InvalidOption
from reworld_baselines.mctvmdp import MDP, TVCMDP, MultiLevelMDP, RowCost, instances, methods_of, solve

HALVES = np.full((2, 1, 2), 0.5)


def written(path: Path, **changes: Any) -> str:
    np.savez(path, **{"kernel": HALVES, "rewards": np.array([[0.0], [1.0]]), "discount": 0.9, **changes})
    return str(path)


class TestInstances:
    def test_are_106_in_14_files(self) -> None:
        names = instances.names()
        assert len(names) == len(set(names)) == 106
        assert len({name.partition(":")[0] for name in names}) == 14

    @pytest.mark.parametrize("name", [name for name in instances.names() if not name.startswith(("tiny", "blockworld"))])
    def test_can_be_solved_and_their_value_is_known(self, name: str) -> None:
        instance = instances.load(name)
        assert instance.name == name
        assert instance.best_known is not None
        assert methods_of(instance.problem)

    @pytest.mark.parametrize("file", ["stepping_stones5", "two_doors", "random_s6a2", "random_s20a4"])
    def test_store_a_change_that_has_the_best_known_value(self, file: str) -> None:
        arrays = instances.arrays_of(file)
        stored = [key for key in arrays if key.startswith("x_best_B")]
        assert stored
        for key in stored:
            instance = instances.load(f"{file}:B={key.removeprefix('x_best_B')}")
            change = arrays[key].ravel()
            assert instance.problem.price(change) <= instance.problem.budget * (1.0 + 1e-9)
            changed = solve(TVCMDP(instance.problem.model(change), RowCost(), budget=0.0), "trust_region", quiet=True)
            assert changed.value == pytest.approx(instance.best_known, rel=1e-9)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("two_dors", "Did you mean 'two_doors'?"),
            ("two_doors", "of two_doors there are two_doors:B=0.5, two_doors:B=1"),
            ("two_doors:B=3", "there are two_doors:B=0.5"),
            ("reworld.nowhere:PROBLEM", "name it as 'package.module:NAME'"),
        ],
    )
    def test_of_another_name_are_refused_with_those_there_are(self, name: str, message: str) -> None:
        with pytest.raises(InvalidOption, match=re.escape(message)):
            instances.load(name)


class TestModules:
    def test_give_levels_of_a_finite_world_as_a_problem(self) -> None:
        problem = instances.load("reworld.changing.levels.games:river_swim_levels").problem
        assert isinstance(problem, MultiLevelMDP)
        assert len(problem.levels) == 2

    def test_give_levels_of_another_world_as_they_are(self) -> None:
        assert isinstance(instances.load("reworld.changing.levels.games:cartpole_levels").problem, Levels)


class TestOwnFiles:
    def test_hold_a_decision_process_and_the_terms_of_its_change(self, tmp_path: Path) -> None:
        path = written(tmp_path / "own.npz", start=[1.0, 0.0], cost="l1", scale=2.0, budget=0.4, budget_class="per_row")
        problem = instances.load(path).problem
        assert isinstance(problem, TVCMDP)
        assert (problem.cost.kind, problem.cost.scale) == ("l1", 2.0)
        np.testing.assert_array_equal(problem.budget, 0.4)
        assert problem.budget_class == "per_row"
        np.testing.assert_array_equal(problem.mdp.start, [1.0, 0.0])

    def test_are_solved_as_the_same_problem_in_memory_is(self, tmp_path: Path) -> None:
        problem = TVCMDP(MDP(HALVES, [[0.0], [1.0]], 0.9), RowCost("exponential"), budget=1.0)
        own = instances.load(written(tmp_path / "own.npz", budget=1.0)).problem
        assert solve(own, "trust_region", quiet=True).value == solve(problem, "trust_region", quiet=True).value

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"kernel": [[[0.5, 0.4]], [[0.5, 0.5]]]}, r"kernel\[0, 0\] is \[0.5, 0.4\], of sum 0.9"),
            ({"kernel": [[[1.5, -0.5]], [[0.5, 0.5]]]}, r"kernel\[0, 0\] is \[1.5, -0.5\]"),
            ({"rewards": [[np.nan], [0.0]]}, r"rewards\[0, 0\] is nan"),
            ({"discount": 1.0}, r"discount=1.0: give a number in \[0, 1\)"),
            ({"budget": -1.0}, "budget is -1.0: give a finite number of at least 0"),
            ({"buget": 1.0}, "Did you mean 'budget'?"),
            ({"scale": [1.0, 2.0]}, r"scale in .* has shape \(2,\): give a single one"),
            ({"cost": "l2"}, "cost kind"),
        ],
    )
    def test_that_hold_something_else_are_refused_with_what_is_wrong(
        self, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InvalidOption, match=message):
            instances.load(written(tmp_path / "own.npz", **changes))

    def test_lacking_something_are_refused_by_its_name(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "own.npz", kernel=HALVES)
        with pytest.raises(InvalidOption, match="lacks rewards, discount"):
            instances.load(str(tmp_path / "own.npz"))

    def test_that_cannot_be_read_are_named_and_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "own.npz").write_bytes(b"nothing of the kind")
        with pytest.raises(InvalidOption, match=r"own\.npz cannot be read"):
            instances.load(str(tmp_path / "own.npz"))
        assert (tmp_path / "own.npz").read_bytes() == b"nothing of the kind"
