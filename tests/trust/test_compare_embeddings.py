"""`compare` of embeddings in the toy project: the mark to beat, and which queries got better or worse."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from page_tags import Tags
from sklearn.metrics import average_precision_score

from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.experiment.identity.manifest import write_manifest
from goldfold.io.formatting import number
from goldfold.project import Project

RUNS = Path("runs/twins")
CODE = Path("competitions/twins/__init__.py")
NOTHING = ("epochs=0", "epochs_views=0")


def train(*arguments: str) -> None:
    """Train as version 0.1 did, which did not score a model before its first step."""
    main(["train", "--comp", "twins", "--config", "baseline", *arguments])
    for path in RUNS.glob("*/metrics.json"):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        for summary in metrics.values():
            summary.pop("untrained", None)
        path.write_text(json.dumps(metrics), encoding="utf-8")
        write_manifest(path.parent)


def compare(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    capsys.readouterr()
    main(["compare", *arguments])
    return capsys.readouterr().out


def refused(*runs: str, code: str = "no_zero_shot_row") -> str:
    """The message with which a comparison is refused. code: of the finding that a user may accept."""
    with pytest.raises(GoldfoldError) as refusal:
        Project(quiet=True).compare(runs)
    assert f"--accept {code}" in refusal.value.message
    return refusal.value.message


def edit(old: str, new: str) -> None:
    text = CODE.read_text(encoding="utf-8")
    assert old in text
    CODE.write_text(text.replace(old, new), encoding="utf-8")


def again() -> None:
    """Import the competition afresh, as the next command of a shell does."""
    for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run of 2 + 4 epochs, one of 3 + 3 and one of nothing trained, in this order."""
    folder = tmp_path_factory.mktemp("made") / "project"
    shutil.copytree(Path(__file__).parents[1] / "toy", folder, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        again()
        for settings in ((), ("epochs=3", "epochs_views=3"), NOTHING):
            train(*settings)
    again()
    return folder


@pytest.fixture
def three(made: Path, toy: Path) -> None:
    """The current folder with those runs."""
    for part in ("data", "runs", "submissions"):
        shutil.copytree(made / part, toy / part)


@pytest.mark.slow
def test_runs_show_what_they_started_from_and_need_no_other_baseline(three: None, capsys) -> None:
    untrained = next(iter(json.loads((RUNS / "baseline-r3/metrics.json").read_text(encoding="utf-8")).values()))
    for epochs in ("epochs=5", "epochs=6"):
        main(["train", "--comp", "twins", "--config", "baseline", epochs])
    shutil.rmtree(RUNS / "baseline-r3")
    names = ["baseline-r4", "baseline-r5"]
    told = compare(capsys, *names, "--accept", "unequal_budget")
    assert "no_zero_shot_row" not in told
    mean = f"{untrained['mean']:.4f}"
    assert re.search(rf"\(untrained\) +{mean}  what twins/baseline-r4, twins/baseline-r5 started from\n", told)
    for run in names:
        own = next(iter(json.loads((RUNS / run / "metrics.json").read_text(encoding="utf-8")).values()))
        assert own["untrained"]["folds"] == untrained["folds"]  # a run of its own from the same weights
        assert f"Untrained, scored on the same folds by the same protocol: {number(untrained['mean'])}; the" in (
            RUNS / run / "record.md"
        ).read_text(encoding="utf-8")
    frame = Project(quiet=True).compare(names, accept=["unequal_budget"]).table
    assert frame["untrained"].round(4).tolist() == [float(mean)] * 2


def test_without_a_run_of_nothing_trained_the_command_that_makes_one_is_told(three: None, capsys) -> None:
    shutil.rmtree(RUNS / "baseline-r3")
    told = refused("baseline-r1", "baseline-r2")
    assert "twins/baseline-r1, twins/baseline-r2: no finished run" in told
    settings = re.search(r'make train COMP=twins CONFIG=baseline SET="([^"]*)"', told)[1].split()
    assert sorted(settings) == sorted(NOTHING)
    accepted = compare(capsys, "baseline-r1", "baseline-r2", "--accept", "no_zero_shot_row")
    assert "error  no_zero_shot_row  twins/baseline-r1, twins/baseline-r2: no finished" in accepted
    train(*settings)
    found = compare(capsys, "baseline-r1", "baseline-r2")
    assert "no_zero_shot_row" not in found
    assert found.startswith("added, since what was trained has to beat it: twins/baseline-r4\n")
    assert "differences to twins/baseline-r1" in found


def test_a_run_of_nothing_trained_that_is_named_is_not_added_and_its_budget_is_none(three: None, capsys) -> None:
    shutil.copytree(RUNS / "baseline-r3", RUNS / "baseline-r4")
    told = compare(capsys, "baseline-r1", "baseline-r3")
    assert "added" not in told
    assert "baseline-r4" not in told
    assert "unequal_budget" not in told
    history = RUNS / "baseline-r2/fold0-seed0/history.json"
    rows = json.loads(history.read_text(encoding="utf-8"))
    history.write_text(json.dumps(rows[:3]), encoding="utf-8")
    write_manifest(RUNS / "baseline-r2")
    assert "5 epochs against 6" in refused("baseline-r1", "baseline-r2", code="unequal_budget")


def test_a_config_that_trains_nothing_is_named_where_there_is_one(three: None) -> None:
    shutil.rmtree(RUNS / "baseline-r3")
    own = Path("configs/twins/untrained.yaml")
    own.write_text("recipe: embedder\nepochs: 0\nepochs_views: 0\nshift: 2.0\n", encoding="utf-8")
    told = refused("baseline-r1", "baseline-r2")
    assert "make train COMP=twins CONFIG=untrained makes one" in told
    own.write_text("recipe: embedder\nepochs: 0\nepochs_views: 0\nseeds: [7, 8]\n", encoding="utf-8")
    assert 'CONFIG=untrained SET="seeds=[0]" makes one' in refused("baseline-r1", "baseline-r2")


@pytest.mark.parametrize(("key", "value"), [("seeds", [5]), ("folds", [0, 1]), ("recipe", "other"), ("tower", "x")])
def test_one_of_other_seeds_folds_recipe_or_backbone_does_not_serve(three: None, key, value) -> None:
    edit("    epochs: Epochs = 4", '    epochs: Epochs = 4\n    tower: BackboneName = "any"')
    edit("import Epochs, Params", "import BackboneName, Epochs, Params")
    again()
    config = RUNS / "baseline-r3/config.json"
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | {key: value}), encoding="utf-8")
    assert "no finished run" in refused("baseline-r1", "baseline-r2")


@pytest.mark.parametrize("file", ["folds.csv", "record.md"])
def test_one_of_folds_drawn_anew_or_unfinished_does_not_serve(three: None, file) -> None:
    own = RUNS / "baseline-r3" / file
    rows = own.read_text(encoding="utf-8").splitlines()
    own.unlink()
    if file == "folds.csv":
        own.write_text("\n".join([*rows[:-1], f"{rows[-1][:-1]}{(int(rows[-1][-1]) + 1) % 3}"]), encoding="utf-8")
    assert "no finished run" in refused("baseline-r1", "baseline-r2")


def test_the_one_most_like_the_trained_run_is_added(three: None, capsys) -> None:
    shutil.copytree(RUNS / "baseline-r3", RUNS / "baseline-r4")
    config = RUNS / "baseline-r4/config.json"
    config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | {"clip": 1.0}), encoding="utf-8")
    assert "beat it: twins/baseline-r3\n" in compare(capsys, "baseline-r1", "baseline-r2")


@pytest.mark.slow
def test_pretrained_and_untrained_weights_are_both_needed(toy: Path, capsys) -> None:
    fields = "    epochs: Epochs = 4\n    pretrained: Pretrained = True\n    schedule_epochs: int = Field(4, ge=1)"
    edit("    epochs: Epochs = 4", fields)
    edit("from torch import nn", "from pydantic import Field\nfrom torch import nn")
    edit("import Epochs, Params", "import Epochs, Params, Pretrained")
    train()
    train("epochs=3", "epochs_views=3")
    train(*NOTHING)
    told = refused("baseline-r1", "baseline-r2")
    assert "what untrained weights do with nothing trained" in told
    settings = re.search(r'SET="([^"]*)"', told)[1].split()
    assert sorted(settings) == sorted([*NOTHING, "pretrained=false"])
    train(*settings)
    assert "beat it: twins/baseline-r3, twins/baseline-r4\n" in compare(capsys, "baseline-r1", "baseline-r2")
    shutil.rmtree(RUNS / "baseline-r4")
    names = [Project(quiet=True).train("twins", epochs=epochs).name for epochs in (4, 5)]
    told = compare(capsys, *names, "--accept", "unequal_budget")  # these show what they started from themselves
    assert "warning  no_zero_shot_row" in told


@pytest.mark.slow
def test_the_command_of_the_missing_run_leaves_out_what_only_training_uses(toy: Path, capsys) -> None:
    edit("    epochs: Epochs = 4", "    epochs: Epochs = 4\n    rate: Annotated[float, Needs(epochs=Not(0))] = 0.01")
    edit("from torch import nn", "from typing import Annotated\nfrom torch import nn")
    edit("import Epochs, Params", "import Epochs, Needs, Not, Params")
    Path("configs/twins/baseline.yaml").write_text("recipe: embedder\nrate: 0.02\n", encoding="utf-8")
    train()
    train("epochs=3", "epochs_views=3")
    settings = re.search(r'SET="([^"]*)"', refused("baseline-r1", "baseline-r2"))[1].split()
    assert sorted(settings) == sorted([*NOTHING, "rate=0.01"])
    train(*settings)
    assert "beat it: twins/baseline-r3\n" in compare(capsys, "baseline-r1", "baseline-r2")


@pytest.mark.slow
def test_a_network_without_pretrained_weights_needs_no_run_of_those(toy: Path, capsys) -> None:
    edit(
        "    epochs: Epochs = 4",
        "    epochs: Epochs = 4\n    pretrained: Annotated[Literal[False], Role.PRETRAINED] = False",
    )
    edit("from torch import nn", "from typing import Annotated, Literal\nfrom torch import nn")
    edit("import Epochs, Params", "import Epochs, Params, Role")
    train()
    train(*NOTHING)
    assert "no_zero_shot_row" not in compare(capsys, "baseline-r1", "baseline-r2")


@pytest.mark.slow
def test_a_run_below_nothing_trained_is_marked(three: None, capsys) -> None:
    edit("1.5 * (batch[1][:, None] == batch[1])", "1.5 * (batch[1][:, None] != batch[1])")
    again()
    train("epochs=20")
    accepted = ("--accept", "unequal_budget")
    told = compare(capsys, "baseline-r3", "baseline-r4", "baseline-r1", *accepted)
    lines = {line.split()[0]: line for line in told.splitlines() if re.match(r"  twins/\S+  0\.", line)}
    means = {name: float(line.split()[1]) for name, line in lines.items()}
    below = {name for name, mean in means.items() if mean < means["twins/baseline-r3"]}
    assert "twins/baseline-r4" in below
    marked = {name for name, line in lines.items() if re.search("(not shown to beat|worse than) nothing trained", line)}
    found = Project(quiet=True).compare(["baseline-r3", "baseline-r4", "baseline-r1"], accept=["unequal_budget"])
    findings = {finding.where: finding for finding in found.findings if finding.code == "below_untrained"}
    assert below <= marked == set(findings) == set(found.table.index[~found.table["above_untrained"]])
    facts = (f"{means['twins/baseline-r4']:.4f}", f"{means['twins/baseline-r3']:.4f}", "twins/baseline-r3")
    assert all(fact in findings["twins/baseline-r4"].message for fact in facts)


def expected(run: str, seeds: tuple[int, ...]) -> dict[str, float]:
    """id -> average precision, mean over seeds, as scikit-learn has it for every row of every fold."""
    train_rows = pd.read_csv("data/twins/public/train.csv", dtype={"id": str}).set_index("id")
    folds = pd.read_csv(RUNS / run / "folds.csv", dtype={"id": str})
    found: dict[str, list[float]] = {}
    for fold, ids in folds.groupby("fold")["id"]:
        kind, recording = (train_rows.loc[ids, column].to_numpy() for column in ("kind", "recording"))
        for seed in seeds:
            embeddings = np.load(RUNS / run / f"fold{fold}-seed{seed}/validation.npy").astype(float)
            unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
            for place, name in enumerate(ids):
                right = (kind == kind[place]) & (recording != recording[place])
                kept = right | (kind != kind[place])
                if not right.any():
                    continue
                score = average_precision_score(right[kept], (unit @ unit[place])[kept])
                found.setdefault(name, []).append(score)
    return {name: float(np.mean(scores)) for name, scores in found.items()}


def test_every_query_is_compared_and_shown(toy: Path, capsys) -> None:
    train("seeds=[0,1]")
    train(*NOTHING, "seeds=[0,1]")
    told = compare(capsys, "baseline-r1", "baseline-r2")
    folder = RUNS / "comparisons/baseline-r1-vs-baseline-r2"
    table = pd.read_csv(folder / "per_query.csv", dtype={"id": str}).set_index("id")
    first, other = (expected(run, (0, 1)) for run in ("baseline-r1", "baseline-r2"))
    assert set(table.index) == set(first)
    for name in first:
        assert table.loc[name, "baseline-r1"] == pytest.approx(first[name], abs=1e-6)
        assert table.loc[name, "change"] == pytest.approx(other[name] - first[name], abs=1e-6)
    metrics = json.loads((RUNS / "baseline-r2/metrics.json").read_text(encoding="utf-8"))
    by_fold = table.groupby("fold")["baseline-r2"].mean()
    own = next(iter(metrics.values()))
    assert by_fold.tolist() == pytest.approx(list(own["folds"].values()), abs=1e-6)  # the table's own mean
    *_, said, where = told.splitlines()
    assert said.startswith("baseline-r2 against baseline-r1: average precision rose for ")
    assert f"{(table['change'] > 0).sum()} of {len(table)} queries" in said
    assert where.startswith(f"  {folder}: comparison.md, comparison.html, per_query.csv, similarities.png")
    files = where.split(": ")[1].split(", ")
    assert {path.name for path in folder.iterdir()} == set(files)
    assert {"degraded.png", "similarities.png"} <= set(files)
    for file in files:
        if file.endswith(".png"):
            assert (folder / file).read_bytes().startswith(b"\x89PNG")
    assert str(table.index[-1]) in (folder / "comparison.md").read_text(encoding="utf-8")


def test_pictures_of_an_earlier_comparison_do_not_stay(three: None, capsys) -> None:
    shutil.copytree(RUNS / "baseline-r3", RUNS / "baseline-r4")  # in which no query changes
    folder = RUNS / "comparisons/baseline-r3-vs-baseline-r4"
    folder.mkdir(parents=True)
    (folder / "improved.png").write_bytes(b"old")
    told = compare(capsys, "baseline-r3", "baseline-r4")
    assert "(no query changed)" in told
    assert {path.name for path in folder.iterdir()} == {
        "comparison.md",
        "comparison.html",
        "per_query.csv",
        "similarities.png",
    }


def test_queries_of_data_that_changed_are_not_looked_at(three: None) -> None:
    table = Path("data/twins/public/train.csv")
    rows = pd.read_csv(table, dtype=str)
    rows["kind"] = [rows["kind"].iloc[-1], *rows["kind"].iloc[1:]]
    rows.to_csv(table, index=False)
    assert "twins/baseline-r1" in refused("baseline-r1", "baseline-r3", code="other_data")
    found = Project(quiet=True).compare(["baseline-r1", "baseline-r3"], accept=["other_data"])
    assert [finding.code for finding in found.findings if finding.level == "error"] == ["other_data"]
    page = RUNS / "comparisons/baseline-r1-vs-baseline-r3.md"
    assert (found.queries, found.files) == ({}, (page, page.with_suffix(".html")))


def test_a_comparison_is_a_value_that_the_command_prints(three: None, capsys) -> None:
    found = Project(quiet=True).compare(["baseline-r1", "baseline-r2"])
    assert found.runs == ("twins/baseline-r1", "twins/baseline-r2", "twins/baseline-r3")
    assert found.added == ("twins/baseline-r3",)
    metric, own = next(iter(found.differences.items()))
    assert list(own) == ["twins/baseline-r2", "twins/baseline-r3"]
    for name, difference in own.items():
        row = found.table.loc[name]
        assert (row["difference"], row["low"], row["high"]) == (difference.mean, *difference.interval)
        assert row["mean"] - found.table.loc["twins/baseline-r1", "mean"] == pytest.approx(difference.mean)
    assert found.table["difference"].isna().tolist() == [True, False, False]
    assert found.table["epochs"].tolist() == [6, 6, 0]
    assert found.tables[metric] is found.table
    for name in own:
        folder = RUNS / "comparisons" / f"baseline-r1-vs-{name.split('/')[1]}"
        pd.testing.assert_frame_equal(found.queries[name], pd.read_csv(folder / "per_query.csv"), check_dtype=False)
        assert folder / "comparison.md" in found.files
    assert compare(capsys, "baseline-r1", "baseline-r2") == f"{found}\n"


def test_a_run_is_compared_with_another_one(three: None) -> None:
    for runs in (["baseline-r1"], ["baseline-r1", "twins/baseline-r1"]):
        with pytest.raises(GoldfoldError) as refusal:
            Project(quiet=True).compare(runs)
        assert refusal.value.code == "too_few_runs"


def test_a_chosen_epoch_is_compared_with_none(three: None) -> None:
    train("select=best")
    shutil.copytree(RUNS / "baseline-r4", RUNS / "baseline-r5")
    assert "train it with select=last" in refused("baseline-r4", "baseline-r5")


def test_other_competitions_are_compared_as_before(toy: Path, capsys) -> None:
    for epochs in ("3", "4"):
        main(["train", "--comp", "neighbors", "--config", "two_stage", f"epochs_metric={epochs}"])
    told = compare(capsys, "two_stage-r1", "two_stage-r2", "--accept", "unequal_budget")
    assert told.startswith("neighbors/two_stage-r1  epochs_metric 3\n")
    *_, finding, page = told.splitlines()
    assert finding.startswith("error  unequal_budget  neighbors/two_stage-r2")
    written = {path.name for path in Path("runs/neighbors/comparisons").iterdir()}
    assert written == {"two_stage-r1-vs-two_stage-r2.md", "two_stage-r1-vs-two_stage-r2.html"}
    read = Tags(Path(page.removeprefix("page ")).read_text(encoding="utf-8"))
    assert read.tags.count("table") == len(Project(quiet=True).run("two_stage-r1").metrics)
    assert "unequal_budget" in read.text
