"""Parameters of the patch library recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from goldfold.anomaly.alignment import Motion
from goldfold.anomaly.synthetic_defects import Kind
from goldfold.images.views import MapViewSet
from goldfold.params import BackboneName, Libraries, Needs, Not, Params, Pretrained, Role


class PatchLibraryParams(Params):
    """Features, library of normal patches, and anomaly score."""

    backbone: BackboneName = Field("efficientnet_lite0", description="timm name of the backbone")
    pretrained: Pretrained = Field(True, description="use pretrained weights; random ones are for tests")
    image_size: int = Field(224, ge=32, description="side of the backbone's input, in pixels")
    strides: tuple[int, ...] = Field(
        (8, 16), min_length=1, description="strides of the feature maps to use, in pixels of the input"
    )
    views: Annotated[MapViewSet, Role.VIEWS] = Field(
        "none", description="views of an image (TTA), both in the library and when scoring; none: the image itself"
    )
    relative: bool = Field(False, description="subtract the mean patch of the image from its patches")
    unit: Literal["patch", "image"] = Field("patch", description="compare patches, or the mean patch of each image")
    normality: Literal["coreset", "gaussians"] = Field(
        "coreset",
        description="compare patches with a coreset (PatchCore), or with a Gaussian at each place (PaDiM)",
    )
    shrinkage: Annotated[float, Needs(normality="gaussians")] = Field(
        0.1,
        gt=0,
        description="normality=gaussians: share of the mean variance that is added to every variance, at least 0.01",
    )
    coreset_candidates: Annotated[int, Needs(normality="coreset")] = Field(
        200_000, ge=1, description="normality=coreset: patches drawn at random, from which the coreset is selected"
    )
    library: Annotated[int, Needs(normality="coreset")] = Field(
        10_000, ge=1, description="normality=coreset: size of the greedy k-center coreset, in patches"
    )
    score: Annotated[Literal["farthest", "top"], Needs(unit="patch", normality="coreset")] = Field(
        "farthest", description="anomaly score: distance of the farthest patch, or mean of the largest distances"
    )
    neighbors: Annotated[int, Needs(score="farthest"), Needs(normality="coreset")] = Field(
        9, ge=1, description="score=farthest: k nearest neighbors in the coreset that re-weight the distance"
    )
    top: Annotated[float, Needs(score="top"), Needs(unit="patch")] = Field(
        0.03, gt=0, le=1, description="score=top: share of the image's patches to average"
    )
    reference: Annotated[Literal["none", "pixels", "patches"], Needs(unit="patch")] = Field(
        "none",
        description="compare each image with its reference image, too: its pixels, or its patches at the same place",
    )
    alignment: Annotated[Motion | Literal["none"], Needs(reference=("pixels", "patches"))] = Field(
        "translation", description="how a reference may be moved onto its image before they are compared"
    )
    largest_shift: Annotated[float, Needs(alignment=Not("none"))] = Field(
        0.05, gt=0, le=0.5, description="by which alignment may move a corner, as share of the longer side"
    )
    fusion: Annotated[Literal["reference", "product"], Needs(reference=("pixels", "patches"))] = Field(
        "reference",
        description="score by the difference to the reference alone, or by its geometric mean with the library's",
    )
    contrast: bool = Field(False, description="subtract the median distance of the image from its score")
    blur: Annotated[float, Needs(unit="patch")] = Field(
        0.0, ge=0, description="sigma of the Gaussian blur of the anomaly map, in pixels of the input; 0: no blur"
    )
    pseudo: Kind | Literal["none"] = Field(
        "none",
        description="synthetic defect for the pseudo-anomaly AUROC, added to a scored copy of each image",
    )
    libraries: Libraries = Field(
        "one", description="one library, or per_class: one per class, with class routing of images"
    )
    route: Annotated[Literal["prototype", "library"], Needs(libraries="per_class")] = Field(
        "library", description="libraries=per_class: route images to the nearest mean image, or the nearest library"
    )
    textures: Annotated[tuple[str, ...], Needs(route="prototype")] = Field(
        (), description="route=prototype: classes that are routed by color statistics instead of a mean image"
    )

    @model_validator(mode="after")
    def _consistent(self) -> PatchLibraryParams:
        if self.unit == "image" and (self.relative or self.contrast):
            raise ValueError("relative and contrast compare the patches of an image: set both to false with unit=image")
        if self.normality == "gaussians" and self.libraries == "per_class" and self.route == "library":
            raise ValueError("route=library needs coresets: set route=prototype with normality=gaussians")
        if self.reference != "none" and (self.contrast or self.pseudo != "none"):
            raise ValueError("contrast and pseudo are of scores by the library alone: leave both out with a reference")
        return self
