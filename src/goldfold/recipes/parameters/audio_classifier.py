"""Parameters of `audio_classifier`: sound, spectrogram, augmentation, network and training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from goldfold.audio.files import is_sound
from goldfold.audio.log_mel import filters
from goldfold.audio.windows import Loudness, Padding
from goldfold.errors import GoldfoldError
from goldfold.params import BackboneName, Needs, Params, Pretrained, WeightsFile
from goldfold.recipes.classification.parameters import (
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

if TYPE_CHECKING:
    from pandas import DataFrame


class AudioClassifierParams(Params):
    """Sound, spectrogram, augmentation, network and training."""

    sample_rate: int = Field(16000, ge=1000, le=384000, description="Hz to which every recording is resampled")
    seconds: float = Field(5.0, gt=0, le=600, description="length of a window: a random crop in training")
    padding: Padding = Field(
        "repeat", description="recordings shorter than a window: begin again at their end, or silence around them"
    )
    loudness: Loudness = Field(
        "none", description="level of a window: as recorded, largest sample 1, or root mean square 0.1"
    )
    overlap: float = Field(
        0.0, ge=0, lt=1, description="share of a window that the next one repeats, in prediction; more is slower"
    )
    pool: Literal["mean", "max"] = Field(
        "mean", description="how the probabilities of a recording's windows become one"
    )
    mels: int = Field(64, ge=8, description="bands of the mel scale: the height of a spectrogram")
    n_fft: int = Field(1024, ge=16, description="samples of a transform")
    hop: int = Field(
        320, ge=1, description="samples from one transform to the next; seconds x sample_rate / hop: width"
    )
    low: float = Field(20.0, ge=0, description="Hz, the lowest frequency of a spectrogram")
    high: float = Field(0.0, ge=0, description="Hz, the highest frequency of a spectrogram; 0: half of sample_rate")
    dynamic_range: float = Field(80.0, gt=0, description="dB below the loudest value at which values are cut off")
    band_masks: int = Field(2, ge=0, description="masks of bands in a training spectrogram (SpecAugment); 0: none")
    band_mask: Annotated[
        float, Field(ge=0, le=1, description="largest width of such a mask, as a share of the bands")
    ] = 0.2
    time_masks: int = Field(2, ge=0, description="masks of time in a training spectrogram (SpecAugment); 0: none")
    time_mask: Annotated[
        float, Field(ge=0, le=1, description="largest width of such a mask, as a share of a window")
    ] = 0.2
    gain: float = Field(0.0, ge=0, le=60, description="largest random change of a training window's level, in dB")
    noise: float | None = Field(
        None,
        description="lowest signal-to-noise ratio of white noise in half of the training windows, in dB; None: none",
    )
    mixup: Mixup = 0.0
    backbone: BackboneName = Field("efficientnet_lite0", description="timm name of the network")
    pretrained: Annotated[Pretrained, Needs(weights="")] = Field(True, description="start from pretrained weights")
    weights: WeightsFile = ""
    drop_rate: float = Field(0.2, ge=0, lt=1, description="dropout rate before the classifier")
    epochs: TrainingEpochs = 10
    batch_size: SamplesPerBatch = 32
    learning_rate: PeakRate = 1e-3
    head_factor: HeadFactor = 3.0
    layer_decay: LayerDecay = 1.0
    weight_decay: WeightDecay = 1e-2
    schedule: Schedule = "cosine"
    warmup: Warmup = 0.1

    @property
    def samples(self) -> int:
        """Length of a window in samples."""
        return max(1, round(self.seconds * self.sample_rate))

    @property
    def frames(self) -> int:
        """Width of a spectrogram."""
        return max(1, self.samples // self.hop)

    @property
    def highest(self) -> float:
        """The highest frequency of a spectrogram, in Hz."""
        return self.high or self.sample_rate / 2


def check(params: AudioClassifierParams, train: DataFrame, test: DataFrame) -> None:
    """Check before training that windows and bands are possible, and that files are sound.

    Raises:
        GoldfoldError: `not_audio`, `band_impossible`, `window_too_short`, `mel_band_empty`.
    """
    for name, rows in (("train", train), ("test", test)):
        other = [path for path in rows["path"] if not is_sound(path)]
        if other:
            raise GoldfoldError(
                "not_audio",
                f"{len(other)} of {len(rows)} files of the {name} table are not audio files, first '{other[0]}': "
                "audio_classifier reads wav, flac, ogg, opus, mp3, aif and au",
            )
    if not params.low < params.highest <= params.sample_rate / 2:
        raise GoldfoldError(
            "band_impossible",
            f"low={params.low:g} and high={params.highest:g} must ascend and end at half of sample_rate="
            f"{params.sample_rate}, {params.sample_rate / 2:g} Hz: change one of them",
        )
    if params.samples < params.n_fft:
        raise GoldfoldError(
            "window_too_short",
            f"seconds={params.seconds:g} are {params.samples} samples at {params.sample_rate} Hz, fewer than n_fft="
            f"{params.n_fft}: raise seconds or lower n_fft",
        )
    filters(params.sample_rate, params.n_fft, params.mels, params.low, params.highest)
