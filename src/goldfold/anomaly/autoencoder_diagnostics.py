"""What an autoencoder shows on normal images it does not learn from: its loss, what it does to damage, if it lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from goldfold.anomaly import cluster_purity, reconstruction_error, synthetic_defects
from goldfold.anomaly.autoencoders import Autoencoder
from goldfold.nn import collapse
from goldfold.optional_parts import Monitored

COPIES = 0.7  # share of a damage that is drawn again: 0.8 to 0.87 with all skips on magnetic tiles, below 0.3 without
AT_ONCE = 32

batches_of = partial(torch.split, split_size_or_sections=AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class KeptBack:
    """Normal images that no stage learns from, on the model's device.

    images: float (n, 3, h, w) in [0, 1]; damaged: the same with a pseudo-anomaly painted in; changed: bool (n, h, w),
    where; both None where no damage is wanted. classes: each image's class, None where unknown.
    """

    images: Tensor
    damaged: Tensor | None = None
    changed: Tensor | None = None
    classes: Sequence[str] | None = None


def kept_back(
    pixels: np.ndarray, ids: Sequence, kind: str, classes: Sequence[str] | None, device: torch.device
) -> KeptBack:
    """pixels: uint8 (n, h, w, 3); kind: of `pseudo_anomalies`, or 'none'; ids: what each damage is drawn from."""
    images = floats(pixels, device)
    if kind == "none":
        return KeptBack(images=images, classes=classes)
    damaged, changed = synthetic_defects.damages(pixels, ids, kind)
    changed = torch.from_numpy(changed).to(device)
    return KeptBack(images=images, damaged=floats(damaged, device), changed=changed, classes=classes)


def floats(pixels: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """uint8 (n, h, w, 3) -> float32 (n, 3, h, w) in [0, 1]."""
    return torch.as_tensor(pixels, device=device).permute(0, 3, 1, 2).float() / 255


def measured(model: Autoencoder, kept: KeptBack, mse: float, ssim: float) -> dict[str, Monitored]:
    """The signs of one epoch; mse and ssim weigh the loss. The model is in evaluation mode.

    validation_loss: lower is better. pseudo_auroc: of the pixel score, damaged copies against the images themselves; it
    says nothing about real defects. damage_copied: share of the damage that its reconstruction shows again. Then the
    statistics of `collapse`, of outputs and of bottleneck maps, with its verdicts as alarms, and the purity of k-means
    clusters of bottleneck maps where two or more classes are known.
    """
    outputs, features = _through(model, kept.images)
    losses = _scores(kept.images, outputs, mse, ssim)
    signs = {"validation_loss": Monitored(losses.mean().item(), higher_is_better=False)}
    if kept.damaged is not None:
        repaired, _ = _through(model, kept.damaged)
        broken = _scores(kept.damaged, repaired, mse, ssim)
        signs["pseudo_auroc"] = Monitored(_auroc(losses, broken), higher_is_better=True)
        signs["damage_copied"] = _copied(kept, repaired)
    return signs | _life(kept.images, outputs, features) | _purity(features, kept.classes)


def _through(model: Autoencoder, images: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstructions, and bottleneck maps."""
    outputs, features = zip(*(model.both(some) for some in batches_of(images)), strict=True)
    return torch.cat(outputs), torch.cat(features).float()


def _scores(images: Tensor, outputs: Tensor, mse: float, ssim: float) -> Tensor:
    parts = zip(batches_of(images), batches_of(outputs), strict=True)
    return torch.cat(
        [reconstruction_error.score(reconstruction_error.error_map(*part, mse=mse, ssim=ssim)) for part in parts]
    )


def _auroc(normal: Tensor, damaged: Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.repeat((0, 1), (len(normal), len(damaged)))
    return float(roc_auc_score(truth, torch.cat([normal, damaged]).cpu().numpy()))


def _copied(kept: KeptBack, repaired: Tensor) -> Monitored:
    """1 - (what is left of the damage's distance to its reconstruction) / (its distance to the whole image)."""
    left, made = (
        reconstruction_error.squared_error(kept.damaged, other)[kept.changed].sum().item()
        for other in (repaired, kept.images)
    )
    share = 1 - left / max(made, 1e-12)
    return Monitored(share, alarm="copies damage" if share > COPIES else "")


def _life(images: Tensor, outputs: Tensor, features: Tensor) -> Mapping[str, Monitored]:
    seen, inside = collapse.measure_outputs(images, outputs), collapse.measure_features(features)
    return {
        "output_std": Monitored(seen.spatial_std, alarm=", ".join(seen.verdicts)),
        "output_mean": Monitored(seen.mean),
        "output_variance_ratio": Monitored(seen.variance_ratio),
        "effective_rank": Monitored(inside.effective_rank, alarm=", ".join(inside.verdicts)),
        "feature_spread_to_isotropic": Monitored(inside.spread / inside.isotropic),
    }


def _purity(features: Tensor, classes: Sequence[str] | None) -> Mapping[str, Monitored]:
    """Of k-means with a cluster per class, on bottleneck maps averaged over their positions."""
    vectors = features.mean(dim=(2, 3)).cpu().numpy()
    k = min(len(set(classes or ())), len(np.unique(vectors, axis=0)))
    if k < 2:
        return {}
    found = cluster_purity.purity(cluster_purity.k_means(vectors, k), classes)
    return {"cluster_purity": Monitored(found.overall), "cluster_purity_by_chance": Monitored(found.permuted)}
