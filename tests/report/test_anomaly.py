"""Pictures of an anomaly detector and its scores by kind of defect, on planted rows whose colors are found again."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from goldfold.data import fields
from goldfold.report.anomaly import defect_kinds, heat_maps
from goldfold.report.epochs.atlas import OUTLINE, Epoch, Probes, epoch_page, label
from goldfold.report.epochs.contact_sheet import contact_sheet
from goldfold.report.plotting import canvas

COLORS = [(250, 10, 200), (10, 250, 200), (200, 10, 250), (10, 200, 250)]
MISSED, ALARM, FOUND, CLEAN = COLORS  # a defect below a normal image, that one, and two that are ranked right
FOLDS = np.array([0, 0, 0, 0])


def rows(folder: Path) -> pd.DataFrame:
    """Four photographs of one color each, of which the first and the third have a defect in a corner."""
    mask = np.zeros((40, 40), np.uint8)
    mask[4:12, 4:12] = 255
    for at, color in enumerate(COLORS):
        (folder / str(at)).mkdir()
        cv2.imencode(".png", np.full((40, 40, 3), color[::-1], np.uint8))[1].tofile(folder / str(at) / "000.png")
        cv2.imencode(".png", mask if at in (0, 2) else mask * 0)[1].tofile(folder / str(at) / "mask.png")
    kinds = ["scratch", "good", "hole", "good"]
    table = pd.DataFrame({"id": [f"{at}/000.png" for at in range(4)], "defect": [1, 0, 1, 0], "kind": kinds})
    return table.assign(
        path=[folder / str(at) / "000.png" for at in range(4)],
        mask_path=[folder / str(at) / "mask.png" for at in range(4)],
    )


def detected(folder: Path, private: bool = False) -> heat_maps.Detected:
    maps = np.linspace(0, 1, 4 * 25, dtype=np.float32).reshape(4, 5, 5)
    predictions = fields.records(score=np.array([1.0, 2.0, 3.0, 0.5], np.float32), map=maps)
    targets = ["defect", "kind", "mask_path"]
    return heat_maps.Detected(rows=rows(folder), predictions=predictions, targets=targets, private=private)


def colors(png: bytes) -> dict[tuple[int, int, int], int]:
    """Number of pixels of each photograph's color, and of the outline's."""
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    return {color: int((pixels == color).all(axis=2).sum()) for color in (*COLORS, canvas.rgb(OUTLINE))}


def test_misses_and_false_alarms_are_apart_and_true_defects_are_outlined(tmp_path: Path) -> None:
    drawn = {name: colors(png) for name, png in heat_maps.out_of_fold(detected(tmp_path), FOLDS).items()}
    assert set(drawn) == {heat_maps.MISSES, heat_maps.FALSE_ALARMS}
    shown = {name: {color for color in COLORS if found[color] > 1000} for name, found in drawn.items()}
    assert shown == {heat_maps.MISSES: {MISSED}, heat_maps.FALSE_ALARMS: {ALARM}}
    outlines = [drawn[name][canvas.rgb(OUTLINE)] for name in (heat_maps.MISSES, heat_maps.FALSE_ALARMS)]
    assert outlines[0] > outlines[1] + 100  # both have the legend, the normal image has no defect


def test_scores_of_different_folds_are_not_compared(tmp_path: Path) -> None:
    assert heat_maps.out_of_fold(detected(tmp_path), np.array([0, 1, 1, 0])) == {}


def test_both_ends_of_the_test_ranking_are_shown_without_any_target(tmp_path: Path) -> None:
    found = detected(tmp_path)
    test = heat_maps.Detected(rows=found.rows[["id", "path"]], predictions=found.predictions, targets=found.targets)
    shown = colors(heat_maps.of_test(test, found.range))
    assert all(shown[color] > 1000 for color in COLORS)
    assert shown[canvas.rgb(OUTLINE)] == 0
    one = heat_maps.Detected(rows=test.rows[:1], predictions=found.predictions[:1], targets=[])
    assert colors(heat_maps.of_test(one, found.range))[MISSED] > 1000


def test_private_photographs_have_neither_image_nor_map_nor_outline(tmp_path: Path) -> None:
    found = detected(tmp_path, private=True)
    drawn = [*heat_maps.out_of_fold(found, FOLDS).values(), heat_maps.of_test(found, found.range)]
    assert len(drawn) == 3
    for png in drawn:
        assert sum(colors(png).values()) == 0
    for path in found.rows["path"]:
        path.unlink()
    heat_maps.of_test(found, found.range)  # files are not even opened


def test_the_atlas_outlines_true_defects(tmp_path: Path) -> None:
    table = rows(tmp_path)
    images = np.ones((4, 24, 24, 3)) * np.reshape(COLORS, (4, 1, 1, 3)) / 255
    mask = np.zeros((40, 40), bool)
    mask[4:12, 4:12] = True
    epoch = Epoch(number=1, pictures={"error": np.zeros((4, 12, 12))}, scores={})
    drawn = []
    for masks in (None, [mask, mask & False, mask, mask & False]):
        probes = Probes(ids=list(table["id"]), labels=list(table["kind"]), images=images, masks=masks)
        pages = (epoch_page(probes, epoch, {"error": (0, 1)}), contact_sheet(probes, [epoch], {"error": (0, 1)}))
        drawn.append([colors(png)[canvas.rgb(OUTLINE)] for png in pages])
    assert drawn[0] == [0, 0]
    assert min(drawn[1]) > 100


@pytest.mark.parametrize("size", [1, 3])
def test_a_defect_of_a_pixel_keeps_its_outline_in_a_small_tile(size: int) -> None:
    mask = np.zeros((600, 600), bool)
    mask[300 : 300 + size, 300 : 300 + size] = True
    outline = canvas.outlined(canvas.blank(60, 60), mask, OUTLINE)
    assert 4 <= (outline == canvas.rgb(OUTLINE)).all(axis=2).sum() <= 20
    assert (canvas.outlined(canvas.blank(60, 60), mask & False, OUTLINE) == 255).all()


def test_labels_of_equal_file_names_in_different_folders_stay_apart() -> None:
    names = [f"{kind}, bottle/test/{kind}/000.png" for kind in ("broken_large", "broken_small")]
    probes = Probes(ids=["a", "b"], labels=names, images=np.ones((2, 4, 4, 3)))
    first, second = (label(probes, at, "", 90) for at in (0, 1))
    assert first.shape != second.shape or (first != second).any()


def test_each_kind_has_the_auroc_of_scikit_learn_within_folds() -> None:
    draw = np.random.default_rng(0)
    kind = np.array(["good"] * 40 + ["scratch"] * 10 + ["hole"] * 10)
    table = pd.DataFrame({"defect": (kind != "good").astype(int), "kind": kind, "of": ["a", "b"] * 30})
    table["name"] = [f"{at}.png" for at in range(60)]  # one per image is no kind
    scores, folds = draw.normal(size=60) + 2 * (kind == "hole"), np.arange(60) % 2
    scores[folds == 1] += 100  # another fit's scale
    found = defect_kinds.by_kind(table, scores, folds, ["defect", "kind", "name"], None)
    assert found["kind"].tolist() == ["scratch", "hole"]
    for line in found.itertuples():
        by_fold = []
        for fold in (0, 1):
            own = (folds == fold) & np.isin(kind, ("good", line.kind))
            by_fold.append(roc_auc_score(kind[own] != "good", scores[own]))
        assert line.auroc == pytest.approx(np.mean(by_fold))
        assert (line.lowest, line.highest) == pytest.approx((min(by_fold), max(by_fold)))
        assert line.defects == 10


def test_a_class_of_object_is_compared_with_its_own_normal_images() -> None:
    table = pd.DataFrame({"defect": [0, 1, 0, 1], "of": ["a", "a", "b", "b"]})
    scores = np.array([0.0, 1.0, 10.0, 11.0])  # perfect within each class, not over both
    found = defect_kinds.by_kind(table, scores, np.zeros(4), ["defect"], "of")
    assert found["auroc"].tolist() == [1, 1]
    assert not len(defect_kinds.by_kind(table.assign(defect=[0, 1, 2, 3]), scores, np.zeros(4), ["defect"], "of"))


def test_the_table_of_a_run_names_the_worst_kind_first(tmp_path: Path) -> None:
    table = pd.DataFrame({"defect": [0, 1, 1, 1, 1], "kind": ["good", "x|y", "z", "x|y", "z"]})
    found = defect_kinds.by_kind(table, np.array([1.0, 0, 2, 0, 2]), np.zeros(5), ["defect", "kind"])
    assert defect_kinds.section(tmp_path) == ""
    found.to_csv(tmp_path / defect_kinds.TABLE, index=False)
    lines = defect_kinds.section(tmp_path).splitlines()
    assert lines[2].split() == ["|", "`kind`", "|", "x\\|y", "|", "2", "|", "0.0000", "|", "0.0000", "|", "0.0000", "|"]
