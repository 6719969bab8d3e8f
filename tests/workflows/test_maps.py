"""Maps of a run of boards with references: every image has its files, and boxes hold the spots."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_boards import SIDE, rows
from made_tables import COMPETITION, columns, on_columns, train

import goldfold as gf
from goldfold import metrics
from goldfold.cli.main import main
from goldfold.recipes import patch_library


@pytest.fixture
def run(toy: Path) -> gf.Run:
    made = rows(toy)
    made.loc[[2, 9], "reference_path"] = made["reference_path"][[9, 2]].to_numpy()  # of the other board
    test = made[1::3].drop(columns=["defect", "x", "y"]).reset_index(drop=True)
    known = made.drop(index=made.index[1::3]).drop(columns=["x", "y"]).reset_index(drop=True)
    recipe = patch_library.recipe("defect", pretrained=False, backbone="test_resnet", image_size=SIDE, strides=(4,))
    options = {"targets": ("defect",), "write": lambda test, found: columns(test, found["score"])}
    return train(metrics.auroc("defect"), recipe, (known, test), reference="pixels", **options)


def test_every_image_has_its_map_and_boxes_hold_the_spots(run, toy, capsys):
    (told,) = [each for each in run.findings if each.code == "unaligned_references" and "train" in each.message]
    assert "'板0-2', '板1-0'" in told.message
    found = run.maps()
    made = rows(toy).set_index("id")
    assert set(found.images["id"]) == set(run.test.ids)
    assert found.folder == run.folder / "maps-test"
    maps = dict(zip(run.test.ids, run.test.values["map"], strict=True))
    low, high = found.limits
    for image in found.images.itertuples():
        pixels = cv2.imread(str(found.folder / image.map), cv2.IMREAD_UNCHANGED)
        assert (pixels.shape, pixels.dtype) == ((SIDE, SIDE), np.uint16)
        wanted = cv2.resize(maps[image.id], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(low + pixels / 65535 * (high - low), wanted, atol=(high - low) / 60000)
        assert cv2.imread(str(found.folder / image.overlay)).shape == (SIDE, SIDE, 3)
    written = pd.read_csv(found.folder / "blobs.csv", dtype={"id": str})
    pd.testing.assert_frame_equal(written, found.blobs, check_dtype=False)
    sound = run.maps(threshold=60).blobs
    spots = made.loc[[id_ for id_ in run.test.ids if made.loc[id_, "defect"]]]
    for spot in spots.itertuples():
        best = sound[sound["id"] == spot.Index].iloc[0]
        assert best.x - 4 <= spot.x <= best.x + best.width + 4
        assert best.y - 4 <= spot.y <= best.y + best.height + 4
    main(["maps", "--run", "latest", "--side", "oof", "--images", "板0-2", "板1-0", "--threshold", "1e9"])
    assert "2 maps, 0 of them" in capsys.readouterr().out
    assert len(list((run.folder / "maps-oof" / "overlays").iterdir())) == 2

    with raises_code("unknown_side", "oot", "oof"):
        run.maps("oot")
    with raises_code("unknown_id", "'x'"):
        run.maps(ids=["x"])
    Path("competitions/table/__init__.py").write_text(COMPETITION.replace("group=", "private_images=True, group="))
    sys.modules.pop("competitions.table")
    with raises_code("private_images", "neither they nor their maps"):
        gf.Project(".").run(run.name).maps()


def test_a_run_without_maps_is_refused(toy):
    table = pd.DataFrame({"id": range(60), "x0": np.arange(60.0), "y": np.arange(60) // 2 % 2})
    plain = train(metrics.accuracy("y"), on_columns(["x0"], kind="binary"), (table[:40], table[40:].drop(columns="y")))
    with raises_code("no_anomaly_maps", "patch_library"):
        plain.maps()
