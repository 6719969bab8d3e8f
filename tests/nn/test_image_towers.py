"""Image towers: tiny checkpoints against the outputs and image processors of transformers itself."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
import torch
import tower_checkpoints
from PIL import Image
from tower_checkpoints import reference

from goldfold.competition import Runtime
from goldfold.nn import feature_cache, image_towers

NEEDED = "needs packages: pip install transformers sentencepiece"
transformers: Any = pytest.importorskip("transformers", reason=NEEDED)
pytest.importorskip("sentencepiece", reason=NEEDED)


@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2"])
def test_the_image_tower_is_that_of_transformers(checkpoint, family):
    folder, side = checkpoint(family), tower_checkpoints.IMAGE
    pixels = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    options = (
        {"patch_size": 8, "max_num_patches": 16} if family == "siglip2" else {"size": {"height": side, "width": side}}
    )
    names = {"clip": "CLIPImageProcessor", "siglip": "SiglipImageProcessor", "siglip2": "Siglip2ImageProcessor"}
    options |= {"do_center_crop": False} if family == "clip" else {}
    processor = getattr(transformers, names[family])(**options)
    model, _ = reference(folder)
    inputs = processor(list(pixels), return_tensors="pt")
    with torch.inference_mode():
        expected = model.get_image_features(**inputs).pooler_output
        got = (tower := image_towers.load(folder))(torch.from_numpy(pixels))
    assert tower.image_size == side
    assert torch.allclose(got, expected, atol=1e-4)
    assert (got.norm(dim=1) - 1).abs().min() > 0.1
    with torch.inference_mode():
        tower.model.get_image_features = lambda **given: expected  # what it was before transformers 5
        assert torch.equal(tower(torch.from_numpy(pixels)), expected)


def test_the_image_processor_of_the_folder_sets_the_normalization(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("siglip"), tmp_path / "siglip")
    for name, told in {
        "preprocessor_config.json": {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 4]},
        "processor_config.json": {"image_processor": {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 4]}},
    }.items():
        (folder / name).write_text(json.dumps(told))
        normalize = image_towers.load(folder).normalize
        assert torch.allclose(normalize.mean.flatten(), torch.tensor([25.5, 51, 76.5]))
        assert torch.allclose(normalize.std.flatten(), torch.tensor([255.0, 510, 1020]))
        (folder / name).unlink()


def test_the_feature_cache_takes_an_image_tower_as_it_is(checkpoint, tmp_path):
    pixels = np.random.default_rng(0).integers(
        0, 256, (3, tower_checkpoints.IMAGE, tower_checkpoints.IMAGE, 3), np.uint8
    )
    paths = tuple(tmp_path / f"{number}.png" for number in range(3))
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    tower = image_towers.load(checkpoint("siglip"))
    runtime = Runtime(seed=0, device=torch.device("cpu"), cache=tmp_path)
    got = feature_cache.cached_extractor(tower, tower.image_size, runtime)(paths)
    with torch.inference_mode():
        assert np.allclose(got, tower(torch.from_numpy(pixels)).numpy(), atol=1e-5)
