"""A miniature of COCO with captions: colored squares, annotations and captions, in the layout of the real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CATEGORIES = {1: "person", 18: "dog", 44: "bottle", 63: "couch", 90: "toothbrush"}  # numbers of the real list
COLORS = {1: (220, 40, 40), 18: (40, 200, 60), 44: (40, 60, 220), 63: (230, 220, 40), 90: (200, 60, 220)}  # RGB
WORDS = {1: "a person", 18: "un perro", 44: "бутылка", 63: "沙发", 90: "فرشاة أسنان"}
PARTS = ("train", "train", "train", "val", "test", "restval")  # of image 0, 1, 2 ..., over and over
SIDE = 40


def shown(number: int) -> list[int]:
    """The categories of an image; every eighth shows none."""
    draw = np.random.default_rng(number)
    return [] if number % 8 == 7 else [each for each in CATEGORIES if draw.random() < 0.45]


def part_of(number: int) -> str:
    return PARTS[number % len(PARTS)]


def id_of(number: int) -> int:
    """COCO's numbers are neither in order nor without gaps."""
    return 581_929 - 37 * number


def folder_of(number: int) -> str:
    return "train2014" if part_of(number) == "train" else "val2014"


def captions(number: int) -> list[str]:
    """Five captions; the first names what is shown, and some have a comma, quotes or the end of a line."""
    named = " and ".join(WORDS[each] for each in shown(number)) or "nothing at all"
    return [
        f"A picture of {named}.",
        f'It says "{named}", or so',
        f"{named}\n",
        "Ünïcödé  caption 🐕",
        f"Image {number}.",
    ]


def entry(number: int) -> dict[str, Any]:
    """An image of `dataset_coco.json`."""
    sentences = [
        {"tokens": text.lower().split(), "raw": text, "imgid": number, "sentid": 5 * number + at}
        for at, text in enumerate(captions(number))
    ]
    return {
        "filepath": folder_of(number),
        "sentids": [sentence["sentid"] for sentence in sentences],
        "filename": f"COCO_{folder_of(number)}_{id_of(number):012d}.jpg",
        "imgid": number,
        "split": part_of(number),
        "sentences": sentences,
        "cocoid": id_of(number),
    }


def picture(number: int) -> np.ndarray:
    """A fifth of the width has the color of each category that is shown, (SIDE, SIDE, 3) uint8 RGB."""
    pixels = np.random.default_rng(number).integers(90, 130, (SIDE, SIDE, 3)).astype(np.uint8)
    for at, category in enumerate(CATEGORIES):
        if category in shown(number):
            pixels[:, 8 * at : 8 * at + 8] = COLORS[category]
    return pixels


def annotations(numbers: list[int]) -> dict[str, Any]:
    """The content of `instances_*.json`: of each category a crowd, and in every second image a box, too."""
    boxes = [
        {"image_id": id_of(number), "category_id": category, "bbox": [8, 0, 8, SIDE], "iscrowd": crowd}
        for number in numbers
        for category in shown(number)
        for crowd in ((0, 1) if number % 2 else (1,))
    ]
    return {
        "images": [{"id": id_of(number), "width": SIDE, "height": SIDE} for number in numbers],
        "annotations": [{"id": at, **box} for at, box in enumerate(boxes)],
        "categories": [{"supercategory": "thing", "id": of, "name": name} for of, name in CATEGORIES.items()],
    }


def captioned(raw: Path, images: int = 90) -> Path:
    """Write images, captions and annotations."""
    entries = [entry(number) for number in range(images)]
    write(raw / "dataset_coco.json", {"images": entries, "dataset": "coco"})
    for folder in ("train2014", "val2014"):
        numbers = [number for number in range(images) if folder_of(number) == folder]
        write(raw / "annotations" / f"instances_{folder}.json", annotations(numbers))
        (raw / folder).mkdir()
        for number in numbers:
            file = raw / folder / entries[number]["filename"]
            cv2.imencode(".jpg", picture(number)[..., ::-1])[1].tofile(file)
    return raw


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


LAYOUTS = {"captions": captioned}  # competitions whose data nobody may pass on
