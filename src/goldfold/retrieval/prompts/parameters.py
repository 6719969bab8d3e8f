"""Parameters of an embedder with learned prompts: towers, prompts, the losses and the optimizer of each stage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from goldfold.images.augmentation import AugmentationName
from goldfold.nn import schedules
from goldfold.nn.pretrained import text_packages
from goldfold.params import BackboneName, Epochs, LabelColumn, Needs, Not, Params, Pretrained, Role, Towers, WholeBatch
from goldfold.retrieval.prompts import templates as prompt_templates

StageMode = Literal["prompt_only", "image_only", "prompt_then_image"]
Schedule = schedules.Name | Literal["multi_step"]
Heads = Literal["feature", "both"]

TWO_PARTS = Needs(towers="")
IN_PROMPTS = Needs(prompt_epochs=Not(0))
IN_IMAGE = Needs(image_epochs=Not(0))
LEARNS_PROMPTS = Needs(prompt_epochs=Not(0), freeze_prompt=False)
RISES = Not("constant")
SMALLEST = 8  # pixels of a side


def _used(weight: str) -> Needs:
    return Needs(**{weight: Not(0.0)})


class PromptedEmbedderParams(Params):
    """Two towers, the prompts of stage one, the losses of stage two; the defaults are those of CLIP-ReID for a ViT."""

    towers: Towers = Field("", description="folder of a CLIP with both towers; empty: backbone and text_tower")
    backbone: Annotated[BackboneName, TWO_PARTS] = Field(
        "efficientnet_lite0", description="timm's name of the image tower"
    )
    pretrained: Annotated[Pretrained, TWO_PARTS] = Field(True, description="start from pretrained weights")
    image_size: int | tuple[int, int] | None = Field(
        None, description="side of images in pixels, or [height, width]; null: that of CLIP's training, 224 for others"
    )
    text_tower: Annotated[str, TWO_PARTS] = Field(
        text_packages.MINILM,
        description="minilm, wordllama (vectors of words, no transformer), or a text model's folder",
    )
    projection_dim: Annotated[int | None, TWO_PARTS] = Field(
        256, ge=2, description="outputs of the learned projections that align both towers; null: none"
    )
    embedding: Literal["concat", "feature", "projection"] = Field(
        "concat", description="feature before BatchNorm, its projection, or both in a row; of length 1"
    )
    memory: float = Field(2.0, ge=0, description="GiB for pixels; larger sets are read from files every epoch")
    label_column: LabelColumn = Field(
        None, description="column of the identities to train on; null: the one that the competition names"
    )
    stage_mode: StageMode = Field("prompt_then_image", description="which of the two stages train")
    n_ctx: int = Field(4, ge=1, description="learned vectors per identity")
    templates: tuple[str, ...] = Field(
        ("A photo of a {}.",), min_length=1, description="{}: the identity's vectors; {name}: the value of a column"
    )
    template_draw: Literal["batch", "sample"] = Field(
        "batch", description="several templates: one drawn for each batch, or for each sample"
    )
    normalize_projection: bool = Field(
        False, description="whether image and text features have length 1 after the projection"
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="optimizer of both stages")
    prompt_epochs: Annotated[Epochs, Needs(stage_mode=Not("image_only"))] = Field(
        120, ge=0, description="epochs of the stage that learns prompts; 0: none"
    )
    prompt_batch_size: Annotated[WholeBatch, IN_PROMPTS] = Field(64, ge=2, description="images per batch")
    prompt_learning_rate: Annotated[float, LEARNS_PROMPTS] = Field(
        3.5e-4, gt=0, description="peak learning rate of the prompts"
    )
    prompt_weight_decay: Annotated[float, LEARNS_PROMPTS] = Field(1e-4, ge=0, description="weight decay of the prompts")
    prompt_schedule: Annotated[schedules.Name, IN_PROMPTS] = Field("cosine", description="schedule of the prompts")
    prompt_warmup: Annotated[float, IN_PROMPTS, Needs(prompt_schedule=RISES)] = Field(
        5 / 120, ge=0, lt=1, description="share of the steps in which the rate rises"
    )
    prompt_temperature: Annotated[float, IN_PROMPTS] = Field(
        1.0, gt=0, description="temperature of the image-text contrastive loss"
    )
    image_epochs: Annotated[Epochs, Needs(stage_mode=Not("prompt_only"))] = Field(
        60, ge=0, description="epochs of the stage that tunes the image tower; 0: none"
    )
    image_batch_size: Annotated[WholeBatch, IN_IMAGE] = Field(64, ge=2, description="images per batch")
    sampler: Annotated[Literal["random", "m_per_class"], IN_IMAGE] = Field(
        "m_per_class", description="how batches of the image stage are drawn; m_per_class: P x K"
    )
    m_per_class: Annotated[int, Needs(sampler="m_per_class")] = Field(
        4, ge=2, description="sampler=m_per_class: images of each identity in a batch, the K of P x K"
    )
    augmentation: Annotated[AugmentationName, IN_IMAGE, Role.MIRRORS] = Field(
        "none", description="random changes of training images; crop_erase: pad, crop and erase"
    )
    flip: Annotated[bool, IN_IMAGE, Role.MIRRORS] = Field(
        False, description="flip half of the images left-right; of hands, a flip changes the side"
    )
    unfreeze_blocks: Annotated[int | None, IN_IMAGE] = Field(
        None,
        ge=0,
        description="trained last blocks (stages of a ResNet), with what follows them; null: the whole image tower",
    )
    freeze_prompt: Annotated[bool, IN_IMAGE] = Field(True, description="whether the image stage keeps the prompts")
    freeze_text_encoder: Annotated[bool, IN_IMAGE] = Field(
        True, description="whether the image stage keeps the text tower; false costs all texts in every step"
    )
    visual_learning_rate: Annotated[float, IN_IMAGE] = Field(5e-6, gt=0, description="peak rate of the image tower")
    visual_weight_decay: Annotated[float, IN_IMAGE] = Field(1e-4, ge=0, description="weight decay of the image tower")
    bias_factor: Annotated[float, IN_IMAGE] = Field(
        1.0, gt=0, description="learning rate of the image tower's biases / visual_learning_rate; published: 2"
    )
    head_factor: Annotated[float, IN_IMAGE] = Field(
        1.0, gt=0, description="learning rate of BatchNorm, classifiers and learned projections / visual_learning_rate"
    )
    text_learning_rate: Annotated[float, Needs(freeze_text_encoder=False)] = Field(
        5e-6, gt=0, description="peak learning rate of the text tower"
    )
    text_weight_decay: Annotated[float, Needs(freeze_text_encoder=False)] = Field(
        1e-4, ge=0, description="weight decay of the text tower"
    )
    image_schedule: Annotated[Schedule, IN_IMAGE] = Field(
        "multi_step", description="schedule of the image stage, stepped after every batch"
    )
    image_warmup: Annotated[float, Needs(image_schedule=RISES)] = Field(
        1 / 6, ge=0, lt=1, description="share of the steps in which the rate rises"
    )
    decay_epochs: Annotated[tuple[int, ...], Needs(image_schedule="multi_step")] = Field(
        (30, 50), description="multi_step: epochs, counted from 0, at whose start the rate falls"
    )
    decay_factor: Annotated[float, Needs(image_schedule="multi_step")] = Field(
        0.1, gt=0, lt=1, description="multi_step: what the rate is multiplied by"
    )
    one_cycle_peaks: Annotated[tuple[float, ...] | float | None, Needs(image_schedule="one_cycle")] = Field(
        None, description="peak rate of each trained group: visual, prompt, text; null: the rates of the groups"
    )
    cycle_momentum: Annotated[bool, Needs(image_schedule="one_cycle")] = Field(
        False, description="one_cycle: whether Adam's first beta falls as the rate rises"
    )
    bnneck: Annotated[bool, IN_IMAGE] = Field(True, description="BatchNorm without bias before the classifiers")
    id_weight: Annotated[float, IN_IMAGE] = Field(0.25, ge=0, description="weight of the identity loss; 0: none")
    id_heads: Annotated[Heads, _used("id_weight")] = Field(
        "both", description="classifiers of the identity loss: on the feature, or another one on the projection too"
    )
    label_smoothing: Annotated[float, Needs(id_weight=Not(0.0), image_text_weight=Not(0.0))] = Field(
        0.1, ge=0, lt=1, description="label smoothing of the identity and the image-to-text loss"
    )
    arcface_weight: Annotated[float, IN_IMAGE] = Field(0.0, ge=0, description="weight of ArcFace; 0: none")
    arcface_scale: Annotated[float, _used("arcface_weight")] = Field(30.0, gt=0, description="ArcFace's scale s")
    arcface_margin: Annotated[float, _used("arcface_weight")] = Field(
        0.5, ge=0, lt=3.14, description="ArcFace's margin m in radians"
    )
    supcon_weight: Annotated[float, IN_IMAGE] = Field(0.0, ge=0, description="weight of SupCon; 0: none")
    supcon_pairs: Annotated[Literal["images", "image_text"], _used("supcon_weight")] = Field(
        "images", description="SupCon between images, or between images and texts in both directions"
    )
    supcon_temperature: Annotated[float, _used("supcon_weight")] = Field(0.1, gt=0, description="SupCon's temperature")
    triplet_weight: Annotated[float, IN_IMAGE] = Field(1.0, ge=0, description="weight of the triplet loss; 0: none")
    triplet_margin: Annotated[float, _used("triplet_weight")] = Field(0.3, gt=0, description="margin in distance")
    triplet_features: Annotated[Literal["feature", "both", "three"], _used("triplet_weight")] = Field(
        "three", description="sum over the feature; and its projection; and the feature of the last block but one"
    )
    triplet_normalize: Annotated[bool, _used("triplet_weight")] = Field(
        False, description="whether triplet distances are those of vectors of length 1"
    )
    center_weight: Annotated[float, IN_IMAGE] = Field(0.0, ge=0, description="weight of the center loss; 0: none")
    center_learning_rate: Annotated[float, _used("center_weight")] = Field(
        0.5, gt=0, description="rate of the centers' own SGD, whatever center_weight"
    )
    image_text_weight: Annotated[float, IN_IMAGE] = Field(
        1.0, ge=0, description="weight of the cross-entropy of an image to the texts of all identities; 0: none"
    )
    image_text_temperature: Annotated[float, _used("image_text_weight")] = Field(
        1.0, gt=0, description="temperature of the image-to-text cross-entropy"
    )

    @field_validator("image_size", mode="before")
    @classmethod
    def _has_sides(cls, size: Any) -> Any:
        sides = size if isinstance(size, list | tuple) else [size] * 2
        whole = [side for side in sides if isinstance(side, int) and not isinstance(side, bool)]
        if size is not None and (len(sides) != 2 or len(whole) != 2 or min(whole) < SMALLEST):
            raise ValueError(f"a size is a number of pixels or [height, width], each {SMALLEST} or more")
        return tuple(size) if isinstance(size, list) else size

    @field_validator("templates", mode="before")
    @classmethod
    def _several(cls, templates: Any) -> Any:
        return (templates,) if isinstance(templates, str) else tuple(templates)

    @field_validator("templates")
    @classmethod
    def _have_slots(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        for template in templates:
            prompt_templates.check(template)
        return templates

    @model_validator(mode="after")
    def _is_consistent(self) -> PromptedEmbedderParams:
        """Refuse an image stage without losses, and peaks that do not fit the trained groups."""
        weights = (
            self.id_weight,
            self.arcface_weight,
            self.supcon_weight,
            self.triplet_weight,
            self.center_weight,
            self.image_text_weight,
        )
        if self.trains_image and not any(weights):
            raise ValueError("the image stage has no loss, since all weights are 0: set id_weight, or image_epochs=0")
        if self.trains_image and self.image_schedule == "one_cycle":
            self._check_peaks()
        return self

    def _check_peaks(self) -> None:
        peaks, names = self.one_cycle_peaks, self.rate_names
        if isinstance(peaks, float) and len(names) > 1:
            listed = ", ".join(f"{name} {getattr(self, f'{name}_learning_rate'):g}" for name in names)
            raise ValueError(
                f"one_cycle_peaks={peaks:g} would raise every group to one rate, and the groups are {listed}: give a "
                "list with a peak for each"
            )
        if isinstance(peaks, tuple) and len(peaks) != len(names):
            raise ValueError(
                f"one_cycle_peaks has {len(peaks)} values for {len(names)} groups: give one for {', '.join(names)}"
            )

    @property
    def trains_prompts(self) -> bool:
        """Whether there is a stage that learns prompts."""
        return self.stage_mode != "image_only" and self.prompt_epochs > 0

    @property
    def trains_image(self) -> bool:
        """Whether there is a stage that tunes the image tower."""
        return self.stage_mode != "prompt_only" and self.image_epochs > 0

    @property
    def rate_names(self) -> tuple[str, ...]:
        """The groups of the image stage that have a learning rate of their own."""
        frozen = {"prompt": self.freeze_prompt, "text": self.freeze_text_encoder}
        return ("visual", *(name for name, kept in frozen.items() if not kept))

    def rates(self) -> dict[str, float]:
        """Learning rate of each of `rate_names`; the peaks of one_cycle where they are given."""
        peaks = self.one_cycle_peaks if self.image_schedule == "one_cycle" else None
        if peaks is not None:
            return dict(zip(self.rate_names, peaks if isinstance(peaks, tuple) else (peaks,), strict=False))
        return {name: getattr(self, f"{name}_learning_rate") for name in self.rate_names}
