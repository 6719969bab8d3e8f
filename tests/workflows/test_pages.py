"""`make report` and `make site`: one page per run from its folder, and an index whose links exist."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from error_codes import raises_code
from page_tags import Tags
from planted_runs import edit, plant

from goldfold.cli.main import main
from goldfold.project import Project

PLACE = Path("runs/blobs")
TOY = Path(__file__).parents[1] / "toy"
NAME = 'quoted"<script>-r1'


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of blobs, and copies that were started earlier and later."""
    root = tmp_path_factory.mktemp("pages") / "project"
    shutil.copytree(TOY, root, ignore=shutil.ignore_patterns("__pycache__"))
    run = Project(root, quiet=True).train("blobs", "perceptron", epochs=2).folder
    metric = next(iter(Project(root, quiet=True).run("perceptron-r1").metrics))
    plant(run, NAME, day=1, mean=0.9, metric=metric)
    other = plant(run, "other-r1", day=2, metric=metric)
    edit(other / "metrics.json", **{metric: {**summary_of(other, metric), "protocol": "on one split"}})
    plant(run, "later-r1", day=3, mean=0.7, metric=metric)
    return root


def summary_of(run: Path, metric: str) -> dict:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))[metric]


@pytest.fixture
def project(toy: Path, trained: Path) -> Project:
    for part in ("runs", "data", "submissions"):
        shutil.copytree(trained / part, toy / part)
    return Project(quiet=True)


def test_a_report_is_one_page_of_the_record_with_its_pictures(project: Project, capsys: pytest.CaptureFixture) -> None:
    main(["report", "--run", "later-r1"])
    path = Path(capsys.readouterr().out.splitlines()[-1])
    assert path == PLACE / "later-r1" / "report.html"
    text = path.read_text(encoding="utf-8")
    found = Tags(text)
    metric, own = next(iter(project.run("later-r1").metrics.items()))
    assert f"{metric} {own['mean']:.4f}, 95 % interval" in found.text
    pictures = list((PLACE / "later-r1").glob("*.png"))
    assert len(found.sources) == len(pictures) > 1
    assert re.search(r"Where the time went, CPU seconds \(wall seconds\): .*training .*pictures .* in all", found.text)
    assert all(source.startswith("data:image/") for source in found.sources)
    for heading in ("Findings", "Folds", "Metrics", "Learning curves", "Budget", "Config", "How to reproduce"):
        assert f"<h2>{heading}</h2>" in text
    assert {link.removeprefix("#") for link in found.links} <= set(text.split('"'))


def test_earlier_runs_of_the_same_protocol_are_on_the_scale(project: Project) -> None:
    text = project.run("later-r1").report().read_text(encoding="utf-8")
    found = Tags(text)
    assert "script" not in found.tags
    assert "quoted&quot;&lt;script&gt;-r1" in text
    assert "1 earlier run of another metric or protocol not drawn" in found.text
    first = Tags(project.run("blobs/" + NAME).report().read_text(encoding="utf-8"))
    assert "later-r1" not in first.text


def test_texts_of_the_user_are_escaped(project: Project) -> None:
    record = PLACE / "later-r1" / "record.md"
    text = record.read_text(encoding="utf-8")
    for old in ("perceptron", "Protocol", "1 seed"):
        assert old in text
        text = text.replace(old, '<img src=x onerror="y">')
    record.write_text(text, encoding="utf-8")
    found = Tags(project.run("later-r1").report().read_text(encoding="utf-8"))
    assert all(source.startswith("data:") for source in found.sources)
    assert '<img src=x onerror="y">' in found.text


def test_a_damaged_run_is_refused_in_one_sentence(project: Project) -> None:
    run = project.run("later-r1")
    for content in ("{", '{"auroc": {}}', "[]"):
        (run.folder / "metrics.json").write_text(content, encoding="utf-8")
        with raises_code("run_damaged", "later-r1", "metrics.json"):
            run.report()


def test_the_index_links_every_run_and_writes_what_is_missing(project: Project) -> None:
    project.log("blobs")
    project.compare(["perceptron-r1", "later-r1"])
    (PLACE / "other-r1" / "metrics.json").write_text("{", encoding="utf-8")
    (PLACE / "perceptron-r1" / "record.md").rename(PLACE / "perceptron-r1" / "kept.md")
    found = project.site()
    assert {path.parent.name for path in found.reports} == {NAME, "later-r1"}
    assert list(found.left_out) == ["other-r1"]
    assert "other-r1" in str(found)
    page = Tags(found.path.read_text(encoding="utf-8"))
    assert {Path("runs", unquote(link)).exists() for link in page.links} == {True}
    assert len(page.links) == 4
    assert "perceptron-r1: not finished" in page.text
    assert "script" not in page.tags


def test_only_reports_older_than_their_run_are_written_again(project: Project, capsys: pytest.CaptureFixture) -> None:
    assert len(project.site().reports) == 4
    assert project.site().reports == ()
    report = PLACE / "later-r1" / "report.html"
    os.utime(report, (0, 0))
    main(["site"])
    assert "4 finished runs, 1 report written now" in capsys.readouterr().out
    assert report.stat().st_mtime > 0


def test_without_a_run_the_index_says_how_to_start_one(toy: Path) -> None:
    with raises_code("no_finished_run", "make train"):
        Project(quiet=True).site()
