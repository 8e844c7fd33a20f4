"""The two returns that everybody is measured by are there for every recommended set-up, and make sense."""

import gymnasium
import pytest

import reworld
from reworld.errors import InvalidOption

IDS = [id for id, spec in gymnasium.registry.items() if id.startswith("reworld/") and "changing" in spec.kwargs]


def test_every_world_has_a_recommended_set_up() -> None:
    names = {id.partition("/")[2].partition("-")[0] for id in gymnasium.registry if id.startswith("reworld/")}
    worlds = {name for name in names if not name.startswith("Configurable")}
    assert {id.partition("/Configurable")[2].partition("-")[0] for id in IDS} == worlds


@pytest.mark.parametrize("id", IDS)
class TestReference:
    def test_configuring_is_worth_at_least_30_percent_of_the_better_return(self, id: str) -> None:
        known = reworld.reference(id)
        assert known.configuring.mean > 0.0
        assert known.configuring.low - known.without.high >= 0.3 * known.configuring.mean

    def test_it_is_not_free(self, id: str) -> None:
        known = reworld.reference(id)
        assert known.without.cost == 0.0
        assert known.configuring.cost >= 0.05 * (known.configuring.mean - known.without.mean)

    def test_random_changes_do_not_do(self, id: str) -> None:
        known = reworld.reference(id)
        assert known.random.high < known.without.low

    def test_the_score_is_0_without_and_1_with(self, id: str) -> None:
        known = reworld.reference(id)
        assert known.score(known.without.mean) == 0.0
        assert known.score(known.configuring.mean) == 1.0
        assert known.score(0.5 * (known.without.mean + known.configuring.mean)) == pytest.approx(0.5)


def test_a_finite_world_has_exact_ones() -> None:
    exact = {id for id in IDS if reworld.reference(id).configuring.exact and reworld.reference(id).without.exact}
    assert exact == {"reworld/ConfigurableBlockWorld-v0", "reworld/ConfigurableTabular-v0"}


def test_a_world_without_references_is_named() -> None:
    with pytest.raises(InvalidOption, match=r"no references of 'reworld/ConfigurablePlatfrm-v0'.*ConfigurablePlatform"):
        reworld.reference("reworld/ConfigurablePlatfrm-v0")
