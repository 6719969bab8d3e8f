"""`epochs` and `pick` in the toy project: which epoch each rule chooses, and one epoch as the run that predicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.experiment import saved_epochs
from goldfold.project import Project
from goldfold.report.epochs import tables as epoch_tables
from goldfold.run import Run

RUNS = Path("runs/blobs")
SAME = ("oof.npy", "test.npy", "metrics.json", "folds.csv", "config.json")


def train(*arguments: str) -> None:
    main(["train", "--comp", "blobs", "--config", "perceptron", "epochs=4", *arguments])


def refused(ask: Callable[[Run], object]) -> GoldfoldError:
    """The error with which the newest run refuses."""
    with pytest.raises(GoldfoldError) as refusal:
        ask(Project(quiet=True).run("latest"))
    return refusal.value


ASKED = [lambda run: run.atlas(), lambda run: run.pick(1)]


def test_a_picked_epoch_is_what_training_for_it_gives_and_nothing_is_trained_again(toy: Path, capsys) -> None:
    train("--debug")
    own_files = [path for path in (RUNS / "perceptron-r1").rglob("*") if path.is_file() and path.name != ".lock"]
    before = {path: path.read_bytes() for path in own_files}
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
    assert "The best scored epoch of each fit" in (RUNS / "perceptron-r2" / "record.md").read_text(encoding="utf-8")


def test_picked_epochs_are_averaged_as_training_for_it_does(toy: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: None)
    train("--debug", "folds=[0]")
    capsys.readouterr()
    main(["pick", "--run", "perceptron-r1", "--epochs", "2", "3", "4"])
    assert "the epochs to average were named by hand" in capsys.readouterr().out
    main(["train", "--comp", "blobs", "--config", "perceptron", "--debug", "epochs=4", "folds=[0]", "average=[2,3,4]"])
    picked, trained = RUNS / "perceptron-r2", RUNS / "perceptron-r3"
    for name in SAME:
        assert (picked / name).read_bytes() == (trained / name).read_bytes()
    assert (picked / "oof.npy").read_bytes() != (RUNS / "perceptron-r1/oof.npy").read_bytes()
    kept = json.loads((picked / "fold0-seed0/checkpoints/head_epoch_004.json").read_text())
    assert kept["row"]["averaged"]["used"] == [2, 3, 4]
    own = json.loads((RUNS / "perceptron-r1/fold0-seed0/checkpoints/head_epoch_004.json").read_text())
    assert "averaged" not in own["row"]
    main(["pick", "--run", "perceptron-r1", "--epochs", "1", "4", "--by", "best"])
    assert "selected_on_scored_fold" in capsys.readouterr().out
    assert refused(lambda run: run.pick([1, 9])).code == "epoch_not_kept"


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
    assert "its score is optimistic" in told


@pytest.mark.slow
def test_of_several_seeds_the_lowest_is_shown_unless_another_is_named(toy: Path, capsys) -> None:
    train("--debug", "seeds=[5,3]", "folds=[2,1]")
    run = Project(quiet=True).run("latest")
    for asked, shown in (({}, (1, 3)), ({"fold": 2}, (2, 3)), ({"seed": 5}, (1, 5)), ({"fold": 2, "seed": 5}, (2, 5))):
        atlas = run.atlas(**asked)
        history = json.loads((RUNS / f"perceptron-r1/fold{shown[0]}-seed{shown[1]}/history.json").read_text())
        assert (atlas.fold, atlas.seed) == shown
        assert atlas.by_epoch["auroc"].tolist() == pytest.approx([row["metric"] for row in history])
    capsys.readouterr()
    main(["epochs", "--run", "latest", "--seed", "5"])
    assert "\natlas of fold 1 seed 5 in " in capsys.readouterr().out
    page = RUNS / "perceptron-r1/epochs-fold1-seed5/epochs.md"
    assert "## Fold 1 seed 5, epoch by epoch" in page.read_text(encoding="utf-8")


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


@pytest.mark.slow
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
    error = refused(lambda run: run.pick(absent))
    assert error.code == "epoch_not_kept"
    assert "DEBUG=1" in error.message


@pytest.mark.parametrize(
    ("ask", "code", "facts"),
    [
        (lambda run: run.pick(9), "epoch_not_kept", ("9", "1, 2, 3, 4")),
        (lambda run: run.atlas(fold=7), "unknown_fold", ("7", "0, 1, 2")),
        (lambda run: run.atlas(seed=1), "unknown_seed", ("'1'", "known: 0")),
        (lambda run: run.atlas(ids=["nobody"]), "unknown_id", ("nobody",)),
    ],
)
def test_what_is_not_there_is_refused(toy: Path, ask, code, facts) -> None:
    train("--debug")
    error = refused(ask)
    assert error.code == code
    assert all(fact in error.message for fact in facts)


@pytest.mark.parametrize("ask", ASKED)
def test_a_run_without_epochs_has_none_to_show_or_pick(toy: Path, ask) -> None:
    main(["train", "--comp", "blobs", "--config", "estimator"])
    assert refused(ask).code == "no_epochs"


@pytest.mark.parametrize("ask", ASKED)
def test_code_that_changed_since_cannot_show_the_epochs_again(toy: Path, ask) -> None:
    train("--debug")
    with Path("competitions/blobs/__init__.py").open("a", encoding="utf-8") as file:
        file.write("\nANOTHER = 1\n")
    error = refused(ask)
    assert error.code == "code_changed"
    assert "blobs/perceptron-r1" in error.message


def test_the_atlas_is_a_value_that_the_command_prints(toy: Path, capsys) -> None:
    train("--debug")
    atlas = Project(quiet=True).run("latest").atlas(fold=2)
    assert (atlas.run, atlas.fold, atlas.seed) == ("blobs/perceptron-r1", 2, 0)
    pd.testing.assert_frame_equal(atlas.by_epoch, pd.read_csv(atlas.folder / "epochs.csv", keep_default_na=False))
    assert atlas.costs["select"].tolist() == ["last", "best"]
    assert atlas.costs["cost"].iloc[1] == 0
    assert [path.name for path in atlas.pictures] == ["by_epoch.png"]
    assert str(atlas).startswith(atlas.rules)
    capsys.readouterr()
    main(["epochs", "--run", "latest", "--fold", "2"])
    assert capsys.readouterr().out.startswith(f"{atlas.rules}\n\natlas of fold 2 seed 0 in {atlas.folder}: ")
