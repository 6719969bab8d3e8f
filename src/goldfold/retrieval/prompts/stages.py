"""The two stages of CLIP-ReID: learn the identities' vectors with frozen towers, then tune the image tower to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from goldfold.competition import Stage
from goldfold.nn import schedules
from goldfold.nn.optimizers import SGD, Adam, AdamW, Joined, first_part, refuse_duplicates
from goldfold.retrieval.prompts.network import PromptedEmbedder
from goldfold.retrieval.prompts.parameters import PromptedEmbedderParams
from goldfold.retrieval.prompts.training_rows import PromptedRows

VISUAL = ("image.", "project_image.")
LEARNED = ("project_image.", "project_text.")  # where CLIP brings no projections
CENTERS = "losses.center."
FLOATING = {"adam": Adam, "adamw": AdamW}


def prompt_stage(training: PromptedRows, model: PromptedEmbedder) -> Stage:
    """Create the stage that learns the identities' vectors, and projections if there are learned ones."""
    params = training.params
    return Stage(
        name="prompts",
        epochs=params.prompt_epochs,
        batches=training.prompt_batches(model.image),
        losses=partial(_losses, training.runtime.device),
        optimizer=partial(_prompt_optimizer, params),
        schedule=schedules.create(params.prompt_schedule, params.prompt_warmup),
    )


def image_stage(training: PromptedRows, model: PromptedEmbedder) -> Stage:
    """Create the stage that tunes the image tower with the losses whose weight is above 0.

    Raises GoldfoldError if the batch sampler cannot fill a batch.
    """
    params = training.params
    options: dict[str, dict[str, Any]] = {
        "multi_step": {"decay_epochs": params.decay_epochs, "factor": params.decay_factor},
        "one_cycle": {"cycle_momentum": params.cycle_momentum},
    }
    schedule = schedules.create(params.image_schedule, params.image_warmup, **options.get(params.image_schedule, {}))
    return Stage(
        name="image",
        epochs=params.image_epochs,
        batches=training.image_batches(model.image.image_size),
        losses=partial(_losses, training.runtime.device),
        optimizer=partial(_image_optimizer, params),
        schedule=first_part(schedule),
    )


def _losses(device: torch.device, model: nn.Module, batch: tuple[Tensor, ...]) -> Mapping[str, Tensor]:
    """The loss terms of a batch of (pixels or features, identities, perhaps numbers of prompts)."""
    return model(*(part.to(device, non_blocking=True) for part in batch))


def _prompt_optimizer(params: PromptedEmbedderParams, model: PromptedEmbedder) -> torch.optim.Optimizer:
    learned = LEARNED if model.learned_projections else ()
    group = {
        "name": "prompt",
        "params": [p for n, p in model.named_parameters() if p.requires_grad and n.startswith(("contexts", *learned))],
        "lr": params.prompt_learning_rate,
        "weight_decay": params.prompt_weight_decay,
    }
    return FLOATING[params.optimizer]([group])


def _image_optimizer(params: PromptedEmbedderParams, model: PromptedEmbedder) -> torch.optim.Optimizer:
    """Adam or AdamW for groups of their own rates, and SGD for the centers, which no schedule and no clip changes."""
    trained = {
        "contexts": model.tunes_prompts,
        "project_text.": not model.keeps_texts,
        "project_image.": model.losses.uses_projection,
    }
    kept = tuple(name for name, trains in trained.items() if not trains)
    found = model.named_parameters()
    named = {name: each for name, each in found if each.requires_grad and not name.startswith(kept)}
    centers = [named.pop(name) for name in list(named) if name.startswith(CENTERS)]
    groups = image_groups(params, named, model.learned_projections)
    adam = FLOATING[params.optimizer](groups)
    if not centers:
        return adam
    own = {"name": "center", "params": centers, "lr": params.center_learning_rate, "clip": False}
    return Joined(adam, SGD([own]))


def image_groups(params: PromptedEmbedderParams, named: Mapping[str, nn.Parameter], learned: bool) -> list[dict]:
    """Return the parameter groups of the image stage: visual, visual_bias, head, prompt, text, those that have members.

    named: name -> parameter. learned: whether the projections are learned anew, so that they belong to the head.
    """
    rates = params.rates()
    parts: dict[str, list] = {name: [] for name in ("visual", "visual_bias", "head", "prompt", "text")}
    for name, parameter in named.items():
        parts[_group(name, params, learned)].append(parameter)
    factors = {"visual": 1.0, "visual_bias": params.bias_factor, "head": params.head_factor}
    decays = {"prompt": params.prompt_weight_decay, "text": params.text_weight_decay}
    groups = [
        {
            "name": name,
            "params": members,
            "lr": factors[name] * rates["visual"] if name in factors else rates[name],
            "weight_decay": decays.get(name, params.visual_weight_decay),
        }
        for name, members in parts.items()
        if members
    ]
    refuse_duplicates(groups)
    return groups


def _group(name: str, params: PromptedEmbedderParams, learned: bool) -> str:
    """The group of a parameter of the network."""
    if name.startswith("contexts"):
        return "prompt"
    if name.startswith("text."):
        return "text"
    if not name.startswith(VISUAL) or (learned and name.startswith(LEARNED)):
        return "head"
    return "visual_bias" if name.endswith("bias") and params.bias_factor != 1 else "visual"
