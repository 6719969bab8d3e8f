"""Parameters of the recipe `fusion`: towers, head, codes, losses, training, and the vote of the neighbors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from goldfold.nn import hash_fusion, schedules
from goldfold.nn.pretrained import text_packages
from goldfold.params import (
    BackboneName,
    BatchSize,
    Epochs,
    LearningRate,
    Needs,
    Not,
    Params,
    Pretrained,
    TextColumn,
    TextEncoder,
    Towers,
)
from goldfold.retrieval.hashing.codes import Vote

HASHED = ("hash_bce", "full", "no_decompose")  # models with a hash layer
PLAIN = ("mlp_baseline", "no_hash")  # models without one
WITH_LOSSES = ("full", "no_decompose")  # models with the losses of alignment and hash codes
HIDDEN = 512  # width of the last hidden layer


class FusionParams(Params):
    """Towers, head, losses, training, and the vote of the neighbors."""

    model: Literal["mlp_baseline", "no_hash", "hash_bce", "full", "no_decompose"] = Field(
        "full",
        description="mlp_baseline: one hidden layer on both features; no_hash: direction/magnitude fusion; hash_bce: "
        "with a hash layer; full: and with the losses of alignment and hash codes; no_decompose: full, on the features",
    )
    towers: Towers = Field(
        "", description="folder of CLIP, SigLIP or SigLIP2 with both towers; empty: backbone and text_tower"
    )
    backbone: Annotated[BackboneName, Needs(towers="")] = Field(
        "efficientnet_lite0", description="timm name of the image tower"
    )
    pretrained: Annotated[Pretrained, Needs(towers="")] = Field(
        True, description="use pretrained weights; random ones are for tests"
    )
    image_size: Annotated[int, Needs(towers="")] = Field(
        224, ge=32, description="side of the backbone's input, in pixels"
    )
    text_tower: Annotated[TextEncoder, Needs(towers="")] = Field(
        text_packages.WORDLLAMA,
        description="packaged token vectors, a text model's folder, or none: the image alone",
    )
    text_column: Annotated[TextColumn, Needs(towers=Not(""), text_tower=Not("none"))] = Field(
        "text", description="column with the text of a row"
    )
    quantizer: Annotated[Literal["none", "product"], Needs(model=PLAIN)] = Field(
        "none",
        description="codes of a model without a hash layer: none, or product quantization of its last hidden features",
    )
    bits: Annotated[int, Needs(model=HASHED, quantizer="product")] = Field(
        64, ge=1, description="bits of a code; product quantization takes 8 per sub-space"
    )
    codes: Annotated[hash_fusion.Codes, Needs(model=HASHED)] = Field(
        "tanh", description="how the hash layer becomes codes: tanh, straight_through signs, or annealed tanh"
    )
    standardize: bool = Field(
        False, description="standardize the head's input by mean and standard deviation of the training rows"
    )
    prior_bias: bool = Field(
        False, description="start the classifier's biases at the log-odds of each label in the training rows"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate of the head")
    alignment_weight: Annotated[float, Needs(model=WITH_LOSSES)] = Field(
        0.0, ge=0, description="weight of 1 - cosine of image and text, which has no gradient: both are frozen"
    )
    hash_weight: Annotated[float, Needs(model=WITH_LOSSES)] = Field(
        0.1, ge=0, description="weight of quantization, balance and correlation of the codes"
    )
    neighbors: Annotated[int, Needs(model=HASHED, quantizer="product")] = Field(
        20, ge=1, description="nearest training codes that vote for their labels"
    )
    vote: Annotated[Vote, Needs(model=HASHED, quantizer="product")] = Field(
        "softmax", description="weights of the neighbors: softmax of similarity, uniform, or 1 / rank"
    )
    temperature: Annotated[float, Needs(vote="softmax")] = Field(
        0.07, gt=0, description="temperature of the softmax of similarities"
    )
    epochs: Epochs = Field(20, ge=1, description="number of training epochs")
    batch_size: BatchSize = Field(32, ge=1, description="samples per batch")
    learning_rate: LearningRate = Field(2e-4, gt=0, description="peak learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="weight decay of AdamW")
    schedule: schedules.Name = Field("cosine", description="learning-rate schedule")
    warmup: Annotated[float, Needs(schedule=Not("constant"))] = Field(
        0.1, ge=0, lt=1, description="share of all steps in which the learning rate rises"
    )

    @property
    def coded(self) -> bool:
        """Whether rows get codes, which vote for labels."""
        return self.model in HASHED or self.quantizer == "product"
