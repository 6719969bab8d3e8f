"""Checkpoints are whole or absent, say so when they are damaged, and hold every kind of model."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from torch import nn

from goldfold.errors import GoldfoldError
from goldfold.io.files import read_json, write_json
from goldfold.training import checkpoints


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def row(stage: str, epoch: int) -> dict:
    return {"stage": stage, "epoch": epoch, "metric": None, "loss": {"平方": 0.5}}


def put(folder, *epochs: int, stage: str = "only", index: int = 0) -> None:
    for epoch in epochs:
        checkpoints.save(folder, (index, epoch), row(stage, epoch), model(epoch), {"epoch": epoch})


def assert_same(one: nn.Module, other: nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_what_is_saved_is_listed_and_loaded(tmp_path):
    put(tmp_path, 1, 2)
    first, second = checkpoints.list_checkpoints(tmp_path)
    assert (first.order, second.row) == ((0, 1), row("only", 2))
    assert [path.name for path in sorted(tmp_path.iterdir())][:3] == [
        "only_epoch_001.json",
        "only_epoch_001.safetensors",
        "only_epoch_001.training.pt",
    ]
    loaded = model(99)
    checkpoints.load_weights(first, loaded)
    assert_same(loaded, model(1))
    newest, state = checkpoints.load_latest(tmp_path)
    assert (newest, state) == (second, {"epoch": 2})


def test_order_is_by_stage_and_epoch_not_by_name(tmp_path):
    put(tmp_path, 9, 10, 1000, stage="warm", index=0)
    put(tmp_path, 1, stage="early", index=1)
    assert [checkpoint.path.stem for checkpoint in checkpoints.list_checkpoints(tmp_path)] == [
        "warm_epoch_009",
        "warm_epoch_010",
        "warm_epoch_1000",
        "early_epoch_001",
    ]


def test_nothing_saved_is_nothing_found(tmp_path):
    assert checkpoints.list_checkpoints(tmp_path / "absent") == []
    assert checkpoints.load_latest(tmp_path / "absent") is None


def test_weights_without_their_facts_do_not_exist(tmp_path):
    """The JSON is written last: a process killed before it leaves the epoch before as the newest."""
    put(tmp_path, 1, 2)
    (tmp_path / "only_epoch_002.json").unlink()
    assert [checkpoint.order for checkpoint in checkpoints.list_checkpoints(tmp_path)] == [(0, 1)]


@pytest.mark.parametrize("damage", ["cut", "altered", "removed", "empty"])
@pytest.mark.parametrize("suffix", [".safetensors", ".training.pt"])
def test_damage_is_noticed_and_passed_over(damage, suffix, tmp_path):
    put(tmp_path, 1, 2)
    path = tmp_path / f"only_epoch_002{suffix}"
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {
        "cut": data[:middle],
        "empty": b"",
        "altered": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
    }
    path.unlink()
    if damage in changed:
        path.write_bytes(changed[damage])
    assert checkpoints.load_latest(tmp_path)[1] == {"epoch": 1}
    if suffix == ".safetensors":
        with pytest.raises(GoldfoldError) as error:
            checkpoints.load_weights(checkpoints.list_checkpoints(tmp_path)[1], model())
        assert error.value.code == "checkpoint_damaged"
        assert "only_epoch_002.safetensors" in str(error.value)
        assert "run the same command again" in str(error.value)


def test_all_damaged_is_none_at_all(tmp_path):
    put(tmp_path, 1, 2)
    for path in tmp_path.glob("*.training.pt"):
        path.write_bytes(path.read_bytes()[:10])
    assert checkpoints.load_latest(tmp_path) is None


def test_another_models_weights_are_refused(tmp_path):
    put(tmp_path, 1)
    with pytest.raises(GoldfoldError) as error:
        checkpoints.load_weights(checkpoints.list_checkpoints(tmp_path)[0], nn.Linear(3, 4))
    assert error.value.code == "weights_do_not_fit"
    assert "only_epoch_001" in str(error.value)


def test_tied_weights_save_and_load(tmp_path):
    def tied(seed):
        torch.manual_seed(seed)
        made = nn.ModuleDict({"embedding": nn.Embedding(5, 3), "output": nn.Linear(3, 5, bias=False)})
        made["output"].weight = made["embedding"].weight
        return made

    checkpoints.save(tmp_path, (0, 1), row("only", 1), tied(1), {})
    loaded = tied(2)
    checkpoints.load_weights(checkpoints.list_checkpoints(tmp_path)[0], loaded)
    assert_same(loaded, tied(1))
    assert loaded["output"].weight is loaded["embedding"].weight


def test_views_and_memory_formats_save_and_load(tmp_path):
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            whole = torch.arange(8.0)
            self.register_buffer("low", whole[:4])
            self.register_buffer("high", whole[4:])
            self.register_buffer("turned", torch.arange(6.0).view(2, 3).T)
            self.register_buffer("nothing", torch.empty(0))
            self.convolution = nn.Conv2d(3, 2, 3).to(memory_format=torch.channels_last)

    torch.manual_seed(0)
    made, loaded = Views(), Views()
    checkpoints.save(tmp_path, (0, 1), row("only", 1), made, {})
    checkpoints.load_weights(checkpoints.list_checkpoints(tmp_path)[0], loaded)
    assert_same(loaded, made)
    assert loaded.convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_pruning_keeps_what_it_is_told_and_two_states(tmp_path):
    put(tmp_path, 1, 2, 3, 4, 5)
    kept = {checkpoint.path for checkpoint in checkpoints.list_checkpoints(tmp_path) if checkpoint.row["epoch"] == 2}
    checkpoints.prune(tmp_path, kept)
    assert [checkpoint.row["epoch"] for checkpoint in checkpoints.list_checkpoints(tmp_path)] == [2, 4, 5]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".json") == [
        "only_epoch_002.safetensors",
        "only_epoch_004.safetensors",
        "only_epoch_004.training.pt",
        "only_epoch_005.safetensors",
        "only_epoch_005.training.pt",
    ]


def test_keeping_all_still_drops_old_states(tmp_path):
    put(tmp_path, 1, 2, 3)
    checkpoints.prune(tmp_path, None)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [
        "only_epoch_002.training.pt",
        "only_epoch_003.training.pt",
    ]


def test_going_back_forgets_what_came_after(tmp_path):
    """Training that starts over writes epoch 1 again: damaged later epochs must not count as the newest."""
    put(tmp_path, 1, 2, 3)
    put(tmp_path, 1)
    assert [checkpoint.order for checkpoint in checkpoints.list_checkpoints(tmp_path)] == [(0, 1)]
    assert not list(tmp_path.glob("only_epoch_003*"))


def test_facts_are_plain_json(tmp_path):
    put(tmp_path, 1)
    facts = json.loads((tmp_path / "only_epoch_001.json").read_text(encoding="utf-8"))
    assert facts["row"]["loss"] == {"平方": 0.5}
    assert set(facts["files"]) == {"only_epoch_001.safetensors", "only_epoch_001.training.pt"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"order": 1}', "[" * 100_000])
def test_a_damaged_json_steps_back_to_the_checkpoint_before(tmp_path, content):
    put(tmp_path, 1, 2)
    (tmp_path / "only_epoch_002.json").write_text(content)
    found, state = checkpoints.load_latest(tmp_path)
    assert (found.order, state) == ((0, 1), {"epoch": 1})
    put(tmp_path, 2)
    checkpoints.prune(tmp_path, None)
    assert [each.order for each in checkpoints.list_checkpoints(tmp_path)] == [(0, 1), (0, 2)]


class Runs:
    """A pickle that makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_training_state_that_would_run_code_is_passed_over(tmp_path):
    """Even where its size and hash were written anew."""
    put(tmp_path, 1, 2)
    torch.save(Runs(tmp_path / "ran"), tmp_path / "only_epoch_002.training.pt")
    data = (tmp_path / "only_epoch_002.training.pt").read_bytes()
    facts = read_json(tmp_path / "only_epoch_002.json")
    facts["files"]["only_epoch_002.training.pt"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    write_json(tmp_path / "only_epoch_002.json", facts)
    assert checkpoints.load_latest(tmp_path)[0].order == (0, 1)
    assert not (tmp_path / "ran").exists()
