"""The scripts that people write instead of a run, for `whole_run.py`: folds, training, scores, a submission.

    python bare_scripts.py head|scratch|finetune|table|frames FOLDER [key=value ...]

FOLDER is that of a finished run, whose folds and seeds are taken, so that results can be compared. The last line is a
JSON of CPU seconds of each phase. Pretrained weights come from `goldfold.nn.backbones`; nothing else is goldfold's.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

SPENT: dict[str, float] = {}


def spent(phase: str) -> None:
    """Count the CPU time since the last call for a phase."""
    SPENT[phase] = SPENT.get(phase, 0.0) + time.process_time() - sum(SPENT.values())


def derive(*parts: object) -> int:
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def tables(run: Path) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Train and test rows, and the fold of each train row."""
    public = Path("data") / run.parent.name / "public"
    train, test = (pd.read_csv(public / f"{name}.csv", dtype={"id": str}) for name in ("train", "test"))
    for rows in (train, test):
        if "path" in rows:
            rows["path"] = [str(public / path) for path in rows["path"]]
    folds = pd.read_csv(run / "folds.csv", dtype={"id": str}).set_index("id")["fold"]
    return train, test, folds[train["id"]].to_numpy()


def order(seed: int, epoch: int, rows: int, batch: int, drop_last: bool) -> Iterator[np.ndarray]:
    shuffled = np.random.default_rng(derive(seed, "order", epoch)).permutation(rows)
    stop = rows - rows % batch if drop_last else rows
    return (shuffled[at : at + batch] for at in range(0, stop, batch))


def rate(step: int, steps: int, warmup: float = 0.1) -> float:
    rise = round(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def train_network(
    model, optimizer, data: tuple, seed: int, epochs: int, batch: int, drop_last: bool, score, loss_of=None
) -> None:
    """The loop; `score` is called after every epoch. loss_of: outputs and labels -> loss, cross-entropy by default."""
    import torch

    inputs, labels = data
    loss_of = loss_of or torch.nn.functional.cross_entropy
    per_epoch = len(inputs) // batch if drop_last else -(-len(inputs) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, epochs * per_epoch))
    for epoch in range(epochs):
        model.train()
        for rows in order(seed, epoch, len(inputs), batch, drop_last):
            loss = loss_of(model(inputs[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        model.eval()
        spent("training")
        score()


def mean_of(target: str) -> Callable:
    """The submission of one column: the mean of the folds' predictions, or the class whose mean is largest."""

    def submission(test: pd.DataFrame, tests: list[np.ndarray]) -> pd.DataFrame:
        combined = np.mean(tests, axis=0)
        values = combined if combined.ndim == 1 else combined.argmax(axis=1)
        return pd.DataFrame({"id": test["id"], target: values})

    return submission


def cross_validated(run: Path, submission: Callable, folds: Callable) -> None:
    """Write oof.npy of all folds, and the submission, of the test rows and what each fold predicts of them.

    folds: (train, test, fold of each train row) -> yields fold, predictions of its rows and of the test rows.
    """
    train, test, numbers = tables(run)
    spent("prepare")
    parts, tests, rows = [], [], []
    for fold, validation, tested in folds(train, test, numbers):
        parts.append(validation)
        tests.append(tested)
        rows.append(np.flatnonzero(numbers == fold))
        spent("predicting")
    at = np.argsort(np.concatenate(rows))
    np.save("oof.npy", np.concatenate(parts)[at])
    submission(test, tests).to_csv("submission.csv", index=False)
    spent("record")


def network_folds(run: Path, options: dict, inputs_of: Callable, model_of: Callable, target: str, scored: Callable):
    """Train a network on every fold. inputs_of: paths -> inputs. model_of: training inputs -> model, optimizer."""
    import torch

    def folds(train, test, numbers):
        wanted = json.loads(options["folds"]) if "folds" in options else sorted(set(numbers.tolist()))
        inputs = {name: inputs_of(rows["path"].tolist()) for name, rows in (("train", train), ("test", test))}
        labels = torch.tensor(train[target].to_numpy())
        for fold in wanted:
            rows, held = np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)
            seed = derive(0, "fold", fold)
            torch.manual_seed(seed)
            data = inputs["train"][rows], labels[rows]
            model, optimizer = model_of(data[0])

            def predict(inputs, model=model):
                size = 64 if inputs.ndim == 2 else int(options["batch_size"])
                with torch.no_grad():
                    found = torch.cat([model(part).double() for part in inputs.split(size)]).softmax(-1).numpy()
                return found[:, 1] if found.shape[1] == 2 else found

            def score(predict=predict, held=held):
                found = predict(inputs["train"][held])
                spent("predicting")
                scored(labels[held].numpy(), found)
                spent("scoring")

            epochs, batch = int(options["epochs"]), int(options["batch_size"])
            drop_last = inputs["train"].ndim > 2 and len(rows) > batch
            train_network(model, optimizer, data, seed, epochs, batch, drop_last, score)
            torch.save(model.state_dict(), f"fold{fold}.pt")
            yield fold, predict(inputs["train"][held]), predict(inputs["test"])

    return folds


def resized(paths: list[str], size: int, gray: bool = False) -> np.ndarray:
    """Pixels uint8 (n, size, size, 1 or 3)."""
    import cv2

    found = []
    for path in paths:
        image = cv2.imread(path, cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR_RGB)
        shrinks = min(image.shape[:2]) >= size
        if image.shape[:2] != (size, size):
            image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        found.append(image[..., None] if gray else image)
    return np.stack(found)


def frozen_features(size: int, kept: Path) -> Callable:
    """A function from paths to features of a frozen backbone, computed once, or read if they are in a file."""
    import torch
    from torch import nn

    from goldfold.nn import backbones

    known = dict(np.load(kept)) if kept.exists() else {}

    def features(paths):
        spent("prepare")
        missing = [path for path in paths if path not in known]
        if missing:
            net, mean, std = backbones.create("efficientnet_lite0", True, image_size=size)
            tower = nn.Sequential(backbones.Normalize(mean, std), net).eval().to(memory_format=torch.channels_last)
            for at in range(0, len(missing), 8):
                some = missing[at : at + 8]
                with torch.inference_mode():
                    known.update(zip(some, tower(torch.from_numpy(resized(some, size))).numpy(), strict=True))
            np.savez(kept, **known)
        spent("features")
        return torch.from_numpy(np.stack([known[path] for path in paths]))

    return features


def head(run: Path, options: dict) -> None:
    """A linear head on features of a frozen backbone."""
    import torch
    from sklearn.metrics import roc_auc_score
    from torch import nn

    spent("import")
    features = frozen_features(int(options["image_size"]), Path("features.npz"))

    class Head(nn.Module):
        def __init__(self, samples):
            super().__init__()
            self.mean, std = samples.mean(0), samples.std(0, correction=0)
            self.std = torch.where(std > 1e-6, std, 1.0)
            self.linear = nn.Linear(samples.shape[1], 2)

        def forward(self, inputs):
            return self.linear((inputs - self.mean) / self.std)

    def model_of(samples):
        model = Head(samples)
        return model, torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2, fused=True)

    folds = network_folds(run, options, features, model_of, "defect", roc_auc_score)
    cross_validated(run, mean_of("defect"), folds)


def scratch(run: Path, options: dict) -> None:
    """The network of digits, trained on pixels."""
    import torch
    from sklearn.metrics import accuracy_score, log_loss
    from torch import nn

    spent("import")

    class Pixels(nn.Module):
        def forward(self, pixels):
            return (pixels.permute(0, 3, 1, 2).float() - 127.5) / 127.5

    def block(inputs, outputs):
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    def model_of(samples):
        layers = [*block(1, 16), nn.MaxPool2d(2), *block(16, 32), nn.MaxPool2d(2), *block(32, 64), nn.Flatten()]
        model = nn.Sequential(Pixels(), *layers, nn.Dropout(0.3), nn.Linear(64 * 7 * 7, 10))
        return model, torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2, fused=True)

    def scored(labels, found):
        accuracy_score(labels, found.argmax(axis=1))
        log_loss(labels, found, labels=range(10))

    inputs_of = lambda paths: torch.from_numpy(resized(paths, 28, gray=True))  # noqa: E731
    cross_validated(run, mean_of("label"), network_folds(run, options, inputs_of, model_of, "label", scored))


def finetune(run: Path, options: dict) -> None:
    """A pretrained network, trained on pixels."""
    import torch
    from sklearn.metrics import roc_auc_score
    from torch import nn

    from goldfold.nn import backbones

    spent("import")
    size = int(options["image_size"])

    def model_of(samples):
        name = "efficientnet_lite0"
        net, mean, std = backbones.create(name, True, in_chans=3, num_classes=2, image_size=size, drop_rate=0.2)
        last = {id(value) for value in net.get_classifier().parameters()}
        groups = [
            {"params": [value for value in net.parameters() if id(value) not in last], "lr": 3e-4},
            {"params": list(net.get_classifier().parameters()), "lr": 9e-4},
        ]
        model = nn.Sequential(backbones.Normalize(mean, std), net)
        return model, torch.optim.AdamW(groups, weight_decay=1e-2, fused=True)

    inputs_of = lambda paths: torch.from_numpy(resized(paths, size))  # noqa: E731
    folds = network_folds(run, options, inputs_of, model_of, "defect", roc_auc_score)
    cross_validated(run, mean_of("defect"), folds)


def table(run: Path, options: dict) -> None:
    """Logistic regression on a table."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    spent("import")

    def folds(train, test, numbers):
        features, labels = train.drop(columns=["id", "target"]), train["target"]
        for fold in sorted(set(numbers.tolist())):
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            model.fit(features[numbers != fold], labels[numbers != fold])
            spent("training")
            found = model.predict_proba(features[numbers == fold])[:, 1]
            spent("predicting")
            roc_auc_score(labels[numbers == fold], found)
            spent("scoring")
            yield fold, found, model.predict_proba(test.drop(columns="id"))[:, 1]

    cross_validated(run, mean_of("target"), folds)


def cosines_of(embeddings: np.ndarray) -> np.ndarray:
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return units @ units.T


def average_precisions(
    embeddings: np.ndarray, recording: np.ndarray, second: np.ndarray, depth: int = 20
) -> np.ndarray:
    """AP at 20 of each frame against the others: relevant up to 10 s away, nearer ones than 2 s left out."""
    apart = np.abs(second[:, None] - second)
    same = recording[:, None] == recording
    near = same & (apart <= 2 + 1e-6)
    relevant = same & (apart <= 10 + 1e-6) & ~near
    cosines = np.where(near, -np.inf, cosines_of(embeddings))
    ranked = np.argsort(-cosines, axis=1, kind="stable")[:, :depth]
    hits = np.take_along_axis(relevant, ranked, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, depth + 1)
    counts = relevant.sum(1)
    return ((precision * hits).sum(1) / np.minimum(depth, np.maximum(counts, 1)))[counts > 0]


def nearest_frames(test: pd.DataFrame, tests: list[np.ndarray], length: int = 24) -> pd.DataFrame:
    """The submission of frames: the others by their mean cosine over the folds."""
    cosines = np.mean([cosines_of(embeddings) for embeddings in tests], axis=0)
    np.fill_diagonal(cosines, -np.inf)
    ids = test["id"].to_numpy()
    ranked = np.argsort(-cosines, axis=1, kind="stable")[:, :length]
    return pd.DataFrame({"id": ids, "frames": [" ".join(ids[row]) for row in ranked]})


def frames(run: Path, options: dict) -> None:
    """A projector trained with FastAP on features of a frozen backbone; frames are ranked by their cosines."""
    import torch
    from pytorch_metric_learning.losses import FastAPLoss
    from torch import nn

    from goldfold.nn import backbones

    spent("import")
    size, width = int(options["image_size"]), int(options["projector_dim"])
    features, loss_of = frozen_features(size, Path("features.npz")), FastAPLoss(10)

    def block(inputs):
        return [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]

    def folds(train, test, numbers):
        inputs, tested = (features(rows["path"].tolist()) for rows in (train, test))
        recording, second = train["recording"].to_numpy(), train["second"].to_numpy()
        for fold in sorted(set(numbers.tolist())):
            held = numbers == fold
            near = (np.abs(second[:, None] - second[held]) <= 2 + 1e-6) & (recording[:, None] == recording[held])
            rows, seed = np.flatnonzero(~near.any(1)), derive(0, "fold", fold)
            torch.manual_seed(seed)
            backbones.create("efficientnet_lite0", True, image_size=size)  # draws what the run's projector comes after
            hidden = [*block(inputs.shape[1]), *block(width)]
            model = nn.Sequential(*hidden, nn.Linear(width, width, bias=False), nn.BatchNorm1d(width, affine=False))
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)

            def embed(inputs, model=model):
                with torch.no_grad():
                    return torch.cat([model(part) for part in inputs.split(16)]).numpy()

            def score(embed=embed, held=held):
                found = embed(inputs[held])
                spent("predicting")
                average_precisions(found, recording[held], second[held]).mean()
                spent("scoring")

            data = inputs[rows], torch.from_numpy(pd.factorize(train["place"].iloc[rows])[0])
            train_network(model, optimizer, data, seed, int(options["metric_epochs"]), 64, True, score, loss_of)
            torch.save(model.state_dict(), f"fold{fold}.pt")
            yield fold, embed(inputs[held]), embed(tested)

    cross_validated(run, nearest_frames, folds)


if __name__ == "__main__":
    script, folder, *words = sys.argv[1:]
    {"head": head, "scratch": scratch, "finetune": finetune, "table": table, "frames": frames}[script](
        Path(folder), dict(word.split("=", 1) for word in words)
    )
    print(json.dumps(SPENT))
