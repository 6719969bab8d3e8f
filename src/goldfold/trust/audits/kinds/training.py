"""Codes of the audits of training, `goldfold.trust.audits.fits.training`."""

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
    found="parameters that no loss reaches, or hardly",
    seen="The optimizer holds parameters that no loss reaches, such as a head whose loss is not in the sum, or a "
    "parameter group whose gradient is below 1/100,000 of that of another group in every epoch.",
    misleads="They are not trained, although the optimizer holds them.",
    cure="Use them in a loss, or freeze them.",
    example="head.classifier.weight got no gradient, so they are not trained ...: ...",
)

DEAD_LOSS_TERM = FindingKind(
    code="dead_loss_term",
    topic="Training",
    levels=("error", "warning"),
    found="a loss term without gradient, or with a tiny one",
    seen="Error if a loss term has no gradient at all (found in the first epoch), warning if in every epoch its "
    "gradient is 0 or below 1/100,000 of that of another term.",
    misleads="The term changes the loss and trains nothing.",
    cure="Fix its input (detached, or computed without gradients), or remove it.",
    example="loss term 'alignment' has no gradient on the trained parameters: ...",
)

LR_PER_GROUP = FindingKind(
    code="lr_per_group",
    topic="Training",
    levels=("warning",),
    found="a parameter group above its own learning rate, or never near it",
    seen="The schedule raised a parameter group above its own learning rate, as a scalar `max_lr` does, or the group "
    "never reached 80 % of its own learning rate.",
    misleads="A backbone that was meant to learn slowly learns as fast as the head, or a head as slowly as the "
    "backbone.",
    cure="Give `max_lr` a list with one rate per group. Plan a warm-up for the steps that are trained.",
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

PARAMETER_OUTSIDE_MODEL = FindingKind(
    code="parameter_outside_model",
    topic="Training",
    levels=("warning",),
    found="parameters of a loss that the model does not contain",
    seen="A loss depends on parameters that are not in the plan's model, such as the centers of a loss that was made "
    "beside it. They are found in the graph of the loss terms of the first batch.",
    misleads="No checkpoint holds them, so a resumed run goes on with others; those that no optimizer of the stage "
    "holds stay random.",
    cure="Make what holds them a module of `Plan.model`, and give them to the stage's optimizer.",
    example="the losses depend on 1 parameters outside the plan's model, of shape [10, 64], and ...: ...",
)

OPTIMIZER_NEVER_STEPPED = FindingKind(
    code="optimizer_never_stepped",
    topic="Training",
    levels=("warning",),
    found="a parameter group with gradients whose weights never changed",
    seen="A parameter group got gradients at a learning rate above 0, and its weights are bit for bit those the stage "
    "began with.",
    misleads="A loss with centers that never move looks like any other in the curves.",
    cure="Step every part of an optimizer that is made of several, as `goldfold.nn.optimizers.Joined` does. Steps that "
    "are too small for the weights' precision need a higher rate.",
    example="parameter group center got gradients of norm 0.3 at a rate of 0.5, and its weights are those ...: ...",
)

ONE_LOSS_TERM = FindingKind(
    code="one_loss_term",
    topic="Training",
    levels=("note",),
    found="a single loss term that hides a part without gradient",
    seen="The losses of a stage are one term, a sum to which a value without gradient was added. A single loss, or a "
    "sum of parts that all have gradients, is no finding.",
    misleads="The gradient is measured of each term, so a part that trains nothing cannot be told within a sum.",
    cure="Return the parts as terms of their own.",
    example="the only loss term is a sum to which a value without gradient is added (recipes.py line 40): ...",
)
