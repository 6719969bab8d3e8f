"""Templates of prompts: `{}` is the place of an identity's learned vectors, `{name}` that of a column's value."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from goldfold.errors import GoldfoldError
from goldfold.io import seeding

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldfold.nn.text_towers import TextTower


def check(template: str) -> None:
    """Raise ValueError unless the template has the slot {} once, and else only names of columns in braces."""
    try:
        fields = _fields(template)
    except ValueError as error:
        raise ValueError(
            f"the template '{template}' cannot be read ({error}): write slots as {{}} or {{name}}"
        ) from None
    if fields.count("") != 1:
        raise ValueError(
            f"the template '{template}' has {fields.count('')} slots {{}} for the identity's vectors: write it once"
        )


def columns(templates: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that the templates take values from, each once."""
    return tuple(dict.fromkeys(name for template in templates for name in _fields(template) if name))


def _fields(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name is not None]


class Prompts(NamedTuple):
    """Tokens of all prompts: every template with every combination of values of its columns.

    ids, mask: int64 (p, t), where the identity's vectors have any id. starts: int64 (p,), position of the first vector.
    combination: int64 (rows,), that of each training row. Prompt number template x combinations + combination.
    templates, combinations: how many there are. texts: (p,), with {} for the vectors.
    """

    ids: Tensor
    mask: Tensor
    starts: Tensor
    combination: np.ndarray
    templates: int
    combinations: int
    texts: tuple[str, ...]

    def of(self, template: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Number of the prompt of each of `rows` under its template, int64 (n,)."""
        return template * self.combinations + self.combination[rows]

    def shared_prefix(self) -> int:
        """Return the number of tokens with which all prompts begin alike, before the vectors of the identities."""
        before = self.ids[:, : int(self.starts.min())]
        return int((before == before[:1]).all(dim=0).int().cumprod(0).sum())


def prompts(templates: Sequence[str], rows: DataFrame, tower: TextTower, n_ctx: int) -> Prompts:
    """Tokenize the templates with the values of the rows; underscores in values become spaces.

    Raises GoldfoldError if a prompt has more tokens than the tower takes.
    """
    names = list(columns(templates))
    table = [tuple(str(value).replace("_", " ") for value in row) for row in rows[names].itertuples(index=False)]
    known = dict.fromkeys(table)  # in the order of their first row
    numbers = {values: number for number, values in enumerate(known)}
    texts = tuple(
        template.format("{}", **dict(zip(names, values, strict=True))) for template in templates for values in known
    )
    return Prompts(
        *_tokens(texts, tower, n_ctx),
        combination=np.array([numbers[values] for values in table], np.int64),
        templates=len(templates),
        combinations=len(known),
        texts=texts,
    )


def _tokens(texts: Sequence[str], tower: TextTower, n_ctx: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, mask and starts of prompts.

    The text before and after the slot is tokenized alone, and the tokens for start and end of a text, which the empty
    text shows, are put around all of it: the end stands behind the vectors, wherever they push it.
    """
    halves = [tuple(part.strip() for part in text.split("{}")) for text in texts]
    empty = _of_text("", tower)
    lead = _common_prefix(empty, _of_text("a", tower))
    tail, found = len(empty) - lead, []
    for before, after in halves:
        first, second = _of_text(before, tower), _of_text(after, tower)
        head = first[: len(first) - tail] if before else empty[:lead]
        rest = second[lead:] if after else empty[lead:]
        found.append((head, rest))
    longest = max(len(head) + n_ctx + len(rest) for head, rest in found)
    if tower.longest is not None and longest > tower.longest:
        text = max(zip(found, texts, strict=True), key=lambda each: sum(map(len, each[0])))[1]
        raise GoldfoldError(
            "template_too_long",
            f"the template '{text}' with n_ctx={n_ctx} vectors has {longest} tokens and the text tower takes "
            f"{tower.longest}: shorten it, or lower n_ctx",
        )
    fill = empty[0] if empty else 0
    ids = torch.full((len(texts), longest), fill, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, (head, rest) in enumerate(found):
        line = [*head, *[fill] * n_ctx, *rest]
        ids[row, : len(line)] = torch.tensor(line)
        mask[row, : len(line)] = 1
    return ids, mask, torch.tensor([len(head) for head, _ in found])


def _of_text(text: str, tower: TextTower) -> list[int]:
    """Ids of one text with the special tokens, without padding."""
    ids, mask = tower.tokenize([text])
    return ids[0][mask[0] > 0].tolist()


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    same = [first == second for first, second in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)


def draw(templates: int, how: str, seed: int, epoch: int, ids: Sequence[Sequence]) -> list[np.ndarray]:
    """Draw the template of each sample in the batches of an epoch, from the seed, the epoch and the batch or the id.

    how: `batch` or `sample`. ids: of the rows of each batch. Returns int64 arrays, one per batch.
    """
    if how == "sample":
        return [
            np.array([seeding.derive(seed, "template", epoch, each) % templates for each in batch]) for batch in ids
        ]
    drawn = [seeding.derive(seed, "template of batch", epoch, number) % templates for number in range(len(ids))]
    return [np.full(len(batch), number) for batch, number in zip(ids, drawn, strict=True)]
