"""Captions: COCO's files become tables, faults of the files are named, and a run goes from them to a local score."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_coco
import numpy as np
import pytest
from error_codes import raises_code
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score
from sklearn.model_selection import KFold
from torchvision.models import _meta

import goldfold as gf
from competitions.captions import COMPETITION, data
from goldfold.competition import Tables
from goldfold.experiment.config import read_config, read_variants
from goldfold.submission import writing as submissions

ROOT = Path(__file__).parents[2]
LABELS = list(data.LABELS)
KARPATHY, VAL = "dataset_coco.json", "annotations/instances_val2014.json"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_coco.captioned(tmp_path_factory.mktemp("coco"))


def prepared(raw: Path, folder: Path) -> Path:
    for part in ("public", "private"):
        (folder / part).mkdir(parents=True)
    data.prepare(raw, folder / "public", folder / "private")
    return folder


@pytest.fixture(scope="module")
def hosted(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(raw, tmp_path_factory.mktemp("hosted"))


@pytest.fixture
def loaded(hosted: Path) -> Tables:
    return data.load(hosted / "public")


def numbers(*parts: str) -> list[int]:
    return [number for number in range(90) if made_coco.part_of(number) in parts]


def truth(images: list[int]) -> np.ndarray:
    names = [[made_coco.CATEGORIES[each] for each in made_coco.shown(number)] for number in images]
    return np.array([[int(label in own) for label in LABELS] for own in names])


def test_categories_have_the_numbers_and_names_of_torchvision() -> None:
    known = enumerate(_meta._COCO_CATEGORIES)
    assert {number: name for number, name in known if name not in ("__background__", "N/A")} == data.CATEGORIES


def test_rows_are_karpathys_without_restval(hosted: Path, loaded: Tables) -> None:
    train, test = numbers("train", "val"), numbers("test")
    assert loaded.train["id"].tolist() == [str(made_coco.id_of(number)) for number in train]
    assert loaded.test["id"].tolist() == [str(made_coco.id_of(number)) for number in test]
    assert loaded.train.columns.tolist() == ["id", "path", "caption", "captions", *LABELS]
    assert loaded.test.columns.tolist() == ["id", "path", "caption", "captions"]
    assert (loaded.train[LABELS].to_numpy() == truth(train)).all()
    solution = submissions.read(hosted / "private" / "solution.csv", loaded.sample_submission)
    assert (solution[LABELS].to_numpy() == truth(test)).all()
    assert (truth(train).sum(axis=1) == 0).sum() > 5  # images without annotations stay


def test_captions_survive_commas_quotes_and_every_script(loaded: Tables) -> None:
    for number, row in zip(numbers("train", "val"), loaded.train.itertuples(), strict=True):
        texts = [" ".join(text.split()) for text in made_coco.captions(number)]
        assert row.caption == texts[0]
        assert row.captions == " ".join(texts)
        assert row.path.is_file()
    assert loaded.train["captions"].str.contains("🐕").all()


def test_folds_are_those_of_the_named_splitters(loaded: Tables) -> None:
    train = loaded.train
    theirs = KFold(5, shuffle=True, random_state=42).split(train)
    for ours, (_, validation) in zip(COMPETITION.other_splits["k_fold"](train, 42), theirs, strict=True):
        assert ours.validation.tolist() == validation.tolist()
    used = train[list(made_coco.CATEGORIES.values())].to_numpy()
    own = train[LABELS].to_numpy()[:, train[LABELS].sum().to_numpy() >= 5]  # in the order of the columns
    assert own.shape == used.shape
    stratified = MultilabelStratifiedKFold(5, shuffle=True, random_state=3).split(own, own)
    for ours, (_, validation) in zip(data.split(train, 3), stratified, strict=True):
        assert ours.validation.tolist() == np.sort(validation).tolist()


def test_images_are_linked_where_that_is_possible(raw: Path, hosted: Path) -> None:
    file = next((hosted / "public" / "images").iterdir())
    source = next(raw.glob(f"*/{file.name}"))
    assert file.samefile(source) or file.read_bytes() == source.read_bytes()


def edited(raw: Path, folder: Path, file: str, change: Callable[[Any], None]) -> Path:
    """A copy of the raw data in which a JSON file is changed."""
    copy = shutil.copytree(raw, folder / "raw")
    content = json.loads((copy / file).read_text(encoding="utf-8"))
    change(content)
    (copy / file).write_text(json.dumps(content), encoding="utf-8")
    return copy


def last(content: Any) -> dict[str, Any]:
    """The last test image."""
    return [image for image in content["images"] if image["split"] == "test"][-1]


FAULTS: dict[str, tuple[str, Callable[[Any], None], tuple[str, ...]]] = {
    "an image twice in one part": (
        KARPATHY,
        lambda content: content["images"].append(content["images"][0]),
        ("image_repeated", "581929", "in train and train"),
    ),
    "an image in two parts": (
        KARPATHY,
        lambda content: content["images"].append({**content["images"][0], "split": "test"}),
        ("image_repeated", "1 images again", "581929", "in train and test"),
    ),
    "an unknown part": (
        KARPATHY,
        lambda content: last(content).update(split="validation"),
        ("raw_data_invalid", "'validation'", "train, val, test, restval"),
    ),
    "no captions": (
        KARPATHY,
        lambda content: last(content).update(sentences=[]),
        ("caption_missing", "1 of 90 images", str(made_coco.id_of(88))),
    ),
    "blank captions alone": (
        KARPATHY,
        lambda content: last(content).update(sentences=[{"raw": " \n"}]),
        ("caption_missing", str(made_coco.id_of(88))),
    ),
    "an image without a key": (
        KARPATHY,
        lambda content: content["images"][3].pop("cocoid"),
        ("raw_data_invalid", "'cocoid'", "images[3]"),
    ),
    "no images": (KARPATHY, lambda content: content.update(images=[]), ("raw_data_invalid", "lists no images")),
    "an unknown category": (
        VAL,
        lambda content: content["annotations"][0].update(category_id=91),
        ("unknown_category", "category 91", "80 known"),
    ),
    "a category of another name": (
        VAL,
        lambda content: content["categories"][1].update(name="cat"),
        ("unknown_category", "category 18 'cat'", "'dog'"),
    ),
    "an annotation of another image": (
        VAL,
        lambda content: content["annotations"][0].update(image_id=7),
        ("image_not_listed", "first 7"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_files_is_one_sentence(fault: str, raw: Path, tmp_path: Path) -> None:
    file, change, told = FAULTS[fault]
    with raises_code(*told):
        prepared(edited(raw, tmp_path, file, change), tmp_path)


def test_an_image_that_the_annotations_do_not_list_is_no_image_without_labels(raw: Path, tmp_path: Path) -> None:
    gone = made_coco.id_of(10)  # a test image

    def change(content: Any) -> None:
        for key, name in (("images", "id"), ("annotations", "image_id")):
            content[key] = [each for each in content[key] if each[name] != gone]

    with raises_code("image_not_listed", "does not list 1 images", str(gone)):
        prepared(edited(raw, tmp_path, VAL, change), tmp_path)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (KARPATHY, "README"),
        (VAL, "README"),
        ("val2014/" + made_coco.entry(3)["filename"], "unpack val2014.zip there"),
    ],
)
def test_prepare_says_which_file_is_missing(file: str, told: str, raw: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(raw, tmp_path / "raw")
    (copy / file).unlink()
    with raises_code("raw_data_missing", file, told):
        prepared(copy, tmp_path)


@pytest.fixture
def project(raw: Path, toy: Path) -> gf.Project:
    """The toy project with this competition and its miniature."""
    for part in ("competitions", "configs"):
        shutil.copytree(ROOT / part / "captions", toy / part / "captions")
    shutil.copytree(raw, toy / "data" / "captions" / "raw")
    return gf.Project(toy, quiet=True)


SHORT = {"image_size": 32, "pretrained": False, "backbone": "test_resnet", "batch_size": 16, "learning_rate": 0.003}


@pytest.mark.slow
def test_from_the_files_to_a_local_score(project: gf.Project) -> None:
    run = project.train("captions", model="no_hash", split="k_fold", epochs=8, **SHORT)
    known = truth(numbers("train", "val"))
    assert "5 of 5 folds of split k_fold drawn with seed 0" in run.record
    assert f"{(~known.any(axis=1)).sum()} of 60 train rows" in message_of(run, "rows_without_labels")
    assert "up to 75 of 80 classes empty in a fold" in run.record

    scores = np.load(run.folder / "oof.npy")
    pooled = {name: summary.get("pooled") for name, summary in run.metrics.items()}
    theirs = np.mean([average_precision_score(known[:, at], scores[:, at]) for at in np.flatnonzero(known.any(axis=0))])
    assert pooled["average_precision_macro_skip_empty"] == pytest.approx(theirs)
    ranked = label_ranking_average_precision_score(known, scores)  # 1 for rows without labels
    assert pooled["label_ranking_average_precision"] == pytest.approx(ranked)
    assert theirs > known.mean(axis=0)[known.any(axis=0)].mean() + 0.2

    submitted = submissions.read(run.submission_path, run.submission)
    hidden = truth(numbers("test"))
    seen = np.flatnonzero(hidden.any(axis=0))
    columns = submitted[LABELS].to_numpy(float)
    assert run.grade() == pytest.approx(
        np.mean([average_precision_score(hidden[:, at], columns[:, at]) for at in seen])
    )


def message_of(run: gf.Run, code: str) -> str:
    (found,) = [found for found in run.findings if found.code == code]
    return found.message


def test_an_unknown_split_is_refused(project: gf.Project) -> None:
    with raises_code("unknown_split", "'kfold'", "did you mean 'k_fold'?", "default, k_fold"):
        project.train("captions", split="kfold", **SHORT)
    assert not list(Path("runs").glob("captions/*"))


@pytest.mark.parametrize(("name", "epochs"), [("fusion", 20), ("mlp_baseline", 30)])
def test_configs_of_the_study_have_its_parameters(name: str, epochs: int) -> None:
    config = read_config(ROOT / "configs" / "captions" / f"{name}.yaml", [], COMPETITION.recipes)
    found = config.resolved()
    recorded = {
        **{"learning_rate": 2e-4, "weight_decay": 0.01, "batch_size": 32, "accumulate": 2, "clip": 1.0},
        **{"epochs": epochs, "schedule": "cosine", "dropout": 0.1, "select": "best", "patience": 5},
        **{"split": "k_fold", "seed": 42, "seeds": [42]},
        **({"bits": 64, "alignment_weight": 1.0, "hash_weight": 0.1} if name == "fusion" else {}),
    }
    assert {key: found[key] for key in recorded} == recorded
    assert round(found["warmup"] * epochs) == 2


def test_the_variants_of_the_study_have_its_models() -> None:
    variants = read_variants(ROOT / "configs" / "captions" / "fusion.yaml", [], COMPETITION.recipes)
    models = {name: config.params.model for name, config in variants.items()}
    assert models["reference"] == "full"
    assert [models[name] for name in models if name.startswith("2026")] == ["mlp_baseline", "no_hash", "hash_bce"]
    assert sorted(config.params.bits for config in variants.values() if config.params.model == "full") == [
        *(32, 64, 128, 256)
    ]
