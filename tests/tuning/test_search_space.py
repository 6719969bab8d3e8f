"""The search space of a config: what Optuna is asked for, and every mistake in one sentence before the first trial."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field

from goldfold.competition import Plan, Recipe
from goldfold.errors import GoldfoldError
from goldfold.experiment import config as configs
from goldfold.experiment.workspace import Workspace
from goldfold.params import Params
from goldfold.tuning.search_space import Space
from goldfold.tuning.work import own_values, searched_by


class Forest(Params):
    kind: str = "trees"
    trees: int = Field(100, ge=1, le=1000)
    rate: float = Field(0.1, gt=0)
    depth: int | None = None
    levels: tuple[int, ...] = (4,)
    flat: bool = False


RECIPES = {"forest": Recipe(params=Forest, build=lambda params, rows, runtime: Plan(predict=lambda *_: None))}


def searched(search: dict, **values) -> Space:
    config = configs.resolve("baseline", {"recipe": "forest", "search": search, **values}, RECIPES)
    return searched_by(config, RECIPES)


def drawn(space: Space, trials: int = 40, **values) -> list[dict]:
    base = own_values(configs.resolve("baseline", {"recipe": "forest", **values}, RECIPES))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.drawn(study.ask(), base) for _ in range(trials)]


def test_types_come_from_the_parameters():
    space = searched(
        {
            "rate": {"low": 0.01, "high": 1, "log": True},
            "trees": {"low": 100, "high": 500, "step": 150},
            "depth": [None, 3, 5],
            "levels": [[4], [1, 2]],
            "clip": [None, 1.0],
        }
    )
    kinds = {entry.key: entry.distribution for entry in space.entries}
    assert kinds["rate"] == FloatDistribution(0.01, 1.0, log=True)
    assert kinds["trees"] == IntDistribution(100, 400, step=150)  # 500 is no step of it
    assert kinds["depth"] == CategoricalDistribution((None, 3, 5))
    assert kinds["levels"] == CategoricalDistribution(("[4]", "[1, 2]"))
    values = drawn(space)
    assert {tuple(each["levels"]) for each in values} == {(4,), (1, 2)}
    assert {each["trees"] for each in values} == {100, 250, 400}
    assert {each["clip"] for each in values} == {None, 1.0}


def test_a_condition_is_searched_with_its_parameter_alone():
    """Written before what it depends on, which itself depends on another."""
    space = searched(
        {
            "depth": {"low": 2, "high": 9, "when": {"flat": False}},
            "flat": {"choices": [True, False], "when": {"kind": ["trees", "both"]}},
            "kind": ["trees", "linear", "both"],
        },
        depth=4,
    )
    assert [entry.key for entry in space.entries].index("depth") == 2
    values = drawn(space, 80, depth=4)
    assert any("flat" in each for each in values)
    for each in values:
        assert ("flat" in each) == (each["kind"] in ("trees", "both"))
        # without `flat` among the searched, the config's own value, false, holds
        assert ("depth" in each) == (not each.get("flat", False))


def test_the_config_itself_is_trial_0():
    space = searched({"rate": {"low": 0.01, "high": 1.0}, "levels": [[4], []]})
    assert space.own({"rate": 0.1, "levels": [4]}) == {"rate": 0.1, "levels": "[4]"}


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ({"treess": [1, 2]}, "did you mean 'trees'"),
        ({"seeds": [[0], [1]]}, "must not change 'seeds'"),
        ({"folds": [[0], [1]]}, "must not change 'folds'"),
        ({"rate": {"low": 1.0, "high": 0.1}}, "low below high, it goes from 1.0 to 0.1"),
        ({"rate": {"low": 0.1, "high": 0.1}}, "low below high"),
        ({"rate": {"low": 0, "high": 1, "log": True}}, "its low end is 0"),
        ({"rate": {"low": 0.0, "high": 1}}, "search of rate: config 'baseline' has rate: 0.0"),
        ({"rate": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}, "exclude each other"),
        ({"rate": {"low": 0.1, "high": 1, "step": 2}}, "must lie in (0, 0.9]"),
        ({"rate": {"low": 0.1, "hihg": 1}}, "low: ..., high"),
        ({"rate": {"low": 0.1, "high": 1, "logg": True}}, "did you mean 'log'"),
        ({"rate": {"low": "a", "high": 1}}, "made of numbers and has 'a'"),
        ({"rate": {"low": 0.1, "high": float("inf")}}, "made of numbers and has inf"),
        ({"rate": {"low": 0.1, "high": 1, "log": "yes"}}, "must be true or false"),
        ({"trees": {"low": 1.5, "high": 3}}, "whole number and its range has 1.5"),
        ({"trees": {"low": 1, "high": 2000}}, "less than or equal to 1000"),
        ({"trees": [100, "many"]}, "valid integer"),
        ({"kind": {"low": 1, "high": 2}}, "give a list"),
        ({"trees": [100]}, "two or more"),
        ({"trees": [100, 100]}, "two or more different"),
        ({"trees": 100}, "must be a list of values or"),
        ({"trees": [50, 200]}, "its trees: 100 is not in the search"),
        ({"trees": {"low": 10, "high": 90}}, "its trees: 100 is not in the search"),
        ({"trees": {"low": 1, "high": 500, "step": 2}}, "its trees: 100 is not in the search"),
        ({"trees": {"choices": [100, 200], "when": "flat"}}, "must be {parameter: value}"),
        ({"trees": {"choices": [100, 200], "when": {"flatt": True}}}, "did you mean 'flat'"),
        ({"trees": {"choices": [100, 200], "when": {"flat": True}}}, "which it never is (only False)"),
        (
            {
                "kind": {"choices": ["trees", "no"], "when": {"flat": False}},
                "flat": {"choices": [True, False], "when": {"kind": "no"}},
            },
            "in a circle",
        ),
        ({}, "no search space"),
        ([1], "no search space"),
    ],
)
def test_mistakes_are_refused_before_the_first_trial(search, told):
    with pytest.raises(GoldfoldError) as refused:
        searched(search)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_shipped_configs_have_spaces_that_hold_themselves(request):
    """Every config with a `search:` block names parameters that exist, and lies in its own space."""
    root = request.config.rootpath
    checked = 0
    for path in sorted((root / "configs").glob("*/*.yaml")):
        if "\nsearch:" not in path.read_text(encoding="utf-8"):
            continue
        recipes = Workspace().competition(path.parent.name).recipes
        searched_by(configs.read(path, [], recipes), recipes)
        checked += 1
    assert checked
