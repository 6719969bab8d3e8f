"""Audits: pure functions from recorded facts to findings about leakage, data, training and scores."""

from __future__ import annotations

from goldfold.trust.audits.checks import Check, findings_of, made, not_made
from goldfold.trust.audits.columns import constant_columns, constant_features, drifting_columns, target_in_column
from goldfold.trust.audits.copies import (
    MOST_ROWS,
    comparable_numbers,
    contradicting_labels,
    near_duplicate_images,
    near_duplicate_rows,
)
from goldfold.trust.audits.data_and_rules import (
    missing_texts,
    rows_without_labels,
    rule_broken,
    stale_data,
    unseen_classes,
    untrained_classes,
)
from goldfold.trust.audits.findings import Finding, FindingKind, Level, merge_places, refuse_errors
from goldfold.trust.audits.fits.collapse import collapse
from goldfold.trust.audits.fits.defect_sizes import small_defects_missed
from goldfold.trust.audits.fits.learning_rates import learning_rates
from goldfold.trust.audits.fits.texts import texts_cut
from goldfold.trust.audits.fits.training import (
    constant_loss_inputs,
    dead_loss_terms,
    did_not_learn,
    never_stepped,
    one_loss_term,
    orphan_parameters,
    outside_model,
    without_gradient,
)
from goldfold.trust.audits.groups import undeclared_groups
from goldfold.trust.audits.images import images_and_masks
from goldfold.trust.audits.leakage import (
    copies_in_test,
    neighbor_leakage,
    neighbor_ranked,
    shared_contents,
    shared_groups,
    shared_rows,
)
from goldfold.trust.audits.names import label_in_path
from goldfold.trust.audits.order import order_tells_target, time_behind_folds, times
from goldfold.trust.audits.predictions import batch_dependent_predictions, doubtful_labels, unaligned_references
from goldfold.trust.audits.scores import (
    below_untrained,
    chosen_on_scored_fold,
    first_epoch_best,
    pooled_apart,
    proxy_only,
    selected_on_scored_fold,
    tiny_sample,
    training_rows_in_database,
    worse_than_chance,
)
from goldfold.trust.audits.selection import OF_DECISIONS, best_of_runs, decisions
from goldfold.trust.audits.sounds.recordings import near_duplicate_audio, recordings
from goldfold.trust.audits.windows import overlapping_windows

__all__ = [
    "MOST_ROWS",
    "OF_DECISIONS",
    "Check",
    "Finding",
    "FindingKind",
    "Level",
    "batch_dependent_predictions",
    "below_untrained",
    "best_of_runs",
    "chosen_on_scored_fold",
    "collapse",
    "comparable_numbers",
    "constant_columns",
    "constant_features",
    "constant_loss_inputs",
    "contradicting_labels",
    "copies_in_test",
    "dead_loss_terms",
    "decisions",
    "did_not_learn",
    "doubtful_labels",
    "drifting_columns",
    "findings_of",
    "first_epoch_best",
    "images_and_masks",
    "label_in_path",
    "learning_rates",
    "made",
    "merge_places",
    "missing_texts",
    "near_duplicate_audio",
    "near_duplicate_images",
    "near_duplicate_rows",
    "neighbor_leakage",
    "neighbor_ranked",
    "never_stepped",
    "not_made",
    "one_loss_term",
    "order_tells_target",
    "orphan_parameters",
    "outside_model",
    "overlapping_windows",
    "pooled_apart",
    "proxy_only",
    "recordings",
    "refuse_errors",
    "rows_without_labels",
    "rule_broken",
    "selected_on_scored_fold",
    "shared_contents",
    "shared_groups",
    "shared_rows",
    "small_defects_missed",
    "stale_data",
    "target_in_column",
    "texts_cut",
    "time_behind_folds",
    "times",
    "tiny_sample",
    "training_rows_in_database",
    "unaligned_references",
    "undeclared_groups",
    "unseen_classes",
    "untrained_classes",
    "without_gradient",
    "worse_than_chance",
]
