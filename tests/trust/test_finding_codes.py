"""Codes of findings: stable snake_case names, each with one meaning that its kind says and docs/findings.md shows."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import goldfold
from goldfold.trust.audits import FindingKind

SOURCE = Path(goldfold.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"
CODES = {
    "animated_images",
    "at_chance",
    "batch_dependent_predictions",
    "below_untrained",
    "best_of_runs",
    "blend_no_better",
    "broken_audio",
    "broken_images",
    "constant_feature",
    "chance_is_best",
    "clipped_audio",
    "code_changed",
    "collapse",
    "contradicting_labels",
    "copies_in_test",
    "cv_not_confirmed",
    "dark_sixteen_bit",
    "dead_loss_term",
    "decision_flatters",
    "decision_no_gain",
    "did_not_learn",
    "doubtful_labels",
    "drifting_column",
    "empty_masks",
    "first_epoch_best",
    "foreign_folds",
    "label_in_path",
    "lossy_masks",
    "lr_per_group",
    "lr_swings",
    "many_valued_masks",
    "mask_orientation_unclear",
    "mask_size_ceiling",
    "missing_texts",
    "near_duplicate_audio",
    "near_duplicate_images",
    "near_duplicate_rows",
    "neighbor_leakage",
    "neighbor_ranked",
    "no_gradient",
    "no_pseudo_labels",
    "no_zero_shot_row",
    "one_loss_term",
    "optimizer_never_stepped",
    "order_tells_target",
    "overlapping_windows",
    "orphan_parameter",
    "other_data",
    "parameter_outside_model",
    "pooled_apart",
    "proxy_validation",
    "pseudo_label_leak",
    "remark_outdated",
    "remark_untrue",
    "rows_without_labels",
    "rule_broken",
    "schedule_not_finished",
    "selected_on_scored_fold",
    "several_sample_rates",
    "shared_contents",
    "shared_groups",
    "shared_rows",
    "silent_audio",
    "small_defects_missed",
    "stale_data",
    "single_valued_masks",
    "target_in_column",
    "texts_cut",
    "time_behind_folds",
    "tiny_sample",
    "train_and_test_differ",
    "training_rows_in_database",
    "unaligned_references",
    "undeclared_group",
    "unequal_budget",
    "unequal_code",
    "unequal_data",
    "unequal_folds",
    "unequal_seeds",
    "unequal_selection",
    "unscored_member",
    "unseen_class",
    "untrained_class",
    "worse_than_chance",
}


def described() -> dict[str, FindingKind]:
    """Code -> what it means, as docs/generate.py collects it."""
    sys.path.insert(0, str(DOCS))
    try:
        import generate
    finally:
        sys.path.remove(str(DOCS))
    return {kind.code: kind for kind in generate.kinds()}


def raised(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Code and written levels of each `Finding(...)` of a module that writes its fields out, constants resolved."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding" and len(node.args) > 2:
            code, level = node.args[:2]
            if isinstance(code, ast.Attribute):
                continue  # of a kind, which is counted below
            assert isinstance(code, ast.Constant | ast.Name), f"line {node.lineno}: the code must be written out"
            written = {each.value for each in ast.walk(level) if isinstance(each, ast.Constant)} - {None}
            yield (code.value if isinstance(code, ast.Constant) else constants[code.id]), written


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def places() -> dict[str, list[str]]:
    """Code -> the modules that raise it, once for every call."""
    found = defaultdict(list)
    for path, tree in trees():
        for code, _ in raised(tree):
            found[code].append(path)
        kinds = {
            node.targets[0].id
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(getattr(node.value, "func", None), "id", "") == "FindingKind"
            if isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in kinds:
                found[node.func.id.lower()].append(path)
    return found


def test_codes_are_snake_case_and_stay() -> None:
    found = places()
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in found)
    assert set(found) == CODES, "configs and scripts rely on these names"


def test_every_code_says_what_it_means() -> None:
    """In a `FindingKind` beside its audit, or in `goldfold.trust.audits.kinds`."""
    kinds = described()
    assert set(kinds) == CODES
    for kind in kinds.values():
        texts = (kind.found, kind.seen, kind.misleads, kind.cure, kind.example)
        assert all(text.strip() and text[0] != " " for text in texts), kind.code
        assert kind.levels == tuple(dict.fromkeys(kind.levels)), kind.code


def test_levels_are_those_of_the_kind() -> None:
    kinds = described()
    for path, tree in trees():
        for code, levels in raised(tree):
            assert levels <= set(kinds[code].levels), f"{path} raises {code} as {levels}"
    with pytest.raises(ValueError, match="shared_rows is error, not note"):
        kinds["shared_rows"]("...", "fold 0", "note")


def test_each_code_has_one_meaning() -> None:
    """One call, so one family of messages, raises a code; constant features are of tables and of blocks."""
    several = {code: where for code, where in places().items() if len(where) > 1}
    assert several == {"constant_feature": ["trust/audits/columns.py"] * 2}


def test_a_finding_says_more_than_what_was_seen() -> None:
    """Written-out messages of audits have a reason or cure after a colon."""
    for path in sorted((SOURCE / "trust").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "message":
                assert ": " in ast.unparse(node.value), f"{path.name} line {node.lineno}"
