"""`goldfold drift`: what it prints and writes, what it says of ids, and what it cannot compare."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_tables import define, on_columns, train

import goldfold as gf
from goldfold import metrics
from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json
from goldfold.recipes import frozen_backbone
from goldfold.report.drift import page
from goldfold.trust.drift import classifier

RECIPE = on_columns(["x0", "x1"], kind="binary")
FROZEN = frozen_backbone.recipe(
    "y", (0, 1), backbone="resnet10t", pretrained=False, image_size=32, stages=1, epochs=1, batch_size=8
)


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "PERMUTATIONS", 4)


def table(rows: int = 90, test: int = 30, **columns: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(0)
    whole = pd.DataFrame(random.normal(size=(rows, 2)), columns=["x0", "x1"])
    whole = whole.assign(id=[f"r{at}" for at in random.permutation(rows)], **columns)
    whole["y"] = (whole["x0"] > 0).astype(int)
    return whole[: rows - test], whole[rows - test :].drop(columns="y").reset_index(drop=True)


def refused(*words: str, **options: str) -> str:
    with pytest.raises(GoldfoldError) as found:
        gf.Project(".", quiet=True).drift("table", *words, **options)
    return found.value.code


def test_the_record_has_a_page_facts_and_a_picture(toy: Path, capsys: pytest.CaptureFixture) -> None:
    first, last = table(when=np.where(np.arange(90) < 60, 1.0, 5.0))
    run = train(metrics.auroc("y"), RECIPE, (first.sort_values("y", kind="stable"), last))
    assert page.section(run.folder) == ""
    capsys.readouterr()
    main(["drift", "--comp", "table", "--quiet"])
    printed = capsys.readouterr().out
    assert "warning  train_and_test_differ  test: a classifier by 3 columns" in printed
    assert "order_tells_target" in printed
    assert "Drop 'when' in load()" in printed
    place = Path("runs/table/drift/columns")
    facts = read_json(place / "drift.json")
    assert facts["compared"][0]["separation"]["auroc"] > 0.9
    assert facts["compared"][0]["columns"][0]["name"] == "when"
    assert [each["code"] for each in facts["findings"]][:2] == ["train_and_test_differ", "order_tells_target"]
    assert facts["next_step"] in (place / "drift.md").read_text(encoding="utf-8")
    likeness = pd.read_csv(place / "likeness.csv")
    assert sorted(likeness["id"]) == sorted([*first["id"], *last["id"]])
    assert likeness["weight"].isna().sum() == len(last)
    assert cv2.imread(str(place / "columns.png")).shape[1] > 500
    shown = run.report().read_text(encoding="utf-8")
    assert "Train against test" in shown
    assert f"{facts['compared'][0]['separation']['auroc']:.3f}" in shown
    assert len(gf.Project(".").runs("table")) == 1, "the comparison is no run"


def test_a_test_table_of_ten_rows_has_a_wide_interval(toy: Path) -> None:
    define(metrics.auroc("y"), RECIPE, table(70, test=10))
    found = gf.Project(".", quiet=True).drift("table")
    low, high = found.compared[0].separation.interval
    assert high - low > 0.2
    assert len(found.likeness) == 70


def test_what_cannot_be_compared_is_refused(toy: Path) -> None:
    first, last = table(40, test=4)
    define(metrics.auroc("y"), RECIPE, (first, last))
    assert refused() == "too_few_rows_to_compare"
    first, last = table()
    define(metrics.auroc("y"), RECIPE, (first.drop(columns=["x0", "x1"]), last.rename(columns={"x0": "a", "x1": "b"})))
    assert refused() == "nothing_to_compare"
    first, last = (part.assign(path=[toy / f"{name}.wav" for name in part["id"]]) for part in (first, last))
    for path in (*first["path"], *last["path"]):
        path.touch()
    define(metrics.auroc("y"), RECIPE, (first[["id", "path", "y"]], last[["id", "path"]]))
    with raises_code("nothing_to_compare", "have no images: add columns to both tables"):
        gf.Project(".", quiet=True).drift("table")
    first, last = table()
    define(metrics.auroc("y"), RECIPE, (first, last))
    assert refused("baseline") == "no_frozen_features"
    assert refused("baseline", run="latest") == "config_and_run"
    assert refused("none") == "unknown_config"
    define(metrics.auroc("y"), RECIPE, (first, last[:0]))
    assert refused() == "table_empty"


@pytest.mark.slow
def test_images_are_compared_by_statistics_and_by_a_frozen_backbone(toy: Path) -> None:
    """Test images of another camera: brighter."""
    random, rows = np.random.default_rng(0), []
    for at in range(42):
        path = toy / f"{at}.png"
        low, high = (0, 160) if at < 30 else (95, 255)
        cv2.imwrite(str(path), random.integers(low, high, (32, 32, 3)).astype(np.uint8))
        rows.append({"id": f"r{at}", "path": path, "y": at % 2})
    whole = pd.DataFrame(rows)
    define(metrics.auroc("y"), FROZEN, (whole[:30], whole[30:].drop(columns="y").reset_index(drop=True)))
    found = gf.Project(".", quiet=True).drift("table", "baseline", device="cpu")
    statistics, frozen = found.compared
    assert "image statistic" in statistics.by
    assert "features of baseline" in frozen.by
    assert statistics.separation.auroc > 0.9
    assert frozen.separation.auroc > 0.9
    assert frozen.columns == ()
    assert {path.name for path in found.files} >= {"columns.png", "rows.png", "drift.json"}
    assert all(path.parent.name == "baseline" for path in found.files)
