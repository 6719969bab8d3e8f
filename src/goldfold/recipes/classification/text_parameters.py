"""Parameters of the recipes for texts: an encoder that is fine-tuned, and a head on frozen features."""

from __future__ import annotations

from pydantic import Field

from goldfold.nn.pretrained import text_packages
from goldfold.nn.texts.network import Pooling
from goldfold.params import Params, SecondTextColumn, TextColumn, TextEncoder
from goldfold.recipes.classification.parameters import (
    GradientCheckpointing,
    HeadFactor,
    LayerDecay,
    Mixup,
    PeakRate,
    SamplesPerBatch,
    Schedule,
    TrainingEpochs,
    Warmup,
    WeightDecay,
)


class TextParams(Params):
    """The texts of a row."""

    text_column: TextColumn = Field("text", description="column with the text of a row")
    second_column: SecondTextColumn = Field(
        None, description="column with a second text, such as an answer to the first; none: one text"
    )

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns with texts."""
        return (self.text_column, *([self.second_column] if self.second_column else []))


class TextClassifierParams(TextParams):
    """Encoder and its training."""

    encoder: TextEncoder = Field(
        text_packages.MINILM,
        description="minilm (extra minilm), the folder of an encoder of transformers, or hf-hub:OWNER/NAME",
    )
    max_tokens: int = Field(
        256, ge=8, description="tokens of a text or pair, at most those that the encoder reads; longer ones are cut"
    )
    pooling: Pooling = Field(
        "mean", description="what is read of a text: the mean over its tokens, or the state of the first one (cls)"
    )
    drop_rate: float = Field(0.1, ge=0, lt=1, description="dropout rate before the last layer")
    frozen_layers: int = Field(
        0, ge=0, description="first layers of the encoder that are not trained, with the embeddings; 0: all are trained"
    )
    epochs: TrainingEpochs = 3
    freeze_epochs: int = Field(0, ge=0, description="epochs before these in which the last layer alone is trained")
    batch_size: SamplesPerBatch = 32
    learning_rate: PeakRate = 5e-5
    head_factor: HeadFactor = 10.0
    layer_decay: LayerDecay = 1.0
    weight_decay: WeightDecay = 1e-2
    schedule: Schedule = "cosine"
    warmup: Warmup = 0.1
    gradient_checkpointing: GradientCheckpointing = False


class FrozenTextParams(TextParams):
    """Features, and training of the head."""

    encoder: TextEncoder = Field(
        text_packages.WORDLLAMA,
        description="wordllama: packaged token vectors, minilm (extra minilm), a folder of a text tower, or "
        "hf-hub:OWNER/NAME",
    )
    hidden: int = Field(0, ge=0, description="width of the head's hidden layer; 0: a linear head")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout rate of the head")
    mixup: Mixup = 0.0
    epochs: TrainingEpochs = 20
    batch_size: SamplesPerBatch = 64
    learning_rate: PeakRate = 1e-3
    weight_decay: WeightDecay = 1e-2
    schedule: Schedule = "cosine"
    warmup: Warmup = 0.1
