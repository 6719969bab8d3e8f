"""Tiny CLIPs with a ResNet and random weights in the layout of open_clip, under the names that open_clip saves."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import tower_checkpoints
from torch import Tensor

IMAGE, WIDTH, EMBED = 64, 8, 24
DEPTHS = (1, 2, 1, 1)
TEXT = {"context_length": 64, "width": 16, "heads": 2, "layers": 2}
MODEL = {
    "embed_dim": EMBED,
    "quick_gelu": True,
    "vision_cfg": {"image_size": IMAGE, "layers": list(DEPTHS), "width": WIDTH, "patch_size": None},
}


def save(folder: Path) -> Path:
    """Save a checkpoint of both towers, with the tokenizer of a few words."""
    from safetensors.torch import save_file

    tokenizer = tower_checkpoints.tokenizer("clip")
    tokenizer.save_pretrained(folder)
    model = MODEL | {"text_cfg": TEXT | {"vocab_size": len(tokenizer)}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}), encoding="utf-8")
    (folder / "config.json").write_text('{"architecture": "resnet50_clip"}', encoding="utf-8")  # timm's, not read
    save_file(weights(len(tokenizer)), folder / "open_clip_model.safetensors")
    return folder


def weights(vocabulary: int) -> dict[str, Tensor]:
    """Random weights: convolutions keep the variance of their input, the rest is small."""
    draw = torch.Generator().manual_seed(0)
    return {
        name: _values(name, shape, draw)
        for name, shape in (_visual() | _text(vocabulary) | {"logit_scale": ()}).items()
    }


def _values(name: str, shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if len(shape) == 4:
        return torch.randn(shape, generator=draw) * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
    noise = 0.3 * torch.randn(shape, generator=draw)
    positive = name.endswith("running_var") or (".bn" in name and name.endswith("weight"))
    return 1 + noise.clamp(-0.9) if positive else noise


def _visual() -> dict[str, tuple[int, ...]]:
    half = WIDTH // 2
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (given, made) in enumerate(((3, half), (half, half), (half, WIDTH)), start=1):
        shapes |= {f"visual.conv{number}.weight": (made, given, 3, 3)} | _norm(f"visual.bn{number}", made)
    given = WIDTH
    for stage, depth in enumerate(DEPTHS, start=1):
        inner = WIDTH * 2 ** (stage - 1)
        for block in range(depth):
            name = f"visual.layer{stage}.{block}"
            sizes = ((inner, given, 1, 1), (inner, inner, 3, 3), (4 * inner, inner, 1, 1))
            for number, size in enumerate(sizes, start=1):
                shapes |= {f"{name}.conv{number}.weight": size} | _norm(f"{name}.bn{number}", size[0])
            if block == 0:
                shapes |= {f"{name}.downsample.0.weight": (4 * inner, given, 1, 1)}
                shapes |= _norm(f"{name}.downsample.1", 4 * inner)
            given = 4 * inner
    pool = "visual.attnpool"
    shapes[f"{pool}.positional_embedding"] = ((IMAGE // 32) ** 2 + 1, given)
    for name, made in (("q", given), ("k", given), ("v", given), ("c", EMBED)):
        shapes |= {f"{pool}.{name}_proj.weight": (made, given), f"{pool}.{name}_proj.bias": (made,)}
    return shapes


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (width,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def _text(vocabulary: int) -> dict[str, tuple[int, ...]]:
    width = TEXT["width"]
    shapes: dict[str, tuple[int, ...]] = {
        "token_embedding.weight": (vocabulary, width),
        "positional_embedding": (TEXT["context_length"], width),
        "text_projection": (width, EMBED),
    }
    for layer in range(TEXT["layers"]):
        name = f"transformer.resblocks.{layer}"
        linear = {
            "attn.in_proj_": (3 * width, width),
            "attn.out_proj.": (width, width),
            "mlp.c_fc.": (4 * width, width),
            "mlp.c_proj.": (width, 4 * width),
        }
        for part, (made, given) in linear.items():
            shapes |= {f"{name}.{part}weight": (made, given), f"{name}.{part}bias": (made,)}
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{name}.{norm}.weight": (width,), f"{name}.{norm}.bias": (width,)}
    return shapes | {"ln_final.weight": (width,), "ln_final.bias": (width,)}
