"""Codes of the audits of training, `goldfold.trust.audits.training`."""

from __future__ import annotations

from goldfold.trust.audits.findings import FindingKind

ORPHAN_PARAMETER = FindingKind(
    code="orphan_parameter",
    topic="Training",
    levels=("warning",),
    found="trainable parameters in no optimizer",
    seen="Parameters can be trained and are in no stage's optimizer.",
    misleads="They keep their initial values, and the model is not the one that was meant.",
    cure="Add them to an optimizer, or freeze them.",
    example="head.centers can be trained and are in no optimizer, so they keep their initial values: ...",
)

NO_GRADIENT = FindingKind(
    code="no_gradient",
    topic="Training",
    levels=("warning",),
    found="parameters that no loss reaches",
    seen="The optimizer holds parameters that no loss reaches.",
    misleads="They are not trained, although the optimizer holds them.",
    cure="Use them in a loss, or freeze them.",
    example="head.classifier.weight got no gradient, so they are not trained ...: ...",
)

DEAD_LOSS_TERM = FindingKind(
    code="dead_loss_term",
    topic="Training",
    levels=("error", "warning"),
    found="a loss term without gradient",
    seen="Error if a loss term has no gradient at all (found in the first epoch), warning if its gradient is 0 "
    "in every epoch.",
    misleads="The term changes the loss and trains nothing.",
    cure="Fix its input (detached, or computed without gradients), or remove it.",
    example="loss term 'alignment' has no gradient on the trained parameters: ...",
)

LR_PER_GROUP = FindingKind(
    code="lr_per_group",
    topic="Training",
    levels=("warning",),
    found="a parameter group above its own learning rate",
    seen="The schedule raised a parameter group above its own learning rate, as a scalar `max_lr` does.",
    misleads="A backbone that was meant to learn slowly learns as fast as the head.",
    cure="Give `max_lr` a list with one rate per group.",
    example="parameter group 1, configured 1e-05: peak 0.0001, final 1e-06: ...",
)

LR_SWINGS = FindingKind(
    code="lr_swings",
    topic="Training",
    levels=("warning",),
    found="a learning rate that falls and rises several times",
    seen="A learning rate fell and rose two or more times.",
    misleads="A schedule planned in epochs and stepped per batch does this: training ran at other rates than planned.",
    cure="Set `schedule_per` to the unit in which the schedule was planned.",
    example="parameter group 0, configured 1e-05: ...: it fell and rose 14 times, ...",
)

SCHEDULE_NOT_FINISHED = FindingKind(
    code="schedule_not_finished",
    topic="Training",
    levels=("warning",),
    found="a schedule that was planned for more steps",
    seen="A falling schedule ended above 10 % of its peak.",
    misleads="It was planned for more steps than were trained, so the model was never annealed.",
    cure="Plan it for the stage's own epochs and steps.",
    example="parameter group 0, configured 0.05: ...: the schedule ended at 90% of its peak, ...",
)

DID_NOT_LEARN = FindingKind(
    code="did_not_learn",
    topic="Training",
    levels=("warning",),
    found="a stage no better than without learning",
    seen="The best epoch of a stage is not more than 3 sd below the loss without learning (of random "
    "embeddings in the same batches for FastAP, of the network as it was built for SimSiam), or the loss "
    "stood still over 6 epochs or more.",
    misleads="The loss curve looks like training, and training changed nothing that the loss measures.",
    cure="Check which pairs count as positive, the learning rate, and what is frozen.",
    example="the best fastap is 0.9698, in epoch 3 of 10, and without learning it is 0.9570 ± 0.0080 ...: ...",
)

COLLAPSE = FindingKind(
    code="collapse",
    topic="Training",
    levels=("warning",),
    found="outputs or features that are nearly the same for every row",
    seen="Outputs or features are nearly the same for every row: gray or black reconstructions, one for all "
    "images, embeddings at one point. The finding names the epochs, and says if the epoch that predicts "
    "is one of them.",
    misleads="The loss may still fall, and the score may be chance.",
    cure="Look at them with `make epochs RUN=latest`, and select another epoch.",
    example="black in epochs 2-30 of 30: the outputs or features are nearly the same for every row there. ...",
)
