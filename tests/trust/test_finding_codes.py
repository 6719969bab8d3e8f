"""Codes of findings: stable snake_case names, each raised for one thing."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import goldfold

SOURCE = Path(goldfold.__file__).parent
CODES = {
    "animated_images",
    "at_chance",
    "below_untrained",
    "blend_no_better",
    "broken_images",
    "constant_feature",
    "chance_is_best",
    "code_changed",
    "collapse",
    "copies_in_test",
    "dark_sixteen_bit",
    "dead_loss_term",
    "did_not_learn",
    "empty_masks",
    "lr_per_group",
    "lr_swings",
    "mask_orientation_unclear",
    "missing_texts",
    "neighbor_leakage",
    "neighbor_ranked",
    "no_gradient",
    "no_zero_shot_row",
    "one_loss_term",
    "optimizer_never_stepped",
    "other_data",
    "orphan_parameter",
    "parameter_outside_model",
    "pooled_apart",
    "proxy_validation",
    "remark_outdated",
    "remark_untrue",
    "rows_without_labels",
    "rule_broken",
    "schedule_not_finished",
    "selected_on_scored_fold",
    "shared_contents",
    "shared_groups",
    "shared_rows",
    "stale_data",
    "tiny_sample",
    "training_rows_in_database",
    "unequal_budget",
    "unequal_code",
    "unequal_data",
    "unequal_folds",
    "unequal_seeds",
    "unequal_selection",
    "unseen_class",
    "untrained_class",
    "worse_than_chance",
}


def raised(tree: ast.Module) -> Iterator[str]:
    """The first argument of each `Finding(...)` of a module that writes its fields out, constants resolved."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding" and len(node.args) > 2:
            code = node.args[0]
            assert isinstance(code, ast.Constant | ast.Name), f"line {node.lineno}: the code must be written out"
            yield code.value if isinstance(code, ast.Constant) else constants[code.id]


def places() -> dict[str, list[str]]:
    """Code -> the modules that raise it, once for every call."""
    found = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        for code in raised(ast.parse(path.read_text(encoding="utf-8"))):
            found[code].append(path.relative_to(SOURCE).as_posix())
    return found


def test_codes_are_snake_case_and_stay() -> None:
    found = places()
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in found)
    assert set(found) == CODES, "configs and scripts rely on these names"


def test_each_code_has_one_meaning() -> None:
    """One call, so one family of messages, raises a code."""
    assert {code: where for code, where in places().items() if len(where) > 1} == {}


def test_a_finding_says_more_than_what_was_seen() -> None:
    """Written-out messages of audits have a reason or cure after a colon."""
    for path in sorted((SOURCE / "trust").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "message":
                assert ": " in ast.unparse(node.value), f"{path.name} line {node.lineno}"
