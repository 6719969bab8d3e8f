"""The network for tables against its formulas, on labels, values and several columns, and stopped on training rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from error_codes import raises_code
from made_tables_with_gaps import COLUMNS, experiment, runtime, table
from sklearn.metrics import roc_auc_score
from torch import nn

from goldfold.competition import Recipe
from goldfold.experiment.cross_validation import cross_validate
from goldfold.recipes import tabular_network
from goldfold.recipes.tables import network
from goldfold.training.loop import train
from goldfold.training.settings import LoopOptions

SMALL = {"members": 4, "hidden": (16,), "embedding": 4, "epochs": 12, "learning_rate": 0.02, "permutations": 0}


def trained(made: Recipe, rows, **params):
    """A function that predicts rows with a plan trained on `rows`."""
    torch.manual_seed(0)
    plan = made.build(made.params(**SMALL, **params), rows, runtime())
    train(plan, loop=LoopOptions(), device=torch.device("cpu"))
    plan.model.eval()
    return lambda asked: plan.predict(plan.model, plan.finish(plan.model), asked)


def test_piecewise_linear_encoding_by_hand():
    layer = network.PiecewiseLinear([np.array([0.0, 1.0, 3.0, 7.0]), np.array([0.0, 2.0])], width=2)
    found = layer.encode(torch.tensor([[-1.0, 1.0], [0.5, -2.0], [2.0, 6.0], [9.0, 2.0]]))
    expected = [
        [[-1, 0, 0], [0.5, 0, 0]],
        [[0.5, 0, 0], [-1, 0, 0]],
        [[1, 0.5, 0], [3, 0, 0]],
        [[1, 1, 1.5], [1, 0, 0]],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_edges_are_distinct_quantiles():
    numbers = np.stack([np.arange(9.0), np.r_[np.zeros(8), 1.0], np.full(9, 2.0)], axis=1)
    first, second, constant = network.edges(numbers, 4)
    assert first.tolist() == [0, 2, 4, 6, 8]
    assert (second.tolist(), constant.tolist()) == ([0, 1], [2])
    assert network.PiecewiseLinear([constant], 3)(torch.tensor([[5.0]])).isfinite().all()


def test_members_that_share_weights_equal_networks_of_their_own():
    shape = network.Shape(
        numbers=2, flags=0, categories=(3,), outputs=2, hidden=(5, 4), members=3, embedding=2, dropout=0.0
    )
    model = network.Network(shape, None)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    inputs = torch.cat([torch.randn(6, 2), torch.eye(3)[[0, 1, 2, 0, 1, 2]]], dim=1)
    found = model(inputs)
    assert found.shape == (6, 3, 2)
    start = torch.cat([inputs[:, :2], model.categories[0].weight.T[[0, 1, 2, 0, 1, 2]]], dim=1)
    for member in range(3):
        values = start
        for layer in model.hidden:
            weight = layer.outputs[member][:, None] * layer.linear.weight * layer.inputs[member]
            values = torch.relu(values @ weight.T + layer.bias[member])
        expected = values @ model.last.weight[member] + model.last.bias[member]
        torch.testing.assert_close(found[:, member], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("embedding", ["none", "piecewise", "periodic"])
def test_labels_are_learned_from_numbers_and_categories_with_gaps(embedding):
    rows = table("binary")
    predict = trained(tabular_network.recipe("target", (0, 1), **COLUMNS), rows[:160], numeric_embedding=embedding)
    found = predict(rows[160:].drop(columns="target"))
    assert roc_auc_score(rows["target"][160:], found) > 0.8
    unseen, gaps = rows.head(5).assign(kind="新", Größe=9.0), rows.head(5).assign(kind=None, Größe=np.nan)
    np.testing.assert_array_equal(predict(unseen), predict(gaps))
    assert np.isfinite(predict(rows.head(5).assign(size=1e30))).all()


def test_classes_values_and_several_columns_have_their_shapes():
    rows = table("multiclass")
    found = trained(tabular_network.recipe("target", ("low", "mid", "高"), **COLUMNS), rows[:160])(rows[160:])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (np.array(["low", "mid", "高"])[found.argmax(axis=1)] == rows["target"][160:]).mean() > 0.5  # chance: 0.4
    rows = table("regression").assign(target=lambda rows: 1000 + 50 * rows["target"])
    found = trained(tabular_network.recipe(value="target", **COLUMNS), rows[:160], mixup=0.2)(rows[160:])
    truth = rows["target"][160:].to_numpy()
    assert 1 - ((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum() > 0.5  # chance: 0
    rows = table("binary").assign(other=lambda rows: 1 - rows["target"])
    found = trained(tabular_network.recipe(targets=["target", "other"], **COLUMNS), rows[:160])(rows[160:])
    assert found.shape == (80, 2)
    assert np.corrcoef(found.T)[0, 1] < -0.5


def test_the_epoch_is_chosen_on_training_rows_and_the_scored_fold_reaches_nothing(tmp_path):
    rows = table("binary")
    made = tabular_network.recipe("target", (0, 1), **COLUMNS)
    loop = LoopOptions(select="stopping_loss", patience=3)
    params = {**SMALL, "permutations": 2}
    fit = next(cross_validate(experiment(made, rows, loop, **params), tmp_path / "one"))
    losses = [row["monitored"]["stopping_loss"]["value"] for row in fit.history]
    assert fit.epoch == 1 + int(np.argmin(losses))
    assert max(fit.importances["permutation"], key=fit.importances["permutation"].get) == "size"
    changed = rows.assign(target=rows["target"].where(rows.index >= 120, 1 - rows["target"]))
    other = next(cross_validate(experiment(made, changed, loop, **params), tmp_path / "other"))
    np.testing.assert_array_equal(fit.validation, other.validation)


def test_columns_that_cannot_be_used_are_named():
    rows, made = table("binary"), tabular_network.recipe("target", (0, 1), **COLUMNS)
    with raises_code("column_not_finite", "'weight'"):
        made.check(made.params(), rows.assign(weight=np.inf), rows)
    with raises_code("unknown_column", "'kin'", "did you mean 'kind'"):
        made.check(made.params(target_encoding=("kin",)), rows, rows)
