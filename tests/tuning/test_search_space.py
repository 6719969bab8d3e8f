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
    config = configs.resolve_config("baseline", {"recipe": "forest", "search": search, **values}, RECIPES)
    return searched_by(config, RECIPES)


def drawn(space: Space, trials: int = 40, **values) -> list[dict]:
    base = own_values(configs.resolve_config("baseline", {"recipe": "forest", **values}, RECIPES))
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


def test_a_step_in_decimals_reaches_its_end():
    (entry,) = searched({"rate": {"low": 0.1, "high": 0.7, "step": 0.1}}).entries
    assert entry.distribution == FloatDistribution(0.1, 0.7, step=0.1)


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
    ("search", "fact", "code"),
    [
        ({"treess": [1, 2]}, "did you mean 'trees'", "unknown_parameter"),
        ({"seeds": [[0], [1]]}, "'seeds' cannot be searched", "parameter_not_searchable"),
        ({"folds": [[0], [1]]}, "'folds' cannot be searched", "parameter_not_searchable"),
        ({"rate": {"low": 1.0, "high": 0.1}}, "low below high, and it goes from 1.0 to 0.1", "range_empty"),
        ({"rate": {"low": 0.1, "high": 0.1}}, "low below high", "range_empty"),
        ({"rate": {"low": 0, "high": 1, "log": True}}, "its range begins at 0", "log_of_zero"),
        ({"rate": {"low": 0.0, "high": 1}}, "search of rate: config 'baseline' has rate: 0.0", "invalid_value"),
        ({"rate": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}, "exclude each other", "log_with_step"),
        ({"rate": {"low": 0.1, "high": 1, "step": 2}}, "must lie in (0, 0.9]", "step_out_of_range"),
        ({"rate": {"low": 0.1, "hihg": 1}}, "low: ..., high", "invalid_search_entry"),
        ({"rate": {"low": 0.1, "high": 1, "logg": True}}, "did you mean 'log'", "unknown_search_key"),
        ({"rate": {"low": "a", "high": 1}}, "consist of finite numbers, and it has 'a'", "range_not_numeric"),
        (
            {"rate": {"low": 0.1, "high": float("inf")}},
            "finite numbers, and it has inf",
            "range_not_numeric",
        ),
        ({"rate": {"low": 0.1, "high": 1, "log": "yes"}}, "must be true or false", "log_not_boolean"),
        ({"trees": {"low": 1.5, "high": 3}}, "whole number, and its range has 1.5", "range_not_integer"),
        ({"trees": {"low": 1, "high": 2000}}, "less than or equal to 1000", "invalid_value"),
        ({"trees": [100, "many"]}, "valid integer", "invalid_value"),
        ({"kind": {"low": 1, "high": 2}}, "give a list", "range_of_non_number"),
        ({"trees": [100]}, "two or more", "too_few_choices"),
        ({"trees": [100, 100]}, "two or more different", "too_few_choices"),
        ({"trees": 100}, "must be a list of values or", "invalid_search_entry"),
        ({"trees": [50, 200]}, "its trees: 100 is not in the search", "config_outside_search"),
        ({"trees": {"low": 10, "high": 90}}, "its trees: 100 is not in the search", "config_outside_search"),
        ({"trees": {"low": 1, "high": 500, "step": 2}}, "its trees: 100 is not in the search", "config_outside_search"),
        ({"trees": {"choices": [100, 200], "when": "flat"}}, "must be {parameter: value}", "invalid_search_condition"),
        ({"trees": {"choices": [100, 200], "when": {"flatt": True}}}, "did you mean 'flat'", "unknown_parameter"),
        ({"trees": {"choices": [100, 200], "when": {"flat": True}}}, "and flat is only False", "condition_never_holds"),
        (
            {
                "kind": {"choices": ["trees", "no"], "when": {"flat": False}},
                "flat": {"choices": [True, False], "when": {"kind": "no"}},
            },
            "in a circle",
            "circular_conditions",
        ),
        ({}, "no search space", "no_search_space"),
        ([1], "no search space", "no_search_space"),
    ],
)
def test_mistakes_are_refused_before_the_first_trial(search, fact, code):
    with pytest.raises(GoldfoldError) as refused:
        searched(search)
    assert refused.value.code == code
    assert fact in str(refused.value)
    assert "\n" not in str(refused.value)


def test_shipped_configs_have_spaces_that_hold_themselves(request):
    """Every config with a `search:` block names parameters that exist, and lies in its own space."""
    root = request.config.rootpath
    checked = 0
    for path in sorted((root / "configs").glob("*/*.yaml")):
        if "\nsearch:" not in path.read_text(encoding="utf-8"):
            continue
        recipes = Workspace().competition(path.parent.name).recipes
        searched_by(configs.read_config(path, [], recipes), recipes)
        checked += 1
    assert checked
