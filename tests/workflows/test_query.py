"""`query` in the toy project: what it finds is worked out again from the weights of each fit."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from goldfold.cli.main import main
from goldfold.errors import GoldfoldError
from goldfold.experiment.queries import asked, embedding_search
from goldfold.project import Project
from goldfold.retrieval.pairs import by_label
from goldfold.workflows.query import Answers

TOY = Path(__file__).parents[1] / "toy"
RUN = Path("runs/twins/baseline-r1")
PUBLIC = Path("data/twins/public")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The toy project with a run of embeddings (r1) and a collapsed one (r2), as the current folder."""
    folder = tmp_path_factory.mktemp("toy") / "project"
    shutil.copytree(TOY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        for name in [name for name in sys.modules if name.split(".")[0] == "competitions"]:
            patch.delitem(sys.modules, name)
        for overrides in ([], ["shift=30"]):
            main(["train", "--comp", "twins", "--config", "baseline", *overrides])
        yield folder


def ask(run: str = "baseline-r1", image: Sequence = (), ids: Sequence[str] = (), top: int = 10) -> Answers:
    found = Project(quiet=True).run(run).query(image, ids, top=top, device="cpu")
    print(found)
    return found


def refused(**asked) -> GoldfoldError:
    with pytest.raises(GoldfoldError) as refusal:
        ask(**asked)
    return refusal.value


def written(name: str) -> pd.DataFrame:
    table = pd.read_csv(RUN / "queries" / f"{name}.csv", keep_default_na=False)
    assert list(table) == ["query", "rank", "id", "similarity", "label", "fold", "right", "note"]
    return table


def rows() -> pd.DataFrame:
    tables = [pd.read_csv(PUBLIC / f"{name}.csv") for name in ("train", "test")]
    return pd.concat(tables, ignore_index=True)


def pixels(path: Path) -> np.ndarray:
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image.shape != (12, 12):
        image = cv2.resize(image, (12, 12), interpolation=cv2.INTER_AREA)
    return image.reshape(-1) / 255 - 0.5


def cosines(path: Path) -> np.ndarray:
    """The mean over fits of an image's cosines with every row, from the weights that were saved last."""
    shown, own, by_fit = np.stack([pixels(PUBLIC / each) for each in rows()["path"]]), pixels(path), []
    for fold in range(3):
        layer = load_file(RUN / f"fold{fold}-seed0/checkpoints/kinds_epoch_004.safetensors")
        points, point = (each @ layer["weight"].T + layer["bias"] for each in (shown, own))
        by_fit.append(points @ point / np.linalg.norm(points, axis=1) / np.linalg.norm(point))
    return np.mean(by_fit, axis=0)


def test_an_internal_query_finds_what_the_weights_say_and_never_itself(trained: Path, capsys) -> None:
    table, known = rows(), rows().set_index("id")
    ask(ids=["帧4-2"], top=60)
    found, out = written("帧4-2"), capsys.readouterr().out
    wanted = pd.Series(cosines(PUBLIC / known["path"]["帧4-2"]), index=table["id"]).drop("帧4-2")
    order = wanted.sort_values(ascending=False)[:60]
    assert found["id"].tolist() == order.index.tolist()
    assert found["similarity"].to_numpy() == pytest.approx(order.to_numpy(), abs=1e-6)
    assert found["rank"].tolist() == list(range(1, 61))
    drawn = pd.read_csv(RUN / "folds.csv").set_index("id")["fold"]
    for _, row in found.iterrows():
        recording, frame = known["recording"][row["id"]], known["frame"][row["id"]]
        hidden, same = pd.isna(known["kind"][row["id"]]), recording == 4
        near = same and abs(frame - 2) <= 1
        assert row["label"] == ("test" if hidden else known["kind"][row["id"]])
        assert row["fold"] == ("-" if hidden else str(drawn[row["id"]]))
        assert row["note"] == ("near-duplicate" if near else "left out by the metric" if same else "")
        right = "right" if known["kind"][row["id"]] == known["kind"]["帧4-2"] else "wrong"
        assert row["right"] == ("" if hidden or same else right)
    ranked = wanted.sort_values(ascending=False).reset_index().rename(columns={"index": "id"})
    ranked["rank"] = np.arange(1, len(ranked) + 1)
    counted = ranked[ranked["id"].map(lambda each: known["recording"][each] not in (4, 15, 16, 17))][:60]
    right = int((counted["id"].map(known["kind"]) == known["kind"]["帧4-2"]).sum())
    ranks = f"ranks {counted['rank'].min()} to {counted['rank'].max()}"
    assert f"{right} of the first 60 that count, {ranks}, are right; at random" in out
    hidden = int((found["label"] == "test").sum())
    assert f"shown and not counted: {hidden} of hidden label, 2 near-duplicate, 2 left out by the metric" in out
    others = ", ".join(str(fold) for fold in range(3) if fold != drawn["帧4-2"])
    assert f"validated in fold {drawn['帧4-2']}; the fits of folds {others} trained on it" in out
    assert "each train row was trained on by 2 of 3" in out


def test_chance_is_the_share_of_right_rows_among_those_that_count(trained: Path, capsys) -> None:
    assert refused(ids=["帧4-2"], top=90).code == "top_too_large"
    ask(ids=["帧4-2"], top=89)
    train = rows().dropna(subset="kind")
    others = train[train["recording"] != 4]
    right = int((others["kind"] == train.set_index("id")["kind"]["帧4-2"]).sum())
    assert f"are right; at random {right:.1f} would be" in (out := capsys.readouterr().out)
    assert f"{right} of the first {len(others)} that count, ranks " in out
    found = written("帧4-2")
    assert sorted(found["id"]) == sorted(set(rows()["id"]) - {"帧4-2"})
    assert (found["note"] == "near-duplicate").sum() == 2


@pytest.mark.parametrize("mode", ["gray", "16-bit gray", "RGBA", "16-bit RGBA", "palette", "JPEG"])
def test_any_image_can_ask(trained: Path, tmp_path: Path, capsys, mode: str) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    eight, path = draw.integers(0, 255, (30, 47, 4)).astype(np.uint8), tmp_path / "外来 фото.png"
    if mode == "palette":
        Image.fromarray(eight[..., :3]).quantize(16).save(path)
    elif mode == "JPEG":
        Image.fromarray(eight[..., :3]).save(path := tmp_path / "外来 фото.jpg")
    else:
        image = eight.astype(np.uint16) * 257 if "16-bit" in mode else eight
        cv2.imencode(".png", image[..., 0] if "gray" in mode else image)[1].tofile(path)
    ask(image=[str(path)], top=7)
    found, out = written("外来 фото"), capsys.readouterr().out
    wanted = np.sort(cosines(path))[::-1][:7]
    assert found["similarity"].to_numpy() == pytest.approx(wanted, abs=0.02 if mode == "JPEG" else 1e-4)
    assert set(found["right"]) == set(found["note"]) == {""}
    assert "an image from elsewhere has no label here" in out
    picture = cv2.imdecode(np.fromfile(RUN / "queries/外来 фото.png", np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1] == 1020


def test_an_image_from_elsewhere_is_placed_among_the_best_answers_of_the_rows(
    trained: Path, tmp_path: Path, capsys
) -> None:
    train = rows().dropna(subset="kind").reset_index(drop=True)
    best = []
    for place, path in enumerate(train["path"]):
        own = cosines(PUBLIC / path)[: len(train)]
        left_out = (train["recording"] == train["recording"][place]) & (train["kind"] == train["kind"][place])
        best.append(own[~left_out].max())
    noise = np.random.default_rng(1).integers(0, 255, (12, 12)).astype(np.uint8)
    cv2.imwrite(str(path := tmp_path / "noise.png"), noise)
    own = cosines(path)[: len(train)].max()
    ask(image=[str(path)])
    below = 100 * float((np.array(best) < own).mean())
    wanted = f"its best answer in the train table, {own:.4f}, is above {below:.0f} % of the best answers of the 75 rows"
    out = capsys.readouterr().out
    assert wanted in out
    assert f"(median {np.median(best):.4f})" in out


def test_a_copy_of_a_row_is_told(trained: Path, tmp_path: Path) -> None:
    shutil.copy(PUBLIC / "图/7_3.png", tmp_path / "copy.png")
    ask(image=[str(tmp_path / "copy.png")], top=3)
    first, *others = written("copy")[["id", "note"]].itertuples(index=False)
    assert tuple(first) == ("帧7-3", "the same file")
    assert {other.note for other in others} == {""}


def test_rows_of_the_test_table_ask_and_images_beside_them(trained: Path, tmp_path: Path, capsys) -> None:
    shutil.copy(PUBLIC / "图/7_3.png", tmp_path / "a.png")
    ask(image=[str(tmp_path / "a.png")], ids=["帧15-1", "帧0-0", "帧15-1"], top=4)
    out, found = capsys.readouterr().out, written("a+帧15-1+帧0-0")
    assert found["query"].tolist() == ["a.png"] * 4 + ["帧15-1"] * 4 + ["帧0-0"] * 4
    assert "query 帧15-1: a row of the test table, trained on by no fit" in out
    assert "labels of the test table are hidden" in out
    hidden = found[found["query"] == "帧15-1"]
    assert set(hidden.loc[hidden["note"] != "", "id"]) <= {"帧15-0", "帧15-2"}


def test_answers_that_are_alike_because_all_are_one_point_are_warned_of(trained: Path, capsys) -> None:
    ask(ids=["帧4-2"])
    healthy = capsys.readouterr().out
    assert "warning" not in healthy
    ask(run="baseline-r2", ids=["帧4-2"])
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("warning  embedding_collapse"))
    table = pd.read_csv("runs/twins/baseline-r2/queries/帧4-2.csv")
    low, high = table["similarity"].min(), table["similarity"].max()
    assert f"these 10 answers lie between {low:.4f} and {high:.4f}" in told
    assert high - low < 0.01
    assert "ranks say nothing" in told


def test_what_cannot_ask_is_refused_in_a_sentence(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    for image in (tmp_path / "text.jpg", Path("nowhere.png")):
        error = refused(image=[image])
        assert error.code == "unreadable_image"
        assert image.name in error.message
        assert "IMAGE takes a PNG" in error.message
    unknown = refused(ids=["帧4_2"]).message
    assert "'帧4_2'" in unknown
    assert "nearest: 帧4-2" in unknown
    assert refused().code == "nothing_to_query"
    assert refused(ids=["帧4-2"], top=0).code == "top_too_small"
    assert "'baseline-r9'" in refused(run="baseline-r9", ids=["帧4-2"]).message


def test_answers_are_tables_that_the_command_prints(trained: Path, capsys) -> None:
    found = ask(ids=["帧4-2", "帧15-1"], top=3)
    assert found.queries == ("帧4-2", "帧15-1")
    assert [table["query"].unique().tolist() for table in found.tables] == [["帧4-2"], ["帧15-1"]]
    both = pd.concat(found.tables, ignore_index=True)
    assert both.astype(str).equals(written("帧4-2+帧15-1").astype(str))
    assert [path.suffix for path in found.files] == [".csv", ".png"]
    capsys.readouterr()
    main(["query", "--run", "baseline-r1", "--ids", "帧4-2", "帧15-1", "--top", "3", "--device", "cpu"])
    assert capsys.readouterr().out == f"{found}\n"


def test_the_command_line_asks_with_its_defaults(trained: Path, capsys) -> None:
    main(["query", "--run", "baseline-r1", "--ids", "帧0-0", "帧1-0", "--quiet"])
    assert f"{RUN / 'queries' / '帧0-0+帧1-0.csv'}: 20 answers" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["query", "--run", "baseline-r1", "--image", "nowhere.png"])
    assert stopped.value.code == 2


def test_long_names_are_cut_and_told_apart(trained: Path, tmp_path: Path) -> None:
    names = []
    for last in "ab":
        path = tmp_path / f"{'很' * 60}{last}.png"
        shutil.copy(PUBLIC / "图/7_3.png", path)
        before = set(Path(RUN / "queries").glob("*.csv")) if (RUN / "queries").exists() else set()
        ask(image=[str(path)], top=1)
        names += set(Path(RUN / "queries").glob("*.csv")) - before
    assert len(set(names)) == 2
    assert all(len(name.name.encode()) < 150 for name in names)


def test_what_is_no_embedder_and_what_changed_since_is_refused(toy: Path) -> None:
    main(["train", "--comp", "blobs", "--config", "estimator"])
    error = refused(run="estimator-r1", ids=["点1"])
    assert error.code == "nothing_to_answer"
    assert "predicts float64 of shape (120,)" in error.message
    main(["train", "--comp", "twins", "--config", "baseline", "epochs=1", "folds=[0]"])
    with Path("competitions/twins/__init__.py").open("a", encoding="utf-8") as file:
        file.write("\nANOTHER = 1\n")
    error = refused(ids=["帧4-2"])
    assert error.code == "code_changed"
    assert "twins/baseline-r1" in error.message


def test_a_fit_without_training_is_built_again(toy: Path) -> None:
    path = Path("competitions/twins/__init__.py")
    text = path.read_text(encoding="utf-8")
    stages = text.index("stages=["), text.index("],", text.index("stages=[")) + 2
    path.write_text(text[: stages[0]] + text[stages[1] :], encoding="utf-8")
    main(["train", "--comp", "twins", "--config", "baseline"])
    assert not list(RUN.rglob("*.safetensors"))
    hidden = [np.load(RUN / f"fold{fold}-seed0/test.npy") for fold in range(3)]
    ids = pd.read_csv(PUBLIC / "test.csv")["id"]
    ask(ids=[ids[0]], top=89)
    found = written(ids[0]).set_index("id")["similarity"]
    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in hidden]
    wanted = np.mean([unit @ unit[0] for unit in units], axis=0)[1:]
    assert found[ids[1:]].to_numpy() == pytest.approx(wanted, abs=1e-6)


def test_near_duplicates_are_those_within_the_guard_of_one_sequence() -> None:
    from goldfold.optional_parts import Neighbors

    table = pd.DataFrame({"video": ["a", "a", "a", "b", "a"], "second": [0.0, 1.0, 2.5, 1.0, 1.5]})
    near = asked.near_duplicates(table, 1, Neighbors("video", "second", 1.0))
    assert near.tolist() == [True, False, False, False, True]
    assert not asked.near_duplicates(table, 1, None).any()


def test_rows_that_only_ask_are_no_answers_of_unknown_label() -> None:
    table = pd.DataFrame({"id": list("abcde"), "label": ["x", "x", "x", "y", "test"]})  # b is no photograph to find
    pairs = by_label(["x", "x", "x", "y"], queries=[True, True, False, False])
    gallery = embedding_search.Gallery(table, np.eye(5), pairs, None)
    right, notes = embedding_search.relevance(gallery, asked.Query("a", None, 0))
    assert right.tolist() == [-1, -1, 1, 0, -1]
    assert notes[1:].tolist() == ["not in the gallery", "", "", ""]
