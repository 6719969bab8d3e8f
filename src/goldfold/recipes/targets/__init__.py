"""What a recipe learns to predict: one label per row, or several; the recipes take either through the same methods."""

from __future__ import annotations

from collections.abc import Sequence

from goldfold.errors import GoldfoldError
from goldfold.recipes.targets.one_label import OneLabel
from goldfold.recipes.targets.several_labels import SeveralLabels

Targets = OneLabel | SeveralLabels


def create(
    target: str | None, classes: Sequence | None, targets: Sequence[str] | None, *, by_row: bool = False
) -> Targets:
    """Return the targets that a recipe's arguments name: `target` and `classes`, or `targets`.

    by_row: see `OneLabel`.

    Raises:
        GoldfoldError: `targets_unclear`, neither or both are given; `too_few_labels`; `targets_not_a_tuple`.
    """
    if targets is None and target is not None and classes is not None:
        return OneLabel(target, tuple(classes), by_row)
    if targets is not None and target is None and classes is None:
        return several(targets)
    raise GoldfoldError(
        "targets_unclear",
        "a recipe needs either target='column' with classes=[...], or targets=['column', ...] of 0 and 1: got "
        f"target={target!r}, classes={classes!r}, targets={targets!r}",
    )


def several(targets: Sequence[str]) -> SeveralLabels:
    """Return the targets of several columns of 0 and 1; raises as `create`."""
    if isinstance(targets, str):
        raise GoldfoldError(
            "targets_not_a_tuple",
            f"targets must be a list of column names, got {targets!r}: write targets=[{targets!r}, ...], or target= "
            "for one column",
        )
    if len(targets) < 2 or len(set(targets)) < len(targets):
        raise GoldfoldError(
            "too_few_labels", f"targets must be two or more different columns, got {list(targets)}: use target= for one"
        )
    return SeveralLabels(tuple(targets))


__all__ = ["OneLabel", "SeveralLabels", "Targets", "create", "several"]
