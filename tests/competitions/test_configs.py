"""Every config is parsed; shipped ones say what they cost and score, and hold only what differs from the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from shipped import SHIPPED

from goldfold.experiment import config as configs
from goldfold.experiment.workspace import Workspace

ROOT = Path(__file__).parents[2]
OWN = [ROOT / "configs" / name / f"{config}.yaml" for name, shipped in SHIPPED.items() for config in shipped]


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*/*.yaml")), ids=named)
def test_is_parsed(path: Path) -> None:
    configs.read_config(path, [], Workspace().competition(path.parent.name).recipes)


@pytest.mark.parametrize("path", OWN, ids=named)
def test_a_shipped_config_says_its_command_cost_and_score(path: Path) -> None:
    recipes = Workspace().competition(path.parent.name).recipes
    config = configs.read_config(path, [], recipes)
    first, second, third = path.read_text(encoding="utf-8").splitlines()[:3]
    assert first == f"# command: make train COMP={path.parent.name} CONFIG={path.stem}"
    assert second.startswith("# cost: ")
    assert third.startswith("# score: ")
    defaults = configs.resolve_config("defaults", {"recipe": config.recipe}, recipes).resolved()
    told = set(yaml.safe_load(path.read_text(encoding="utf-8"))) - {"recipe", "search", "ablation", "decide"}
    repeated = {key for key in told if config.resolved()[key] == defaults[key]}
    assert not repeated, f"these only repeat the default: {repeated}"
