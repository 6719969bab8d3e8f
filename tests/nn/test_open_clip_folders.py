"""ResNets of CLIP in the layout of open_clip: the towers against open_clip itself, and which folders are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import open_clip_checkpoints
import pytest
import torch
from error_codes import raises_code
from torch.nn import functional as F
from tower_checkpoints import TEXTS, features

from goldfold.images.sizes import height_and_width
from goldfold.nn import image_towers, text_towers
from goldfold.nn.pretrained import open_clip_folders
from goldfold.retrieval.prompts import towers

transformers: Any = pytest.importorskip("transformers", reason="needs packages: pip install transformers sentencepiece")
CONFIG, WEIGHTS = open_clip_folders.CONFIG, open_clip_folders.WEIGHTS[0]
SIZES = (64, (96, 64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_clip_checkpoints.save(tmp_path_factory.mktemp("塔") / "rn")


def pixels(height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def normalized(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(each)[:, None, None] for each in image_towers.CLIP)
    return (images.permute(0, 3, 1, 2) / 255 - mean) / std


def change(folder: Path, how: Any) -> None:
    told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    how(told)
    (folder / CONFIG).write_text(json.dumps(told), encoding="utf-8")


def outputs(folder: Path, size: Any = None) -> dict[str, torch.Tensor]:
    """What both towers compute of pictures and of texts."""
    found = towers.load_clip(str(folder), size)
    height, width = height_and_width(size or open_clip_checkpoints.IMAGE)
    with torch.no_grad():
        image = found.image.eval()(pixels(height, width), inner=True)
        return {**image._asdict(), "projected": found.project_image(image.pooled), "texts": features(found.text)}


@pytest.mark.parametrize("size", SIZES)
def test_both_towers_are_those_of_open_clip(folder, size):
    open_clip = pytest.importorskip("open_clip", reason="compares with open_clip: pip install open_clip_torch")
    from safetensors.torch import load_file

    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]
    reference, weights = open_clip.CLIP(**config).eval(), load_file(folder / WEIGHTS)
    reference.load_state_dict(weights)
    maps: list[torch.Tensor] = []
    for stage in (reference.visual.layer3, reference.visual.layer4):
        stage.register_forward_hook(lambda own, given, made: maps.append(made.mean((2, 3))))
    height, width = height_and_width(size)
    reference.visual.attnpool.positional_embedding.data = resampled(
        weights["visual.attnpool.positional_embedding"], height // 32, width // 32
    )
    found = outputs(folder, size)
    ids, _ = text_towers.load(folder).tokenize(TEXTS)
    with torch.no_grad():
        expected = {
            "projected": reference.encode_image(normalized(pixels(height, width))),
            "texts": reference.encode_text(F.pad(ids, (0, 64 - ids.shape[1]))),
        }
    for name, values in (expected | {"inner": maps[0], "last": maps[1]}).items():
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-4)


def resampled(positions: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Position embeddings of the mean and a grid of 2 x 2 for another grid."""
    grid = positions[1:].T.unflatten(1, (2, 2))[None]
    if (rows, columns) != (2, 2):
        grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=True)
    return torch.cat([positions[:1], grid[0].flatten(1).T])


RECORDED = {  # of open_clip 3.3.0 with the same weights: the first features of the first picture or text
    "last": [0.0, 0.3922, 1.7642, 2.3496],
    "inner": [1.0555, 0.0, 4.1616, 0.0],
    "projected": [36.3518, -24.0869, 2.2396, 0.3414],
    "texts": [-0.061, 0.2178, -0.0963, -0.7174],
}


def test_recorded_outputs_of_open_clip_are_repeated_from_either_file_of_weights(folder, tmp_path):
    from safetensors.torch import load_file

    pickled = shutil.copytree(folder, tmp_path / "bin")
    torch.save(load_file(folder / WEIGHTS), pickled / open_clip_folders.WEIGHTS[1])
    (pickled / WEIGHTS).unlink()
    for each in (folder, pickled):
        found = outputs(each)
        for name, values in RECORDED.items():
            torch.testing.assert_close(found[name][0, :4], torch.tensor(values), rtol=1e-3, atol=1e-3)


def test_normalization_is_that_of_clip_unless_the_folder_names_another(folder, tmp_path):
    own = towers.load_clip(str(folder), None).image.normalize
    for values, expected in (
        (own.mean, (0.48145466, 0.4578275, 0.40821073)),
        (own.std, (0.26862954, 0.26130258, 0.27577711)),
    ):
        torch.testing.assert_close(values.flatten(), 255 * torch.tensor(expected))
    other = shutil.copytree(folder, tmp_path / "other")
    change(other, lambda told: told.update(preprocess_cfg={"mean": [0.1, 0.2, 0.3], "std": [1, 2, 4]}))
    normalize = towers.load_clip(str(other), None).image.normalize
    torch.testing.assert_close(normalize.mean.flatten(), torch.tensor([25.5, 51, 76.5]))
    torch.testing.assert_close(normalize.std.flatten(), torch.tensor([255.0, 510, 1020]))


def test_no_random_number_is_drawn(folder):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    towers.load_clip(str(folder), None)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("count", "trained"), [(0, set()), (1, {3}), (2, {2, 3}), (4, {0, 1, 2, 3}), (None, {0, 1, 2, 3})]
)
def test_unfrozen_blocks_are_the_last_stages_with_the_attention_pool(folder, count, trained):
    tower = towers.load_clip(str(folder), None).image
    towers.unfreeze(tower, count)
    held = {name for name, parameter in tower.trunk.named_parameters() if parameter.requires_grad}
    assert {int(name.split(".")[1]) for name in held if name.startswith("stages.")} == trained
    assert {name for name, _ in tower.trunk.named_parameters() if name.startswith("head.")} <= held
    assert any(name.startswith("stem.") for name in held) == (count is None)
    with raises_code("too_many_blocks", "unfreeze_blocks=5", "has 4 blocks"):
        towers.unfreeze(tower, 5)


def test_folders_that_are_refused(folder, tmp_path):
    def damaged() -> Path:
        return shutil.copytree(folder, tmp_path / "rn", dirs_exist_ok=True)

    with raises_code("image_size_unsuitable", "multiples of 32", "100 x 64"):
        towers.load_clip(str(folder), (100, 64))
    own = damaged()
    change(own, lambda told: told["model_cfg"]["vision_cfg"].update(layers=12))
    with raises_code("unknown_tower_family", "only ResNets", "transformers for a ViT"):
        towers.load_clip(str(own), None)
    own = damaged()
    change(own, lambda told: told["model_cfg"]["vision_cfg"].update(width=16))
    with raises_code("tower_not_loaded", "size mismatch", "download the folder again"):
        towers.load_clip(str(own), None)
    own = damaged()
    change(own, lambda told: told["model_cfg"].pop("text_cfg"))
    with raises_code("tower_not_loaded", "vocab_size"):
        text_towers.load(own)
    (own / CONFIG).write_text("{")
    with raises_code("tower_not_found", "cannot be read"):
        text_towers.load(own)
    own = damaged()
    (own / "tokenizer.json").unlink()
    with raises_code("tokenizer_missing", "tokenizer.json"):
        text_towers.load(own)
    (own / WEIGHTS).unlink()
    with raises_code("tower_weights_missing", "open_clip_model.safetensors, open_clip_pytorch_model.bin"):
        text_towers.load(own)
    (own / WEIGHTS).write_bytes(b"\x08" + bytes(20))
    with raises_code("tower_not_loaded"):
        towers.load_clip(str(own), None)


def test_a_folder_of_both_layouts_is_read_as_that_of_transformers(folder, checkpoint, tmp_path):
    both = shutil.copytree(checkpoint("clip"), tmp_path / "both")
    shutil.copy(folder / CONFIG, both)
    assert torch.equal(features(text_towers.load(both)), features(text_towers.load(checkpoint("clip"))))
    assert isinstance(towers.load_clip(str(both), None).image, towers.ClipTower)
    with raises_code("unknown_tower_family", "only prompted_embedder"):
        image_towers.load(folder)


class Harm:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("harmed"),))


def test_a_pickle_runs_no_code(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = shutil.copytree(folder, tmp_path / "rn")
    (own / WEIGHTS).unlink()
    torch.save({"visual.conv1.weight": Harm()}, own / open_clip_folders.WEIGHTS[1])
    with raises_code("tower_not_loaded"):
        towers.load_clip(str(own), None)
    assert not (tmp_path / "harmed").exists()
