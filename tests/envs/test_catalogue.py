"""The table of worlds says what is registered, and loads nothing before it is asked."""

import subprocess
import sys

import gymnasium
import pytest

import reworld
from reworld.catalogue import describe_counts, describe_observation, find_entry
from reworld.errors import InvalidOption
from reworld.world import Branch, Quantity

PLATFORM = "reworld/Platform-v0"
RING = "catalogue/Ring-v0"


@pytest.fixture(autouse=True)
def _register() -> None:
    reworld.register(RING, "worlds.ring:ring", max_episode_steps=20)


class TestListWorlds:
    def test_has_every_registered_world_and_no_other(self) -> None:
        ids = [entry.spec.id for entry in reworld.list_worlds()]
        assert {PLATFORM, RING} <= set(ids)
        assert "CartPole-v1" in gymnasium.registry
        assert "CartPole-v1" not in ids
        assert ids == sorted(ids)

    def test_says_what_gymnasium_makes(self) -> None:
        entries = {entry.spec.id: entry for entry in reworld.list_worlds()}
        for id in (PLATFORM, RING):
            env = gymnasium.make(id)
            assert entries[id].world == env.unwrapped.world
            assert entries[id].spec.max_episode_steps == env.spec.max_episode_steps

    def test_prints_as_a_table(self) -> None:
        head, rule, *rows = str(reworld.list_worlds()).splitlines()
        assert head.split()[:2] == ["id", "branches"]
        assert set(rule) == {"-", " "}
        assert "reworld/Platform-v0 3 1 each 9 numbers 24 parameters 200 0.97" in [" ".join(row.split()) for row in rows]
        begins = head.index("observation")
        assert [row[begins:].split("  ")[0] for row in rows if row.startswith(RING)] == ["one of 5 states"]

    def test_nothing_is_loaded_before_it_is_asked_for(self) -> None:
        script = """if True:
            import sys, reworld
            assert "numba" not in sys.modules and "pygame" not in sys.modules
            assert not any(name.startswith("reworld.worlds.") for name in sys.modules)
            reworld.list_worlds()
            assert "reworld.worlds.platform" in sys.modules and "pygame" not in sys.modules
        """
        subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)})

    def test_an_unknown_public_name_is_refused_as_ever(self) -> None:
        with pytest.raises(AttributeError, match="module 'reworld' has no attribute 'list_wrlds'"):
            _ = reworld.list_wrlds


class TestFindEntry:
    def test_takes_the_arguments_of_a_family(self) -> None:
        assert find_entry(RING, size=7).world.observation == 7

    def test_imports_the_module_that_registers_it(self) -> None:
        assert find_entry("reworld:reworld/Platform-v0") == find_entry(PLATFORM)
        with pytest.raises(InvalidOption, match="'nowhere', which should register 'x/Y-v0', cannot be imported: No module"):
            find_entry("nowhere:x/Y-v0")

    @pytest.mark.parametrize("id", ["reworld/Plaform-v0", "reworld/Platform-v9"])
    def test_an_unknown_id_is_refused_with_the_nearest(self, id: str) -> None:
        with pytest.raises(InvalidOption, match=f"no world '{id}'. Did you mean '{PLATFORM}'"):
            find_entry(id)

    def test_another_environment_is_no_world(self) -> None:
        with pytest.raises(InvalidOption, match=r"no world 'CartPole-v1'\. Did you mean 'reworld/CartPole-v0'"):
            find_entry("CartPole-v1")


def _branches(*counts: int) -> tuple[Branch, ...]:
    quantity = Quantity("x", 0.0, 1.0, "", "")
    return tuple(Branch(str(k), "", (quantity,) * count) for k, count in enumerate(counts))


@pytest.mark.parametrize(
    ("counts", "text"),
    [((0, 0), "none"), ((2, 2), "2 each"), ((2, 0, 1), "2, 0, 1"), ((0, 1, 2, 3, 2, 1, 2), "0 to 3"), ((1,) * 64, "1 each")],
)
def test_parameters_of_branches_are_counted(counts: tuple[int, ...], text: str) -> None:
    assert describe_counts(_branches(*counts)) == text


def test_observations_are_counted() -> None:
    assert describe_observation(15) == "one of 15 states"
    assert describe_observation((Quantity("x", 0.0, 1.0, "", ""),) * 3) == "3 numbers"
