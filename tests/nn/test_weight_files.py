"""Weights of files: equal to the model they were saved from, heads that do not fit, and files that are refused."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import pytest
import timm
import torch
from error_codes import raises_code
from safetensors.torch import save_file
from torch import nn

from goldfold.nn import backbones

NAME = "test_resnet"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[nn.Module, Path]:
    """A small model with 7 classes and a folder with its weights in every form."""
    torch.manual_seed(0)
    model, folder = timm.create_model(NAME, num_classes=7), tmp_path_factory.mktemp("权重")
    weights = model.state_dict()
    save_file(weights, folder / "plain.safetensors")
    torch.save(weights, folder / "plain.pth")
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": v for key, v in weights.items()}}, folder / "wrapped.pt")
    torch.save({f"network.{key}": value for key, value in weights.items()}, folder / "prefixed.pt")
    return model, folder


@pytest.mark.parametrize("file", ["plain.safetensors", "plain.pth", "wrapped.pt", "prefixed.pt"])
@pytest.mark.parametrize("classes", [0, 7, 3])
def test_a_model_starts_from_the_weights_of_a_file(saved, file, classes):
    model, folder = saved
    found = backbones.create(NAME, True, num_classes=classes, image_size=64, weights=str(folder / file)).model
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(found.eval().forward_features(images), model.eval().forward_features(images))
        if classes == 7:
            assert torch.equal(found(images), model(images))
    assert classes != 3 or found.get_classifier().weight.shape[0] == 3


def test_first_convolution_and_positions_are_adapted_as_timm_does(tmp_path):
    model = timm.create_model("test_vit", num_classes=0)
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    overlay = {"file": str(tmp_path / "vit.safetensors")}
    options = {"in_chans": 1, "num_classes": 0, "img_size": 80}
    theirs = timm.create_model("test_vit", pretrained=True, pretrained_cfg_overlay=overlay, **options)
    own = backbones.create("test_vit", True, in_chans=1, image_size=80, weights=str(tmp_path / "vit.safetensors")).model
    for name, value in theirs.state_dict().items():
        assert torch.equal(own.state_dict()[name], value), name


def test_a_folder_in_timms_layout_is_a_backbone(saved, tmp_path):
    model, _ = saved
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    facts = {"input_size": [3, 64, 64], "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "classifier": "fc", "num_classes": 7}
    facts |= {"first_conv": "conv1.0"}
    known = {"architecture": NAME, "num_classes": 7, "pretrained_cfg": facts}
    (tmp_path / "config.json").write_text(json.dumps(known))
    found, mean, _ = backbones.create(f"local-dir:{tmp_path}", True, num_classes=3, image_size=64)
    assert mean == (0.1, 0.2, 0.3)
    assert torch.equal(found.state_dict()["layer1.0.conv1.weight"], model.state_dict()["layer1.0.conv1.weight"])
    with raises_code("backbone_not_created"):
        backbones.create(f"local-dir:{tmp_path / 'absent'}", True)


class Code:
    """Opens to a call, as a pickle that attacks does."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("was_run"),)


def test_a_file_that_runs_code_is_refused_and_nothing_of_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(1), "more": Code()}, "code.pth")
    with raises_code("weights_file_has_code"):
        backbones.create(NAME, True, weights="code.pth")
    Path("bare.pth").write_bytes(pickle.dumps(Code(), protocol=2))
    with warnings.catch_warnings(), raises_code("weights_file_has_code"):
        backbones.create(NAME, True, weights="bare.pth")
    assert not Path("was_run").exists()


@pytest.mark.parametrize(
    ("name", "content"), [("a.pth", b"hello"), ("a.safetensors", b"hello"), ("a.safetensors", b""), ("a.pt", b"")]
)
def test_a_damaged_file_is_told(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with raises_code("weights_file_damaged"):
        backbones.create(NAME, True, weights=str(tmp_path / name))


def test_files_without_tensors_or_without_a_file(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with raises_code("weights_file_damaged"):
        backbones.create(NAME, True, weights=str(tmp_path / "list.pth"))
    with raises_code("weights_file_missing"):
        backbones.create(NAME, True, weights=str(tmp_path))


def test_another_architecture_is_told_by_its_first_weight(saved, tmp_path):
    _, folder = saved
    file = str(folder / "plain.safetensors")
    with raises_code("weights_do_not_fit", "'cls_token' (1, 1, 64), which the file lacks"):
        backbones.create("test_vit", True, weights=file)
    more = {**timm.create_model("resnet18").state_dict(), "layer1.2.conv1.weight": torch.zeros(2)}
    torch.save(more, tmp_path / "more.pt")
    with raises_code("weights_do_not_fit", "the file has 'layer1.2.conv1.weight' (2,), which the model lacks"):
        backbones.create("resnet18", True, weights=str(tmp_path / "more.pt"))
    torch.save({**saved[0].state_dict(), "layer1.0.conv1.weight": torch.zeros(1, 2)}, tmp_path / "narrow.pt")
    with raises_code("weights_do_not_fit", "'layer1.0.conv1.weight' is (1, 2) there and"):
        backbones.create(NAME, True, weights=str(tmp_path / "narrow.pt"))
