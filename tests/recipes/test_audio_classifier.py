"""audio_classifier: training, windows of long recordings, augmentation, targets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from error_codes import raises_code
from made_sounds import RATE, rows, tone, write
from torch import nn

from goldfold.competition import Plan, Runtime
from goldfold.recipes import audio_classifier
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

TINY = {"sample_rate": RATE, "seconds": 0.4, "n_fft": 256, "hop": 80, "mels": 24, "batch_size": 8, "epochs": 6}


def network(outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d((6, 1)), nn.Flatten(), nn.Linear(48, outputs)
    )


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> pd.DataFrame:
    return rows(tmp_path_factory.mktemp("geräusche"))


def built(sounds: pd.DataFrame, recipe=None, workers: int = 0, **params) -> Plan:
    torch.manual_seed(0)
    recipe = recipe or audio_classifier.recipe("kind", (0, 1, 2), network=network)
    own = recipe.params(**TINY | {"learning_rate": 1e-2} | params)
    recipe.check(own, sounds, sounds)
    return recipe.build(own, sounds, Runtime(seed=0, device=torch.device("cpu"), cache=Path(), workers=workers))


def predicted(plan: Plan, sounds: pd.DataFrame) -> np.ndarray:
    with torch.no_grad():
        return plan.predict(plan.model.eval(), None, sounds.drop(columns="kind", errors="ignore"))


def test_it_learns_pitches(sounds):
    plan = built(sounds, time_masks=1, band_mask=0.1, gain=3.0, noise=20.0, mixup=0.1)
    train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    probabilities = predicted(plan, sounds)
    assert probabilities.shape == (24, 3)
    assert probabilities.sum(1) == pytest.approx(np.ones(24))
    assert (probabilities.argmax(1) == sounds["kind"]).mean() > 0.9
    with torch.no_grad():
        losses = plan.stages[0].row_losses(plan.model.eval())
    own = sounds[sounds["path"].map(lambda path: path.stat().st_size) <= 44 + 2 * 0.4 * RATE]  # of one window
    assert losses[own.index] == pytest.approx(-np.log(probabilities[own.index, own["kind"]]))


def test_a_packaged_backbone_is_used_offline(sounds):
    plan = built(sounds[:8], audio_classifier.recipe("kind", (0, 1, 2)), mels=32)
    assert plan.model.get_submodule("network").conv_stem.in_channels == 1
    assert predicted(plan, sounds[:4]).shape == (4, 3)
    small = audio_classifier.recipe("kind", (0, 1, 2))
    plan = built(sounds[:8], small, backbone="test_vit", pretrained=False, mels=32, seconds=0.32, hop=20)
    assert predicted(plan, sounds[:4]).shape == (4, 3)


def test_a_long_recording_is_the_mean_of_its_windows(sounds, tmp_path):
    plan = built(sounds)
    parts = [write(tmp_path / f"{n}.wav", tone(500 * (n + 1), 0.4, seed=n)) for n in range(3)]
    whole = write(tmp_path / "whole.wav", np.concatenate([tone(500 * (n + 1), 0.4, seed=n) for n in range(3)]))
    table = pd.DataFrame({"id": range(4), "path": [*parts, whole]})
    found = predicted(plan, table)
    assert found[3] == pytest.approx(found[:3].mean(0), rel=1e-5)
    most = predicted(built(sounds, pool="max"), table)
    assert most[:3] == pytest.approx(found[:3])
    assert most[3] == pytest.approx(found[:3].max(0), rel=1e-5)
    overlapping = predicted(built(sounds, overlap=0.5), table)
    assert overlapping[:3] == pytest.approx(found[:3])
    assert not np.allclose(overlapping[3], found[3], rtol=1e-6)


def test_memory_of_an_hour_is_bounded(sounds, tmp_path, monkeypatch):
    """No part of a long recording is read that is much longer than a batch of windows."""
    from goldfold.audio import files

    plan, asked, read = built(sounds), [], files.read
    path = write(tmp_path / "long.wav", np.zeros(60 * RATE))
    monkeypatch.setattr("goldfold.audio.waveforms.KEPT_SECONDS", 10)
    monkeypatch.setattr(files, "read", lambda path, start, count: asked.append(count) or read(path, start, count))
    assert predicted(plan, pd.DataFrame({"id": [0], "path": [path]})).shape == (1, 3)
    assert max(asked) <= 0.5 * RATE
    assert len(asked) == 150


def test_predictions_depend_on_no_other_row_and_no_batch(sounds):
    plan = built(sounds)
    whole = predicted(plan, sounds)
    assert predicted(plan, sounds[5:6])[0] == pytest.approx(whole[5], rel=1e-5)
    assert predicted(plan, sounds[::-1])[::-1] == pytest.approx(whole, rel=1e-5)


def test_crops_and_masks_follow_epoch_and_id_alone(sounds):
    def epoch(number: int, workers: int = 0) -> list[torch.Tensor]:
        batches = built(sounds, workers=workers, gain=6.0, noise=10.0).stages[0].batches(number)
        return [part for batch in batches for part in batch]

    first = epoch(0)
    assert all(torch.equal(*pair) for pair in zip(first, epoch(0, workers=1), strict=True))
    assert not all(torch.equal(*pair) for pair in zip(first, epoch(1), strict=True))
    assert first[0].shape == (8, 3200)
    assert first[1].shape == first[2].shape == (8, 2, 2)


def test_masks_reach_the_network_in_training_alone(sounds):
    plan, seen = built(sounds, time_mask=1.0, time_masks=3), []
    plan.model.get_submodule("network").register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    plan.stages[0].losses(plan.model, next(iter(plan.stages[0].batches(0))))
    predicted(plan, sounds)
    shares = [float((each == 0).float().mean()) for each in (seen[0], torch.cat(seen[1:]))]
    assert shares[0] > 0.3
    assert shares[1] < 0.01


def test_spectrograms_are_standardized_by_the_training_rows(sounds):
    seen: list[torch.Tensor] = []
    plan = built(sounds)
    plan.model.get_submodule("network").register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    plan.model.eval()(torch.from_numpy(np.stack([tone(1000, 0.4) for _ in range(4)])))
    assert abs(float(seen[0].mean())) < 0.5
    assert 0.5 < float(seen[0].std()) < 1.5
    assert {"mean", "std"} <= plan.model.state_dict().keys()


def test_other_targets(sounds):
    table = sounds.assign(low=[int(n < 1) for n in sounds["kind"]], high=[int(n > 1) for n in sounds["kind"]])
    several = audio_classifier.recipe(targets=("low", "high"), network=network)
    assert predicted(built(table, several), table).shape == (24, 2)
    two = audio_classifier.recipe("low", (0, 1), network=network)
    assert predicted(built(table, two), table).shape == (24,)
    values = audio_classifier.recipe(values="kind", network=network)
    assert predicted(built(table, values), table).shape == (24,)


def test_what_cannot_be_is_refused(sounds, tmp_path):
    with raises_code("band_impossible", "high=5000", "sample_rate=8000", "4000 Hz"):
        built(sounds, high=5000.0)
    with raises_code("window_too_short", "seconds=0.01", "80 samples", "n_fft=256"):
        built(sounds, seconds=0.01)
    with raises_code("mel_band_empty", "mels=64"):
        built(sounds, mels=64, n_fft=64)
    vision = audio_classifier.recipe("kind", (0, 1, 2), backbone="test_vit", pretrained=False)
    with raises_code("spectrogram_size_unsuitable", "test_vit", "mels=24", "40 frames"):
        built(sounds, vision)
    with raises_code("not_audio", "1 of 1", "a.png", "wav, flac"):
        built(pd.DataFrame({"id": [1], "path": [tmp_path / "a.png"], "kind": [0]}))
