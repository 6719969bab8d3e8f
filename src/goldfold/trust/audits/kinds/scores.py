"""Codes of the audits of scores, `goldfold.trust.audits.scores`."""

from __future__ import annotations

from goldfold.trust.audits.findings import FindingKind

WORSE_THAN_CHANCE = FindingKind(
    code="worse_than_chance",
    topic="Scores",
    levels=("warning",),
    found="a score at or below the chance level",
    seen="The score of a metric, the competition's own or another, is at or below its chance level. "
    "Competitions without labels are not compared with chance.",
    misleads="A model that knows nothing does as well.",
    cure="Look for swapped labels, a wrong positive class, or training that did not happen.",
    example="auroc 0.4712 is no better than the chance level 0.5000: ...",
)

AT_CHANCE = FindingKind(
    code="at_chance",
    topic="Scores",
    levels=("warning",),
    found="a score that is not significantly better than chance",
    seen="The chance level is inside the 95 % interval of the score of a metric: over folds, or over rows "
    "where there are one or two folds.",
    misleads="The score looks better than chance, and the difference may be noise.",
    cure="Do not build on it before more folds, seeds or rows confirm it.",
    example="auroc 0.5100 is not significantly better than the chance level 0.5000: ...",
)

CHANCE_IS_BEST = FindingKind(
    code="chance_is_best",
    topic="Scores",
    levels=("note",),
    found="a score whose chance level is the best possible score",
    seen="The chance level of a metric is its best possible score, such as Rank-10 in a gallery of ten rows.",
    misleads="The score is perfect, and so is that of any other model.",
    cure="Judge by another metric, or by a larger gallery.",
    example="rank_10 has the chance level 1.0000, which is the best possible score: ...",
)

POOLED_APART = FindingKind(
    code="pooled_apart",
    topic="Scores",
    levels=("warning",),
    found="a score within folds that all rows pooled do not reach",
    seen="Warning, of AUROC. The score over all out-of-fold rows pooled lies outside the interval over folds, "
    "and the mean over folds outside the interval over rows.",
    misleads="The models of the folds rank their own rows well, but their predictions are on different scales: one "
    "threshold for all rows, a blend of probabilities or a ranking of all test rows is worse than each "
    "fold says.",
    cure="Calibrate the predictions, blend by ranks, and look for folds that differ in their share of positives.",
    example="auroc is 0.9100 on average within folds and 0.7400 over all rows pooled, ...: ...",
)

BELOW_UNTRAINED = FindingKind(
    code="below_untrained",
    topic="Scores",
    levels=("warning", "note"),
    found="a trained run that is worse than an untrained one, or not shown to differ",
    seen="In runs and comparisons of embeddings, a trained run against the model it started from, or against a run "
    "without training: a warning if it is worse, a note if it is not shown to differ. With three folds or more the "
    "95 % interval of the paired difference over folds decides, with fewer that over rows, or over whole groups, of "
    "how much training lowered each row's error; where rows have no error of their own, a mean that is not above.",
    misleads="A good score of a pretrained backbone is read as a success of the training.",
    cure="Use the untrained model, or lower the learning rate and check which pairs count as positive.",
    example="its mean score 0.6861 is no better than 0.7142 of untrained-r1, which was not trained: ...",
)

SELECTED_ON_SCORED_FOLD = FindingKind(
    code="selected_on_scored_fold",
    topic="Scores",
    levels=("note",),
    found="epochs or boosting rounds selected by the score that is reported",
    seen="Each fold's epoch was selected by the score it is reported with (`select: best`), or named by hand; or its "
    "number of boosting rounds was (`stop_on: scored_fold`).",
    misleads="The score is optimistic. The message says how the last epochs score in comparison, or the same trees "
    "with the number of rounds that training rows kept back chose.",
    cure="Report `select: last`, selection by a monitored value, `stop_on: kept_back`, or a hold-out score.",
    example="each fold's epoch was selected by the score it is reported with, ...: ...",
)

FIRST_EPOCH_BEST = FindingKind(
    code="first_epoch_best",
    topic="Scores",
    levels=("warning",),
    found="a metric that is best after the first epoch",
    seen="In at least half of the fits the metric is better after epoch 1 than after each later one, of three or more.",
    misleads="The model overfits from the start, or learns nothing that helps with other rows: the best epoch may be "
    "luck, and a comparison of such runs compares noise.",
    cure="Lower the learning rate, regularize, and look for columns or copies that only training rows have.",
    example="in 4 of 5 fits auroc is best after epoch 1, and 0.0621 worse after the last: ...",
)

TINY_SAMPLE = FindingKind(
    code="tiny_sample",
    topic="Scores",
    levels=("warning",),
    found="a score that rests on few rows",
    seen="The rarest class has fewer than 10 rows, or fewer than 30 and the permutation p-value, corrected for "
    "the number of runs, epochs and scores that were looked at, exceeds 5 %. Metrics without a "
    "permutation test of their own get a sampled one.",
    misleads="Luck may explain the score: of 3 against 3 rows, one ranking in 20 is perfect.",
    cure="Label more rows before this score decides anything.",
    example="auroc 1.0000 rests on 3 rows of the rarest class: ...",
)

PROXY_VALIDATION = FindingKind(
    code="proxy_validation",
    topic="Scores",
    levels=("warning",),
    found="runs ranked by synthetic defects alone",
    seen="The competition's own metric is measured on synthetic defects alone.",
    misleads="Real defects may rank the runs otherwise.",
    cure="Label some real defects, or wait for the leaderboard.",
    example="runs are ranked by auroc_of_synthetic, which is measured on synthetic defects alone: ...",
)

TRAINING_ROWS_IN_DATABASE = FindingKind(
    code="training_rows_in_database",
    topic="Scores",
    levels=("note",),
    found="retrieval from rows that the model trained on",
    seen='A metric of hash codes with `database="training_rows"`: validation rows search the rows that their '
    "model trained on.",
    misleads="Codes of training rows lie where their labels say, so the score is higher than among new rows. "
    "Papers on supervised hashing score so, and their numbers can be compared with this one alone.",
    cure="Judge codes by the same metric of held-out rows, which is reported beside it.",
    example="map_of_codes is 0.7731, where queries search the rows that their model trained on, ...: ...",
)

BEST_OF_RUNS = FindingKind(
    code="best_of_runs",
    topic="Scores",
    levels=("note",),
    found="the best of five or more runs, with the lead that luck gives the best",
    seen="The run has the best mean of at least five runs with its folds and protocol. The message compares its lead "
    "over their mean with the lead that the best of as many equal runs would have by luck.",
    misleads="The best of many looks better than it is on other rows.",
    cure='Train it and its rivals on other folds (`SET="seed=1"`), and compare those.',
    example="this is the best of 20 runs on these folds by auroc: it leads their mean by 0.0060, and the best of 20 "
    "equal runs would lead by about 0.0055 by luck. ...",
)

DECISION_NO_GAIN = FindingKind(
    code="decision_no_gain",
    topic="Scores",
    levels=("warning", "note"),
    found="a fitted threshold or another decision that is not shown to help",
    seen="The nested score of the config's `decide:` block, paired over folds with the score without it: warning if it "
    "is lower, note if the 95 % interval of the difference contains 0.",
    misleads="Values that were fitted look better than the plain ones, and on other rows they are not.",
    cure="Remove `decide:`, or fit fewer parameters.",
    example="quadratic_kappa is 0.5210 with nested decisions and 0.5198 without, ...: ...",
)

DECISION_FLATTERS = FindingKind(
    code="decision_flatters",
    topic="Scores",
    levels=("note",),
    found="a decision whose score on the rows that it was fitted on is far better than its nested score",
    seen="The score at values fitted on all out-of-fold rows, minus the nested score, is more than half of what the "
    "decision seems to gain on these rows.",
    misleads="A score at thresholds that were chosen on the scored rows is not reached on other rows.",
    cure="Try fewer values, and believe the nested score alone.",
    example="multilabel_f1_macro is 0.6100 on the rows that the decision was fitted on, and 0.5500 on folds that it "
    "was not fitted on: choosing flatters by 0.0600 ...: ...",
)

CV_NOT_CONFIRMED = FindingKind(
    code="cv_not_confirmed",
    topic="Scores",
    levels=("error",),
    found="a score on hidden labels or a leaderboard below what the CV lets expect",
    seen="The score on the hidden labels or on a leaderboard is worse than 95 % of the scores that as many rows like "
    "those of the folds would give.",
    misleads="A CV that the test rows do not confirm does not tell which run is better on them.",
    cure="Look for the causes that the message lists, the most likely first, before you rank runs by this CV.",
    example="auroc 0.7100 is worse than CV 0.9342 lets expect: ...",
)
