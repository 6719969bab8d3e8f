"""Losses of learned prompts against their formulas, written out, and against pytorch-metric-learning."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning import losses, miners, reducers
from torch.nn import functional as F

from goldfold.nn.optimizers import Joined
from goldfold.retrieval.prompts.losses import CenterLoss, ImageLosses, ImageTextLoss, Views, batch_hard_triplet
from goldfold.retrieval.prompts.parameters import PromptedEmbedderParams

DRAW = torch.Generator().manual_seed(3)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1, 2])
LAST, PROJECTED, INNER = (torch.randn(10, width, generator=DRAW) for width in (12, 8, 6))
TEXTS = torch.randn(3, 8, generator=DRAW)
VIEWS = Views(LAST, PROJECTED, INNER)
OFF = {f"{name}_weight": 0.0 for name in ("id", "arcface", "supcon", "triplet", "center", "image_text")}


def made(**given) -> ImageLosses:
    torch.manual_seed(0)
    return ImageLosses(PromptedEmbedderParams(**OFF | given), 3, 12, 8)


def terms(**given) -> dict[str, torch.Tensor]:
    return made(**given)(VIEWS, TEXTS, LABELS)


def contrastive(first: torch.Tensor, second: torch.Tensor, temperature: float) -> torch.Tensor:
    """-mean_i 1/|P_i| sum_p log(exp(v_i t_p / T) / sum_a exp(v_i t_a / T))."""
    found = []
    for row, label in zip(first, LABELS, strict=True):
        products = second @ row / temperature
        same = [j for j, other in enumerate(LABELS) if other == label]
        found.append(-sum(products[j] - torch.logsumexp(products, 0) for j in same) / len(same))
    return torch.stack(found).mean()


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_images_and_texts_are_contrasted_in_both_directions(temperature):
    texts = TEXTS[LABELS] + 0.1 * PROJECTED.flip(0)
    expected = contrastive(PROJECTED, texts, temperature) + contrastive(texts, PROJECTED, temperature)
    torch.testing.assert_close(ImageTextLoss(temperature)(PROJECTED, texts, LABELS), expected, rtol=1e-5, atol=1e-6)


def test_an_image_alone_with_its_identity_still_has_its_own_text():
    """In a batch of different identities the loss is CLIP's: the diagonal is what is right."""
    images, texts, labels = PROJECTED[:3], TEXTS, torch.arange(3)
    products = images @ texts.T
    expected = F.cross_entropy(products, labels) + F.cross_entropy(products.T, labels)
    torch.testing.assert_close(ImageTextLoss(1.0)(images, texts, labels), expected)


def arcface(weights: torch.Tensor, scale: float, margin: float) -> torch.Tensor:
    """s cos(theta_y + m) for the own class, s cos(theta_j) for others; m in radians."""
    cosines = F.normalize(LAST, dim=1) @ F.normalize(weights, dim=0)
    own = F.one_hot(LABELS, 3).bool()
    angles = cosines.acos()
    shifted = torch.where(angles <= math.pi - margin, (angles + margin).cos(), cosines - margin * math.sin(margin))
    return F.cross_entropy(scale * torch.where(own, shifted, cosines), LABELS)


@pytest.mark.parametrize(("scale", "margin"), [(30.0, 0.5), (20.0, 0.3), (35.0, 0.4), (20.0, 1.9)])
def test_the_margin_of_arcface_is_in_radians(scale, margin):
    loss = made(arcface_weight=1.0, arcface_scale=scale, arcface_margin=margin, bnneck=False)
    weights = loss.arcface.loss.W
    found = loss(VIEWS, None, LABELS)["arcface"]
    torch.testing.assert_close(found, arcface(weights, scale, margin), rtol=1e-4, atol=1e-4)
    library = losses.ArcFaceLoss(3, 12, margin=math.degrees(margin), scale=scale)
    library.W.data.copy_(weights.data)
    assert found.item() == pytest.approx(library(LAST, LABELS).item(), abs=1e-5)
    library.margin = math.radians(margin)  # what passing radians for degrees would give
    assert abs(library(LAST, LABELS).item() - found.item()) > 1


def test_supcon_is_that_of_the_library():
    found = terms(supcon_weight=2.0)["supcon"]
    torch.testing.assert_close(found, 2 * losses.SupConLoss(0.1)(PROJECTED, LABELS), rtol=1e-6, atol=1e-6)
    between = terms(supcon_weight=1.0, supcon_pairs="image_text")["supcon"]
    torch.testing.assert_close(between, ImageTextLoss(0.1)(PROJECTED, TEXTS[LABELS], LABELS))


def test_triplets_are_batch_hard_and_averaged_over_all_anchors():
    library = losses.TripletMarginLoss(0.3, reducer=reducers.MeanReducer())
    expected = library(LAST, LABELS, miners.BatchHardMiner()(LAST, LABELS))
    torch.testing.assert_close(batch_hard_triplet(0.3, normalize=True)(LAST, LABELS), expected, rtol=1e-6, atol=1e-6)
    distances = torch.cdist(LAST, LAST)
    same = LABELS[:, None] == LABELS
    far = distances.masked_fill(~same, 0).amax(1)
    near = distances.masked_fill(same, torch.inf).amin(1)
    plain = (0.3 + far - near).clamp(min=0).mean()
    torch.testing.assert_close(batch_hard_triplet(0.3, normalize=False)(LAST, LABELS), plain, rtol=1e-5, atol=1e-5)


def test_a_satisfied_anchor_counts_as_zero():
    """Two classes far apart, one anchor in the middle: the library's default would leave the zeros out of the mean."""
    points, labels = torch.tensor([[0.0], [0.1], [10.0], [10.1], [5.2]]), torch.tensor([0, 0, 1, 1, 0])
    found = batch_hard_triplet(0.3, normalize=False)(points, labels)
    hinges = [max(0.0, 0.3 + far - near) for far, near in ((5.2, 10), (5.1, 9.9), (0.1, 4.8), (0.1, 4.9), (5.2, 4.8))]
    assert found.item() == pytest.approx(sum(hinges) / 5, abs=1e-5)


def test_the_sum_of_triplets_is_over_the_features_asked_for():
    single = batch_hard_triplet(0.3, normalize=False)
    for name, features in {"feature": [LAST], "both": [LAST, PROJECTED], "three": [LAST, PROJECTED, INNER]}.items():
        views = VIEWS if name == "three" else VIEWS._replace(inner=None)
        loss = made(triplet_weight=0.5, triplet_features=name)
        expected = 0.5 * sum(single(each, LABELS) for each in features)
        torch.testing.assert_close(loss(views, None, LABELS)["triplet"], expected)
        assert loss.needs_inner == (name == "three")


def test_labels_are_smoothed_as_the_published_code_does():
    """(1 - e) of the label, and e / classes of each class."""
    loss = made(id_weight=0.25, id_heads="feature", image_text_weight=1.0, bnneck=False)
    found = loss(VIEWS, TEXTS, LABELS)
    for name, logits, weight in (
        ("id", LAST @ loss.neck.classifier.weight.T, 0.25),
        ("image_text", PROJECTED @ TEXTS.T, 1.0),
    ):
        soft = 0.9 * F.one_hot(LABELS, 3) + 0.1 / 3
        expected = weight * -(soft * logits.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(found[name], expected)
        torch.testing.assert_close(found[name], weight * F.cross_entropy(logits, LABELS, label_smoothing=0.1))


def test_the_neck_keeps_its_bias_at_zero_and_only_used_parts_exist():
    loss = made(id_weight=1.0)
    assert [name for name, each in loss.named_parameters() if not each.requires_grad] == [
        "neck.norm.bias",
        "projected_neck.norm.bias",
    ]
    assert loss.neck.norm.bias.eq(0).all()
    assert loss.neck.classifier.weight.std() < 0.0015
    assert not list(made(triplet_weight=1.0).parameters())
    assert {name for name, _ in made(center_weight=0.1).named_parameters()} == {"center.centers"}


@pytest.mark.parametrize("weight", [0.0005, 3.0])
def test_centers_step_at_their_own_rate_whatever_the_weight(weight):
    torch.manual_seed(0)
    loss = CenterLoss(4, 12, weight)
    before, features = loss.centers.detach().clone(), LAST.clone().requires_grad_()
    optimizer = Joined(torch.optim.Adam([features], 1e-3), torch.optim.SGD(loss.parameters(), 0.5))
    value = loss(features, LABELS)
    assert value.item() == pytest.approx(weight * 0.5 * (LAST - before[LABELS]).square().sum(1).mean().item(), rel=1e-5)
    value.backward()
    torch.testing.assert_close(features.grad, weight * (LAST - before[LABELS]) / len(LABELS))
    optimizer.step()
    for label in range(3):
        own = LAST[label == LABELS]
        moved = before[label] + 0.5 * (own - before[label]).sum(0) / len(LABELS)
        torch.testing.assert_close(loss.centers[label], moved)
    assert torch.equal(loss.centers[3], before[3])  # no image of it in the batch
    assert not torch.equal(loss.centers[0], before[0])
