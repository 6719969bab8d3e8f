"""Every shipped config is parsed, says what it costs and scores, and holds only what differs from the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from goldfold.experiment import config as configs
from goldfold.experiment.workspace import Workspace

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "configs").glob("*/*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_config(path: Path) -> None:
    recipes = Workspace().competition(path.parent.name).recipes
    config = configs.read_config(path, [], recipes)
    first, second, third = path.read_text(encoding="utf-8").splitlines()[:3]
    assert first == f"# command: make train COMP={path.parent.name} CONFIG={path.stem}"
    assert second.startswith("# cost: ")
    assert third.startswith("# score: ")
    defaults = configs.resolve_config("defaults", {"recipe": config.recipe}, recipes).resolved()
    told = set(yaml.safe_load(path.read_text(encoding="utf-8"))) - {"recipe", "search"}
    repeated = {key for key in told if config.resolved()[key] == defaults[key]}
    assert not repeated, f"these only repeat the default: {repeated}"
