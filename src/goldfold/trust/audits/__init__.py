"""Audits: pure functions from recorded facts to findings, so that a wrong conclusion is not drawn unwarned."""

from __future__ import annotations

from goldfold.trust.audits.embeddings import below_untrained, did_not_learn, neighbor_leakage, neighbor_ranked
from goldfold.trust.audits.findings import Finding, Level, merged, refuse_errors
from goldfold.trust.audits.fitting import collapse, dead_loss_terms, learning_rates, orphan_parameters
from goldfold.trust.audits.leakage import (
    copies_in_test,
    rule_broken,
    shared_contents,
    shared_groups,
    shared_rows,
    stale_data,
    unseen_classes,
)
from goldfold.trust.audits.scores import proxy_only, selected_on_scored_fold, tiny_sample, worse_than_chance

__all__ = [
    "Finding",
    "Level",
    "below_untrained",
    "collapse",
    "copies_in_test",
    "dead_loss_terms",
    "did_not_learn",
    "learning_rates",
    "merged",
    "neighbor_leakage",
    "neighbor_ranked",
    "orphan_parameters",
    "proxy_only",
    "refuse_errors",
    "rule_broken",
    "selected_on_scored_fold",
    "shared_contents",
    "shared_groups",
    "shared_rows",
    "stale_data",
    "tiny_sample",
    "unseen_classes",
    "worse_than_chance",
]
