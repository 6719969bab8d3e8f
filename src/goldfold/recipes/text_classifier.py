"""Classification and regression of texts: an encoder that is fine-tuned, or a head on its features, computed once.

`recipe` trains a whole encoder of transformers; `frozen` trains a head on features of a text tower, such as the
packaged token vectors, which need no download.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from goldfold.competition import Plan, Recipe, Runtime, Stage
from goldfold.data import columns
from goldfold.data.column_values import as_texts, count_without_text
from goldfold.errors import GoldfoldError
from goldfold.nn import schedules, text_towers
from goldfold.nn.pretrained import text_packages
from goldfold.nn.texts import length_buckets, network, sources
from goldfold.nn.texts.tokens import Tokens, tokenize
from goldfold.params import with_defaults
from goldfold.recipes import frozen_backbone
from goldfold.recipes.classification import optimizers
from goldfold.recipes.classification.text_parameters import FrozenTextParams, TextClassifierParams, TextParams
from goldfold.recipes.targets import Targets, create

if TYPE_CHECKING:
    from pandas import DataFrame

    Tokenize = Callable[[DataFrame], Tokens]


def recipe(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
    values: str | Sequence[str] | None = None,
    ordered: bool = False,
    **defaults: Any,
) -> Recipe:
    """Return the recipe that fine-tunes an encoder, for labels in `target` or in several columns.

    target, classes, targets, values, ordered: as in `recipes.image_classifier.recipe`, with the same predictions and
        parameters of the loss.
    defaults: defaults of `TextClassifierParams` for this competition.
    """
    return _recipe(
        _fine_tuned, TextClassifierParams, create(target, classes, targets, values=values, ordered=ordered), defaults
    )


def frozen(
    target: str | None = None,
    classes: Sequence | None = None,
    *,
    targets: Sequence[str] | None = None,
    values: str | Sequence[str] | None = None,
    ordered: bool = False,
    **defaults: Any,
) -> Recipe:
    """Return the recipe that trains a head on cached features; arguments as in `recipe`, with `FrozenTextParams`.

    Of two columns each has features of its own, side by side.
    """
    labels = create(target, classes, targets, values=values, ordered=ordered, by_row=True)
    return _recipe(_on_features, FrozenTextParams, labels, defaults)


def _recipe(build: Callable[..., Plan], params: type[TextParams], labels: Targets, defaults: Mapping) -> Recipe:
    return Recipe(
        params=with_defaults(labels.params(params), **defaults),
        build=partial(build, targets=labels),
        labels=labels.declared,
        columns=labels.columns,
        example=lambda params, rows, classes: labels.example(rows),
        check=_check,
        accepts=labels.accepts,
    )


def _check(params: TextParams, train: DataFrame, test: DataFrame) -> None:
    """Refuse tables without texts; single ones may be empty."""
    for column in params.texts:
        columns.require(test, column, "text column in the test table")
        if count_without_text(train, column) == len(train):
            raise GoldfoldError(
                "no_texts", f"none of {len(train)} train rows has a text in '{column}': read the texts in load()"
            )


def _on_features(params: FrozenTextParams, rows: DataFrame, runtime: Runtime, targets: Targets) -> Plan:
    known = params.encoder == text_packages.WORDLLAMA
    tower = text_towers.load(params.encoder if known else sources.folder_of(params.encoder))
    of_texts = text_towers.cached_texts(tower, runtime)
    texts_of = partial(_texts_of, params)

    def features(rows: DataFrame) -> Tensor:
        found = [of_texts(texts) for texts in texts_of(rows)]
        return torch.from_numpy(np.concatenate(found, axis=1)).to(runtime.device)[:, None]

    plan = frozen_backbone.plan_of_features(params, rows, runtime, targets, features)
    return replace(plan, probe=text_towers.probe(tower, texts_of, rows))


def _texts_of(params: TextParams, rows: DataFrame) -> list[tuple[str, ...]]:
    """The texts of rows, of each text column."""
    return [as_texts(rows, column) for column in params.texts]


def _fine_tuned(params: TextClassifierParams, rows: DataFrame, runtime: Runtime, targets: Targets) -> Plan:
    encoder = sources.load(params.encoder)
    model = network.TextNetwork(encoder.model, targets.outputs, params.pooling, params.drop_rate)
    model.freeze(params.frozen_layers)
    if params.gradient_checkpointing:
        model.recompute_activations()
    labels = targets.labels(rows)
    targets = targets.fitted(labels)
    longest = min(params.max_tokens, encoder.longest)
    tokens_of = _tokenizing(params, encoder.tokenizer, longest)
    tokens = tokens_of(rows)
    stage = Stage(
        name="fit",
        epochs=params.epochs,
        batches=length_buckets.batches(
            tokens, torch.from_numpy(labels), params.batch_size, runtime.seed, targets.balance(params, labels)
        ),
        losses=partial(_losses, loss=targets.loss(params, labels)),
        optimizer=partial(optimizers.fine_tuning, params),
        schedule=schedules.create(params.schedule, params.warmup),
        row_losses=partial(_row_losses, params, tokens, labels, targets.row_losses(params, labels)),
    )
    return Plan(
        model=model,
        stages=[*_head_stage(params, stage), stage],
        predict=partial(_predict, params, tokens_of, targets),
        probe=partial(_cut, tokens_of, tokens, longest),
    )


def _head_stage(params: TextClassifierParams, stage: Stage) -> list[Stage]:
    """The stage before `stage` in which the last layer alone is trained, if there is one."""
    if not params.freeze_epochs:
        return []
    head = replace(
        stage,
        name="head",
        epochs=params.freeze_epochs,
        batches=lambda epoch: stage.batches(params.epochs + epoch),  # other orders than those of `stage`
        optimizer=partial(optimizers.head_alone, params),
        schedule=None,
        row_losses=None,
    )
    return [head]


def _tokenizing(params: TextClassifierParams, tokenizer: Any, longest: int) -> Tokenize:
    """Return a function: rows -> their tokens, kept for the last tables."""

    @lru_cache(maxsize=3)  # training, validation and test rows
    def tokens(texts: tuple[tuple[str, ...], ...]) -> Tokens:
        return tokenize(tokenizer, texts, longest)

    return lambda rows: tokens(tuple(_texts_of(params, rows)))


def _losses(model: nn.Module, batch: tuple[Tensor, ...], loss: Callable) -> dict[str, Tensor]:
    device = next(model.parameters()).device
    *tokens, labels = (part.to(device, non_blocking=True) for part in batch)
    return loss(model(*tokens), labels)


def _predict(
    params: TextClassifierParams,
    tokens_of: Tokenize,
    targets: Targets,
    model: nn.Module,
    finished: None,
    rows: DataFrame,
) -> np.ndarray:
    """Return probabilities or numbers, float64, as `targets.predictions` says."""
    outputs = network.predict(model, tokens_of(rows), params.batch_size)
    return targets.predictions(targets.probabilities(outputs).numpy())


def _row_losses(
    params: TextClassifierParams, tokens: Tokens, labels: np.ndarray, loss: Callable, model: nn.Module
) -> np.ndarray:
    """Return the losses of the training rows, float64 (n,)."""
    return loss(network.predict(model, tokens, params.batch_size), torch.from_numpy(labels)).numpy()


def _cut(
    tokens_of: Tokenize,
    tokens: Tokens,
    longest: int,
    model: nn.Module,
    finished: None,
    rows: DataFrame,
    predictions: np.ndarray,
    images: int,
) -> dict[str, Any]:
    """How many texts of a fold's training and validation rows lost their end, for `Plan.probe`."""
    own = tokens_of(rows)
    counts = {"cut": tokens.cut + own.cut, "rows": len(tokens.lengths) + len(own.lengths), "tokens": longest}
    return {"texts_cut": counts}
