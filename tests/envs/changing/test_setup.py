"""A description of what may be changed refuses what contradicts itself, and can be given in several forms."""

import dataclasses
import json
from typing import Any

import pytest

from reworld.changing import Changing, Cost, SetUp
from reworld.changing.setup import read_changing
from reworld.errors import InvalidOption

NAMED: dict[str, Any] = {"mode": "choose", "configurations": {"calm": {"wind": 0.0}, "gale": {"wind": 15.0}}}
FULL = Changing(
    parameters={"gravity": (5.0, 15.0), "wind": (0.0, 20.0)},
    mode="shift",
    nominal={"wind": 10.0},
    largest_shift=0.25,
    failure=0.1,
    takes_effect="next_epoch",
    epoch=5,
    survives_reset=True,
    cost=Cost(kind="exponential", scale=2.0, rate=1.5, weights={"wind": 3.0}, measured_from="nominal"),
    cost_in_reward=False,
    budget=4.0,
    budget_per="change",
    observation="dict",
    observe_budget=True,
)


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"kind": "l2"}, "cost kind='l2' is unknown. Known names: exponential, l1, quadratic"),
            ({"measured_from": "nominl"}, r"measured_from='nominl' is unknown\. Did you mean 'nominal'\?"),
            ({"scale": -1.0}, r"scale=-1\.0: give a finite number of at least 0"),
            ({"scale": float("nan")}, "scale=nan"),
            ({"rate": float("inf")}, "rate=inf"),
            ({"weights": {"gravity": -0.5}}, r"gravity=-0\.5"),
        ],
    )
    def test_of_costs(self, wrong: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidOption, match=said):
            Cost(**wrong)

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({}, "name at least one to change"),
            ({"parameters": ()}, "name at least one to change"),
            ({"parameters": "gravity"}, r"name at least one to change, as in parameters=\('gravity',\)"),
            ({"parameters": ("gravity",), "mode": "sett"}, r"mode='sett' is unknown\. Did you mean 'set'\?"),
            ({"parameters": ("gravity",), "takes_effect": "later"}, "Known names: at_once, next_epoch"),
            ({"parameters": ("gravity",), "budget_per": "steps"}, "budget_per='steps' is unknown"),
            ({"parameters": ("gravity",), "observation": "append"}, "Did you mean 'appended'"),
            ({"parameters": ("gravity",), "epoch": 0}, "epoch=0: give a number of primitive steps, at least 1, or 'episode'"),
            ({"parameters": ("gravity",), "epoch": 2.0}, r"epoch=2\.0"),
            ({"parameters": ("gravity",), "epoch": "episodes"}, "epoch='episodes'"),
            ({"parameters": ("gravity",), "largest_shift": 0.0}, "largest_shift"),
            ({"parameters": ("gravity",), "largest_shift": 1.1}, "largest_shift"),
            ({"parameters": ("gravity",), "failure": 1.0}, r"failure=1\.0: give a probability in \[0, 1\)"),
            ({"parameters": ("gravity",), "failure": -0.1}, "failure"),
            ({"parameters": ("gravity",), "budget": -1.0}, r"budget=-1\.0: give a finite number of at least 0, or None"),
            ({"parameters": ("gravity",), "budget": float("inf")}, "budget=inf"),
            ({"parameters": ("gravity",), "observe_budget": True}, "needs a budget to observe"),
            ({"parameters": ("gravity",), "observe_budget": True, "budget": 1.0, "observation": "hidden"}, "to put it in"),
            ({"parameters": ("gravity",), "cost": "quadratic"}, "cost='quadratic': give a reworld.changing.Cost"),
            ({"parameters": ("gravity",), "cost": {"kinds": "l1"}}, r"Cost has no field 'kinds'\. Did you mean 'kind'"),
            ({"parameters": ("gravity",), "moves": {}}, "go with mode='choose', not with mode='set'"),
            ({"parameters": ("gravity",), "configurations": {"a": {}}}, "go with mode='choose'"),
            ({"parameters": ("gravity",), **NAMED}, "leave out parameters"),
            ({"mode": "choose", "configurations": {"calm": {}}}, "at least two configurations"),
            ({**NAMED, "moves": {"calm": ["gal"]}}, r"moves names 'gal', no configuration\. Did you mean 'gale'\?"),
            ({**NAMED, "moves": {"storm": ["gale"]}}, "moves names 'storm'"),
            ({**NAMED, "moves": {"calm": {"gale": -1.0}}}, r"The price -1\.0 of the move to 'gale'"),
            ({**NAMED, "moves": {"calm": {"gale": float("inf")}}}, "The price inf"),
            ({**NAMED, "moves": {"calm": {"gale": 1.0}, "gale": ["calm"]}}, "Some moves have prices and some have not"),
        ],
    )
    def test_of_changes(self, wrong: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidOption, match=said):
            Changing(**wrong)


class TestForms:
    """What ``changing=…`` may be."""

    def test_the_thing_itself(self) -> None:
        assert read_changing(FULL) is FULL

    def test_its_fields_even_after_json(self) -> None:
        again = read_changing(json.loads(json.dumps(dataclasses.asdict(FULL))))
        assert isinstance(again, Changing)
        assert again.cost == FULL.cost
        # JSON knows lists only.
        assert again == dataclasses.replace(FULL, parameters={"gravity": [5.0, 15.0], "wind": [0.0, 20.0]})

    def test_where_to_find_it(self) -> None:
        found = read_changing("reworld.changing.recommended.cartpole:SET_UP")
        assert isinstance(found, SetUp)
        assert read_changing("reworld.changing.recommended.cartpole:CHANGING") is found.changing

    def test_where_to_find_its_fields(self) -> None:
        assert read_changing(f"{__name__}:NAMED") == Changing(**NAMED)

    @pytest.mark.parametrize(
        "nowhere",
        ["platform", "reworld.changing.recommended.nothing:SET_UP", "reworld.changing.recommended.cartpole:SETUP", ""],
    )
    def test_not_where_there_is_none(self, nowhere: str) -> None:
        with pytest.raises(InvalidOption, match=r"name it as 'package\.module:NAME'"):
            read_changing(nowhere)

    def test_a_misspelt_field_is_named(self) -> None:
        with pytest.raises(InvalidOption, match=r"Changing has no field 'budgets'\. Did you mean 'budget'"):
            read_changing({"parameters": ["gravity"], "budgets": 3.0})

    @pytest.mark.parametrize("thing", [3, ("gravity",), Changing], ids=repr)
    def test_nothing_else(self, thing: Any) -> None:
        with pytest.raises(InvalidOption, match=r"give a reworld\.changing\.Changing, or its fields as a dictionary"):
            read_changing(thing)
