"""SimSiam trained by goldfold and by lightly, from the same weights on the same views of scikit-learn's digits.

    pip install lightly==1.6.0                     # beside the pinned packages: it does not touch them
    python benchmarks/simsiam.py [--steps 100] [--batch 128] [--allowed 1e-4]

goldfold's side is the recipe `embedder` as a fit trains it: its stage's batches, losses, optimizer and schedule. The
other is lightly's projection and prediction heads, its NegativeCosineSimilarity, torch's SGD and cosine annealing, with
a copy of the same start. It is asserted that no loss of any step differs by more than --allowed; printed are the
largest differences of losses, of embeddings and of weights after the last step, the null loss of the stage as goldfold
states it, and lightly's spread of the embeddings beside goldfold's.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from goldfold.competition import Plan, Runtime
from goldfold.nn import collapse
from goldfold.recipes import embedder

WIDTH, HIDDEN = 64, 256


def network() -> nn.Sequential:
    """Grey pixels (n, 1, 8, 8) -> features (n, 64)."""
    layers = [nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    layers += [nn.Conv2d(32, WIDTH, 3, 2, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def digits(folder: Path) -> pd.DataFrame:
    """The 1,797 digits as files."""
    rows = []
    for number, (image, label) in enumerate(zip(*(load_digits()[key] for key in ("images", "target")), strict=True)):
        path = folder / f"{number:04d}.png"
        cv2.imwrite(str(path), (image * 255 / 16).astype(np.uint8))
        rows.append({"id": number, "path": path, "digit": label})
    return pd.DataFrame(rows)


def planned(rows: pd.DataFrame, folder: Path, epochs: int, batch: int) -> Plan:
    recipe = embedder.recipe(network=network, gray=True, image_size=8, metric_epochs=0, flip=False)
    params = recipe.params(simsiam_epochs=epochs, simsiam_batch_size=batch, projector_dim=HIDDEN)
    torch.manual_seed(0)
    return recipe.build(params, rows, Runtime(seed=0, device=torch.device("cpu"), cache=folder))


class OfLightly(nn.Module):
    """lightly's SimSiam on a copy of an embedder's weights."""

    def __init__(self, start: nn.Module) -> None:
        super().__init__()
        from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead

        self.backbone = nn.Sequential(copy.deepcopy(start.normalize), copy.deepcopy(start.backbone))
        self.projector = SimSiamProjectionHead(WIDTH, HIDDEN, HIDDEN)
        self.predictor = SimSiamPredictionHead(HIDDEN, HIDDEN // 4, HIDDEN)
        for own, given in ((self.projector, start.projector), (self.predictor, start.predictor)):
            own.layers.load_state_dict(given.state_dict())

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        z = self.projector(self.backbone(pixels))
        return z.detach(), self.predictor(z)


def by_goldfold(plan: Plan, steps: int) -> list[float]:
    """Each step's loss; the plan's model is trained."""
    stage, losses = plan.stages[0], []
    optimizer = stage.optimizer(plan.model.train())
    schedule = stage.schedule(optimizer, stage.epochs, len(stage.batches(0)))
    for epoch in range(stage.epochs):
        for batch in list(stage.batches(epoch))[: steps - len(losses)]:
            loss = sum(stage.losses(plan.model, batch).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
    return losses


def by_lightly(model: OfLightly, plan: Plan, steps: int, batch: int) -> list[float]:
    """The same on lightly's side, on the plan's views."""
    from lightly.loss import NegativeCosineSimilarity

    stage, losses, criterion = plan.stages[0], [], NegativeCosineSimilarity()
    moving = [*model.backbone.parameters(), *model.projector.parameters()]
    groups = [{"params": moving}, {"params": model.predictor.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.05 * batch / 256, momentum=0.9, weight_decay=1e-4)
    for epoch in range(stage.epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * batch / 256 * (1 + np.cos(np.pi * epoch / stage.epochs)) / 2
        for first, second in list(stage.batches(epoch))[: steps - len(losses)]:
            (z1, p1), (z2, p2) = model(first), model(second)
            loss = 0.5 * (criterion(p1, z2) + criterion(p2, z1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def largest(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of two models' weights, in the order both have them."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--allowed", type=float, default=1e-4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = digits(Path(folder))
        epochs = -(-given.steps // (len(rows) // given.batch))
        plan = planned(rows, Path(folder), epochs, given.batch)
        null = plan.stages[0].untrained_loss(copy.deepcopy(plan.model).train())["simsiam"]
        other = OfLightly(plan.model)
        start = largest(plan.model, other)
        losses = by_goldfold(plan, given.steps), by_lightly(other.train(), plan, given.steps, given.batch)
        pixels = torch.from_numpy(np.stack([cv2.imread(str(path), 0) for path in rows["path"]])[..., None])
        report(plan.model.eval(), other.eval(), losses, pixels, start)
    print(f"null loss of the stage: {null.value:.4f} (sd of an epoch's mean {null.sd:.4f})")
    difference = np.abs(np.subtract(*losses)).max()
    assert difference <= given.allowed, f"losses differ by {difference:.2e}"


def report(
    own: nn.Module, other: OfLightly, losses: tuple[list[float], list[float]], pixels: Tensor, start: float
) -> None:
    from lightly.utils.debug import std_of_l2_normalized

    with torch.no_grad():
        mine, theirs = own(pixels), other.backbone(pixels)
    differences = np.abs(np.subtract(*losses))
    print(f"{len(losses[0])} steps; loss {losses[0][0]:.6f} -> {losses[0][-1]:.6f}, lightly's -> {losses[1][-1]:.6f}")
    print(f"largest difference of a step's loss: {differences.max():.2e}; of the first step's: {differences[0]:.2e}")
    print(f"of embeddings: {(mine - theirs).abs().max():.2e} of {mine.abs().max():.3f}")
    print(f"of weights: {largest(own, other):.2e}, at the start {start:.0e}")
    spreads = collapse.measure_features(mine).spread, std_of_l2_normalized(theirs)
    print(f"spread of embeddings: {spreads[0]:.6f}, by lightly {spreads[1]:.6f}")


if __name__ == "__main__":
    main()
