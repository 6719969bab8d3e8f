"""Digits spoken by eSpeak NG in many voices, accents and noise: recordings, folds by voice, hidden voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import wavfile
from scipy.signal import resample_poly

from competitions.spoken_digits.espeak import RATE as SPOKEN_RATE
from competitions.spoken_digits.espeak import Speaker
from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import grouped

DIGITS = tuple(range(10))
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en", "en-us", "en-gb-scotland", "en-029")  # British, American, Scottish, Caribbean
MEN = "Alex Andy Denis Diogo Gene Henrique Hugo Lee Marco Mario Michael Mike Nguyen Reed adam antonio benjamin"
OTHERS = "boris caleb david ed gustave iven m1 m2 m3 m4 m5 m7 pablo travis victor grandpa grandma whisper"
WOMEN = "Alicia Andrea Annie anika aunty belinda f1 f2 f3 f4 f5 linda steph"
VOICES = tuple(" ".join((MEN, OTHERS, WOMEN)).split())  # variants of eSpeak NG
HIDDEN = 10  # voices of the test table
RATE = 8000  # Hz, that of a telephone
SEED = 1998


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Speak every digit in every voice and two accents, at random speeds in random noise; hide ten voices."""
    random = np.random.default_rng(SEED)
    voices = random.permutation(VOICES)
    said = [
        (voice, accent, digit) for voice in VOICES for accent in random.permutation(ACCENTS)[:2] for digit in DIGITS
    ]
    rows = pd.DataFrame(said, columns=["voice", "accent", "label"])
    rows = rows.iloc[random.permutation(len(rows))].reset_index(drop=True)
    rows.insert(0, "id", [f"{number:04d}" for number in range(len(rows))])
    rows.insert(1, "path", "recordings/" + rows["id"] + ".wav")
    (public / "recordings").mkdir()
    with Speaker() as speaker:
        for row in rows.itertuples():
            spoken = speaker.say(WORDS[row.label], f"{row.accent}+{row.voice}", speed=int(random.integers(130, 230)))
            wavfile.write(public / row.path, RATE, recorded(spoken, random))
    hidden = np.flatnonzero(rows["voice"].isin(voices[:HIDDEN]))
    rows = rows.drop(columns="accent")
    self_hosting.write(rows, hidden, targets=["label"], sample={"label": 0}, public=public, private=private)


def recorded(spoken: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Speech int16 at the speaker's rate as a recording int16 at 8 kHz: its level, and noise 0 to 20 dB below it."""
    wave = resample_poly(spoken / 32768, RATE, SPOKEN_RATE)
    wave = np.pad(wave, random.integers(200, 1600, 2))  # silence before and after it, up to 0.2 s
    level, ratio = random.uniform(0.02, 0.1), random.uniform(0, 20)
    wave *= level / np.sqrt(np.mean(wave**2))
    wave += random.normal(0, level * 10 ** (-ratio / 20), len(wave))
    return np.clip(np.rint(wave * 32767), -32768, 32767).astype(np.int16)


def load(public: Path) -> Tables:
    """Load both tables: id, path, voice; train also has label (0 to 9)."""
    return self_hosting.read(public)


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds, all recordings of a voice in one of them."""
    return grouped(train["voice"], folds=5, seed=seed)
