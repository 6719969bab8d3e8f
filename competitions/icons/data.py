"""The icons of the package fontawesomefree: pictures, search terms, categories as labels, folds, and a hidden fifth."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import yaml

from goldfold.competition import Fold, Tables
from goldfold.data import self_hosting
from goldfold.data.folds import grouped, multilabel_stratified

MIN_ICONS = 10  # of a category; fewer leave folds without a positive row
SIDE, GLYPH = 64, 48  # pixels of a picture and of its icon, which is at most 63 wide
HIDDEN_SEED = 2012
LABELS = (
    *("accessibility", "alphabet", "animals", "arrows", "automotive", "buildings", "business", "camping", "charity"),
    *("charts_diagrams", "childhood", "clothing_fashion", "coding", "communication", "connectivity", "construction"),
    *("design", "devices_hardware", "disaster", "editing", "education", "emoji", "energy", "files", "film_video"),
    *("food_beverage", "gaming", "gender", "halloween", "hands", "holidays", "household", "humanitarian", "logistics"),
    *("maps", "maritime", "marketing", "mathematics", "media_playback", "medical_health", "money", "moving"),
    *("music_audio", "nature", "numbers", "photos_images", "political", "punctuation_symbols", "religion", "science"),
    *("security", "shapes", "shopping", "social", "spinners", "sports_fitness", "text_formatting", "time", "toggle"),
    *("transportation", "travel_hotel", "users_people", "weather", "writing"),
)


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Draw the icons as gray PNG in shuffled order under numbers, and hide the labels of a stratified fifth."""
    import fontawesomefree
    from PIL import Image, ImageDraw, ImageFont

    package = Path(fontawesomefree.__file__).parent / "static" / "fontawesomefree"
    icons = tables(package / "metadata").sample(frac=1, random_state=HIDDEN_SEED, ignore_index=True)
    icons.insert(0, "id", [f"{number:04d}" for number in icons.index])
    icons.insert(1, "path", [f"images/{id_}.png" for id_ in icons["id"]])
    font = ImageFont.truetype(package / "webfonts" / "fa-solid-900.ttf", GLYPH)
    (public / "images").mkdir()
    for path, glyph in zip(icons["path"], icons.pop("glyph"), strict=True):
        picture = Image.new("L", (SIDE, SIDE), 255)
        ImageDraw.Draw(picture).text((SIDE / 2, SIDE / 2), glyph, fill=0, font=font, anchor="mm")
        picture.save(public / path)
    hidden = split(icons, HIDDEN_SEED)[0].validation
    sample = dict.fromkeys(LABELS, 0.5)
    self_hosting.write(icons, hidden, targets=LABELS, sample=sample, public=public, private=private)


def tables(metadata: Path) -> pd.DataFrame:
    """Read the solid icons, by name: glyph (one character), text (search terms), and a 0/1 column per label."""
    families = json.loads((metadata / "icon-families.json").read_text(encoding="utf-8"))
    categories = yaml.safe_load((metadata / "categories.yml").read_text(encoding="utf-8"))
    names = sorted(name for name, icon in families.items() if "solid" in icon["svgs"].get("classic", {}))
    icons = pd.DataFrame(
        {
            "glyph": [chr(int(families[name]["unicode"], 16)) for name in names],
            "text": [", ".join(families[name]["search"]["terms"]) for name in names],
        },
        index=names,
    )
    members = {label.replace("-", "_"): set(category["icons"]) for label, category in categories.items()}
    return icons.assign(**{label: [int(name in members[label]) for name in names] for label in LABELS})


def load(public: Path) -> Tables:
    """Load both tables: id, path, text (search terms); train also has a 0/1 column for each of `LABELS`."""
    return self_hosting.read(public, text=["text"])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds, stratified over all labels."""
    return multilabel_stratified(train[list(LABELS)], folds=5, seed=seed)


def by_text(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds that keep icons with the same search terms together; rare labels may be absent from one."""
    return grouped(train["text"], folds=5, seed=seed)
