"""Features that a loss is computed from and that are the same for every sample."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from goldfold.training.loss_inputs import LossInputs

DRAWN = torch.randn(32, 768, generator=torch.Generator().manual_seed(0))


def constant(dtype: torch.dtype, normalized: bool) -> list[str]:
    """What is told of the log-norms of features that a tower gives in a precision."""
    found = (F.normalize(DRAWN) if normalized else DRAWN).to(dtype).float()
    with LossInputs() as inputs:
        torch.log(found.norm(dim=1, keepdim=True) + 1e-6)
    return inputs.constant()


def test_log_norms_of_normalized_features_are_constant_in_every_precision() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        (told,) = constant(dtype, normalized=True)
        assert told.startswith("a logarithm (1 column, test_loss_inputs.py line ")
        assert constant(dtype, normalized=False) == []


def test_other_logarithms_are_no_features() -> None:
    """Those of equal class priors, of probabilities that training changes, and of one sample."""
    probabilities = torch.full((32, 1), 0.5, requires_grad=True)
    with LossInputs() as inputs:
        for value in (torch.full((10,), 0.1), probabilities, torch.ones(1, 1), torch.full((32, 10), 0.1)):
            torch.log(value)
    assert inputs.constant() == []
