"""Recordings of small pictures that find others of their kind: embeddings of images in two stages, near-duplicates."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from goldfold.competition import Competition, Plan, Recipe, Stage, Submission
from goldfold.data import folds as splits
from goldfold.data import self_hosting
from goldfold.images import reading as images
from goldfold.io.seeding import derive
from goldfold.metrics.retrieval import mean_average_precision
from goldfold.nn.optimizers import AdamW
from goldfold.optional_parts import Neighbors
from goldfold.params import Epochs, Params
from goldfold.retrieval.cosines import concatenate_fits
from goldfold.retrieval.pairs import by_label

KINDS = {"west": np.s_[:, :6], "east": np.s_[:, 6:], "上": np.s_[:6]}
RECORDINGS, FRAMES, SIDE = 18, 5, 12


def prepare(raw: Path, public: Path, private: Path) -> None:
    draw, rows = np.random.default_rng(0), []
    (public / "图").mkdir()
    for recording in range(RECORDINGS):
        kind = list(KINDS)[recording % 3]
        scene = draw.normal(120, 30, (SIDE, SIDE))
        scene[KINDS[kind]] += 22
        for frame in range(FRAMES):
            path = f"图/{recording}_{frame}.png"
            pixels = (scene + draw.normal(0, 6, scene.shape)).clip(0, 255).astype(np.uint8)
            cv2.imencode(".png", pixels)[1].tofile(public / path)
            rows.append((f"帧{recording}-{frame}", path, recording, frame, kind))
    table = pd.DataFrame(rows, columns=["id", "path", "recording", "frame", "kind"])
    hidden = np.flatnonzero(table["recording"] >= RECORDINGS - 3)
    self_hosting.write(table, hidden, ["kind"], {"kind": "west"}, public, private)


def pixels(rows: pd.DataFrame) -> torch.Tensor:
    return torch.from_numpy(images.load_resized(list(rows["path"]), SIDE, gray=True)).float().flatten(1) / 255 - 0.5


class EmbedderParams(Params):
    epochs_views: Epochs = 2
    epochs: Epochs = 4
    shift: float = 0.0  # of all embeddings, which are nearly one point where it is large


def embedder(params: EmbedderParams, rows: pd.DataFrame, runtime) -> Plan:
    shown, kinds = pixels(rows), torch.tensor([list(KINDS).index(kind) for kind in rows["kind"]])

    def batches(epoch: int) -> list[tuple[torch.Tensor, ...]]:
        order = torch.randperm(len(shown), generator=torch.Generator().manual_seed(derive(runtime.seed, epoch)))
        return [(shown[part], kinds[part]) for part in order.split(16)]

    def alike(model, batch):
        return {"views": F.mse_loss(model(batch[0]), model(batch[0] + 0.1 * torch.randn_like(batch[0])).detach())}

    def pull(model, batch):
        units = F.normalize(model(batch[0]))
        return {"pull": F.mse_loss(units @ units.T, 1.5 * (batch[1][:, None] == batch[1]).float() - 0.5)}

    def stage(name, epochs, losses) -> Stage:
        return Stage(
            name=name,
            epochs=epochs,
            batches=batches,
            losses=losses,
            optimizer=lambda model: AdamW(model.parameters(), 0.01),
        )

    return Plan(
        model=nn.Linear(SIDE * SIDE, 2),
        stages=[stage("views", params.epochs_views, alike), stage("kinds", params.epochs, pull)],
        predict=lambda model, _, rows: (model(pixels(rows)).float() + params.shift).numpy(),
    )


COMPETITION = Competition(
    slug="twins",
    metric=mean_average_precision(
        lambda rows: by_label(rows["kind"], same=rows["recording"]), protocol="other recordings"
    ),
    targets=("kind",),
    group="recording",
    neighbors=Neighbors(sequence="recording", time="frame", guard=1),
    prepare=prepare,
    load=lambda public: self_hosting.read(public, text=["id", "kind"]),
    split=lambda train, seed: splits.stratified_grouped(train["kind"], train["recording"], folds=3, seed=seed),
    recipes={"embedder": Recipe(params=EmbedderParams, build=embedder, combine=concatenate_fits, pooled=False)},
    submission=Submission(
        write=lambda test, found: pd.DataFrame(
            {"id": test["id"], "kind": np.where(found[:, 0] > 0, "west", "east").astype(object)}
        )
    ),
)
