"""`make ablate`: a config and its variants in one table, with equal folds and seeds; finished runs are used again."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from page_tags import Tags

from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.project import Project

CONFIG = Path("configs/blobs/perceptron.yaml")
RUNS = Path("runs/blobs")


def block(text: str) -> None:
    CONFIG.write_text(f"recipe: perceptron\nepochs: 2\n{text}", encoding="utf-8")


def test_variants_are_trained_once_and_compared_on_the_same_folds(toy: Path, capsys: pytest.CaptureFixture) -> None:
    block("ablation:\n  faster: {learning_rate: 0.05}\n  ohne Ausfall: {dropout: 0.0}\n")
    project = Project(quiet=True)
    trained = project.train("blobs", "perceptron", seeds=[0, 1])
    found = project.ablate("blobs", "perceptron", seeds=[0, 1])
    assert [path.name for path in found.runs.values()] == ["perceptron-r1", "perceptron-r2", "perceptron-r3"]
    assert found.runs["reference"] == trained.folder
    compared = project.compare([path.name for path in found.runs.values()]).table
    rows = found.table[found.table["metric"] == "auroc"].set_index("run")
    for name in compared.index[1:]:
        assert rows["difference"][name] == compared["difference"][name]
        assert rows["difference_low"][name] == compared["low"][name]
        assert rows["relative"][name] == pytest.approx(rows["difference"][name] / rows["mean"].iloc[0])
    scores = json.loads((trained.folder / "metrics.json").read_text())["auroc"]
    assert rows["mean"].iloc[0] == scores["mean"]
    assert rows["sd"].iloc[0] == scores["sd_ddof1"]
    norms = [
        row["gradient_norm"]["cross_entropy"]
        for path in sorted(trained.folder.glob("fold*/history.json"))
        for row in json.loads(path.read_text())
    ]
    assert rows["gradient_norm_cross_entropy"].iloc[0] == pytest.approx(sum(norms) / len(norms))
    assert set(rows["weights"]) == {65}
    folder = RUNS / "comparisons" / "perceptron-ablation"
    assert pd.read_csv(folder / "ablation.csv")["variant"].tolist() == found.table["variant"].tolist()
    assert len(Tags((folder / "ablation.html").read_text(encoding="utf-8")).sources) == 1
    page = (folder / "ablation.md").read_text(encoding="utf-8")
    assert "| ohne Ausfall | perceptron-r3 | dropout 0.0 " in page
    assert "pp" in page
    assert (folder / "ablation.png").stat().st_size > 5000
    capsys.readouterr()
    main(["ablate", "--comp", "blobs", "--config", "perceptron", "seeds=[0,1]", "--quiet"])
    assert capsys.readouterr().out.count("finished before") == 3
    assert not (RUNS / "perceptron-r4").exists()


@pytest.mark.slow
def test_an_interrupted_ablation_is_resumed(toy: Path, capsys: pytest.CaptureFixture) -> None:
    block("ablation: {other: {dropout: 0.5}}\n")
    main(["ablate", "--comp", "blobs", "--config", "perceptron", "--quiet"])
    (RUNS / "perceptron-r2" / "record.md").unlink()
    capsys.readouterr()
    main(["ablate", "--comp", "blobs", "--config", "perceptron", "--quiet"])
    told = capsys.readouterr().out
    assert "finished before: blobs/perceptron-r1" in told
    assert f"resuming {RUNS / 'perceptron-r2'}" in told


@pytest.mark.parametrize(
    ("text", "code", "fact"),
    [
        ("", "no_ablation", "has no block `ablation:`"),
        ("ablation: [1, 2]\n", "no_ablation", "has no block"),
        ("ablation: {a: {}}\n", "variant_changes_nothing", "variant 'a'"),
        ("ablation: {reference: {dropout: 0.5}}\n", "variant_changes_nothing", "variant 'reference'"),
        ("ablation: {a: {dropout: 0.2}}\n", "variant_changes_nothing", "has the values of the config"),
        ("ablation: {a: {dropuot: 0.2}}\n", "unknown_key", "variant 'a': there is no key"),
        ("ablation: {a: {dropout: high}}\n", "invalid_value", "variant 'a': config"),
        ("ablation: {a: {seeds: [3]}}\n", "variant_not_paired", "variant 'a' changes seeds"),
        ("ablation: {a: {epochs: 3}}\n", "unequal_budget", "variant 'a' changes epochs"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_training(toy: Path, text: str, code: str, fact: str) -> None:
    block(text)
    with pytest.raises(GoldfoldError) as error:
        Project(quiet=True).ablate("blobs", "perceptron")
    assert error.value.code == code
    assert fact in str(error.value)
    assert not list(RUNS.glob("perceptron-r*"))


def test_unequal_budgets_are_accepted_and_told(toy: Path) -> None:
    block("ablation: {longer: {epochs: 4}}\n")
    found = Project(quiet=True).ablate("blobs", "perceptron", accept=["unequal_budget"])
    assert [finding.code for finding in found.comparison.findings] == ["unequal_budget"]
    assert "4 epochs against 2" in found.text
