"""What a run's embeddings found, against scikit-learn and a search that sorts everything."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from goldfold.cli.main import main
from goldfold.competition import Metric
from goldfold.errors import GoldfoldError
from goldfold.optional_parts import Retrieval
from goldfold.report.plotting.row_labels import labels
from goldfold.report.retrieval import page as report
from goldfold.report.retrieval import pictures
from goldfold.retrieval.pairs import by_label

KINDS = ["猫", "собака", "cat"]


def held(fold: int, count: int = 30, lonely: bool = False, images: Path | None = None) -> report.HeldOut:
    """A fold with three kinds in sessions of two; kinds lie in directions of their own, with noise."""
    draw = np.random.default_rng(fold)
    kinds = draw.integers(0, 3, count)
    embeddings = np.eye(3)[kinds].repeat(2, axis=1) + draw.normal(0, 0.8, (count, 6))
    rows = pd.DataFrame({"id": [f"f{fold}-{place}" for place in range(count)], "session": np.arange(count) // 2})
    rows["kind"] = [KINDS[kind] for kind in kinds]
    if lonely:
        rows.loc[0, "kind"] = "alone"
    if images:
        rows["path"] = [images / f"{name}.png" for name in rows["id"]]
        for path in rows["path"]:
            cv2.imwrite(str(path), draw.integers(0, 255, (10, 14, 3)).astype(np.uint8))
    pairs = by_label(rows["kind"], same=rows["session"])
    return report.HeldOut(fold=fold, rows=rows, embeddings=embeddings.astype(np.float32), pairs=pairs)


def facts(folds: list[report.HeldOut], metrics: list[Metric]) -> dict:
    return report.facts(folds, report.by_query(folds), report.by_split(folds, metrics), metrics)


def naive(fold: report.HeldOut, place: int) -> tuple[list[str], list[bool]]:
    """Ids and rightness of a query's answers, the nearest first, by a plain loop."""
    rows, own = fold.rows, fold.embeddings.astype(np.float64)
    units = own / np.linalg.norm(own, axis=1, keepdims=True)
    order = []
    for other in np.argsort(-(units @ units[place]), kind="stable"):
        same = rows["kind"][other] == rows["kind"][place]
        if other == place or (same and rows["session"][other] == rows["session"][place]):
            continue
        order.append((rows["id"][other], bool(same)))
    return [name for name, _ in order], [same for _, same in order]


def test_every_query_is_told_as_a_plain_search_has_it() -> None:
    folds = [held(0), held(1, lonely=True)]
    table = report.by_query(folds)
    assert len(table) == 60
    for row in table.to_dict("records"):
        fold = folds[row["fold"]]
        place = fold.rows["id"].tolist().index(row["id"])
        names, right = naive(fold, place)
        assert [row[f"top_{rank}"] for rank in range(1, 6)] == names[:5]
        assert (row["right_answers"], row["answers"]) == (sum(right), len(right))
        if not any(right):
            assert math.isnan(row["average_precision"])
            assert pd.isna(row["first_right_rank"])
            continue
        scores = -np.arange(len(right))
        assert row["average_precision"] == pytest.approx(average_precision_score(right, scores), abs=1e-6)
        assert row["first_right_rank"] == right.index(True) + 1
    assert math.isnan(table.loc[30, "average_precision"])


def test_few_answers_leave_gaps_and_ids_of_any_kind_stay_as_they_are() -> None:
    small = held(0, count=4)
    small.rows["id"] = [7, 8, 9, 10]
    table = report.by_query([small])
    assert table["id"].tolist() == [7, 8, 9, 10]
    assert table["top_5"].isna().all()
    assert set(table["top_1"]) <= {7, 8, 9, 10}


def metric(name: str = "mAP", pairs: bool = True) -> Metric:
    return Metric(
        name=name,
        score=lambda rows, predictions: 0.0,
        higher_is_better=True,
        bounds=(0, 1),
        chance=lambda rows: 0.4,
        retrieval=Retrieval(pairs=lambda rows: by_label(rows["kind"]), protocol="other sessions") if pairs else None,
    )


def summary(mean: float, **more: float) -> dict:
    return {"mean": mean, "chance": 0.4, "bounds": [0, 1], "higher_is_better": True, **more}


def test_facts_are_counted_fold_by_fold_and_survive_json() -> None:
    folds = [held(0), held(1, lonely=True)]
    found = json.loads(json.dumps(facts(folds, [metric(), metric("accuracy", pairs=False)])))
    assert found["metrics"] == ["mAP"]
    assert found["protocol"] == "other sessions"
    for fold in folds:
        own, kinds = found["folds"][str(fold.fold)], fold.rows["kind"]
        rights = [sum(naive(fold, place)[1]) for place in range(30)]
        some = [count for count in rights if count]
        assert own["without_right_answer"] == rights.count(0)
        assert own["right_answers"] == [np.median(some), min(some), max(some)]
        left = [30 - len(naive(fold, place)[0]) for place in range(30)]
        assert own["left_out"] == [np.median(left), min(left), max(left)]
        units = fold.embeddings / np.linalg.norm(fold.embeddings, axis=1, keepdims=True)
        assert own["spread"] == pytest.approx(units.std(axis=0, ddof=1).mean(), abs=1e-6)
        assert own["isotropic"] == pytest.approx(6**-0.5)
        assert own["median_cosine"] == pytest.approx(np.median((units @ units.T)[np.triu_indices(30, 1)]), abs=1e-6)
        assert len(kinds) == own["queries"] == own["gallery"]
    assert found["folds"]["1"]["without_right_answer"] >= 1


def test_the_section_puts_a_mean_between_chance_level_and_best_possible() -> None:
    folds = [held(0)]
    found = facts(folds, [metric("R@10"), metric("mAP")])
    text = report.section(
        found, {"R@10": summary(0.415, best_possible=0.43), "mAP": summary(0.7), "other": summary(0.1)}
    )
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    cells = {name: [cell.strip() for cell in line.split("|")[2:-1]] for name, line in lines.items()}
    assert cells["R@10"] == ["0.4150", "0.4000", "0.4300", "50 %"]
    assert cells["mAP"] == [
        "0.7000",
        "0.4000",
        "1.0000",
        "50 %",
    ]  # nothing else is known: the bound is the best possible
    assert "other" not in lines
    assert "Protocol: other sessions." in text
    assert text.rstrip().endswith("none |")


def test_a_collapsed_fold_is_told() -> None:
    fold = held(0)
    fold.embeddings[:] += 100
    found = facts([fold], [metric()])
    assert "one point" in report.section(found, {"mAP": summary(0.5)})


def test_pictures_show_the_best_the_median_the_worst_and_what_is_asked_for(tmp_path: Path) -> None:
    folds = [held(0, images=tmp_path), held(1, images=tmp_path)]
    table = report.by_query(folds)
    shown = pictures.chosen(table)
    precisions = table.loc[table["fold"] == 0, "average_precision"]
    assert list(shown.values()) == ["best", "median", "worst"]
    best, median, worst = (table.loc[at, "average_precision"] for at in shown)
    assert (best, worst) == (precisions.max(), precisions.min())
    assert median == pytest.approx(np.median(precisions), abs=np.diff(np.sort(precisions)).max())
    arguments = {"title": "toy/baseline-r1", "targets": ["kind"], "private_images": False}
    drawn = pictures.pictures(folds, table, **arguments)
    assert set(drawn) == set(report.PICTURES)
    asked = pictures.pictures(folds, table, **arguments, ids=["f1-3"])
    told = pictures.pictures(folds, table, **arguments, split=", first query/gallery split")
    assert [name for name in drawn if drawn[name] != told[name]] == ["retrieval.png"]  # its title
    heights = [cv2.imdecode(np.frombuffer(each["retrieval.png"], np.uint8), 0).shape[0] for each in (drawn, asked)]
    assert heights[1] > 1.2 * heights[0]
    with pytest.raises(GoldfoldError, match="no id 'f1_3' among the 60 queries of this run; nearest: f1-3"):
        pictures.pictures(folds, table, **arguments, ids=["f1_3"])


def test_a_strip_shows_the_answers_of_its_fold_with_their_cosines(tmp_path: Path) -> None:
    folds = [held(0, images=tmp_path), held(1, images=tmp_path)]
    table = report.by_query(folds)
    for at in (3, 41):
        fold = folds[table.loc[at, "fold"]]
        strip = pictures.strip(folds, table.loc[at], "requested", ["kind"])
        place = fold.rows["id"].tolist().index(table.loc[at, "id"])
        names, right = naive(fold, place)
        assert [answer.path.stem for answer in strip.answers] == names[:5]
        assert [answer.relevant for answer in strip.answers] == right[:5]
        units = fold.embeddings / np.linalg.norm(fold.embeddings, axis=1, keepdims=True)
        wanted = [units[fold.rows["id"].tolist().index(name)] @ units[place] for name in names[:5]]
        assert [answer.similarity for answer in strip.answers] == pytest.approx(wanted, abs=1e-6)
        assert strip.caption.splitlines()[:2] == [fold.rows["id"][place], fold.rows["kind"][place]]


def test_rows_that_are_no_images_have_no_strips_and_one_query_is_shown_once() -> None:
    folds = [held(0)]
    drawn = pictures.pictures(folds, report.by_query(folds), title="toy", targets=["kind"], private_images=False)
    assert set(drawn) == {"similarities.png", "embedding_map.png"}
    alone = pd.DataFrame({"id": ["a"], "fold": [2], "average_precision": [0.5]})
    assert pictures.chosen(alone) == {0: "best and median and worst"}
    assert pictures.chosen(alone.assign(average_precision=np.nan)) == {}


def test_labels_are_words_or_else_a_named_number() -> None:
    rows = pd.DataFrame({"kind": ["猫", "b"], "age": [3, 4], "mask_path": ["x", "y"]})
    assert labels(rows, ["age", "kind", "mask_path", "absent"]) == ["猫", "b"]
    assert labels(rows, ["age", "mask_path"]) == ["age 3", "age 4"]
    assert labels(rows, ["mask_path"]) == labels(rows, []) == ["", ""]


def test_a_run_of_the_toy_has_its_page_table_and_pictures(toy: Path) -> None:
    main(["train", "--comp", "twins", "--config", "baseline"])
    run = Path("runs/twins/baseline-r1")
    assert {*report.PICTURES, report.FACTS, report.QUERIES} <= {path.name for path in run.iterdir()}
    text = (run / "record.md").read_text(encoding="utf-8")
    assert "best possible" in text
    assert all(f"({name})" in text for name in report.PICTURES)
    table, metrics = pd.read_csv(run / report.QUERIES), json.loads((run / "metrics.json").read_text())
    own = next(iter(metrics.values()))
    for fold, mean in table.groupby("fold")["average_precision"].mean().items():
        assert own["folds"][str(fold)] == pytest.approx(mean)
