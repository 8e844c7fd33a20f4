"""What the page on other codebases shows works, and its table of forms is true."""

import re
from pathlib import Path

import gymnasium
import pytest

from reworld import actions

PAGE = (Path(__file__).parents[2] / "docs" / "using_reworld_elsewhere.md").read_text()
FORMS = re.findall(r"^\| `(\w+)(?:\((.*?)\))?` \| `([^`]+)`", PAGE, re.MULTILINE)


def test_code_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {"__name__": "page"})


@pytest.mark.parametrize(("wrapper", "arguments", "written"), FORMS, ids=[name for name, _, _ in FORMS])
def test_spaces_are_as_written(wrapper, arguments, written):
    bins = {"bins": int(arguments.removeprefix("bins="))} if arguments else {}
    space = getattr(actions, wrapper)(gymnasium.make("reworld/Platform-v0"), **bins).action_space
    found = re.sub(r"Box\([^()]*\((\d+),\), float32\)", r"Box(\1)", str(space))
    assert sorted(re.findall(r"\w+", found)) == sorted(re.findall(r"\w+", written))


def test_every_form_is_in_the_table():
    single = {name for name in actions.__all__ if name.endswith("Action") and not name.startswith("Vector")}
    assert {name for name, _, _ in FORMS} == single
