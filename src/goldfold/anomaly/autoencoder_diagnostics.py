"""Per-epoch diagnostics of an autoencoder on held-out normal images: loss, copied defects, collapse, cluster purity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from goldfold.anomaly import cluster_purity, reconstruction_error, synthetic_defects
from goldfold.anomaly.autoencoders import Autoencoder
from goldfold.nn import collapse
from goldfold.optional_parts import Monitored

MAX_COPIED = 0.7  # share of a defect; on magnetic tiles 0.8 to 0.87 with all skip connections, below 0.3 without
BATCH_SIZE = 32

batches = partial(torch.split, split_size_or_sections=BATCH_SIZE)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Held-out normal images that no stage trains on, on the model's device.

    images: float (n, 3, h, w) in [0, 1]. damaged: the same images with a synthetic defect. changed: bool (n, h, w), the
    pixels of the defect; both are None without defects. classes: each image's class, None if unknown.
    """

    images: Tensor
    damaged: Tensor | None = None
    changed: Tensor | None = None
    classes: Sequence[str] | None = None


def held_out(
    pixels: np.ndarray, ids: Sequence, kind: str, classes: Sequence[str] | None, device: torch.device
) -> HeldOut:
    """Held-out images from pixels, with synthetic defects painted in.

    pixels: uint8 (n, h, w, 3). ids: one per image, from which its defect is drawn. kind: of `synthetic_defects`, or
    'none'.
    """
    images = to_float(pixels, device)
    if kind == "none":
        return HeldOut(images=images, classes=classes)
    damaged, changed = synthetic_defects.damage_all(pixels, ids, kind)
    return HeldOut(
        images=images, damaged=to_float(damaged, device), changed=torch.from_numpy(changed).to(device), classes=classes
    )


def to_float(pixels: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Pixels uint8 (n, h, w, 3) as float32 (n, 3, h, w) in [0, 1]."""
    return torch.as_tensor(pixels, device=device).permute(0, 3, 1, 2).float() / 255


def measure(model: Autoencoder, held_out: HeldOut, mse: float, ssim: float) -> dict[str, Monitored]:
    """Measure the diagnostics of one epoch; the model must be in evaluation mode. mse and ssim weigh the loss.

    validation_loss: lower is better.
    pseudo_auroc: AUROC of the pixel score, images with synthetic defects against the images themselves. It says nothing
        about real defects.
    damage_copied: share of the synthetic defect that the reconstruction reproduces.
    Then the statistics of `collapse`, of outputs and bottleneck maps, with its verdicts as alarms, and the purity of
    k-means clusters of bottleneck maps if two or more classes are known.
    """
    outputs, features = _run(model, held_out.images)
    losses = _scores(held_out.images, outputs, mse, ssim)
    found = {"validation_loss": Monitored(losses.mean().item(), higher_is_better=False)}
    if held_out.damaged is not None and held_out.changed is not None:
        repaired, _ = _run(model, held_out.damaged)
        broken = _scores(held_out.damaged, repaired, mse, ssim)
        found["pseudo_auroc"] = Monitored(_auroc(losses, broken), higher_is_better=True)
        found["damage_copied"] = _copied(held_out.images, held_out.damaged, held_out.changed, repaired)
    return found | _collapse(held_out.images, outputs, features) | _purity(features, held_out.classes)


def _run(model: Autoencoder, images: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstructions and bottleneck maps, in batches."""
    outputs, features = zip(*(model.reconstruct_and_encode(chunk) for chunk in batches(images)), strict=True)
    return torch.cat(outputs), torch.cat(features).float()


def _scores(images: Tensor, outputs: Tensor, mse: float, ssim: float) -> Tensor:
    """Pixel scores, (n,), in batches."""
    parts = zip(batches(images), batches(outputs), strict=True)
    return torch.cat(
        [reconstruction_error.score(reconstruction_error.error_map(*part, mse=mse, ssim=ssim)) for part in parts]
    )


def _auroc(normal: Tensor, damaged: Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.repeat((0, 1), (len(normal), len(damaged)))
    return float(roc_auc_score(truth, torch.cat([normal, damaged]).cpu().numpy()))


def _copied(images: Tensor, damaged: Tensor, changed: Tensor, repaired: Tensor) -> Monitored:
    """1 - (distance of the damaged images to their reconstruction) / (distance to the originals), on changed pixels."""
    left, made = (
        reconstruction_error.squared_error(damaged, other)[changed].sum().item() for other in (repaired, images)
    )
    share = 1 - left / max(made, 1e-12)
    return Monitored(share, alarm="copies damage" if share > MAX_COPIED else "")


def _collapse(images: Tensor, outputs: Tensor, features: Tensor) -> dict[str, Monitored]:
    """Collapse statistics of outputs and bottleneck maps."""
    seen, inside = collapse.measure_outputs(images, outputs), collapse.measure_features(features)
    return {
        "output_std": Monitored(seen.spatial_std, alarm=", ".join(seen.verdicts)),
        "output_mean": Monitored(seen.mean),
        "output_variance_ratio": Monitored(seen.variance_ratio),
        "effective_rank": Monitored(inside.effective_rank, alarm=", ".join(inside.verdicts)),
        "feature_spread_to_isotropic": Monitored(inside.spread / inside.isotropic),
    }


def _purity(features: Tensor, classes: Sequence[str] | None) -> dict[str, Monitored]:
    """Purity of k-means, a cluster per class, on bottleneck maps averaged over their positions."""
    vectors = features.mean(dim=(2, 3)).cpu().numpy()
    k = min(len(set(classes or ())), len(np.unique(vectors, axis=0)))
    if classes is None or k < 2:
        return {}
    found = cluster_purity.purity(cluster_purity.k_means(vectors, k), classes)
    return {"cluster_purity": Monitored(found.overall), "cluster_purity_by_chance": Monitored(found.chance)}
