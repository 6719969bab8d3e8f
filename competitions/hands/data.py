"""11k Hands: photographs of four aspects, the study's test persons hidden, and ten stored query/gallery splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from goldfold.competition import Fold, Tables
from goldfold.data import csv_tables, self_hosting
from goldfold.data.folds import stratified_grouped
from goldfold.data.identities import gallery_splits, hands_11k
from goldfold.io.files import write_text
from goldfold.optional_parts import Pairs
from goldfold.retrieval.pairs import by_label
from goldfold.submission.ranked_lists import RankedLists

SIDES_MERGED = "identity_sides_merged"  # person and dorsal or palmar: a mirrored right hand is a left one
TARGETS = ("identity", "person", "aspect", "roles", SIDES_MERGED)
LAST_TRAINED = {"dorsal right": 1050, "dorsal left": 1037, "palmar right": 1051, "palmar left": 1042}  # person ids
STUDIED = "dorsal right"
SPLITS, SEED, FOLDS = 10, 2020, 5
LISTS = RankedLists("gallery", length=5000, depth=5000)  # all other hidden photographs: AP needs every rank


def prepare(raw: Path, public: Path, private: Path) -> None:
    """Hide each aspect's persons beyond the study's limit, under shuffled names: numbers of files follow persons.

    Other photographs of a person with a hidden one are left out; `counts.csv` counts all parts. The splits are also
    written as `query_gallery_splits.csv`, those of hidden rows into `private`.
    """
    rows = hands_11k.read(raw)
    rows["part"] = np.where(rows["person"].astype(int) > rows["aspect"].map(LAST_TRAINED), "hidden", "train")
    tested = rows["person"].isin(rows.loc[rows["part"] == "hidden", "person"])
    rows.loc[tested & (rows["part"] == "train"), "part"] = "left out"
    write_text(public / "counts.csv", csv_tables.to_text(_counts(rows)))
    train = rows[rows["part"] == "train"]
    test = rows[rows["part"] == "hidden"].sample(frac=1, random_state=SEED)
    test = test.assign(id=[f"h{number:04d}" for number in range(len(test))])
    (public / "images").mkdir()
    tables = [_copied(part.drop(columns="part").reset_index(drop=True), public) for part in (train, test)]
    for part, folder in zip(tables, (public, private), strict=True):
        splits = gallery_splits.table(part["id"], part["roles"])
        write_text(folder / "query_gallery_splits.csv", csv_tables.to_text(splits))
    LISTS.write_tables(*tables, TARGETS, lambda rows: by_label(rows["identity"]), public, private)


def _copied(rows: pd.DataFrame, public: Path) -> pd.DataFrame:
    """Copy the photographs, and draw the splits."""
    names = [f"images/{id_}{path.suffix}" for id_, path in zip(rows["id"], rows["path"], strict=True)]
    for source, name in zip(rows["path"], names, strict=True):
        shutil.copyfile(source, public / name)
    drawn, merged = gallery_splits.draw(rows["identity"], SPLITS, SEED), rows["identity"].str.rsplit(n=1).str[0]
    return rows.assign(path=names, roles=drawn, **{SIDES_MERGED: merged})


def _counts(rows: pd.DataFrame) -> pd.DataFrame:
    """Count persons, photographs, and identities of one photograph (never queries), by aspect and part."""
    by = rows.groupby(["aspect", "part"])
    single = by["identity"].agg(lambda own: int((own.value_counts() == 1).sum()))
    return by.agg(persons=("person", "nunique"), photographs=("id", "size")).assign(single=single).reset_index()


def load(public: Path) -> Tables:
    """Load both tables: id, path; train also has person, aspect, roles, and identities with and without sides."""
    return self_hosting.read(public, text=["id", *TARGETS, LISTS.column])


def split(train: pd.DataFrame, seed: int) -> list[Fold]:
    """Draw five folds of persons, with aspects as even as persons allow."""
    return stratified_grouped(train["aspect"], train["person"], FOLDS, seed)


def with_distractors(rows: pd.DataFrame, split: int) -> Pairs:
    """Gallery of a split: one photograph of each identity of all four aspects."""
    return by_label(rows["identity"], queries=gallery_splits.is_query(rows["roles"], split))


def plain(rows: pd.DataFrame, split: int) -> Pairs:
    """Gallery of a split: one photograph of each identity of the query's aspect."""
    queries = gallery_splits.is_query(rows["roles"], split)
    return by_label(rows["identity"], queries=queries, within=rows["aspect"])


def plain_of_studied(rows: pd.DataFrame, split: int) -> Pairs:
    """As `plain`, with queries of the study's aspect alone."""
    queries = gallery_splits.is_query(rows["roles"], split) & (rows["aspect"] == STUDIED).to_numpy()
    return by_label(rows["identity"], queries=queries, within=rows["aspect"])
