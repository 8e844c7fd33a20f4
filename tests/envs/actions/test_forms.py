"""What an action in each form means: a branch, and the parameters of all branches in one row."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import Error, InvalidAction
from gymnasium.vector.utils import batch_space, iterate
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reworld.actions import read_flat, read_layout, to_physical
from reworld.actions.forms import LARGEST_GRID, Digits, FlatBox, FlatTuple, Grid, NamedDict, OneOf, Rescaled
from reworld.environment import WorldEnv
from reworld.worlds.cartpole import WORLD as CARTPOLE
from worlds.panel import WORLD as PANEL

LAYOUT = read_layout(WorldEnv(PANEL).action_space)
BRANCHES_ALONE = read_layout(WorldEnv(CARTPOLE).action_space)
NAMES = tuple(branch.name for branch in PANEL.branches)
ALL, BATCH_ALL = np.ones(3, np.int8), np.ones((4, 3), np.int8)
FLAT = arrays(np.float32, 6, elements=st.floats(-1.0, 1.0, width=32))

FORMS = {
    "rescaled": Rescaled,
    "flat tuple": FlatTuple,
    "dict": lambda *where: NamedDict(*where, names=NAMES[: where[0].branches]),
    "one of": OneOf,
    "flat box": FlatBox,
    "grid": lambda *where: Grid(*where, bins=3),
    "digits": lambda *where: Digits(*where, bins=3),
}


def meaning(form, action, mask=ALL):
    """The branch, and its own parameters."""
    branch, row = form.read(action, mask)
    assert row.shape == (len(form.layout.low),)
    return int(branch), form.layout.split(row)[branch].tolist()


def make_layout(*sizes):
    boxes = [spaces.Box(0.0, 1.0, (size,), np.float32) for size in sizes]
    return read_layout(spaces.Tuple((spaces.Discrete(len(sizes)), spaces.Tuple(boxes))))


class TestEveryForm:
    @pytest.mark.parametrize("name", FORMS)
    def test_means_a_branch_with_parameters_within_their_bounds(self, name):
        form = FORMS[name](LAYOUT)
        form.space.seed(0)
        seen = set()
        for _ in range(100):
            action = form.space.sample()
            branch, row = form.read(action, ALL)
            seen.add(int(branch))
            own = slice(LAYOUT.offsets[branch], LAYOUT.offsets[branch + 1])
            assert (LAYOUT.low[own] <= row[own]).all()
            assert (row[own] <= LAYOUT.high[own]).all()
        assert seen == {0, 1, 2}

    @pytest.mark.parametrize("name", sorted(FORMS.keys() - {"one of"}))
    def test_reads_a_batch_one_by_one(self, name):
        one, many = FORMS[name](LAYOUT), FORMS[name](LAYOUT, (4,))
        space = batch_space(one.space, 4)
        space.seed(0)
        for _ in range(20):
            actions = space.sample()
            branches, rows = many.read(actions, BATCH_ALL)
            for i, action in enumerate(iterate(space, actions)):
                branch, row = one.read(action, ALL)
                assert branches[i] == branch
                assert rows[i].tolist() == row.tolist()

    @pytest.mark.parametrize("name", sorted(FORMS.keys() - {"rescaled"}))
    def test_knows_branches_alone(self, name):
        form = FORMS[name](BRANCHES_ALONE)
        form.space.seed(0)
        assert {int(form.read(form.space.sample(), np.ones(2, np.int8))[0]) for _ in range(50)} == {0, 1}

    @pytest.mark.parametrize("name", sorted(FORMS.keys() - {"grid"}))
    def test_passes_the_mask_of_branches_on(self, name):
        mask = np.array([1, 0, 1], np.int8)
        assert FORMS[name](LAYOUT).extend_mask(mask) is mask

    @pytest.mark.parametrize(
        ("name", "action"),
        [
            ("rescaled", 1),
            ("rescaled", (1, 2.0)),
            ("rescaled", (1, ("a", "b", "c"))),
            ("rescaled", (1, (np.zeros(2), np.zeros(0)))),
            ("rescaled", (1, (np.zeros(2), np.zeros(0), 0.0))),
            ("rescaled", (1, np.zeros(4))),
            ("flat tuple", 1),
            ("flat tuple", (1, np.zeros(2))),
            ("flat tuple", (1, [[1.0], [2.0, 3.0]])),
            ("flat tuple", (1, ["a", "b", "c"])),
            ("dict", 1),
            ("dict", {"branch": 1}),
            ("dict", {"branch": 1, "slide": np.zeros(2), "turn": np.zeros(2)}),
            ("dict", {"branch": 1, "slide": np.zeros(2), "turn": "x"}),
            ("one of", 1),
            ("one of", (3, np.zeros(1))),
            ("one of", (-2, np.zeros(1))),
            ("one of", (0.0, np.zeros(2))),
            ("one of", (0, np.zeros(3))),
            ("grid", -1),
            ("grid", 13),
            ("grid", 1.0),
            ("grid", [1]),
            ("digits", [0, 0, 0]),
            ("digits", [0, 0, 3, 0]),
            ("digits", [3, 0, 0, 0]),
            ("digits", [0, -1, 0, 0]),
            ("digits", [0.0, 0.0, 0.0, 0.0]),
            ("digits", [[0], [0, 1]]),
        ],
    )
    def test_refuses_what_is_not_its_own_and_says_what_is(self, name, action):
        with pytest.raises(InvalidAction, match=r"\. Give "):
            FORMS[name](LAYOUT).read(action, ALL)


class TestRescaled:
    def test_takes_a_tuple_or_a_row(self):
        own = (np.array([-1.0, 0.0]), np.empty(0), np.array([1.0]))
        assert meaning(Rescaled(LAYOUT), (0, own)) == (0, [-2.0, 5.0])
        assert meaning(Rescaled(LAYOUT), (2, np.array([-1.0, 0.0, 1.0]))) == (2, [3.0])

    def test_refuses_branches_without_parameters(self):
        with pytest.raises(Error, match=r"nothing to rescale.*FlatBoxAction"):
            Rescaled(BRANCHES_ALONE)


class TestFlatTuple:
    def test_gives_a_row_in_the_units_of_the_space(self):
        form = FlatTuple(LAYOUT)
        row = spaces.Box(np.float32([-2, 0, -1]), np.float32([6, 10, 3]))
        assert form.space == spaces.Tuple((spaces.Discrete(3), row))
        assert meaning(form, (0, [4.0, 7.5, 99.0])) == (0, [4.0, 7.5])


class TestNamedDict:
    def test_has_an_entry_for_each_branch_with_parameters(self):
        form = NamedDict(LAYOUT, names=NAMES)
        assert set(form.space) == {"branch", "slide", "turn"}
        assert form.space["slide"] == LAYOUT.boxes()[0]
        assert meaning(form, {"branch": 2, "slide": [0.0, 0.0], "turn": [1.5]}) == (2, [1.5])
        assert meaning(form, {"branch": 0, "slide": [1.0, 2.0], "turn": [1.5]}) == (0, [1.0, 2.0])

    def test_needs_its_own_name_for_the_choice(self):
        with pytest.raises(Error, match="called 'branch'"):
            NamedDict(LAYOUT, names=("slide", "branch", "turn"))


class TestOneOf:
    def test_holds_one_branch_with_its_own_parameters(self):
        form = OneOf(LAYOUT)
        assert form.space == spaces.OneOf(LAYOUT.boxes())
        assert meaning(form, (0, np.array([4.0, 7.5]))) == (0, [4.0, 7.5])
        assert meaning(form, (1, np.empty(0))) == (1, [])
        assert meaning(form, (np.int64(2), [1.5])) == (2, [1.5])


class TestFlatBox:
    @given(FLAT)
    def test_the_largest_score_chooses_the_first_of_equals(self, flat):
        branch, row = FlatBox(LAYOUT).read(flat, ALL)
        assert flat[branch] == flat[:3].max()
        assert (flat[:branch] < flat[branch]).all()
        np.testing.assert_array_equal(row, to_physical(LAYOUT, flat[3:]))

    @given(FLAT, arrays(np.int8, 3, elements=st.integers(0, 1)).filter(np.any))
    def test_chooses_among_the_allowed(self, flat, mask):
        branch, _ = FlatBox(LAYOUT).read(flat, mask)
        assert mask[branch]
        assert flat[branch] == flat[:3][mask == 1].max()

    @given(FLAT)
    def test_read_flat_gives_an_element_of_the_world_s_own_space(self, flat):
        assert WorldEnv(PANEL).action_space.contains(read_flat(LAYOUT, flat))
        assert read_flat(BRANCHES_ALONE, flat[:2]) == flat[:2].argmax()

    @pytest.mark.parametrize(
        ("flat", "reason"),
        [
            (np.zeros(5), r"has shape \(5,\)\. Give finite numbers of shape \(6,\): a score for each of the 3 branches"),
            (np.zeros((1, 6)), r"has shape \(1, 6\)"),
            ([0, np.nan, 0, 0, 0, 0], r"Entry \[1\] of the flat action is nan"),
            ([0, 0, 0, 0, 0, -np.inf], r"Entry \[5\] of the flat action is -inf"),
            ("left", "'left' is no flat action"),
            (None, r"has shape \(\)"),
            ((1, (2, 3)), "no flat action"),
        ],
    )
    def test_refuses_what_is_malformed(self, flat, reason):
        with pytest.raises(InvalidAction, match=reason):
            FlatBox(LAYOUT).read(flat, ALL)

    def test_names_the_environment_whose_action_is_malformed(self):
        flat = np.zeros((4, 6))
        flat[1, 4] = np.nan
        with pytest.raises(InvalidAction, match=r"Entry \[1, 4\]"):
            FlatBox(LAYOUT, (4,)).read(flat, BATCH_ALL)


class TestGrid:
    def test_counts_every_combination(self):
        form = Grid(LAYOUT, bins=3)
        assert form.space == spaces.Discrete(9 + 1 + 3)
        every = [meaning(form, number) for number in range(13)]
        assert every[:4] == [(0, [-2.0, 0.0]), (0, [2.0, 0.0]), (0, [6.0, 0.0]), (0, [-2.0, 5.0])]
        assert every[8:] == [(0, [6.0, 10.0]), (1, []), (2, [-1.0]), (2, [1.0]), (2, [3.0])]
        assert len({(branch, tuple(own)) for branch, own in every}) == 13

    @given(
        st.lists(st.integers(0, 3), min_size=1, max_size=5),
        st.integers(2, 6),
        st.floats(-1e4, 1e4, width=32),
        st.floats(1.0, 1e9, width=32),
    )
    def test_reaches_every_branch_and_both_ends_of_every_parameter(self, sizes, bins, low, width):
        bounds = low, float(np.float32(low + width))
        boxes = [spaces.Box(*bounds, (size,), np.float32) for size in sizes]
        layout = read_layout(spaces.Tuple((spaces.Discrete(len(sizes)), spaces.Tuple(boxes))))
        form = Grid(layout, (sum(bins**size for size in sizes),), bins=bins)
        branches, rows = form.read(np.arange(form.space.n), np.ones((1, len(sizes))))
        for branch, size in enumerate(sizes):
            own = layout.split(rows[branches == branch])[branch]
            assert len(np.unique(own, axis=0)) == bins**size
            assert (own.min(axis=0) == bounds[0]).all()
            assert (own.max(axis=0) == bounds[1]).all()

    def test_allows_the_actions_of_the_allowed_branches(self):
        form = Grid(LAYOUT, bins=3)
        mask = form.extend_mask(np.array([0, 1, 1], np.int8))
        assert mask.dtype == np.int8
        assert mask.tolist() == [0] * 9 + [1] * 4
        assert Grid(LAYOUT, (4,), bins=3).extend_mask(BATCH_ALL).shape == (4, 13)

    def test_is_as_large_as_said_and_no_larger(self):
        assert Grid(make_layout(16), bins=2).space.n == LARGEST_GRID
        with pytest.raises(Error, match="bins=2 makes 65537 actions, more than 65536: use MultiDiscreteAction"):
            Grid(make_layout(16, 0), bins=2)
        with pytest.raises(Error, match=r"bins=100 makes 1000000 actions, .*: give at most bins=40, or use"):
            Grid(make_layout(3), bins=100)
        assert Grid(make_layout(3), bins=40).space.n == 64_000

    @pytest.mark.parametrize("form", [Grid, Digits])
    @pytest.mark.parametrize("bins", [1, 0, -3, 2.0])
    def test_needs_both_ends(self, form, bins):
        with pytest.raises(Error, match="give an integer from 2 on"):
            form(LAYOUT, bins=bins)


class TestDigits:
    def test_gives_every_parameter_a_value(self):
        form = Digits(LAYOUT, bins=5)
        assert form.space == spaces.MultiDiscrete([3, 5, 5, 5])
        assert meaning(form, [0, 0, 4, 0]) == (0, [-2.0, 10.0])
        assert meaning(form, [0, 2, 1, 0]) == (0, [2.0, 2.5])
        assert meaning(form, np.array([2, 0, 0, 3])) == (2, [2.0])
        assert meaning(form, [1, 4, 4, 4]) == (1, [])
