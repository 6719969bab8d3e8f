"""Patch features from the maps of a frozen backbone, and image scores from patch distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.errors import GoldfoldError
from goldfold.images.views import ViewSet, make_views
from goldfold.nn import backbones


class PatchBackbone(nn.Module):
    """A frozen backbone whose maps at the chosen strides are flattened and concatenated.

    Pixels uint8 (n, h, w, 3) -> (n, values), the values of each map in the order (h, w, d).
    Those of further views follow those of the image itself, in the order of `VIEWS`. Raises
    GoldfoldError for a stride at which the backbone has no map.
    """

    def __init__(self, name: str, pretrained: bool, strides: Sequence[int], views: ViewSet = "none") -> None:
        super().__init__()
        self.views: ViewSet = views
        self.backbone, mean, std = backbones.create(name, pretrained)
        self.normalize = backbones.Normalize(mean, std)
        known = [stage["reduction"] for stage in getattr(self.backbone, "feature_info", ())]
        absent = [stride for stride in strides if stride not in known]
        if absent:
            raise GoldfoldError(
                "unknown_stride",
                f"backbone '{name}' has maps at strides {', '.join(map(str, known))}, not {absent[0]}: change "
                "`strides`",
            )
        self.indices = [known.index(stride) for stride in strides]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stub

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """The backbone's map (n, d, h / stride, w / stride) at each of the chosen strides."""
        forward = cast(Callable[..., list[Tensor]], self.backbone.forward_intermediates)  # a method of timm's models
        return forward(self.normalize(pixels), indices=self.indices, stop_early=True, intermediates_only=True)

    def forward(self, pixels: Tensor) -> Tensor:
        """All maps of all views, (n, values)."""
        views = make_views(pixels, self.views)
        return torch.cat([each.permute(0, 2, 3, 1).flatten(1) for view in views for each in self.maps(view)], dim=1)


def join_maps(maps: Sequence[Tensor]) -> Tensor:
    """Join several maps of the same images into patches on the grid of the finest map.

    maps: (n, d_i, h_i, w_i) each. Returns patches (n, h * w, sum of d_i).
    Each map is averaged over 3 x 3 positions, with zeros outside, and the coarser ones are enlarged bilinearly
    (Roth et al. 2022, section 3.1).
    """
    # a tenth of the time: both loops run over the values of a position, which then lie side by side
    last = [each.contiguous(memory_format=torch.channels_last) for each in maps]
    smooth = [F.avg_pool2d(each, 3, 1, 1) for each in last]
    finest = max((each.shape[-2:] for each in smooth), key=prod)
    enlarged = [F.interpolate(each, finest, mode="bilinear") for each in smooth]
    return torch.cat(enlarged, dim=1).flatten(2).transpose(1, 2)


def subtract_image_mean(patches: Tensor) -> Tensor:
    """Patches (..., p, d) minus the mean patch of their image, which removes the image's exposure and texture."""
    return patches - patches.mean(-2, keepdim=True)


def blur(maps: Tensor, sigma: float) -> Tensor:
    """Maps (n, h, w) on the CPU after a Gaussian blur of `sigma` positions, edges mirrored; 0 means no blur."""
    if sigma == 0:
        return maps.cpu()
    from scipy.ndimage import gaussian_filter

    return torch.from_numpy(gaussian_filter(maps.cpu().numpy(), (0, sigma, sigma)))


def top_mean(distances: Tensor, share: float) -> Tensor:
    """Mean of each image's largest distances, (n, p) -> (n,): a `share` of them, rounded, and at least one."""
    return distances.topk(max(1, round(share * distances.shape[1])), dim=1).values.mean(1)
