"""Test-time views: flips, quarter turns and crops of images, and their inverses for maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from goldfold.errors import GoldfoldError

if TYPE_CHECKING:
    from torch import Tensor

ViewSet = Literal["none", "mirrored", "flips", "turns", "crops"]
MapViewSet = Literal["none", "mirrored", "flips", "turns"]  # sets whose views can be undone in a map of the image
CROP_SHARE = 0.875  # of an image's side that a crop keeps: 224 of 256 pixels


class FlipTurn(NamedTuple):
    """One of the eight symmetries of the square: an optional left-right flip, then counterclockwise quarter turns."""

    mirrored: bool = False
    quarter_turns: int = 0

    def apply(self, values: Tensor) -> Tensor:
        """Transform images or maps (n, h, w, ...); an odd number of quarter turns swaps h and w."""
        flipped = values.flip(2) if self.mirrored else values
        return flipped.rot90(self.quarter_turns, (1, 2)).contiguous() if self.quarter_turns else flipped

    def undo(self, values: Tensor) -> Tensor:
        """Invert `apply`: return the values that it was given."""
        turned_back = values.rot90(-self.quarter_turns, (1, 2)) if self.quarter_turns else values
        return turned_back.flip(2) if self.mirrored else turned_back.contiguous()


class Crop(NamedTuple):
    """A window that keeps a share of each side, resized to the whole image.

    down, right: position of the window in [0, 1]; 0 is the top or the left edge, 1 the bottom or the right edge.
    share: window side / image side, in (0, 1].
    """

    down: float
    right: float
    share: float = CROP_SHARE

    def apply(self, pixels: Tensor) -> Tensor:
        """Crop images uint8 (n, h, w, c) and resize them to (h, w) by bilinear interpolation."""
        from torchvision.transforms.v2 import functional as F

        height, width = pixels.shape[1:3]
        crop_height, crop_width = round(self.share * height), round(self.share * width)
        top, left = round(self.down * (height - crop_height)), round(self.right * (width - crop_width))
        window = (top, left, crop_height, crop_width)
        return F.resized_crop(pixels.permute(0, 3, 1, 2), *window, [height, width]).permute(0, 2, 3, 1).contiguous()


_MIRRORED = (FlipTurn(), FlipTurn(mirrored=True))
_FLIPS = (*_MIRRORED, FlipTurn(mirrored=True, quarter_turns=2), FlipTurn(quarter_turns=2))
_QUARTER_TURNS = tuple(FlipTurn(mirrored, quarter_turns) for mirrored in (False, True) for quarter_turns in (1, 3))
_MAP_VIEWS: dict[str, tuple[FlipTurn, ...]] = {
    "none": (FlipTurn(),),
    "mirrored": _MIRRORED,
    "flips": _FLIPS,
    "turns": (*_FLIPS, *_QUARTER_TURNS),
}
View = FlipTurn | Crop
VIEWS: dict[str, tuple[View, ...]] = {
    **_MAP_VIEWS,
    "crops": (Crop(0.5, 0.5), *(Crop(down, right) for down in (0, 1) for right in (0, 1))),
}
MIRRORING = frozenset(
    name for name, views in VIEWS.items() if any(isinstance(view, FlipTurn) and view.mirrored for view in views)
)


def make_views(pixels: Tensor, name: ViewSet) -> list[Tensor]:
    """Return images (n, h, w, c) in every view of the set `name`; the first view of all sets but `crops` is the image.

    none: the image alone. mirrored: also flipped left-right. flips: also flipped up-down, and both. turns: the eight
    symmetries of the square. crops: the center and the four corners, `CROP_SHARE` of the sides (Krizhevsky et al. 2012,
    section 4.1, without the mirrored ones); for uint8 images only.

    Raises GoldfoldError if `turns` is asked for images that are not square.
    """
    height, width = pixels.shape[1:3]
    if name == "turns" and height != width:
        raise GoldfoldError(
            "views_need_square_images",
            f"views=turns needs square images, since quarter turns swap their sides, and these are {height} x {width}: "
            "choose flips",
        )
    return [view.apply(pixels) for view in VIEWS[name]]


def undo_views(maps: Sequence[Tensor], name: MapViewSet) -> list[Tensor]:
    """Undo the views of maps (n, h, w), one per view in the order of `make_views`, so that all align with the image."""
    return [view.undo(each) for view, each in zip(_MAP_VIEWS[name], maps, strict=True)]
