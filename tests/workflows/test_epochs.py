"""`epochs` and `pick` in the toy project: which epoch each rule chooses, and one epoch as the run that predicts."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from goldfold.cli.main import main
from goldfold.experiment import saved_epochs
from goldfold.report.epochs import tables as epoch_tables

RUNS = Path("runs/blobs")
SAME = ("oof.npy", "test.npy", "metrics.json", "folds.csv", "config.json")


def train(*arguments: str) -> None:
    main(["train", "--comp", "blobs", "--config", "perceptron", "epochs=4", *arguments])


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_picked_epoch_is_what_training_for_it_gives_and_nothing_is_trained_again(toy: Path, capsys) -> None:
    train("--debug")
    before = {path: path.read_bytes() for path in RUNS.rglob("*") if path.is_file() and path.name != ".lock"}
    capsys.readouterr()
    main(["pick", "--run", "perceptron-r1", "--epoch", "2"])
    told = capsys.readouterr().out
    assert "epoch 2 by hand" in told
    assert "selected_on_scored_fold" in told
    main(["train", "--comp", "blobs", "--config", "perceptron", "--debug", "epochs=4", "select=2"])
    picked, trained = RUNS / "perceptron-r2", RUNS / "perceptron-r3"
    for name in SAME:
        assert (picked / name).read_bytes() == (trained / name).read_bytes()
    history, own = ((run / "fold0-seed0/history.json").read_text() for run in (picked, RUNS / "perceptron-r1"))
    assert history == own  # to the seconds it took, which no second training repeats
    assert json.loads((picked / "fold1-seed0/fit.json").read_text())["epoch"] == 2
    first, second = (Path(f"submissions/blobs/perceptron-r{number}.csv").read_bytes() for number in (2, 3))
    assert first == second
    assert {path: path.read_bytes() for path in before} == before


def test_an_epoch_that_was_not_scored_can_be_picked(toy: Path, capsys) -> None:
    train("--debug", "validate_every=4")
    capsys.readouterr()
    main(["pick", "--run", "perceptron-r1", "--epoch", "2"])
    assert "selected_on_scored_fold  all folds: the epoch was named by hand" in capsys.readouterr().out
    assert "The best of the scored epochs read" in (RUNS / "perceptron-r2" / "record.md").read_text(encoding="utf-8")


def test_a_picked_run_can_be_picked_from_and_looked_at(toy: Path) -> None:
    train("--debug")
    main(["pick", "--run", "perceptron-r1", "--epoch", "2"])
    main(["epochs", "--run", "perceptron-r2"])
    main(["pick", "--run", "perceptron-r2", "--epoch", "4"])
    assert (RUNS / "perceptron-r3/oof.npy").read_bytes() == (RUNS / "perceptron-r1/oof.npy").read_bytes()


def test_the_tables_of_epochs_agree_with_the_histories(toy: Path, capsys) -> None:
    train("--debug")
    capsys.readouterr()
    main(["epochs", "--run", "latest", "--fold", "1"])
    told, folder = capsys.readouterr().out, RUNS / "perceptron-r1/epochs-fold1-seed0"
    history = json.loads((RUNS / "perceptron-r1/fold1-seed0/history.json").read_text())
    table = pd.read_csv(folder / "epochs.csv")
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table["auroc"].tolist() == pytest.approx([row["metric"] for row in history])
    assert table["loss"].tolist() == pytest.approx([sum(row["loss"].values()) for row in history])
    assert (folder / "by_epoch.png").read_bytes().startswith(b"\x89PNG")
    histories = [json.loads(path.read_text()) for path in sorted(RUNS.glob("perceptron-r1/fold*/history.json"))]
    last, best = saved_epochs.rule_costs(histories, higher_is_better=True)
    assert (last.select, best.select) == ("last", "best")
    assert last.metric == pytest.approx(sum(rows[-1]["metric"] for rows in histories) / 3)
    assert best.metric == pytest.approx(sum(max(row["metric"] for row in rows) for rows in histories) / 3)
    assert last.cost == pytest.approx(best.metric - last.metric)
    assert f"{last.metric:.4f}" in told
    assert "no score to quote" in told


def test_the_atlas_shows_the_epochs_of_every_stage(toy: Path, capsys) -> None:
    main(["train", "--comp", "neighbors", "--config", "two_stage", "--debug"])
    assert "metric epoch 3 of 3, " in capsys.readouterr().out
    main(["epochs", "--run", "latest"])
    folder = Path("runs/neighbors/two_stage-r1/epochs-fold0-seed0")
    table = pd.read_csv(folder / "epochs.csv")
    history = json.loads(Path("runs/neighbors/two_stage-r1/fold0-seed0/history.json").read_text())
    assert table["stage"].tolist() == ["invariance"] * 2 + ["metric"] * 3 == [row["stage"] for row in history]
    assert table["epoch"].tolist() == [1, 2, 1, 2, 3]
    assert table["precision_at_1_cosine"].tolist() == pytest.approx([row["metric"] for row in history])
    drawn = epoch_tables.numbered(history)
    assert drawn["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert drawn["loss of invariance"].notna().tolist() == [True, True, False, False, False]
    assert (folder / "by_epoch.png").read_bytes().startswith(b"\x89PNG")


def test_images_are_shown_in_the_epochs_of_every_stage(toy: Path) -> None:
    """A page for each epoch, called by its stage, and one sheet."""
    path = Path("competitions/twins/__init__.py")
    text = path.read_text(encoding="utf-8")
    shown = "pictures=lambda model, _, rows: {'found': np.zeros((len(rows), 4, 4, 3))},\n        predict="
    assert text.count("        predict=") == 1
    path.write_text(text.replace("        predict=", f"        {shown}"), encoding="utf-8")
    main(["train", "--comp", "twins", "--debug"])
    main(["epochs", "--run", "latest"])
    history = json.loads(Path("runs/twins/baseline-r1/fold0-seed0/history.json").read_text())
    pages = {path.name for path in Path("runs/twins/baseline-r1/epochs-fold0-seed0").glob("*_epoch_*.png")}
    assert pages == {f"{row['stage']}_epoch_{row['epoch']:03d}.png" for row in history}
    assert len({row["stage"] for row in history}) == 2
    assert Path("runs/twins/baseline-r1/epochs-fold0-seed0/contact_sheet.png").exists()


def test_ids_to_look_at_are_the_users(toy: Path) -> None:
    train("--debug")
    ids = pd.read_csv(RUNS / "perceptron-r1/oof_ids.csv")["id"].astype(str).tolist()[:2]
    main(["epochs", "--run", "latest", "--images", *ids])
    assert (RUNS / "perceptron-r1/epochs-fold0-seed0/epochs.md").exists()


def test_what_was_not_kept_cannot_be_picked(toy: Path, capsys) -> None:
    train("select=best")
    kept = [path.stem for path in RUNS.glob("perceptron-r1/fold0-seed0/checkpoints/*.safetensors")]
    assert len(kept) < 4
    absent = next(number for number in (1, 2, 3) if f"head_epoch_{number:03d}" not in kept)
    assert "a run with DEBUG=1 keeps them all" in refused(capsys, "pick", "--run", "latest", "--epoch", str(absent))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pick", "--run", "latest", "--epoch", "9"), "kept no epoch 9, only 1, 2, 3, 4"),
        (("epochs", "--run", "latest", "--fold", "7"), "no fold in this run '7'"),
        (("epochs", "--run", "latest", "--images", "nobody"), "no id in the train table 'nobody'"),
    ],
)
def test_what_is_not_there_is_refused(toy: Path, capsys, arguments, told) -> None:
    train("--debug")
    assert told in refused(capsys, *arguments)


@pytest.mark.parametrize("arguments", [("epochs",), ("pick", "--epoch", "1")])
def test_a_run_without_epochs_has_none_to_show_or_pick(toy: Path, capsys, arguments) -> None:
    main(["train", "--comp", "blobs", "--config", "estimator"])
    assert "trained nothing by epochs" in refused(capsys, *arguments, "--run", "latest")


@pytest.mark.parametrize("arguments", [("epochs",), ("pick", "--epoch", "1")])
def test_code_that_changed_since_cannot_tell_the_epochs_again(toy: Path, capsys, arguments) -> None:
    train("--debug")
    with Path("competitions/blobs/__init__.py").open("a", encoding="utf-8") as file:
        file.write("\nANOTHER = 1\n")
    assert "the code changed since run 'blobs/perceptron-r1'" in refused(capsys, *arguments, "--run", "latest")
