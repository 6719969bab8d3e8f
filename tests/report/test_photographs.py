"""Private photographs: no pixel of them gets into any file that a report writes, whatever draws it."""

from __future__ import annotations

import ast
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import goldfold
from goldfold.cli.main import main
from goldfold.report.plotting import photographs
from goldfold.report.run.most_wrong import most_wrong

CODE = Path("competitions/twins/__init__.py")
REPORT = Path(goldfold.__file__).parent / "report"


def magenta(picture: np.ndarray) -> int:
    """Number of pixels in the color of the made photographs, which nothing else in a report has; BGR."""
    return int(((picture[..., 0] > 200) & (picture[..., 1] < 110) & (picture[..., 2] > 200)).sum())


def edit(*changes: tuple[str, str]) -> None:
    text = CODE.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    CODE.write_text(text, encoding="utf-8")


def every_picture(private: bool) -> dict[str, int]:
    """Train on magenta photographs and draw all that is drawn of them: file -> number of magenta pixels."""
    edit(
        ('(".png", pixels)', '(".png", np.dstack([pixels * 0 + 255, pixels // 4, pixels * 0 + 255]))'),
        ('group="recording",', f'group="recording",\n    private_images={private},'),
        (
            "predict=lambda model",
            'pictures=lambda model, _, rows: {"copy": images.load_resized(list(rows["path"]), SIDE) / 255},\n'
            "        predict=lambda model",
        ),
    )
    train = ["train", "--comp", "twins", "--config", "baseline", "epochs=2", "epochs_views=1"]
    main([*train, "--debug"])
    main([*train, "--debug", "shift=0.1"])
    main([*train, "epochs=0", "epochs_views=0"])
    main(["epochs", "--run", "baseline-r1"])
    stranger = next(Path("data/twins/public/图").glob("*.png"))
    main(["query", "--run", "baseline-r1", "--image", str(stranger), "--ids", "帧3-1"])
    main(["compare", "baseline-r1", "baseline-r2", "baseline-r3"])
    drawn = sorted(Path("runs").rglob("*.png"))
    return {path.as_posix(): magenta(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)) for path in drawn}


PLACES = ("retrieval.png", "epoch_002.png", "contact_sheet.png", "queries/", "improved.png", "degraded.png")


@pytest.mark.parametrize("private", [pytest.param(False, marks=pytest.mark.slow), True])
def test_no_pixel_of_a_private_photograph_gets_into_a_file(toy: Path, private: bool) -> None:
    found = every_picture(private)
    shown = {place: sum(pixels for path, pixels in found.items() if place in path) for place in PLACES}
    assert all(any(place in path for path in found) for place in PLACES), list(found)
    if private:
        assert sum(found.values()) == 0, {path: pixels for path, pixels in found.items() if pixels}
    else:
        assert all(shown.values()), shown  # so that the test can fail


def test_the_largest_errors_of_private_photographs_are_ids_without_contours(tmp_path: Path) -> None:
    image, mask = np.full((40, 40, 3), (255, 20, 255), np.uint8), np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    for name, content in (("a.png", image), ("mask.png", mask)):
        cv2.imencode(".png", content)[1].tofile(tmp_path / name)
    rows = pd.DataFrame({"id": ["one", "two"], "path": tmp_path / "a.png", "mask_path": tmp_path / "mask.png"})
    maps = np.stack([mask / 255] * 2)
    contours = np.array([[0, 159, 230], [233, 180, 86]])  # orange and blue of predicted and true outlines, BGR
    for private in (False, True):
        drawn = most_wrong(rows, maps, np.ones(2), folds=[0, 1], targets=["mask_path"], private_images=private)
        picture = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
        outlined = any((np.abs(picture.astype(int) - color).max(axis=2) < 12).any() for color in contours)
        assert (magenta(picture) > 0, outlined) == (not private, not private)


def test_the_tile_of_a_private_photograph_tells_its_name_and_never_opens_the_file() -> None:
    tiles = [photographs.read("missing.png", name, private=True) for name in ("one", "two", "手" * 80)]
    assert {tile.shape for tile in tiles} == {(photographs.SIDE, photographs.SIDE, 3)}
    assert (tiles[0] != tiles[1]).any()
    assert photographs.read("missing.png", "one", private=True, side=32).shape == (32, 32, 3)


def test_reports_read_images_in_one_place_only() -> None:
    readers = {"imread", "imdecode", "fromfile", "read_bytes", "open"}
    for path in REPORT.rglob("*.py"):
        if path.name == "photographs.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = [
            f"{node.module}.{name.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for name in node.names
        ]
        assert not [name for name in imported if name.startswith(("goldfold.images.reading", "PIL"))], path
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not called & readers, (path, called & readers)


def test_tiles_of_long_ids_stay_apart() -> None:
    ids = [f"board_{side}_of_the_second_line_in_hall_{hall}_0052" for side in ("left", "right") for hall in range(3)]
    tiles = photographs.read_all(ids, ids, private=True)
    assert len({each.tobytes() for each in tiles}) == 6
    pictures = photographs.shown({"copy": np.zeros((6, 4, 4))}, ids, private=True)
    assert len({each.tobytes() for each in pictures["copy"]}) == 6
