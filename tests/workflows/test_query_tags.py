"""`query` of classifiers: tags and nearest codes, worked out again from the files of each fit."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from error_codes import raises_code
from made_tables import columns, halves, train

import goldfold as gf
from goldfold import metrics
from goldfold.competition import Fold
from goldfold.io.files import read_json
from goldfold.metrics.decisions.thresholds import probabilities_of
from goldfold.optional_parts import Pairs
from goldfold.recipes import frozen_backbone, fusion
from goldfold.retrieval.hashing import product_quantization
from goldfold.retrieval.pairs import by_shared_label

TOY = Path(__file__).parents[1] / "toy"
LABELS = ("dark", "large 大", "круг")
SMALL = {"pretrained": False, "backbone": "resnet10t", "image_size": 32, "batch_size": 16, "epochs": 4}
BITS, K = 24, 5


def pictures(folder: Path, count: int) -> pd.DataFrame:
    """Rows with a picture each; the last one has no label."""
    draw, rows = np.random.default_rng(0), []
    for number in range(count):
        dark, large, round_ = own = (draw.random(3) < 0.5) & (number != count - 1)
        image = np.full((32, 32, 3), 20 if dark else 220, np.uint8)
        size = 12 if large else 5
        if round_:
            cv2.circle(image, (16, 16), size, (90, 90, 160), -1)
        else:
            cv2.rectangle(image, (16 - size, 16 - size), (16 + size, 16 + size), (90, 90, 160), -1)
        image += draw.integers(0, 20, image.shape).astype(np.uint8)
        cv2.imwrite(str(path := folder / f"{number}.png"), image)
        rows.append(
            {"id": f"行{number}", "path": path, "text": "a b", **dict(zip(LABELS, own.astype(int), strict=True))}
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The toy project, as the current folder."""
    folder = tmp_path_factory.mktemp("toy") / "project"
    shutil.copytree(TOY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
            patch.delitem(sys.modules, name)
        yield folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return pictures(tmp_path_factory.mktemp("pictures"), 48)


def thirds(table: pd.DataFrame, seed: int) -> list[Fold]:
    """Three folds of 36 rows; the others are validated and trained on by none but one fit."""
    every = np.arange(36)
    return [Fold(every[every % 3 != part], every[every % 3 == part]) for part in range(3)]


def sharing(table: pd.DataFrame) -> Pairs:
    return by_shared_label(table[list(LABELS)].to_numpy())


def trained(rows: pd.DataFrame, recipe=None, split=thirds, **overrides) -> gf.Run:
    recipe = recipe or fusion.recipe(LABELS, text_tower="none", model="hash_bce", bits=BITS, neighbors=K, **SMALL)
    tables = rows[:40], rows[40:].drop(columns=list(LABELS)).reset_index(drop=True)
    metric = metrics.average_precision(LABELS)
    also = [metrics.hash_map(sharing, field="code", database=each) for each in ("held_out", "training_rows")]
    return train(
        metric, recipe, tables, also=also, outputs=3, targets=LABELS, split=split, write=submission, **overrides
    )


def submission(test: pd.DataFrame, predictions: np.ndarray) -> pd.DataFrame:
    return columns(test, probabilities_of(predictions))


@pytest.fixture(scope="module")  # tests that train with other tables come last, since this run would refuse them
def run(project: Path, rows: pd.DataFrame) -> gf.Run:
    return trained(rows)


def bits_of(run: gf.Run, fold: int, count: int) -> np.ndarray:
    """Bits of the train rows by one fit, from its files alone; rows it neither trained nor validated on are NaN."""
    found, place = np.full((count, BITS), np.nan), run.folder / f"fold{fold}-seed0"
    with np.load(place / "code_index.npz") as index:
        numbers = [int(each[1:]) for each in index["ids"]]
        found[numbers] = np.unpackbits(index["codes"], axis=1)[:, :BITS]
    drawn = run.folds
    own = drawn.index[drawn["fold"] == fold]
    found[own] = np.load(place / "validation.npy")["code"] > 0
    return found


def test_the_index_of_a_fit_is_a_plain_file(run: gf.Run, rows: pd.DataFrame) -> None:
    with np.load(run.folder / "fold1-seed0/code_index.npz", allow_pickle=False) as index:
        assert index["ids"].tolist() == [f"行{at}" for at in range(36) if at % 3 != 1]
        assert index["label_names"].tolist() == list(LABELS)
        known = rows.set_index("id").loc[index["ids"], list(LABELS)].to_numpy()
        assert np.array_equal(index["labels"], known)
        assert (index["codes"].dtype, index["codes"].shape) == (np.uint8, (24, BITS // 8))
        assert (str(index["kind"]), int(index["bits"])) == ("hash", BITS)


def test_a_train_row_is_answered_out_of_fold(run: gf.Run, rows: pd.DataFrame) -> None:
    found = run.query(ids=["行7"], top=39)
    fold = int(run.folds.set_index("id").loc["行7", "fold"])
    assert fold == 1
    own = np.load(run.folder / "fold1-seed0/validation.npy")[2]  # 1, 4, 7
    tags = found.tags[0]
    for source, name in (("head", "score"), ("KNN", "knn")):
        order = [at for at in np.argsort(-own[name], kind="stable") if own[name][at] > 0]
        shown = tags[tags["source"] == source]
        assert shown["label"].tolist() == [LABELS[at] for at in order]
        assert shown["score"].to_numpy() == pytest.approx(own[name][order], abs=1e-6)
        assert shown["true"].tolist() == ["yes" if rows[LABELS[at]][7] else "no" for at in order]
    kept = read_json(run.folder / "thresholds.json")["thresholds"]
    head = tags[tags["source"] == "head"]
    assert head["threshold"].tolist() == [kept[label] for label in head["label"]]
    bits, nearest = bits_of(run, 1, 40), found.tables[0].set_index("id")
    assert "行7" not in nearest.index
    assert sorted(nearest.index) == sorted(f"行{at}" for at in range(40) if at != 7)
    wanted = np.abs(bits - bits[7]).sum(axis=1)
    assert np.array_equal(
        nearest.loc[[f"行{at}" for at in range(36) if at != 7], "distance"], np.delete(wanted[:36], 7)
    )
    assert nearest["distance"].is_monotonic_increasing
    sets = rows.set_index("id")[list(LABELS)]
    assert nearest["shared"].tolist() == (sets.loc[nearest.index] * sets.loc["行7"]).sum(axis=1).tolist()
    assert "validated in fold 1; answered out of fold by 1 fit trained without it" in found.text


def test_rows_of_no_fold_and_of_the_test_table_are_answered_by_all_fits(run: gf.Run, rows: pd.DataFrame) -> None:
    found = run.query(ids=["行38", "行44"], top=3)
    assert "行38: " in found.text
    assert "answered by 3 fits, which validate on other rows and may have trained on it" in found.text
    assert "行44: a row of the test table; answered by 3 fits, none of which trained on it" in found.text
    assert set(found.tables[1]["shared"]) == {""}
    assert set(found.tags[1]["true"]) == {""}
    fits = [np.load(run.folder / f"fold{fold}-seed0/test.npy") for fold in range(3)]
    scores = np.mean([fit["score"][4] for fit in fits], axis=0)
    head = found.tags[1][found.tags[1]["source"] == "head"].set_index("label")["score"]
    assert head[list(LABELS)].to_numpy() == pytest.approx(scores, abs=1e-6)
    own = [fit["code"][4] > 0 for fit in fits]
    distances = [np.abs(bits_of(run, fold, 40)[:36] - own[fold]).sum(axis=1) for fold in range(3)]
    mean = np.mean(distances, axis=0)
    nearest = run.query(ids=["行44"], top=40).tables[0].set_index("id")["distance"]
    assert nearest[[f"行{at}" for at in range(36)]].to_numpy() == pytest.approx(mean)


def test_a_copy_of_a_row_is_found_at_once(run: gf.Run, rows: pd.DataFrame, tmp_path: Path) -> None:
    shutil.copy(rows["path"][41], tmp_path / "то же.png")
    found = run.query([tmp_path / "то же.png"], ids=["行41"], top=4)
    assert found.queries == ("то же.png", "行41")
    one, other = (table.drop(columns="query") for table in found.tags)
    pd.testing.assert_frame_equal(one, other)
    assert found.tables[0]["id"].tolist() == found.tables[1]["id"].tolist()
    assert [path.name for path in found.files] == ["то же+行41.csv", "то же+行41.tags.csv", "то же+行41.png"]
    for path, tables in zip(found.files, (found.tables, found.tags), strict=False):
        kept = pd.read_csv(path, keep_default_na=False)
        assert kept.astype(str).equals(pd.concat(tables, ignore_index=True).astype(str))
    shutil.copy(rows["path"][3], tmp_path / "3.png")
    nearest = run.query([tmp_path / "3.png"], top=40).tables[0].set_index("id")
    assert nearest["distance"]["行3"] == 0
    assert nearest["note"].to_dict() == {each: "the same file" if each == "行3" else "" for each in nearest.index}


def test_a_database_of_training_rows_is_reported_beside_one_of_held_out_rows(run: gf.Run, rows: pd.DataFrame) -> None:
    name = "hash mAP, training rows in database"
    assert "pooled" not in run.metrics[name]
    drawn = run.folds
    for fold in range(3):
        bits = bits_of(run, fold, 40)[:36]
        asks = (drawn["fold"] == fold).to_numpy()[:36]
        whole = metrics.hash_map(lambda table, asks=asks: by_shared_label(table[list(LABELS)].to_numpy(), queries=asks))
        assert run.metrics[name]["folds"][str(fold)] == pytest.approx(whole.score(rows[:36], bits))
    (finding,) = [each for each in run.findings if each.code == "training_rows_in_database"]
    assert f"{run.metrics[name]['mean']:.4f}" in finding.message
    curves = pd.read_csv(run.folder / "hash_curves.csv")
    assert curves.groupby(["database", "fold"]).size().to_dict() == {
        (database, fold): BITS + 1 for database in ("held-out rows", "training rows") for fold in range(3)
    }
    assert "(hash_curves.png)" in run.record


def test_what_cannot_be_asked_of_a_classifier(run: gf.Run, rows: pd.DataFrame, tmp_path: Path) -> None:
    with raises_code("top_too_large", "TOP is 41", "40 other rows", "TOP=40"):
        run.query([rows["path"][0]], top=41)
    with raises_code("top_too_large", "TOP is 40", "TOP=39"):
        run.query(ids=["行0"], top=40)
    with raises_code("text_not_read", "'a cat'"):
        run.query([rows["path"][0]], text="a cat")
    (tmp_path / "no.jpg").write_text("no image")
    with raises_code("unreadable_image", "no.jpg"):
        run.query([tmp_path / "no.jpg"])
    place = run.folder / "fold0-seed0/code_index.npz"
    kept = place.read_bytes()
    place.unlink()
    with raises_code("fit_changed", "fold0-seed0", "train again"):
        run.query([rows["path"][0]])
    place.write_bytes(kept)


def test_product_quantization_votes_and_finds_rows(project: Path, rows: pd.DataFrame) -> None:
    recipe = fusion.recipe(
        LABELS, text_tower="none", model="no_hash", quantizer="product", bits=32, neighbors=K, **SMALL
    )
    run = trained(rows, recipe)
    assert "average_precision_macro_skip_empty of KNN" in run.metrics
    assert not any("hash" in each for each in run.metrics)  # no Hamming distances
    assert not [each for each in run.findings if each.code == "training_rows_in_database"]
    with np.load(run.folder / "fold1-seed0/code_index.npz") as index:
        assert (str(index["kind"]), int(index["bits"]), index["codes"].shape) == ("product_quantization", 32, (24, 4))
        quantizer = product_quantization.Quantizer(index["centroids"])
        decoded = product_quantization.decode(quantizer, index["codes"])
        ids = index["ids"].tolist()
    assert np.allclose(np.linalg.norm(decoded, axis=1), 1, atol=0.05)
    found = run.query(ids=["行7"], top=39)
    distances = found.tables[0].set_index("id")["distance"][ids]
    own = np.load(run.folder / "fold1-seed0/validation.npy")["knn"][2]
    near = np.argsort(distances.to_numpy(), kind="stable")[:K]
    weights = np.exp((1 - distances.to_numpy()[near] / 2) / 0.07)
    votes = weights / weights.sum() @ rows.set_index("id").loc[[ids[at] for at in near], list(LABELS)].to_numpy()
    assert own == pytest.approx(votes, abs=1e-4)
    assert "product quantization codes of 32 bits: squared distance of directions" in found.text


@pytest.mark.skipif(find_spec("wordllama") is None, reason="the packaged text tower needs the package wordllama")
def test_an_image_brings_its_text(project: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    words = np.random.default_rng(1).choice(["cat", "dog", "horse", "saw", "drill"], (len(rows), 3))
    table = rows.assign(text=[" ".join(own) for own in words])
    recipe = fusion.recipe(LABELS, model="hash_bce", bits=BITS, neighbors=K, standardize=True, **SMALL)
    run = trained(table, recipe)
    shutil.copy(table["path"][44], tmp_path / "copy.png")
    with_text = run.query([tmp_path / "copy.png"], ids=["行44"], text=table["text"][44])
    one, other = (each.drop(columns="query") for each in with_text.tags)
    pd.testing.assert_frame_equal(one, other)
    assert f"an image from elsewhere, with the text {table['text'][44]!r}" in with_text.text
    without = run.query([tmp_path / "copy.png"])
    assert "without text: TEXT='...' gives it one" in without.text
    assert without.tags[0]["score"].tolist() != one["score"].tolist()


def test_more_neighbors_than_rows_are_refused_before_training(project: Path, rows: pd.DataFrame) -> None:
    with raises_code("k_out_of_range", "neighbors is 25", "24 training rows"):
        trained(rows, neighbors=25)
    plain = fusion.recipe(LABELS, text_tower="none", model="no_hash", quantizer="product", **SMALL)
    with raises_code("bits_not_bytes", "bits is 20"):
        trained(rows, plain, bits=20)
    with raises_code("width_not_divisible", "24 bits", "512"):
        trained(rows, plain, bits=24)


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "c")])
def test_one_label_of_two_or_more(project: Path, rows: pd.DataFrame, classes: tuple[str, ...]) -> None:
    """Without codes nothing is searched."""
    table = rows.assign(kind=[classes[at // 3 % len(classes)] for at in range(len(rows))])
    values = {name: SMALL[name] for name in ("pretrained", "backbone", "image_size", "batch_size", "epochs")}
    recipe = frozen_backbone.recipe("kind", classes, **values)
    two = len(classes) == 2
    metric = metrics.accuracy("kind", classes=classes)
    tables = table[:40], table[40:].drop(columns="kind").reset_index(drop=True)
    run = train(metric, recipe, tables, outputs=1 if two else 3, targets=("kind",), split=halves)
    found = run.query([rows["path"][0]], ids=["行5"])
    assert found.tables == ()
    assert not list((run.folder).rglob("code_index.npz"))
    assert [path.suffixes for path in found.files] == [[".tags", ".csv"], [".png"]]
    own = run.oof.set_index("id").loc["行5"].to_numpy(float)
    wanted = np.array([1 - own[0], own[0]]) if two else own
    tags = found.tags[1].set_index("label")
    assert tags.loc[list(classes), "score"].to_numpy() == pytest.approx(wanted, abs=1e-6)
    assert tags["true"].to_dict() == {each: "yes" if each == table["kind"][5] else "no" for each in classes}
