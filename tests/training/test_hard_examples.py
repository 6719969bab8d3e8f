"""Losses of single training rows: exact, listed by size, without effect on training, refused where there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from torch import nn
from torch.nn import functional as F

from goldfold.cli.main import main
from goldfold.competition import Plan, Stage
from goldfold.nn.batches import InMemory, in_memory
from goldfold.training import checkpoints, hard_examples
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

CPU = torch.device("cpu")
DRAW = torch.Generator().manual_seed(0)
LABELS = torch.tensor([0, 1] * 15)
POINTS = torch.randn(30, 3, generator=DRAW) + 4 * LABELS[:, None]
FLIPPED = (4, 11, 20)
KNOWN = LABELS.clone()
KNOWN[list(FLIPPED)] = 1 - KNOWN[list(FLIPPED)]
ROWS = pd.DataFrame({"id": [f"p{row:02d}" for row in range(30)]})


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))


def plan() -> Plan:
    """A classifier of two clouds with three wrong labels; batches repeat rows, and losses of rows draw numbers."""

    def row_losses(model: nn.Module) -> np.ndarray:
        torch.rand(7)
        return F.cross_entropy(model(POINTS), KNOWN, reduction="none").numpy()

    stage = Stage(
        name="fit",
        epochs=4,
        batches=in_memory((POINTS, KNOWN), 10, seed=0, balance=KNOWN.numpy()),
        losses=lambda model, batch: {"cross_entropy": F.cross_entropy(model(batch[0]), batch[1])},
        optimizer=lambda model: torch.optim.Adam(model.parameters(), 0.05),
        row_losses=row_losses,
    )
    return Plan(model=network(), stages=[stage], predict=lambda *_: np.zeros(0))


def trained(place: Path, count: int = 5, rows: pd.DataFrame = ROWS, plan: Callable[[], Plan] = plan) -> list:
    made = plan()
    torch.manual_seed(1)
    examples = hard_examples.of_plan(made, rows, count, place)
    history, _ = train(made, loop=LoopOptions(), device=CPU, folder=place / "kept", keep_every=True, examples=examples)
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def test_losses_are_those_of_the_epochs_weights_in_eval_mode(tmp_path: Path) -> None:
    trained(tmp_path)
    found = hard_examples.read(tmp_path)
    assert found.shape == (4, 30)
    for epoch, checkpoint in enumerate(checkpoints.list_checkpoints(tmp_path / "kept")):
        model = network()
        checkpoints.load_weights(checkpoint, model)
        with torch.no_grad():
            expected = F.cross_entropy(model.eval()(POINTS), KNOWN, reduction="none")
        assert np.array_equal(found[epoch], expected.numpy())


def test_the_list_names_the_rows_with_the_largest_losses_and_finds_wrong_labels(tmp_path: Path) -> None:
    trained(tmp_path)
    lines = (tmp_path / "hard_examples" / "topk_high_loss_epoch_04.txt").read_text().splitlines()
    losses = hard_examples.read(tmp_path)[-1]
    order = np.argsort(-losses)[:5]
    assert lines == [f"p{row:02d}\t{losses[row]:.6f}" for row in order]
    assert {f"p{row:02d}" for row in FLIPPED} == {line.split("\t")[0] for line in lines[:3]}


def test_paths_are_listed_instead_of_ids_where_rows_have_any(tmp_path: Path) -> None:
    trained(tmp_path, count=1, rows=ROWS.assign(path=[Path("图") / f"{row}.png" for row in range(30)]))
    (line,) = (tmp_path / "hard_examples" / "topk_high_loss_epoch_01.txt").read_text("utf-8").splitlines()
    path, _, loss = line.partition("\t")
    assert path == f"图/{np.argmax(hard_examples.read(tmp_path)[0])}.png"
    assert len(loss.partition(".")[2]) == 6


def test_equal_losses_are_listed_by_id() -> None:
    losses = np.array([1.0, 3.0, 3.0, 2.0, 3.0])
    assert hard_examples.largest(losses, ["a", "c", "b", "d", "a2"], 4) == [4, 2, 1, 3]


def test_listing_does_not_change_training(tmp_path: Path) -> None:
    assert trained(tmp_path / "listed") == trained(tmp_path / "not listed", count=0)
    assert not hard_examples.read(tmp_path / "not listed").size


def test_a_resumed_fit_writes_the_same_files(tmp_path: Path) -> None:
    def interrupted() -> Plan:
        made = plan()
        stage = made.stages[0]

        def batches(epoch: int) -> InMemory:
            if epoch == 2:
                raise KeyboardInterrupt
            return stage.batches(epoch)

        return replace(made, stages=[replace(stage, batches=batches)])

    def files(place: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (place / "hard_examples").iterdir()}

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "resumed", plan=interrupted)
    assert len(files(tmp_path / "resumed")) == 4
    torch.manual_seed(9)
    trained(tmp_path / "resumed")
    trained(tmp_path / "whole")
    assert files(tmp_path / "resumed") == files(tmp_path / "whole")
    assert len(files(tmp_path / "whole")) == 8


def test_a_plan_without_losses_of_rows_and_losses_of_other_rows_are_refused(tmp_path: Path) -> None:
    made = plan()
    without = replace(made, stages=[replace(made.stages[0], row_losses=None)])
    with raises_code("no_row_losses", "hard_examples=5"):
        hard_examples.of_plan(without, ROWS, 5, tmp_path)
    with raises_code("row_losses_mismatch", r"shape \(30,\) for 29 training rows"):
        trained(tmp_path, rows=ROWS[:29])


def test_a_run_reports_its_hard_examples(toy: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["train", "--comp", "blobs", "--quiet", "epochs=2", "folds=[2]", "hard_examples=4"]
    main([*command, "--config", "perceptron"])
    (run,) = toy.glob("runs/blobs/perceptron-r*")
    assert len(pd.read_csv(run / "hard_examples.csv")) == 4
    assert (run / "hard_examples.png").stat().st_size > 10_000
    assert "## Hard examples" in (run / "record.md").read_text("utf-8")
    assert len(list(run.glob("fold2-seed0/hard_examples/*.txt"))) == 2
    with pytest.raises(SystemExit):
        main(["train", "--comp", "blobs", "--quiet", "hard_examples=4", "--config", "estimator"])
    assert "hard_examples=4 needs the loss of each training row" in capsys.readouterr().err
