"""An export predicts as its run does, alone, with numpy and a runtime; its parts are compared with their originals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import made_exports
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from made_tables_with_gaps import COLUMNS, table
from PIL import Image
from torch import nn

from goldfold.export import equality, graph, predict, timing
from goldfold.export.rows import as_text
from goldfold.images import reading
from goldfold.project import Project
from goldfold.recipes.exports import tables
from goldfold.recipes.exports.images import side_by_side
from goldfold.recipes.tables import scaling
from goldfold.recipes.tables.columns import Columns
from goldfold.recipes.targets.ordered_label import OrderedLabel
from goldfold.retrieval.cosines import concatenate_fits
from goldfold.run import Run

needs_onnx = pytest.mark.skipif(
    not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))), reason="the extra `export` is not installed"
)
needs_openvino = pytest.mark.skipif(not find_spec("openvino"), reason="the extra `openvino` is not installed")

# -S and -I: neither an editable goldfold nor PYTHONPATH is found; then the packages by hand, and nothing of ours.
ALONE = """
import importlib.util, runpy, sys
sys.path += sys.argv[1].split("|")
assert not importlib.util.find_spec("goldfold")
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"torch", "pandas", "sklearn"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("exports") / "project"
    made_exports.write(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield Project(".", quiet=True)


def alone(folder: Path, rows: Path, target: Path, expect: int = 0) -> subprocess.CompletedProcess:
    """`predict.py` of an export, in a process without goldfold."""
    found = [find_spec(name) for name in ("numpy", "onnxruntime", "openvino", "cv2", "PIL")]
    places = dict.fromkeys(str(Path(str(spec.origin)).parents[1]) for spec in found if spec)
    words = ["-S", "-I", "-c", ALONE, "|".join(places), str(folder / "predict.py"), str(rows), str(target)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == expect, done.stderr
    return done


def reproduces(run: Run, tmp_path: Path) -> float:
    """The largest difference of the run's test predictions to those of its export, alone."""
    rows = Path("rows.csv")  # paths of the table are relative to the project
    run.workspace.load(run.competition).test.to_csv(rows, index=False)
    alone(run.folder / "export", rows, tmp_path / "found.npy")
    own = np.load(run.folder / "test.npy")
    found = np.load(tmp_path / "found.npy")
    assert (found.shape, found.dtype) == (own.shape, own.dtype)
    return float(np.abs(own.astype(float) - found.astype(float)).max())


@pytest.fixture(scope="module")
def classifier(project) -> Run:
    run = project.train("tiles", "classifier")
    run.export()
    return run


@needs_onnx
def test_an_export_alone_predicts_what_the_run_did(classifier, tmp_path):
    assert reproduces(classifier, tmp_path) < 1e-6
    facts = json.loads((classifier.folder / "export.json").read_text())
    assert (facts["fits"], facts["format"], facts["differences"]["rows"]) == (2, "onnx", 12)
    assert facts["differences"]["swapped"] == 0
    assert set(facts["timed"]["ways"]) == {timing.TORCH, "export"}
    assert "## Export" in classifier.record
    assert "2 fits as one onnx model" in classifier.record
    assert Project(".").run(classifier.name, finished=True).finished  # its manifest knows export.json


@needs_onnx
def test_an_export_names_rows_and_refuses_what_it_cannot_read(classifier, tmp_path):
    folder, images = classifier.folder / "export", tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "é 1.png"), np.zeros((50, 30, 3), np.uint8))
    alone(folder, images, tmp_path / "found.csv")
    assert pd.read_csv(tmp_path / "found.csv").columns.tolist() == ["id", "prediction"]
    (images / "z.png").write_bytes(b"no image")
    told = alone(folder, images, tmp_path / "found.csv", expect=1).stderr
    assert told.startswith("predict.py: image ")
    assert told.count("\n") == 1


@needs_onnx
def test_a_changed_model_is_refused(classifier, tmp_path):
    copied = tmp_path / "export"
    copied.mkdir()
    for path in (classifier.folder / "export").iterdir():
        (copied / path.name).write_bytes(path.read_bytes() + (b"\0" if path.suffix == ".onnx" else b""))
    with pytest.raises(ValueError, match="is not as it was exported: export the run again"):
        predict.predict(copied, [{"id": "1", "path": "x"}])


@needs_onnx
@pytest.mark.slow
def test_an_export_that_differs_is_not_written(classifier):
    before = (classifier.folder / "export" / "export.json").read_bytes()
    with raises_code("export_differs", "predicts otherwise than the run"):
        classifier.export(tolerance=1e-15)
    assert (classifier.folder / "export" / "export.json").read_bytes() == before
    assert not (classifier.folder / "export.partial").exists()


@needs_onnx
@pytest.mark.parametrize(
    ("changed", "code"), [({"format_": "tflite"}, "unknown_format"), ({"tolerance": 0.0}, "invalid_tolerance")]
)
def test_wrong_options_are_refused(classifier, changed, code):
    with raises_code(code):
        classifier.export(**changed)


@pytest.mark.skipif(bool(find_spec("onnxscript")), reason="the extra `export` is installed")
def test_a_missing_package_names_the_extra():
    with raises_code("export_package_missing", 'pip install "goldfold[export]"'):
        graph.check_packages("onnx")


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "tolerance"),
    [
        ("tiles", "grades", 1e-6),
        ("tiles", "values", 1e-6),
        ("tiles", "frozen", 1e-5),
        ("tiles", "masks", 1e-3),
        ("tiles", "embedder", 1e-5),
        ("cells", "network", 1e-6),
    ],
)
def test_every_recipe_with_an_export_reproduces_its_run(project, name, config, tolerance, tmp_path):
    run = project.train(name, config)
    run.export()
    assert reproduces(run, tmp_path) < tolerance


@needs_onnx
@needs_openvino
@pytest.mark.slow
def test_openvino_predicts_the_same(project, tmp_path):
    run = project.train("cells", "network", overrides=["seeds=[1]"])
    exported = run.export("openvino", measure=True)
    assert {path.name for path in exported.folder.iterdir()} >= {"model.xml", "model.bin", "predict.py"}
    assert reproduces(run, tmp_path) < 1e-4
    assert len(exported.facts["timed"]["ways"]) + len(exported.facts["timed"]["left_out"]) == 4


@needs_onnx
@pytest.mark.slow
def test_a_notebook_predicts_by_the_export_without_weights(classifier):
    made = classifier.notebook(export=True, hours=2)
    (archive,) = (made.folder / "dataset").glob("*.goldfold")
    names = zipfile.ZipFile(archive).namelist()
    assert any(name.endswith("export/model.onnx") for name in names)
    assert not [name for name in names if name.endswith(".safetensors")]
    assert "an export: onnx model of 2 fits" in made.text
    assert "HOURS = 2.0" in (made.folder / "kernel" / "predict.py").read_text()


@needs_onnx
@pytest.mark.slow
def test_columns_that_only_goldfold_can_make_are_refused(project):
    with raises_code("export_unsupported", "target-encoded"):
        project.train("cells", "encoded").export()


@needs_onnx
@pytest.mark.slow
def test_an_unsupported_operator_is_named(tmp_path):
    class Product(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs.cumprod(1)

    with raises_code("operator_unsupported", "prod"):
        graph.write(Product(), np.ones((2, 3), np.float32), tmp_path, "onnx")


@needs_onnx
@pytest.mark.slow
def test_a_model_for_one_number_of_rows_is_refused(tmp_path):
    class Fixed(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs + torch.arange(len(inputs) * 1.0)[:, None]

    with raises_code("not_traceable"):
        graph.write(Fixed(), np.ones((2, 3), np.float32), tmp_path, "onnx")


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


@pytest.mark.parametrize("gray", [False, True])
def test_images_are_read_and_resized_as_by_goldfold(gray, tmp_path):
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (31, 47, 4), dtype=np.uint8)
    shown = Image.fromarray(pixels[..., :3])
    for orientation in range(1, 9):
        shown.save(tmp_path / f"{orientation}.jpg", exif=exif(orientation))
    shown.save(tmp_path / "turned.png", exif=exif(6))
    Image.fromarray(pixels).save(tmp_path / "clear.tif")
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    shown.save(tmp_path / "turned.tif", exif=exif(8))
    shown.convert("P").save(tmp_path / "table.png")
    cv2.imwrite(str(tmp_path / "deep.png"), pixels[..., 0].astype(np.uint16) * 257)
    rows = predict.read_rows(tmp_path)
    for side in (24, 64):
        given = {"kind": "images", "height": side, "width": side + 1, "channels": 1 if gray else 3}
        expected = reading.load_resized([row["path"] for row in rows], (side, side + 1), gray)
        np.testing.assert_array_equal(predict.arrays(rows, [given]), expected)


@pytest.mark.parametrize("how", ["quantile", "standard"])
def test_columns_are_scaled_as_by_goldfold(how):
    rows = table("binary", n=300).drop(columns="target")
    rows["flag"], rows["name"] = np.arange(300) % 2 == 0, np.where(np.arange(300) % 3, 1.0, 2.5).astype(object)
    known = Columns((*COLUMNS["numeric"], "flag"), (*COLUMNS["categorical"], "name"))
    fitted, matrix = known.fit(rows[:200], np.zeros(200, int), 0)
    scaled = scaling.fit(fitted, matrix, how, 0)
    asked = rows[200:].copy()
    asked.iloc[0, 1], asked.iloc[1, 1], asked.iloc[2, 3], asked.iloc[3, 4] = 1e6, -1e6, "unseen", 7.0
    given = json.loads(json.dumps(tables.preprocessing(fitted, scaled)))
    np.testing.assert_allclose(
        predict.arrays(as_text(asked), [given]), scaled(fitted.transform(asked)), rtol=1e-6, atol=1e-6
    )
    with pytest.raises(ValueError, match="column 'size' must hold numbers"):
        predict.arrays([{**as_text(asked)[0], "size": "large"}], [given])
    with pytest.raises(ValueError, match="the table has no column 'size'"):
        predict.arrays([{"id": "1"}], [given])


def test_swapped_rows_and_moved_ranks_by_hand():
    own = np.array([0.1, 0.2, 0.3, 0.3])
    assert equality.swap(own, np.array([1.0, 2.0, 3.0, 3.0])) == 0
    assert equality.swap(own, np.array([3.0, 2.0, 1.0, 4.0])) == pytest.approx(0.2)
    assert equality.change(own, np.array([3.0, 2.0, 1.0, 4.0])) == 2
    assert equality.change(own, np.array([1.0, 1.0, 1.0, 1.0])) == 0
    same = equality.compare(own, own + np.array([0, 0, 0, 5e-5]), 1e-4, ranked=True)
    assert (same.holds, same.swapped, same.moved) == (True, 0, 0)
    assert not equality.compare(own, own + 2e-4, 1e-4, ranked=True).holds
    assert equality.compare(own * 1e4, own * 1e4 + 0.2, 1e-4, ranked=True).holds  # relative above 1
    assert not equality.compare(own, own[:, None], 1e-4, ranked=True).holds


def test_embeddings_side_by_side_are_those_of_the_run():
    draw = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    draw[1, 2] = 0
    np.testing.assert_allclose(side_by_side(torch.from_numpy(draw)).numpy(), concatenate_fits(draw), atol=1e-7)


def test_probabilities_of_ordered_labels_are_cumulative_products():
    logits = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    above = logits.sigmoid().cumprod(-1)
    one, none = torch.ones(6, 1), torch.zeros(6, 1)
    expected = torch.cat([one, above], -1) - torch.cat([above, none], -1)
    assert torch.equal(OrderedLabel("x", (0, 1, 2, 3)).probabilities(logits), expected)
