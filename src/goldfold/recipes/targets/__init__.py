"""What a recipe learns to predict: one label per row, ordered or not, several labels, or numbers; all have one form."""

from __future__ import annotations

from collections.abc import Sequence

from goldfold.errors import GoldfoldError
from goldfold.recipes.targets.one_label import OneLabel
from goldfold.recipes.targets.ordered_label import OrderedLabel
from goldfold.recipes.targets.several_labels import SeveralLabels
from goldfold.recipes.targets.values import Values

Targets = OneLabel | OrderedLabel | SeveralLabels | Values


def create(
    target: str | None,
    classes: Sequence | None,
    targets: Sequence[str] | None,
    *,
    values: str | Sequence[str] | None = None,
    ordered: bool = False,
    by_row: bool = False,
) -> Targets:
    """Return the targets that a recipe's arguments name: `target` and `classes`, or `targets`, or `values`.

    values: a numeric column, or several. ordered: whether the classes ascend. by_row: see `OneLabel`.

    Raises:
        GoldfoldError: `targets_unclear`, none or several are given; `too_few_labels`; `targets_not_a_tuple`.
    """
    given = target is not None, targets is not None, values is not None
    if given == (True, False, False) and classes is not None:
        assert target is not None, "it is given"
        return OrderedLabel(target, tuple(classes)) if ordered else OneLabel(target, tuple(classes), by_row)
    if given == (False, True, False) and classes is None and not ordered:
        assert targets is not None, "they are given"
        return several(targets)
    if given == (False, False, True) and classes is None and not ordered:
        assert values is not None, "they are given"
        return Values((values,) if isinstance(values, str) else tuple(values))
    raise GoldfoldError(
        "targets_unclear",
        "a recipe needs either target='column' with classes=[...], or targets=['column', ...] of 0 and 1, or of image "
        f"recipes values='column' of numbers: got target={target!r}, classes={classes!r}, targets={targets!r}, "
        f"values={values!r}",
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


__all__ = ["OneLabel", "OrderedLabel", "SeveralLabels", "Targets", "Values", "create", "several"]
