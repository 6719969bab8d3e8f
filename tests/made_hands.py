"""A made miniature of 11k Hands: noise with a color per person, in the layout of the data set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

PERSONS = ("0000003", "7", "12", "15", "21", "30", "44", "51", "60", "77", "1040", "1060", "1070", "1080", "1090")
ASPECTS = ("dorsal right", "dorsal left", "palmar right", "palmar left")


def hands(raw: Path, side: int = 12) -> Path:
    """15 persons with 2 or 3 photographs of each aspect, one with a single one, some with accessories."""
    draw, rows = np.random.default_rng(0), []
    (raw / "Hands").mkdir(parents=True)
    for number, person in enumerate(PERSONS):
        for aspect in ASPECTS:
            count = 1 if (person, aspect) == ("12", "palmar left") else 2 + number % 2
            for worn in [0] * count + [1] * (number % 5 == 0):
                name = f"Hand_{len(rows):07d}.png"
                color = 40 + 12 * number + draw.normal(0, 12, (side, side, 3)) + 20 * ASPECTS.index(aspect)
                cv2.imencode(".png", color.clip(0, 255).astype(np.uint8))[1].tofile(raw / "Hands" / name)
                rows.append({"id": person, "age": 20, "accessories": worn, "aspectOfHand": aspect, "imageName": name})
    table = pd.DataFrame(rows)
    table.loc[1, "id"] += " "  # the original has a blank behind one id
    table.to_csv(raw / "HandInfo.csv", index=False)
    return raw


LAYOUTS = {"hands": hands}  # photographs of people, which nobody passes on
