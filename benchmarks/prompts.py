"""CPU seconds of an epoch of learned prompts on cached image features, for text towers of three sizes.

    PYTHONPATH=src python benchmarks/prompts.py [--identities 100] [--images 4] [--threads 1]

Features of images are random, since cached ones cost nothing. The towers have random weights of real shapes: that of
all-MiniLM-L6-v2, that of CLIP ViT-B/16, and a tiny one that shows what everything else costs. CPU seconds are summed
over threads, so that other work on the machine hardly changes them.
"""

from __future__ import annotations

import argparse
import time

import torch
import transformers
from torch import nn

from goldfold.nn import text_encoders, text_towers
from goldfold.retrieval.prompts.losses import ImageTextLoss

SHAPES = {  # width, layers, heads
    "tiny": (32, 2, 2),
    "all-MiniLM-L6-v2": (384, 6, 12),
    "text tower of CLIP ViT-B/16": (512, 12, 8),
}
TOKENS, N_CTX, BATCH = 8, 4, 64  # of "A photo of a X X X X hand." with start and end
START = 5  # tokens before the vectors, which a causal tower computes once for all identities


def tower(name: str, width: int, layers: int, heads: int) -> text_towers.TextTower:
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    if "CLIP" in name:
        clip = transformers.CLIPTextModel(transformers.CLIPTextConfig(**shape, intermediate_size=4 * width))
        encoder = text_encoders.Encoder(clip.eval().requires_grad_(False), masked=True)
        return text_towers.TextTower(encoder, lambda states, ids, mask: states[:, -1], nn.Identity(), list, "")
    config = transformers.BertConfig(**shape, intermediate_size=4 * width)
    model = transformers.BertModel(config, add_pooling_layer=False).eval().requires_grad_(False)
    encoder = text_encoders.Encoder(model, masked=True)
    return text_towers.TextTower(encoder, lambda states, ids, mask: states.mean(1), nn.Identity(), list, "")


def epoch_seconds(text: text_towers.TextTower, width: int, identities: int, images: int) -> tuple[float, int]:
    """CPU seconds of an epoch, and its steps, as the stage makes them: equal identities of a batch are encoded once."""
    features = torch.randn(identities * images, width)
    labels = torch.arange(identities).repeat(images)
    contexts = nn.Parameter(0.02 * torch.randn(identities, N_CTX, width))
    optimizer, loss = torch.optim.Adam([contexts], 3.5e-4), ImageTextLoss(0.07)
    order = torch.randperm(len(labels)).split(BATCH)
    started = time.process_time()
    for rows in order:
        known, place = labels[rows].unique(return_inverse=True)
        ids = torch.ones(len(known), TOKENS + N_CTX, dtype=torch.int64)
        vectors = text.encode.token_vectors(ids)
        vectors = torch.cat([vectors[:, :START], contexts[known], vectors[:, START + N_CTX :]], dim=1)
        texts = text(ids, torch.ones_like(ids), vectors, START if text.encode.is_causal else 0)[place]
        loss(features[rows], texts, labels[rows]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.process_time() - started, len(order)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("identities", 100), ("images", 4), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, shape in SHAPES.items():
        text = tower(name, *shape)
        times = [epoch_seconds(text, shape[0], options.identities, options.images) for _ in range(4)][1:]
        seconds = sorted(each for each, _ in times)
        spread = f"median of 3, {seconds[0]:.2f} to {seconds[2]:.2f}"
        print(f"{name:28} {seconds[1]:6.2f} CPU s an epoch of {times[0][1]} steps ({spread})")


if __name__ == "__main__":
    main()
