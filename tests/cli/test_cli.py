"""The commands as a user gives them, in the toy project: results, and one sentence with exit code 2 for a mistake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldfold.cli.main import _parsed, main

DATA = "competitions/blobs/__init__.py"


@pytest.fixture
def refused(toy: Path, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Runs a command that must be refused; returns the sentence."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        told = capsys.readouterr().err.strip()
        assert stopped.value.code == 2
        assert re.fullmatch(r"goldfold: [^\n]+", told), told
        return told

    return run


def train(*arguments: str) -> None:
    main(["train", "--comp", "blobs", "--config", "estimator", *arguments])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_run_holds_everything_and_is_never_overwritten(toy: Path, capsys: pytest.CaptureFixture) -> None:
    for _ in range(2):
        main(["train", "--comp", "blobs", "--config", "perceptron", "--debug", "epochs=2", "seeds=[0,1]"])
    first, second = Path("runs/blobs/perceptron-r1"), Path("runs/blobs/perceptron-r2")
    assert (first / "oof.npy").read_bytes() == (second / "oof.npy").read_bytes()
    for fold in range(3):
        weights = sorted(path.name for path in first.glob(f"fold{fold}-seed1/checkpoints/*.safetensors"))
        assert weights == ["head_epoch_001.safetensors", "head_epoch_002.safetensors"]
    config = json.loads((first / "config.json").read_text())
    assert (config["epochs"], config["seeds"], config["debug"]) == (2, [0, 1], True)
    folds = pd.read_csv(first / "folds.csv")
    assert sorted(folds["fold"].unique()) == [0, 1, 2]
    assert list(folds["id"]) == list(pd.read_csv(first / "oof_ids.csv")["id"])
    metric = json.loads((first / "metrics.json").read_text())["auroc"]
    by_fold = list(metric["folds"].values())
    assert metric["mean"] == pytest.approx(np.mean(by_fold))
    assert metric["sd_ddof1"] == pytest.approx(np.std(by_fold, ddof=1))
    assert metric["pooled_interval_95"][0] < metric["pooled"] < metric["pooled_interval_95"][1]
    record = (first / "record.md").read_text(encoding="utf-8")
    assert f"{metric['mean']:.4f}" in record
    assert "ddof=1" in record
    provenance = json.loads(Path("submissions/blobs/perceptron-r1.csv.json").read_text())
    assert provenance["cv"]["mean"] == metric["mean"]

    capsys.readouterr()
    main(["score", "--run", "latest"])
    told = capsys.readouterr().out
    assert "perceptron-r2" in told
    assert "chance  0.5000, range [0, 1], higher is better" in told
    main(["grade", "--run", "perceptron-r1"])
    assert "| folds combined |" in capsys.readouterr().out
    assert "hidden test labels" in (first / "record.md").read_text(encoding="utf-8")
    main(["list"])
    assert "blobs/perceptron-r1  auroc 0." in capsys.readouterr().out


@pytest.mark.parametrize(("folds", "told"), [("[0]", "(mean of 1 fold)"), ("[0,1]", "(mean of 2 folds)")])
def test_list_counts_folds(toy: Path, capsys: pytest.CaptureFixture, folds: str, told: str) -> None:
    main(["train", "--comp", "blobs", "--config", "perceptron", "--quiet", "epochs=1", f"folds={folds}"])
    capsys.readouterr()
    main(["list"])
    assert told in capsys.readouterr().out


def test_runs_beside_each_other(toy: Path, refused, capsys: pytest.CaptureFixture) -> None:
    main(["train", "--comp", "blobs", "--config", "perceptron"])
    train()
    capsys.readouterr()
    main(["compare", "perceptron-r1", "estimator-r1"])
    *unlike, header, _, first, second, page = capsys.readouterr().out.splitlines()
    assert "recipe perceptron" in unlike[0]
    assert "recipe estimator" in unlike[1]
    assert Path(page.removeprefix("page ")).exists()
    assert header.startswith("auroc, higher is better, chance 0.5000; differences to blobs/perceptron-r1, paired")
    means = [
        json.loads(Path(f"runs/blobs/{name}-r1/metrics.json").read_text())["auroc"]["mean"]
        for name in ("perceptron", "estimator")
    ]
    assert f"{means[0]:.4f}" in first
    assert f"{means[1]:.4f}  {means[1] - means[0]:+.4f} ({100 * (means[1] - means[0]):+.2f} pp, " in second

    main(["train", "--comp", "blobs", "--config", "perceptron", "epochs=2"])
    assert "2 epochs against 4" in refused("compare", "perceptron-r1", "perceptron-r2")
    main(["compare", "perceptron-r1", "perceptron-r2", "--accept", "unequal_budget"])
    told = capsys.readouterr().out
    assert told.startswith("blobs/perceptron-r1  epochs 4\nblobs/perceptron-r2  epochs 2\n")
    assert "error  unequal_budget  blobs/perceptron-r2: 2 epochs against 4" in told
    train("seed=1")
    assert "different folds" in refused("compare", "estimator-r1", "estimator-r2")
    assert "two or more different runs" in refused("compare", "estimator-r1", "estimator-r1")


def test_fewer_folds_and_more_seeds_are_compared_on_the_folds_that_all_scored(toy: Path, refused, capsys) -> None:
    train()
    train("folds=[0,2]")
    train("seeds=[0,1]", "folds=[2,0]")
    capsys.readouterr()
    main(["compare", "estimator-r1", "estimator-r2", "estimator-r3"])
    told = capsys.readouterr().out
    folds = json.loads(Path("runs/blobs/estimator-r1/metrics.json").read_text())["auroc"]["folds"]
    assert f"estimator-r1  {np.mean([folds['0'], folds['2']]):.4f}" in told
    assert (
        "warning  unequal_folds  blobs/estimator-r2: it scored folds 0, 2 and blobs/estimator-r1 folds 0, 1, 2" in told
    )
    assert "note  unequal_seeds  blobs/estimator-r3: 2 seeds a fold against 1 seed a fold" in told
    train("folds=[1]")
    assert "no fold was scored by all runs" in refused("compare", "estimator-r1", "estimator-r2", "estimator-r4")


@pytest.mark.parametrize("command", [["list"], ["ledger"], ["train", "--comp", "digits"]])
def test_a_folder_without_a_project_is_said(command: list[str], refused, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"there is no folder 'competitions' or 'runs' in {tmp_path}" in refused(*command)


def test_the_command_itself_runs_quietly(goldfold) -> None:
    done = goldfold("train", "--comp", "neighbors", "--config", "two_stage", CI="true")
    assert done.stderr == ""
    assert "precision_at_1_cosine" in done.stdout
    assert "pooled" not in done.stdout


def test_unknown_names_suggest_the_near_miss(refused, toy: Path) -> None:
    assert "did you mean 'blobs'? known: blobs, neighbors" in refused("train", "--comp", "blob")
    assert "did you mean 'estimator'" in refused("train", "--comp", "blobs", "--config", "estimater")
    assert "did you mean 'strength'" in refused("train", "--comp", "blobs", "--config", "estimator", "strenght=2")
    assert "did you mean 'bank'" in refused("train", "--comp", "blobs", "--config", "estimator", "recipe=bnak")
    assert "there is no finished run" in refused("score", "--run", "latest")
    assert "there is no run 'nothing-r1'" in refused("score", "--run", "nothing-r1")


def test_an_unknown_metric_suggests_the_near_miss(refused, toy: Path) -> None:
    edit(toy / DATA, 'metrics.auroc(target="label")', 'metrics.aurok(target="label")')
    assert "did you mean 'auroc'" in refused("train", "--comp", "blobs", "--config", "estimator")
    edit(toy / DATA, "from goldfold.params", "from goldfold.metrics import acuracy\nfrom goldfold.params")
    told = refused("train", "--comp", "blobs", "--config", "estimator")
    assert "there is no name in goldfold.metrics 'acuracy'; did you mean 'accuracy'" in told


def test_a_competition_that_lacks_a_part_says_which(refused, toy: Path) -> None:
    edit(toy / DATA, "    load=load,\n", "")
    told = refused("train", "--comp", "blobs", "--config", "estimator")
    assert "__init__.py line" in told
    assert "'load'" in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.loc[1, 'id'] = train.loc[0, 'id']", "ids must be unique"),
        ("train = train.drop(columns='label')", "no target column in the train table 'label'"),
        ("train['label'] = train['label'].where(train.index != 3)", "'label' is missing in 1 train rows"),
        ("train = train[(train['label'] == 0) | (train.index < 2)].reset_index(drop=True)", "class"),
        ("test['label'] = 0", "the test table holds the target 'label'"),
        ("test = test[:0]", "the test table has no rows"),
        ("sample = sample[:-1]", "every id must be in the sample"),
        ("sample = sample[::-1]", "order of the sample"),
        ("sample.columns = ['id', 'answer']", "lacks column 'answer'"),
    ],
)
def test_bad_tables_are_refused(change: str, said: str, refused, toy: Path) -> None:
    edit(toy / DATA, "    return Tables(train=train", f"    {change}\n    return Tables(train=train")
    told = refused("train", "--comp", "blobs", "--config", "estimator")
    assert said.replace("no target column", "there is no target column") in told


@pytest.mark.parametrize(
    ("predicted", "said"),
    [
        ("np.full(len(rows), np.nan)", "is NaN or infinite"),
        ("np.zeros(len(rows) - 1)", "one prediction per row"),
        ("fitted.predict_proba(rows[FEATURES])[:, 1] * 999", "column 'label'"),
    ],
)
def test_bad_predictions_are_refused(predicted: str, said: str, refused, toy: Path) -> None:
    edit(toy / DATA, "fitted.predict_proba(rows[FEATURES])[:, 1]", predicted)
    assert said in refused("train", "--comp", "blobs", "--config", "estimator")
    assert not list(Path("submissions").rglob("*.csv"))


def test_leaks_stop_the_run_unless_accepted(refused, toy: Path, capsys: pytest.CaptureFixture) -> None:
    edit(
        toy / DATA,
        'split=lambda train, seed: splits.stratified(train["label"], folds=3, seed=seed)',
        "split=lambda train, seed: [f._replace(train=np.arange(len(train))) for f in splits.k_fold(train, 3, seed)]",
    )
    told = refused("train", "--comp", "blobs", "--config", "estimator")
    assert "ACCEPT=shared_rows" in told
    train("accept=[shared_rows]")
    assert "error  shared_rows" in capsys.readouterr().out


@pytest.mark.parametrize("compiled", [True, False])
def test_data_is_prepared_again_when_its_code_changed(
    toy: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", not compiled)
    train()
    before = Path("data/blobs/public/train.csv").read_bytes()
    edit(toy / DATA, "An autoencoder of", "A model of")  # a docstring
    train("strength=2.0")
    assert "prepared again" not in capsys.readouterr().out
    second = (toy / DATA).stat().st_mtime_ns
    edit(toy / DATA, "default_rng(0)", "default_rng(1)")
    os.utime(toy / DATA, ns=(second + 1, second + 1))  # the size is the same, and so is the second
    train()
    told = capsys.readouterr().out
    assert "data/blobs is prepared again: the code of data.py changed" in told
    assert "stale_data" not in told
    assert Path("data/blobs/public/train.csv").read_bytes() != before


def test_hidden_labels_of_an_earlier_preparation_do_not_stay(toy: Path) -> None:
    main(["prepare", "--comp", "blobs"])
    assert Path("data/blobs/private/solution.csv").exists()
    edit(toy / DATA, '["label"], {"label": 0.5}, public, private)', '["label"], {"label": 0.5}, public, public)')
    for name in ("competitions.blobs", "competitions"):
        sys.modules.pop(name, None)
    main(["prepare", "--comp", "blobs"])
    assert not Path("data/blobs/private").exists()


def test_an_edited_submission_is_not_graded_as_its_runs(refused, toy: Path) -> None:
    train()
    csv = Path("submissions/blobs/estimator-r1.csv")
    csv.write_text(csv.read_text(encoding="utf-8").replace("0.", "0.0", 1), encoding="utf-8")
    assert "is not what run 'blobs/estimator-r1' wrote" in refused("grade", "--run", "estimator-r1")
    assert not Path("runs/blobs/estimator-r1/grade.json").exists()


def test_a_submission_that_cannot_be_written_stops_the_run_after_its_first_fit(refused, toy: Path) -> None:
    edit(toy / DATA, "between(0, 100)", "between(2, 100)")
    assert "must lie in [2, 100]" in refused("train", "--comp", "blobs", "--config", "estimator")
    assert [path.parent.name for path in Path("runs/blobs/estimator-r1").glob("*/fit.json")] == ["fold0-seed0"]


def test_an_error_that_refused_a_run_refuses_its_second_start_too(refused, toy: Path) -> None:
    edit(
        toy / DATA,
        'return {"cross_entropy": F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])}',
        "loss = F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])\n"
        '        return {"cross_entropy": loss, "dead": batch[0].mean()}',
    )
    for _ in range(2):
        told = refused("train", "--comp", "blobs", "--config", "perceptron")
        assert "loss term 'dead' has no gradient" in told
    assert not Path("submissions/blobs").exists()


def test_a_damaged_fit_is_made_again(toy: Path) -> None:
    train()
    place = Path("runs/blobs/estimator-r1")
    whole = (place / "oof.npy").read_bytes()
    for name, content in (("fold0-seed0/validation.npy", b"cut"), ("fold1-seed0/test.npy", None)):
        (place / "record.md").unlink(missing_ok=True)
        (place / name).write_bytes(content) if content else (place / name).unlink()
        train()
        assert (place / "oof.npy").read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["folds=[]"], "an empty list fits nothing"),
        (["folds=[7]"], "folds are numbered 0 to 2"),
        (["recipe=[bank]"], "there is no recipe"),
        (["--device", "gpu"], "device 'gpu' cannot be used here"),
        (["--device", "cuda:99"], "device 'cuda:99' cannot be used here"),
    ],
)
def test_what_cannot_start_leaves_no_run(arguments: list[str], said: str, refused, toy: Path) -> None:
    assert said in refused("train", "--comp", "blobs", "--config", "estimator", *arguments)
    assert not list(Path("runs").glob("*/*"))


def test_what_goes_wrong_in_a_competition_names_its_line(refused, toy: Path) -> None:
    edit(toy / DATA, "    return Tables(train=train", "    train['nothing']\n    return Tables(train=train")
    told = refused("train", "--comp", "blobs", "--config", "estimator")
    assert re.search(r"load\(\) of competition 'blobs' failed, .*line \d+: KeyError, 'nothing'", told)


def test_folds_that_validate_a_row_twice_are_refused(refused, toy: Path) -> None:
    edit(toy / DATA, 'splits.stratified(train["label"], folds=3, seed=seed),', "splits.k_fold(train, 3, seed) * 2,")
    assert "is validated in two folds" in refused("train", "--comp", "blobs", "--config", "estimator")


def test_a_config_that_is_no_text_and_a_folder_without_competitions(
    refused, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("configs/blobs/estimator.yaml").write_bytes(b"recipe: \xff\xfe")
    assert "cannot be read as UTF-8 text" in refused("train", "--comp", "blobs", "--config", "estimator")
    (toy / "empty" / "runs").mkdir(parents=True)
    monkeypatch.chdir(toy / "empty")
    assert "there is no competition below" in refused("train", "--comp", "blobs")


def test_absent_data_names_the_command(refused, toy: Path) -> None:
    edit(
        toy / DATA,
        "    draw = np.random.default_rng(0)\n",
        "    from goldfold.errors import GoldfoldError\n\n"
        "    if not raw.exists():\n"
        "        raise GoldfoldError('raw_missing', f'{raw} is not there: then make prepare COMP=blobs')\n"
        "    draw = np.random.default_rng(0)\n",
    )
    assert "make prepare COMP=blobs" in refused("train", "--comp", "blobs", "--config", "estimator")
    assert not Path("data/blobs/public").exists()


def test_nan_loss_keeps_the_good_weights(refused, toy: Path) -> None:
    edit(
        toy / DATA,
        '        return {"cross_entropy": F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])}',
        "        loss = F.binary_cross_entropy_with_logits(model(batch[0])[:, 0], batch[1])\n"
        "        seen.append(1)\n"
        "        return {\"cross_entropy\": loss * float('nan') if len(seen) == 10 else loss}",
    )
    edit(toy / DATA, "    def losses(model, batch):\n", "    seen = []\n\n    def losses(model, batch):\n")
    told = refused("train", "--comp", "blobs", "--config", "perceptron")
    assert "loss term 'cross_entropy' is nan at batch" in told
    assert "epoch 2 of stage 'head'" in told
    (kept,) = Path("runs").rglob("head_epoch_001.safetensors")
    assert kept.stat().st_size > 0


def test_a_run_that_breaks_a_rule_is_refused_or_explores_without_a_submission(refused, toy: Path, capsys) -> None:
    edit(
        toy / DATA,
        '    targets=("label",),\n',
        '    targets=("label",),\n'
        "    rules=(Rule(text='no 训练 beyond epoch 2', broken=lambda params: "
        "f'epochs={params.epochs}' if params.epochs > 2 else None),),\n",
    )
    edit(
        toy / DATA,
        "from goldfold.params import",
        "from goldfold.optional_parts import Rule\nfrom goldfold.params import",
    )
    command = ("train", "--comp", "blobs", "--config", "perceptron", "epochs=3")
    told = refused(*command)
    assert "no 训练 beyond epoch 2" in told
    assert "epochs=3" in told
    assert not Path("runs/blobs").exists()
    main([*command, "accept=[rule_broken]"])
    assert "an exploration" in capsys.readouterr().out
    assert not list(Path("submissions").rglob("*.csv"))
    record = Path("runs/blobs/perceptron-r1/record.md").read_text(encoding="utf-8")
    assert "No submission: this run is an exploration." in record
    assert "rule_broken" in record
    assert "an exploration has no submission" in refused("grade", "--run", "latest")
    main(["train", "--comp", "blobs", "--config", "perceptron", "epochs=2"])
    assert list(Path("submissions").rglob("*.csv"))


def test_config_keys_may_stand_on_both_sides_of_an_option(capsys):
    parsed = _parsed(["train", "--comp", "digits", "epochs=3", "--debug", "select=2"])
    assert parsed.overrides == ["epochs=3", "select=2"]
    assert parsed.debug
    for wrong in (["train", "--comp", "digits", "--debgu", "epochs=3"], ["score", "--run", "latest", "epochs=3"]):
        with pytest.raises(SystemExit):
            _parsed(wrong)
    assert "--debgu" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
def test_too_little_address_space_is_a_sentence(toy: Path) -> None:
    command = f"ulimit -v 1000000; exec {sys.executable} -m goldfold environment"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "allow more address space" in done.stderr
