"""The network of learned prompts: both towers, the identities' vectors, and the losses with their own weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from goldfold.nn.text_towers import TextTower
from goldfold.retrieval.prompts.losses import ImageLosses, ImageTextLoss, Views
from goldfold.retrieval.prompts.parameters import PromptedEmbedderParams
from goldfold.retrieval.prompts.templates import Prompts
from goldfold.retrieval.prompts.towers import Towers, unfreeze

CONTEXT_SD = 0.02  # of the first vectors of the identities, as published


class PromptedEmbedder(nn.Module):
    """A module from pixels uint8 (n, h, w, 3) to embeddings float32 (n, d) of length 1.

    Parts without trainable parameters stay in evaluation mode. A frozen text tower is not among the weights, so that
    checkpoints do not repeat it.

    prompts, pairs: those of the training rows, and int64 (m, 2), every identity with each of its prompts.
    losses: of the image stage.
    """

    ids: Tensor
    mask: Tensor
    starts: Tensor
    pairs: Tensor

    def __init__(
        self, params: PromptedEmbedderParams, towers: Towers, prompts: Prompts, pairs: Tensor, losses: ImageLosses
    ) -> None:
        super().__init__()
        self.params, self.learned_projections = params, towers.learned
        self.image, self.project_image, self.project_text = towers.image, towers.project_image, towers.project_text
        self.losses = losses
        self.tunes_prompts = params.trains_image and losses.needs_texts and not params.freeze_prompt
        tunes_text = params.trains_image and losses.needs_texts and not params.freeze_text_encoder
        self.text = towers.text if tunes_text else None
        self.frozen_text: tuple[TextTower, ...] = () if tunes_text else (towers.text,)  # hidden from the module
        for name, values in {
            "ids": prompts.ids,
            "mask": prompts.mask,
            "starts": prompts.starts,
            "pairs": pairs,
        }.items():
            self.register_buffer(name, values, persistent=False)
        width = towers.text.encode.token_vectors(prompts.ids[:1, :1].to(_device(towers.text))).shape[-1]
        self.contexts = nn.Parameter(CONTEXT_SD * torch.randn(int(pairs[:, 0].max()) + 1, params.n_ctx, width))
        self.image_text = ImageTextLoss(params.prompt_temperature)
        self.known_texts: Tensor | None = None
        frozen_and_causal = not tunes_text and towers.text.encode.is_causal
        self.shared_prefix = prompts.shared_prefix() if frozen_and_causal else 0
        self._freeze(towers)

    def _freeze(self, towers: Towers) -> None:
        """Let those parameters require gradients that a stage trains."""
        params, in_image = self.params, self.params.trains_image
        towers.text.requires_grad_(False)
        for name, parameter in self.text.named_parameters() if self.text else ():
            parameter.requires_grad_(".pooler." not in name)  # a part of BERT that is not used here
        unfreeze(self.image, params.unfreeze_blocks)  # fails, too, where the image stage is left out
        if not in_image:
            self.image.requires_grad_(False)
            self.losses.requires_grad_(False)
        learns = towers.learned and params.trains_prompts
        self.project_image.requires_grad_(learns or (in_image and self.losses.uses_projection))
        self.project_text.requires_grad_(learns or (towers.learned and not self.keeps_texts))
        self.contexts.requires_grad_(params.trains_prompts or self.tunes_prompts)

    @property
    def keeps_texts(self) -> bool:
        """Whether the image stage trains nothing that the texts depend on, so that they are computed once."""
        return self.text is None and not self.tunes_prompts

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, prompts: Tensor | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Compute embeddings or loss terms; one entry point, as DistributedDataParallel needs.

        inputs: pixels; with `prompts`, the numbers of the samples' prompts, features (n, f) of the image tower.
        labels: int64 (n,), identities; None: return embeddings (n, d).
        """
        if labels is None:
            return self.embed(inputs)
        if prompts is not None:
            images = self.project(inputs)
            return {"image_text": self.image_text(images, self.texts(labels, prompts), labels)}
        found = self.image(inputs, self.losses.needs_inner)
        views = Views(found.last, self.project(found.pooled), found.inner)
        return self.losses(views, self._texts_of_losses(), labels)

    def _texts_of_losses(self) -> Tensor | None:
        """The text features of all identities for the image stage, where its losses need them."""
        if not self.losses.needs_texts:
            return None
        if not self.keeps_texts:
            return self.identities()
        if self.known_texts is None:
            with torch.no_grad():
                self.known_texts = self.identities()
        return self.known_texts

    def project(self, features: Tensor) -> Tensor:
        """Project features of images (n, f) to the space of texts, (n, d); of length 1 if the parameters say so."""
        return self._scaled(self.project_image(features))

    def embed(self, pixels: Tensor) -> Tensor:
        """Return embeddings: the feature, its projection, or both in a row, of length 1."""
        found = self.image(pixels)
        parts = {"feature": found.last, "projection": self.project(found.pooled)}
        chosen = [part for name, part in parts.items() if self.params.embedding in ("concat", name)]
        return F.normalize(torch.cat([part.float() for part in chosen], dim=1), dim=1)

    def texts(self, labels: Tensor, prompts: Tensor) -> Tensor:
        """Return the features (n, d) of prompts with the vectors of identities; equal pairs are computed once."""
        pairs, place = torch.stack([labels, prompts], dim=1).unique(dim=0, return_inverse=True)
        return self._features(pairs)[place]

    def identities(self) -> Tensor:
        """Return the text feature of every identity (k, d): the mean over all templates and its columns' values."""
        features = self._features(self.pairs)
        sums = features.new_zeros(len(self.contexts), features.shape[1]).index_add(0, self.pairs[:, 0], features)
        return self._scaled(sums / self.pairs[:, 0].bincount(minlength=len(self.contexts))[:, None])

    def _features(self, pairs: Tensor) -> Tensor:
        """Features of (identity, prompt), int64 (n, 2); in float32, since cached ones outlive a batch."""
        tower = self.text if self.text is not None else self.frozen_text[0]
        identities, prompts = pairs.T
        with torch.autocast(pairs.device.type, enabled=False):
            ids, mask = self.ids[prompts], self.mask[prompts]
            contexts = self.contexts[identities]
            places = self.starts[prompts, None] + torch.arange(contexts.shape[1], device=pairs.device)
            vectors = tower.encode.token_vectors(ids)
            vectors = vectors.scatter(1, places[..., None].expand_as(contexts), contexts)
            return self._scaled(self.project_text(tower(ids, mask, vectors, self.shared_prefix)))

    def _scaled(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=-1) if self.params.normalize_projection else features

    def train(self, mode: bool = True) -> PromptedEmbedder:
        """Set training mode, except for modules without trainable parameters."""
        super().train(mode)
        for module in self.modules():
            own = list(module.parameters())
            if module is not self and own and not any(parameter.requires_grad for parameter in own):
                module.train(False)
        return self


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
