"""An embedder of images tuned against learned prompts: the two stages of CLIP-ReID (Li et al. 2023).

Stage `prompts` learns a few vectors per identity inside a text, with both towers frozen; stage `image` tunes the image
tower so that images resemble the texts of their identities. Predictions are embeddings of images alone, float32 (n, d),
to be compared by their cosines; rows of one fold share a space.

The towers are those of CLIP from a folder, a ViT or a ResNet. Without one, an image tower of timm and a text tower are
aligned by learned projections, which is no CLIP: its scores say little about CLIP's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from goldfold.competition import Plan, Recipe, Runtime
from goldfold.errors import GoldfoldError
from goldfold.nn import backbones
from goldfold.optional_parts import Monitored
from goldfold.params import with_defaults
from goldfold.retrieval.cosines import concatenate_fits
from goldfold.retrieval.inference import Inference
from goldfold.retrieval.prompts import stages, templates, towers
from goldfold.retrieval.prompts.losses import ImageLosses
from goldfold.retrieval.prompts.network import PromptedEmbedder
from goldfold.retrieval.prompts.parameters import PromptedEmbedderParams
from goldfold.retrieval.prompts.towers import Towers
from goldfold.retrieval.prompts.training_rows import PromptedRows
from goldfold.retrieval.training_rows import rows_with_labels

if TYPE_CHECKING:
    from pandas import DataFrame

    Params = PromptedEmbedderParams

WITHOUT_CLIP = 224  # side of images in pixels, where no tower has one
CONSTANT = 1e-6  # standard deviation over texts below which their features say nothing


def recipe(label: str, **defaults: Any) -> Recipe:
    """The recipe for rows with a column `path`.

    label: the column of identities, unless `label_column` names another; rows without a value are not trained on.
    defaults: of `PromptedEmbedderParams`, as the competition's baseline wants them.
    """
    return Recipe(
        params=with_defaults(PromptedEmbedderParams, **defaults),
        build=partial(_build, label=label),
        combine=concatenate_fits,
        pooled=False,
        columns=("path", label),
        example=lambda params, rows, _: np.ones((rows, 8), np.float32),
        check=_check,
    )


def _check(params: Params, train: DataFrame, test: DataFrame) -> None:
    """Refuse templates with columns that the train table lacks."""
    for name in templates.columns(params.templates):
        if name not in train:
            raise GoldfoldError(
                "no_template_column",
                f"a template takes {{{name}}} from a column, and the train table has only {', '.join(train.columns)}: "
                "name one of these, or write the word itself",
            )


def _build(params: Params, rows: DataFrame, runtime: Runtime, *, label: str) -> Plan:
    parts = _towers(params)
    parts.text.to(runtime.device)
    labeled = rows_with_labels(rows[params.label_column or label], "add images, or use fewer folds")
    assert labeled.codes is not None
    known = rows.iloc[labeled.rows].reset_index(drop=True)
    prompts = templates.prompts(params.templates, known, parts.text, params.n_ctx)
    training = PromptedRows(params, known, labeled.codes, prompts, runtime)
    losses = ImageLosses(params, labeled.classes, parts.image.width, parts.width)
    model = PromptedEmbedder(params, parts, prompts, training.pairs(), losses).to(runtime.device)
    made = [stages.prompt_stage(training, model)] if params.trains_prompts else []
    made += [stages.image_stage(training, model)] if params.trains_image else []
    plan = Inference(parts.image.image_size, gray=False, memory=params.memory).plan(model, made, known, runtime.seed)
    return replace(plan, monitor=cast(Callable[..., dict], partial(_monitor, plan)))  # of the plan's own model


def _monitor(plan: Plan, model: PromptedEmbedder) -> dict[str, Monitored]:
    """What every embedder watches, and whether the texts of identities differ."""
    assert plan.monitor is not None
    sd = float(model.identities().std(dim=0).mean())
    return {**plan.monitor(model), "text_sd": Monitored(sd, alarm="constant texts" if sd < CONSTANT else "")}


def _towers(params: Params) -> Towers:
    if params.towers:
        return towers.load_clip(params.towers, params.image_size)
    image_size = params.image_size or WITHOUT_CLIP
    with torch.random.fork_rng():
        torch.manual_seed(0)  # every fold starts from the same towers, with random weights too
        backbone = backbones.create(params.backbone, params.pretrained, image_size=image_size)
        return towers.load_parts(backbone, image_size, params.text_tower, params.projection_dim)
