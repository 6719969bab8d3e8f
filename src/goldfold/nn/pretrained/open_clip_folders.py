"""CLIP with a ResNet, from a folder in the layout of open_clip: open_clip_config.json, weights and tokenizer files.

transformers has no ResNet of CLIP. The image tower is timm's network of the same architecture, and the text tower
transformers' text model of CLIP, both with the weights of the folder under other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from goldfold.nn.pretrained import tower_folders
from goldfold.nn.pretrained.tower_folders import TowerFolder

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TEXT = {  # names of the text tower in open_clip -> in transformers, replaced one after the other
    "token_embedding.": "text_model.embeddings.token_embedding.",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "transformer.resblocks.": "text_model.encoder.layers.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".attn.": ".self_attn.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
    "ln_final.": "text_model.final_layer_norm.",
    "text_projection": "text_projection.weight",
}
QUERY_KEY_VALUE = ("q_proj.", "k_proj.", "v_proj.")  # one tensor, in_proj, in open_clip
UNUSED = ("visual.", "logit_scale", "attn_mask")
END = 2  # transformers then pools the token with the largest id, as open_clip does


class Pixels(NamedTuple):
    """What an image tower expects: side of the square in pixels, mean and standard deviation of values in [0, 1]."""

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def is_one(path: str | Path) -> bool:
    """Whether a folder is in the layout of open_clip alone; some folders have that of transformers, too."""
    of_transformers = TowerFolder(Path(path), "clip").read_json("config.json").get("model_type")
    return (Path(path) / CONFIG).is_file() and not of_transformers


def open_folder(path: str | Path) -> TowerFolder:
    """Return the folder after a look at its config and the names of its weights; the family is `clip`.

    Raises:
        GoldfoldError: `unknown_tower_family`, its image tower is not a ResNet; `tower_weights_missing`; and
            `tower_not_found` if the config cannot be read.
    """
    folder = TowerFolder(Path(path), "clip")
    vision = _config(folder, "vision_cfg")
    if not (isinstance(vision.get("layers"), list) and len(vision["layers"]) == 4 and vision.get("width")):
        raise folder.error(
            "unknown_tower_family",
            "is in the layout of open_clip, of which only ResNets are known (vision_cfg with four numbers of layers): "
            "choose the folder of transformers for a ViT",
        )
    if not any((folder.path / name).is_file() for name in WEIGHTS):
        raise folder.error("tower_weights_missing", f"has none of {', '.join(WEIGHTS)}: download one of them too")
    return folder


def pixels(folder: TowerFolder, mean: tuple[float, ...], std: tuple[float, ...]) -> Pixels:
    """Return what the image tower expects; mean, std: where the folder names none."""
    told = folder.read_json(CONFIG).get("preprocess_cfg", {})
    size = int(_config(folder, "vision_cfg").get("image_size", 224))
    return Pixels(size, tuple(told.get("mean", mean)), tuple(told.get("std", std)))


def image_model(folder: TowerFolder) -> Any:
    """Create the image tower, timm's ByobNet with attention pool and projection, in evaluation mode.

    Raises GoldfoldError `tower_not_loaded` for weights that are unreadable, missing or of another shape.
    """
    from timm.models import byobnet

    config, known = _config(folder, "vision_cfg"), byobnet.model_cfgs["resnet50_clip"]
    width, depths, given = config["width"], config["layers"], cast(tuple[byobnet.ByoBlockCfg, ...], known.blocks)
    blocks = tuple(
        replace(block, d=depth, c=4 * width * 2**number)
        for number, (block, depth) in enumerate(zip(given, depths, strict=True))
    )
    with tower_folders.refusing(folder), torch.random.fork_rng():
        model = byobnet.ByobNet(
            replace(known, blocks=blocks, stem_chs=(width // 2, width // 2, width)),
            num_classes=folder.read_json(CONFIG)["model_cfg"]["embed_dim"],
            img_size=config.get("image_size", 224),
        )
        weights = {name: value for name, value in _weights(folder).items() if name.startswith("visual.")}
        return _filled(model, byobnet.checkpoint_filter_fn(weights, model))


def text_model(folder: TowerFolder) -> Any:
    """Create the text tower, transformers' CLIPTextModelWithProjection, in evaluation mode; errors as `image_model`."""
    config, model_config = _config(folder, "text_cfg"), folder.read_json(CONFIG)["model_cfg"]
    with tower_folders.refusing(folder), torch.random.fork_rng():
        import transformers

        options = transformers.CLIPTextConfig(
            vocab_size=config["vocab_size"],
            max_position_embeddings=config["context_length"],
            hidden_size=config["width"],
            intermediate_size=4 * config["width"],
            num_attention_heads=config["heads"],
            num_hidden_layers=config["layers"],
            projection_dim=model_config["embed_dim"],
            hidden_act="quick_gelu" if model_config.get("quick_gelu") else "gelu",
            eos_token_id=END,
            bos_token_id=None,  # its default may be beyond the vocabulary
        )
        return _filled(transformers.CLIPTextModelWithProjection(options), _text_weights(_weights(folder)))


def _text_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the text tower under the names of transformers."""
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name.startswith(UNUSED):
            continue
        own = name
        for theirs, ours in TEXT.items():
            own = own.replace(theirs, ours)
        if ".in_proj_" in own:
            parts = zip(QUERY_KEY_VALUE, value.chunk(3), strict=True)
            found |= {own.replace("in_proj_", part): each for part, each in parts}
        else:
            found[own] = value.T if name == "text_projection" else value
    return found


def _filled(model: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.float().eval()


def _weights(folder: TowerFolder) -> dict[str, Tensor]:
    """All weights; a pickle is opened without running its code."""
    from safetensors.torch import load_file

    path = next(folder.path / name for name in WEIGHTS if (folder.path / name).is_file())
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _config(folder: TowerFolder, part: str) -> dict[str, Any]:
    """A part of the model's config; {} if it is not there."""
    found = folder.read_json(CONFIG).get("model_cfg")
    found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
