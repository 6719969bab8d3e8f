"""`make log` and `make remark`: rows by time, computed changes and categories, remarks that are checked again."""

from __future__ import annotations

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from error_codes import raises_code
from planted_runs import edit, plant

from goldfold.cli.main import main
from goldfold.project import Project

PLACE = Path("runs/blobs")
TOY = Path(__file__).parents[1] / "toy"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of blobs: two perceptrons, an estimator, their blend, a repeat with every epoch kept, a picked epoch."""
    root = tmp_path_factory.mktemp("log") / "project"
    shutil.copytree(TOY, root, ignore=shutil.ignore_patterns("__pycache__"))
    project = Project(root, quiet=True)
    first = project.train("blobs", "perceptron")
    project.train("blobs", "perceptron", dropout=0.5, learning_rate=0.05)
    other = project.train("blobs", "estimator")
    project.blend([first, other])
    project.train("blobs", "perceptron", debug=True).pick(2)
    other.grade()
    return root


@pytest.fixture
def project(toy: Path, trained: Path) -> Project:
    """The trained runs in the current folder."""
    for part in ("runs", "data", "submissions"):
        shutil.copytree(trained / part, toy / part)
    return Project(quiet=True)


def table() -> pd.DataFrame:
    return pd.read_csv(PLACE / "log.csv", keep_default_na=False, na_values=[""]).set_index("run")


def test_categories_changes_and_differences_are_computed(project: Project) -> None:
    found = project.log("blobs")
    rows = table()
    assert list(rows.index) == [
        *("perceptron-r1", "perceptron-r2", "estimator-r1", "blend-r1", "perceptron-r3", "perceptron-r4")
    ]
    assert list(rows["category"]) == [
        *("baseline", "several changes", "ablation", "ensemble", "repeat", "picked epoch")
    ]
    assert rows["compared_with"].fillna("").to_dict() == {
        "perceptron-r1": "",
        "perceptron-r2": "perceptron-r1",
        "estimator-r1": "perceptron-r1",
        "blend-r1": "estimator-r1",
        "perceptron-r3": "perceptron-r1",
        "perceptron-r4": "perceptron-r3",
    }
    assert rows["changed"]["perceptron-r2"] == "learning_rate 0.01 -> 0.05, dropout 0.2 -> 0.5"
    assert rows["changed"]["estimator-r1"] == "recipe perceptron -> estimator"
    assert rows["changed"]["perceptron-r4"] == "select last -> 2"
    assert rows["changed"]["blend-r1"] == "blend of perceptron-r1, estimator-r1"
    for run, reference in rows["compared_with"].dropna().items():
        compared = project.compare([reference, run], accept=["unequal_budget"]).table.loc[f"blobs/{run}"]
        own = rows.loc[run]
        for column, name in (("difference", "difference"), ("difference_low", "low"), ("difference_high", "high")):
            assert own[column] == pytest.approx(compared[name], abs=1e-12)
        assert own["difference_percent"] == pytest.approx(100 * compared["relative"])
        assert own["difference_pp"] == pytest.approx(100 * compared["difference"])
    assert rows["hidden"]["estimator-r1"] == project.run("estimator-r1").grade()
    page = (PLACE / "log.md").read_text(encoding="utf-8")
    assert "2 changes: the difference cannot be attributed to one of them (learning_rate, dropout)" in page
    headings = re.findall(r"^## \d{8}-(\S+)$", page, re.MULTILINE)
    assert headings == list(rows.index)[::-1]
    assert found.left_out == {}
    assert str(found).count("\n| 2") == 6
    assert not re.search(r"[+-]\d+\.\d+ %(?!\))", page), "a lone % of a difference"


def test_rows_are_in_order_of_the_recorded_start(project: Project) -> None:
    edit(PLACE / "estimator-r1" / "reproduce.json", started="2020-01-01T00:30:00+02:00")
    edit(PLACE / "perceptron-r2" / "reproduce.json", started="2019-12-31T23:00:00+00:00")
    project.log("blobs")
    assert list(table().index)[:2] == ["estimator-r1", "perceptron-r2"]
    assert table()["id"]["estimator-r1"] == "20191231-estimator-r1"  # in UTC


def test_only_keys_with_an_effect_count(project: Project, toy: Path) -> None:
    """A parameter that its mode leaves idle, and keys that change no prediction, are no change."""
    module = toy / "competitions" / "blobs" / "__init__.py"
    text = module.read_text(encoding="utf-8")
    text = text.replace("    dropout: float = 0.2\n", "    dropout: float = 0.2\n    mode: str = 'a'\n" + IDLE)
    text = text.replace("Epochs, ", "Epochs, Needs, ", 1)
    module.write_text(
        text.replace("import torch\n", "import torch\nfrom typing import Annotated\n", 1), encoding="utf-8"
    )
    plant(PLACE / "perceptron-r1", "idle-r1", day=1, strength=3.0, debug=True, accept=["x"])
    plant(PLACE / "perceptron-r1", "used-r1", day=2, strength=3.0, mode="b")
    project.log("blobs")
    rows = table()
    assert rows["changed"]["used-r1"] == "mode a -> b, strength 1.0 -> 3.0"
    assert rows["changed"]["perceptron-r1"] == "nothing"


IDLE = "    strength: Annotated[float, Needs(mode='b')] = 1.0\n"


def test_environment_data_and_untrained_runs_have_their_categories(project: Project) -> None:
    source = PLACE / "perceptron-r1"
    packages = json.loads((source / "reproduce.json").read_text())["packages"]
    plant(source, "a-r1", day=1)
    edit(plant(source, "b-r1", day=2) / "reproduce.json", packages=packages | {"torch": "9.9"})
    edit(plant(source, "c-r1", day=3) / "reproduce.json", data_hash="other")
    untrained = plant(source, "d-r1", day=4, mean=0.95, epochs=0)
    for history in untrained.glob("fold*/history.json"):
        history.write_text("[]", encoding="utf-8")
    plant(source, "e-r1", day=5, folds=[0.5, 0.5, 0.5], dropout=0.9)
    project.log("blobs")
    rows = table()
    categories = rows["category"][["a-r1", "b-r1", "c-r1", "d-r1", "e-r1"]]
    assert list(categories) == ["baseline", "environment", "other data", "baseline", "baseline"]
    assert "torch 2" in rows["changed"]["b-r1"]
    assert "-> 9.9" in rows["changed"]["b-r1"]
    section = (PLACE / "log.md").read_text(encoding="utf-8").partition("-perceptron-r2\n")[2].partition("\n## ")[0]
    assert "below_untrained" in section
    assert "not shown to beat nothing trained" in section


def test_a_remark_becomes_outdated_by_a_later_run_and_is_not_edited(project: Project) -> None:
    run = project.run("perceptron-r2")
    best = plant(PLACE / "perceptron-r1", "best-r1", day=1, mean=0.97, dropout=0.1)
    told = project.run("best-r1").remark("best", name="v9")
    assert "'best' true" in str(told)
    assert project.log("blobs").findings == ()
    plant(PLACE / "perceptron-r1", "later-r1", day=2, mean=0.98, dropout=0.15)
    (finding,) = project.log("blobs").findings
    assert (finding.code, finding.level, finding.where) == ("remark_outdated", "warning", "best-r1")
    assert "later-r1 has 0.9800" in finding.message
    page = (PLACE / "log.md").read_text(encoding="utf-8")
    assert "| ~~best~~" in page
    assert "'best' no longer true: later-r1 has 0.9800" in page
    assert json.loads((best / "remarks.json").read_text())[0]["text"] == "best"
    assert table()["id"]["best-r1"] == "20260201-v9"
    project.run("best-r1").remark("best so far")
    assert project.log("blobs").findings == ()
    entries = json.loads((best / "remarks.json").read_text(encoding="utf-8"))
    assert [each["text"] for each in entries] == ["best", "best so far"]
    assert entries[0]["time"] < entries[1]["time"]
    assert run.remark("nothing special").texts[0].told == "nothing in it to check"


def test_an_accepted_lie_is_stored_and_struck(project: Project) -> None:
    main(["remark", "--run", "perceptron-r1", "--text=best of all", "--accept", "remark_untrue"])
    (finding,) = project.log("blobs").findings
    assert (finding.code, finding.where) == ("remark_untrue", "perceptron-r1")
    assert "<s>best of all</s>" in (PLACE / "log.html").read_text(encoding="utf-8")
    assert "'best' untrue" in table()["table_says"]["perceptron-r1"]


def test_the_user_chooses_reference_category_and_name(project: Project, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["remark", "--run", "estimator-r1", "--text=+9.9 pp", "--against=perceptron-r2"])
    assert stopped.value.code == 2
    assert "against perceptron-r2" in capsys.readouterr().err
    main(["remark", "--run", "estimator-r1", "--against=blobs/perceptron-r2", "--category=Studie", "--name=数字 v1"])
    project.log("blobs")
    row = table().loc["estimator-r1"]
    assert (row["compared_with"], row["category"]) == ("perceptron-r2", "Studie")
    assert row["category_computed"] == "several changes"
    assert row["id"].endswith("-数字 v1")
    page = (PLACE / "log.md").read_text(encoding="utf-8")
    assert "perceptron-r2 (user's choice)" in page
    assert "Studie (user's; computed: several changes)" in page
    project.run("perceptron-r4").remark("worse than 数字 v1")
    shutil.rmtree(PLACE / "perceptron-r2")
    project.log("blobs")
    assert "(chosen perceptron-r2 cannot be compared)" in (PLACE / "log.md").read_text(encoding="utf-8")


def test_bad_remarks_are_refused(project: Project) -> None:
    run = project.run("estimator-r1")
    with raises_code("remark_empty", "TEXT"):
        run.remark("  ")
    with raises_code("unknown_run", "perceptron-r11", "perceptron-r1"):
        run.remark("x", against="perceptron-r11")
    with raises_code("label_claims_score", "best-so-far"):
        run.remark(name="best-so-far")
    with raises_code("label_claims_score", "CATEGORY"):
        run.remark(category="new record")
    with raises_code("label_too_long", "81"):
        run.remark(name="x" * 81)
    with raises_code("name_taken", "perceptron-r1"):
        run.remark(name="perceptron-r1")
    with raises_code("unknown_field", "txt"):
        run.remark("x", txt="y")
    plant(PLACE / "perceptron-r1", "rmse-r1", day=1, metric="rmse")
    with raises_code("different_metrics", "rmse"):
        run.remark("x", against="rmse-r1")


def test_damaged_and_unfinished_runs_are_named_and_break_nothing(project: Project) -> None:
    (PLACE / "perceptron-r2" / "record.md").unlink()
    for number in (3, 4):  # of an older version
        (PLACE / f"perceptron-r{number}" / "manifest.json").unlink()
    (PLACE / "perceptron-r3" / "metrics.json").write_text("{", encoding="utf-8")
    (PLACE / "perceptron-r4" / "reproduce.json").write_text("[]", encoding="utf-8")
    shutil.rmtree(plant(PLACE / "perceptron-r1", "nofits-r1", day=1) / "fold0-seed0")
    for number, content in enumerate(('{"auroc": {}}', "{}", "[]", "3", '{"auroc": 3}')):
        (plant(PLACE / "perceptron-r1", f"bad-r{number}", day=1) / "metrics.json").write_text(content)
    (plant(PLACE / "perceptron-r1", "said-r1", day=1) / "remarks.json").write_text("{}", encoding="utf-8")
    (PLACE / "empty-r1").mkdir()
    found = project.log("blobs")
    assert {"perceptron-r2", "perceptron-r3", "perceptron-r4", "said-r1", "empty-r1"} <= found.left_out.keys()
    assert {f"bad-r{number}" for number in range(5)} <= found.left_out.keys()
    assert "not finished" in found.left_out["perceptron-r2"]
    assert {"perceptron-r1", "estimator-r1"} <= set(table().index)
    (line,) = [line for line in str(found).splitlines() if line.startswith("Left out:")]
    assert "perceptron-r3, since its folder is damaged" in line
    project.run("estimator-r1").remark("best so far")
    with raises_code("run_damaged", "perceptron-r3", "metrics.json is not JSON"):
        project.run("perceptron-r3").remark("x")
    for folder in PLACE.glob("*-r*"):
        (folder / "record.md").unlink(missing_ok=True)
    with raises_code("no_finished_run", "not finished"):
        project.log("blobs")


class Texts(HTMLParser):
    """Tags and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_user_texts_are_escaped_everywhere(project: Project) -> None:
    text = '=HYPERLINK("x") | <script>alert(1)</script> & *bold* [a](b)\n# second line: 日本語 ¿ñ?'
    project.run("perceptron-r1").remark(text, name="<b>|=1", conclusion="@SUM(1)", category="\u202eabc <i>")
    project.log("blobs")
    page = (PLACE / "log.html").read_text(encoding="utf-8")
    read = Texts(page)
    assert not {"script", "b", "i", "link", "img"} & set(read.tags)
    assert all(link.startswith("#") for link in read.links)
    assert "<script>alert(1)</script> & *bold* [a](b)" in read.text
    assert "日本語" in read.text
    assert "prefers-color-scheme: dark" in page
    markdown = (PLACE / "log.md").read_text(encoding="utf-8")
    rows = [line for line in markdown.splitlines() if line.startswith("|")][:8]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in rows}
    assert len(cells) == 1, "a pipe of a text makes no column"
    assert "\\<script>" in markdown
    assert "(b)" not in re.sub(r"\]\\\(b\)", "", markdown)
    with (PLACE / "log.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["run"] == "perceptron-r1")
    assert row["remark"] == f"'{text}"
    assert row["conclusion"] == "'@SUM(1)"
    assert not [name for name, cell in row.items() if cell[:1] in ("=", "+", "@")]
    assert table()["difference"].dropna().map(type).eq(float).all()
    assert (table()["difference"] < 0).any(), "a negative number stays a number"


def test_a_submission_message_is_checked_before_anything_is_sent(project: Project) -> None:
    with raises_code("remark_untrue", "perceptron-r1", "message", "ACCEPT=remark_untrue"):
        project.run("perceptron-r1").submit(to="local", message="best")
    with raises_code("remark_untrue", "+2.3"):
        project.run("perceptron-r2").submit(to="local", message="+2.3")
    assert not list(Path("submissions").glob("ledger*"))


def test_runs_with_a_backbone_have_a_table_of_remarks_each(project: Project, toy: Path) -> None:
    module = toy / "competitions" / "blobs" / "__init__.py"
    text = module.read_text(encoding="utf-8").replace("Epochs, ", "BackboneName, Epochs, ", 1)
    text = text.replace("    dropout: float = 0.2\n", '    dropout: float = 0.2\n    backbone: BackboneName = "vit"\n')
    module.write_text(text, encoding="utf-8")
    for day, (name, backbone, mean) in enumerate(
        [("v1-r1", "vit/16", 0.8), ("v2-r1", "vit/16", 0.9), ("v3-r1", "rn50", 0.95)], 1
    ):
        plant(PLACE / "perceptron-r1", name, day=day, mean=mean, backbone=backbone)
    fresh = Project(quiet=True)
    fresh.run("v2-r1").remark("best vit", name="v2")
    with raises_code("remark_untrue", "with backbone vit/16"):
        fresh.run("v1-r1").remark("best vit")
    with raises_code("remark_untrue", "v3-r1"):
        fresh.run("v2-r1").remark("best")
    fresh.log("blobs")
    read = pd.read_csv(PLACE / "remarks_vit_16.csv", keep_default_na=False)
    assert read.to_dict("records") == [
        {"model_version": "v1-r1", "remarks": ""},
        {"model_version": "v2", "remarks": "best vit"},
    ]
    assert len(pd.read_csv(PLACE / "remarks_rn50.csv")) == 1
