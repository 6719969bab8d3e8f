"""Audits: pure functions from recorded facts to findings about leakage, data, training and scores."""

from __future__ import annotations

from goldfold.trust.audits.collapse import collapse
from goldfold.trust.audits.data_and_rules import (
    missing_texts,
    rows_without_labels,
    rule_broken,
    stale_data,
    unseen_classes,
    untrained_classes,
)
from goldfold.trust.audits.findings import Finding, Level, merge_places, refuse_errors
from goldfold.trust.audits.images import images_and_masks
from goldfold.trust.audits.leakage import (
    copies_in_test,
    neighbor_leakage,
    neighbor_ranked,
    shared_contents,
    shared_groups,
    shared_rows,
)
from goldfold.trust.audits.learning_rates import learning_rates
from goldfold.trust.audits.scores import (
    below_untrained,
    pooled_apart,
    proxy_only,
    selected_on_scored_fold,
    tiny_sample,
    training_rows_in_database,
    worse_than_chance,
)
from goldfold.trust.audits.selection import best_of_runs
from goldfold.trust.audits.training import (
    constant_features,
    dead_loss_terms,
    did_not_learn,
    never_stepped,
    one_loss_term,
    orphan_parameters,
    outside_model,
    without_gradient,
)

__all__ = [
    "Finding",
    "Level",
    "below_untrained",
    "best_of_runs",
    "collapse",
    "constant_features",
    "copies_in_test",
    "dead_loss_terms",
    "did_not_learn",
    "images_and_masks",
    "learning_rates",
    "merge_places",
    "missing_texts",
    "neighbor_leakage",
    "neighbor_ranked",
    "never_stepped",
    "one_loss_term",
    "orphan_parameters",
    "outside_model",
    "pooled_apart",
    "proxy_only",
    "refuse_errors",
    "rows_without_labels",
    "rule_broken",
    "selected_on_scored_fold",
    "shared_contents",
    "shared_groups",
    "shared_rows",
    "stale_data",
    "tiny_sample",
    "training_rows_in_database",
    "unseen_classes",
    "untrained_classes",
    "without_gradient",
    "worse_than_chance",
]
