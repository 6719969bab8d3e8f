"""Codes of comparisons, blends and remarks."""

from __future__ import annotations

from goldfold.trust.audits.findings import FindingKind

UNEQUAL_BUDGET = FindingKind(
    code="unequal_budget",
    topic="Comparisons and blends",
    levels=("error", "warning"),
    found="compared runs with different training budgets",
    seen="Error between runs of one recipe, warning between different recipes. Epochs, steps or samples per "
    "fit differ by more than 5 %.",
    misleads="The difference between their scores may come from the training budget alone.",
    cure="Train both with the same budget. To compare different methods as they are, `ACCEPT=unequal_budget`.",
    example="epochs 30 instead of 20 a fit, 50 % more than 'full-r1': ...",
)

UNEQUAL_DATA = FindingKind(
    code="unequal_data",
    topic="Comparisons and blends",
    levels=("warning",),
    found="compared runs that were trained on different data",
    seen="A compared run was trained on other data than the first one: other rows, columns or file contents.",
    misleads="A difference between their scores may come from the data, even where all parameters are equal.",
    cure="Train both on the data as it is now.",
    example="its data are not those of 'full-r1': ...",
)

UNEQUAL_CODE = FindingKind(
    code="unequal_code",
    topic="Comparisons and blends",
    levels=("warning",),
    found="compared runs of different versions of the same code",
    seen="A compared run was trained with another version of a module that both runs depend on; the message "
    "names the modules.",
    misleads="A difference between their scores may come from the code, even where all parameters are equal.",
    cure="Train both with the same code.",
    example="its code is not that of 'full-r1' (changed: recipes.fusion): ...",
)

UNEQUAL_FOLDS = FindingKind(
    code="unequal_folds",
    topic="Comparisons and blends",
    levels=("warning",),
    found="compared runs that scored different folds",
    seen="A compared run scored other folds than the first one. Means, intervals and differences are of the "
    "folds that all runs scored.",
    misleads="Few folds have a wide interval, and one easy fold raises a mean.",
    cure="Train both on all folds.",
    example="it scored folds 0 and 1 of 5, and 'full-r1' all: ...",
)

UNEQUAL_SEEDS = FindingKind(
    code="unequal_seeds",
    topic="Comparisons and blends",
    levels=("note",),
    found="compared runs with different numbers of seeds per fold",
    seen="A compared run has another number of seeds per fold. The score of a fold is the mean over its seeds.",
    misleads="The scores of the run with fewer seeds are noisier.",
    cure="Train both with the same `seeds`.",
    example="it has 1 seed a fold, and 'full-r1' has 3: ...",
)

UNEQUAL_SELECTION = FindingKind(
    code="unequal_selection",
    topic="Comparisons and blends",
    levels=("error", "warning", "note"),
    found="compared runs that selected their epochs in different ways",
    seen="Compared runs selected the epochs that predict in different ways. Error if only one of them took the "
    "best epoch on the scored fold, warning if an epoch was picked by hand, note otherwise.",
    misleads="The score of an epoch that was selected by this score is optimistic.",
    cure="Train both with the same `select`, or pick the same epoch of both.",
    example="its epochs were selected by the scored fold, and those of 'full-r1' were the last ones: ...",
)

NO_ZERO_SHOT_ROW = FindingKind(
    code="no_zero_shot_row",
    topic="Comparisons and blends",
    levels=("error", "warning"),
    found="embeddings compared without an untrained baseline",
    seen="Embeddings are compared, and what their runs started from was not scored: neither in a run itself, "
    "as every run since version 0.2 does before its first step, nor in a finished run of the same folds, "
    "protocol and seeds in which nothing was trained. Where a backbone starts from pretrained weights, "
    "random weights must be shown, too: their absence alone is a warning if the runs show what they started from.",
    misleads="Nobody can tell what training added to the pretrained backbone.",
    cure="The message has the command that makes the untrained baseline, such as `make train COMP=frames "
    "CONFIG=pretrained_frozen`.",
    example="there is no untrained baseline on the same folds: ...",
)

OTHER_DATA = FindingKind(
    code="other_data",
    topic="Comparisons and blends",
    levels=("error",),
    found="a run of embeddings that was trained on other data",
    seen="A run of embeddings was trained on other data than what is prepared now.",
    misleads="Its queries cannot be looked at again, so the comparison per query would show other images.",
    cure="Train it again.",
    example="it was trained on other data than there is now: ...",
)

BLEND_NO_BETTER = FindingKind(
    code="blend_no_better",
    topic="Comparisons and blends",
    levels=("warning", "note"),
    found="a blend that is not better than its best member",
    seen="Warning if the blend is not better than its best member; note if that cannot be told.",
    misleads="A blend costs as much as all its members and need not gain anything.",
    cure="Submit the best member, or blend runs that differ more.",
    example="the blend is not significantly better than its best member: ...",
)

REMARK_UNTRUE = FindingKind(
    code="remark_untrue",
    topic="Comparisons and blends",
    levels=("error",),
    found="a remark or message that contradicts the table of the experiment log",
    seen="A remark on a run, or the message of a submission, contradicts the [experiment "
    "log](experiment_log.md): a superlative, a direction, a difference in numbers, or what was changed. "
    "The message has the table's values and a wording that is true.",
    misleads="A remark outlives the scores it was written beside, and whoever reads it believes it.",
    cure="Write what the table says. `ACCEPT=remark_untrue` stores the text; the log shows it struck through, "
    "with what the table says.",
    example="the remark contradicts the table: 'best so far' of auroc; true would be 'number 2 of 7 ...'",
)

REMARK_OUTDATED = FindingKind(
    code="remark_outdated",
    topic="Comparisons and blends",
    levels=("warning",),
    found="a remark that was true and is not any more",
    seen="A remark was true when it was written, and a later run has changed that: `best` of a run that "
    "another one has passed.",
    misleads="The remark still reads as if it were true.",
    cure="Write a new remark, such as `best so far`, which is checked against the runs up to its own row. The "
    "old one is kept.",
    example="'best so far' of auroc was true and is not any more: ...",
)
