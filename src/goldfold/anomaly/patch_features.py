"""Patches of a frozen backbone's maps: how several maps become one, and what the patches' distances say of an image."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.errors import GoldfoldError
from goldfold.images.views import ViewSet, make_views
from goldfold.nn import backbones


class Tower(nn.Module):
    """Pixels uint8 (n, h, w, 3) -> a frozen backbone's maps at the chosen strides, one after the other, (n, values).

    The values of further views follow those of the image as it is, in the order of `goldfold.images.views.VIEWS`.
    """

    def __init__(self, name: str, pretrained: bool, strides: Sequence[int], views: ViewSet = "none") -> None:
        super().__init__()
        self.views: ViewSet = views
        self.backbone, mean, std = backbones.create(name, pretrained)
        self.normalise = backbones.Normalize(mean, std)
        known = [stage["reduction"] for stage in getattr(self.backbone, "feature_info", ())]
        absent = [stride for stride in strides if stride not in known]
        if absent:
            raise GoldfoldError(
                f"backbone '{name}' has maps at strides {', '.join(map(str, known))}, not {absent[0]}: change `strides`"
            )
        self.indices = [known.index(stride) for stride in strides]
        self.to(memory_format=torch.channels_last)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        return self.backbone.forward_intermediates(
            self.normalise(pixels), indices=self.indices, intermediates_only=True
        )

    def forward(self, pixels: Tensor) -> Tensor:
        views = make_views(pixels, self.views)
        return torch.cat([each.flatten(1) for view in views for each in self.maps(view)], dim=1)


def joined(maps: Sequence[Tensor]) -> Tensor:
    """Maps (n, d_i, h_i, w_i) of the same images as patches (n, h * w, sum of d_i) on the grid of the finest.

    Each map is averaged over 3 x 3 positions, outside of it counting 0, and the coarser ones are enlarged bilinearly
    (Roth et al. 2022, section 3.1).
    """
    smooth = [F.avg_pool2d(each, 3, 1, 1) for each in maps]
    finest = max((each.shape[-2:] for each in smooth), key=prod)
    enlarged = [F.interpolate(each, finest, mode="bilinear") for each in smooth]
    return torch.cat(enlarged, dim=1).flatten(2).transpose(1, 2)


def relative(patches: Tensor) -> Tensor:
    """Patches (..., p, d) less the mean patch of their image: what exposure and texture add to all of them is gone."""
    return patches - patches.mean(-2, keepdim=True)


def blurred(maps: Tensor, sigma: float) -> Tensor:
    """Maps (n, h, w) under a Gaussian of `sigma` positions, edges mirrored, on the CPU; 0 leaves them as they are."""
    if sigma == 0:
        return maps.cpu()
    from scipy.ndimage import gaussian_filter

    return torch.from_numpy(gaussian_filter(maps.cpu().numpy(), (0, sigma, sigma)))


def top_mean(distances: Tensor, share: float) -> Tensor:
    """The mean of each image's largest distances, (n, p) -> (n,): `share` of them, rounded, but at least one."""
    return distances.topk(max(1, round(share * distances.shape[1])), dim=1).values.mean(1)
