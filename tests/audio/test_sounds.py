"""Sound against references: SciPy's resampling, librosa's and transformers' spectrograms, soundfile's decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from error_codes import raises_code
from made_sounds import RATE, tone, write
from scipy.io import wavfile
from scipy.signal import resample_poly

from goldfold.audio import augmentation, files, waveforms, windows
from goldfold.audio.log_mel import LogMel, filters
from goldfold.images import resized_images

SETTINGS = [(16000, 1024, 160, 64, 20, 8000), (32000, 2048, 512, 128, 50, 14000), (8000, 400, 80, 40, 0, 4000)]
NEEDED = 'needs the extra audio: pip install "goldfold[audio]"'


def stereo(seconds: float, rate: int) -> np.ndarray:
    return np.stack([tone(440, seconds, rate, 1), tone(3000, seconds, rate, 2)], axis=1)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 16000])
def test_any_part_is_that_of_the_whole_resampled_file(tmp_path: Path, monkeypatch, rate: int) -> None:
    path = write(tmp_path / "a.wav", stereo(1.01, rate), rate)
    whole = (wavfile.read(path)[1] / 32768).mean(1)
    common = np.gcd(rate, 16000)
    reference = waveforms.quantized(resample_poly(whole, 16000 // common, rate // common))
    own = waveforms.Recordings([path], 16000)
    assert own.lengths.tolist() == [len(reference)]
    monkeypatch.setattr(waveforms, "BLOCK", 3000)
    for start, stop in ((0, len(reference)), (0, 7), (5001, 12345), (len(reference) - 9, len(reference))):
        found = own.read(0, start, stop - start)
        assert found.dtype == np.int16
        assert np.abs(found.astype(int) - reference[start:stop]).max() <= 1  # float32 against float64, of 32,768


def test_resampling_lets_no_alias_through(tmp_path: Path) -> None:
    """A tone at 15 kHz would be heard at 1 kHz in 16 kHz."""
    path = write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 15000 * np.arange(48000) / 48000), 48000)
    inside = waveforms.resampled(path, 16000, 1000, 15000).astype(float)
    assert np.sqrt(np.mean(inside**2)) < 0.5 / np.sqrt(2) * 32768 * 10 ** (-40 / 20)


def test_recordings_are_decoded_once_where_a_run_keeps_them(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "a.wav", tone(440, 1))
    plain = waveforms.Recordings([path], RATE).read(0, 100, 50)
    with resized_images.keeping(tmp_path / "cache"):
        own = waveforms.Recordings([path], RATE)
        own.decode(lambda *told: None)
        monkeypatch.setattr(waveforms, "resampled", lambda *asked: pytest.fail("decoded twice"))
        assert own.read(0, 100, 50).tolist() == plain.tolist()
        assert len(own.read(0, RATE - 10, 50)) == 10
    monkeypatch.undo()
    monkeypatch.setattr(waveforms, "KEPT_SECONDS", 0.5)  # long recordings are read in parts
    with resized_images.keeping(tmp_path / "cache"):
        own = waveforms.Recordings([path], RATE)
        own.decode(lambda *told: None)
        assert own.read(0, 100, 50).tolist() == plain.tolist()
        kept = resized_images.kept()
        assert kept is not None
        assert not kept.places


@pytest.mark.parametrize(("rate", "fft", "hop", "bands", "low", "high"), SETTINGS)
def test_log_mel_is_that_of_transformers(rate, fft, hop, bands, low, high) -> None:
    audio_utils = pytest.importorskip("transformers.audio_utils", reason="compares with transformers")
    wave = tone(700, 0.7, rate).astype(np.float32)
    bank = audio_utils.mel_filter_bank(fft // 2 + 1, bands, low, high, rate, norm="slaney", mel_scale="slaney")
    reference = audio_utils.spectrogram(
        wave,
        audio_utils.window_function(fft, "hann"),
        fft,
        hop,
        fft_length=fft,
        power=2.0,
        pad_mode="constant",
        mel_filters=bank,
        log_mel="dB",
        mel_floor=1e-10,
        db_range=80.0,
    )
    own = LogMel(rate, fft=fft, hop=hop, bands=bands, low=low, high=high)(torch.from_numpy(wave)[None])[0].numpy()
    assert np.abs(own - reference).max() < 1e-3  # dB


@pytest.mark.parametrize(("rate", "fft", "hop", "bands", "low", "high"), SETTINGS)
def test_log_mel_is_that_of_librosa(rate, fft, hop, bands, low, high) -> None:
    librosa = pytest.importorskip("librosa", reason="compares with librosa: pip install librosa")
    wave = tone(700, 0.7, rate).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=wave, sr=rate, n_fft=fft, hop_length=hop, n_mels=bands, fmin=low, fmax=high
    )
    own = LogMel(rate, fft=fft, hop=hop, bands=bands, low=low, high=high)(torch.from_numpy(wave)[None])[0].numpy()
    assert np.abs(own - librosa.power_to_db(power)).max() < 1e-3  # dB


def test_a_band_without_a_frequency_is_refused() -> None:
    with raises_code("mel_band_empty", "mels=128", "n_fft=256", "lower mels or raise n_fft"):
        filters(16000, 256, 128, 20, 8000)


def test_windows_cover_a_recording_and_do_not_leave_it() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        length, size, stride = random.integers(1, 60, 3).tolist()
        stride = min(stride, size)
        found = windows.starts(length, size, stride)
        covered = np.unique(np.concatenate([np.arange(start, start + size) for start in found]))
        assert set(range(length)) <= set(covered.tolist())
        assert length <= size or found[-1] + size == length
        assert len(np.unique(found)) == len(found)
        last = windows.crop_start(length, size, 0.9999999)
        assert 0 <= last <= max(0, length - size)


def test_levels_and_padding() -> None:
    quiet = waveforms.quantized(tone(440, 0.2) / 100)
    assert np.abs(windows.leveled(quiet, "peak")).max() == pytest.approx(1)
    assert np.sqrt(np.mean(windows.leveled(quiet, "rms") ** 2)) == pytest.approx(0.1, rel=1e-4)
    assert windows.leveled(quiet, "none").tolist() == (quiet / np.float32(32768)).tolist()
    assert not windows.leveled(np.zeros(5, np.int16), "rms").any()
    assert windows.padded(np.arange(1, 4), 7, "repeat", 0.4).tolist() == [2, 3, 1, 2, 3, 1, 2]
    assert windows.padded(np.arange(1, 4), 5, "zeros", 0.99).tolist() == [0, 0, 1, 2, 3]


def test_masks_are_those_of_specaugment() -> None:
    drawn = np.concatenate([augmentation.masks(augmentation.draws(0, 0, n), 2, 0.2, 40) for n in range(500)])
    widths = drawn[:, 1] - drawn[:, 0]
    assert (widths.min(), widths.max()) == (0, 8)
    assert drawn.min() == 0
    assert drawn.max() == 40
    bands, frames = torch.tensor([[[1, 3]], [[0, 0]]]), torch.tensor([[[0, 1]], [[2, 4]]])
    hidden = augmentation.hide(torch.ones(2, 4, 5), bands, frames)
    assert hidden[0].tolist() == [[0, 1, 1, 1, 1], [0] * 5, [0] * 5, [0, 1, 1, 1, 1]]
    assert hidden[1].tolist() == [[1, 1, 0, 0, 1]] * 4


def test_gain_and_noise_have_the_size_they_say() -> None:
    wave = tone(440, 1).astype(np.float32)
    levels, ratios = [], []
    for number in range(200):
        louder = augmentation.changed(wave, augmentation.draws(0, 1, number), 6.0, None)
        levels.append(20 * np.log10(louder.std() / wave.std()))
        noise = augmentation.changed(wave, augmentation.draws(0, 1, number), 0.0, 10.0) - wave
        ratios.append(20 * np.log10(wave.std() / noise.std()) if noise.any() else np.inf)
    assert -6.01 < min(levels) < -5
    assert 5 < max(levels) < 6.01
    heard = [ratio for ratio in ratios if np.isfinite(ratio)]
    assert 70 < len(heard) < 130
    assert 9.5 < min(heard) < 12
    assert 38 < max(heard) < 40.5


def test_wav_needs_no_extra_and_has_the_numbers_of_soundfile(tmp_path: Path, monkeypatch) -> None:
    soundfile = pytest.importorskip("soundfile", reason=NEEDED)
    for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"):
        path = tmp_path / f"{kind}.wav"
        soundfile.write(path, stereo(0.1, RATE), RATE, subtype=kind)
        own = files.header(path), files.read(path, 100, 200)
        with monkeypatch.context() as without:
            without.setattr(files, "find_spec", lambda name: None)
            assert files.header(path) == own[0]
            assert np.array_equal(files.read(path, 100, 200), own[1])


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_compressed_files_are_read(tmp_path: Path, monkeypatch, suffix: str) -> None:
    soundfile = pytest.importorskip("soundfile", reason=NEEDED)
    path, wave = tmp_path / f"a.{suffix}", tone(440, 1, 16000)
    soundfile.write(path, wave, 16000)
    assert files.header(path) == (16000, 1, 16000)
    found = files.read(path)[:, 0]
    assert np.corrcoef(found[2000:14000], wave[2000:14000])[0, 1] > 0.95
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with raises_code("package_missing", f"a.{suffix}", 'pip install "goldfold[audio]"'):
        files.header(path)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "absent", "no samples"])
@pytest.mark.parametrize("with_extra", [True, False])
def test_damaged_files_are_named(tmp_path: Path, monkeypatch, damage: str, with_extra: bool) -> None:
    if with_extra:
        pytest.importorskip("soundfile", reason=NEEDED)
    else:
        monkeypatch.setattr(files, "find_spec", lambda name: None)
    path = write(tmp_path / "声 a.wav", tone(440, 0 if damage == "no samples" else 0.2))
    if damage == "absent":
        path.unlink()
    elif damage != "no samples":
        path.write_bytes({"empty": b"", "text": b"hello" * 99, "cut": path.read_bytes()[:900]}[damage])
    with raises_code("unreadable_audio", "声 a.wav", "replace it"):
        files.header(path)
