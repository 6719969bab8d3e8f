"""HTML pages: Markdown as the reports write it, escaped texts, pictures below a limit, the scale and the verdict."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from page_tags import Tags

from goldfold.data import csv_tables
from goldfold.experiment.run_folders import CALIBRATION
from goldfold.report.page import embedded, markup, reliability, scale, twin
from goldfold.report.page.verdict import verdict
from goldfold.report.plotting.markdown import code, folded, table
from goldfold.trust.calibration import reliability as bins

EVIL = '<script>alert("1")</script> & \'x\' "y"'
SUMMARY = {"mean": 0.8, "interval_95": [0.7, 0.9], "chance": 0.5, "higher_is_better": True, "bounds": [0, 1]}


def no_picture(caption: str, name: str) -> str:
    return f"<figure>{name}</figure>"


def test_everything_that_reports_write_becomes_its_tag() -> None:
    parts = [
        "A line with **bold**, `code **x**` and [a log](log.html).",
        table(("class", "rows"), [("a|b", "1"), ("猫", "22")]),
        "- **error** `leak` (fold 0): rows shared\n- plain",
        code("a: 1\n\nb: <2>", "sh"),
        folded("All 2 keys", "x: 1\n\n## no heading"),
        "![A caption](fold_scores.png)",
        "### Third",
    ]
    text = "# Title\n\nBefore.\n\n## First\n\n" + "\n\n".join(parts) + "\n"
    title, before, sections = markup.sections(text)
    assert (title, before, list(sections)) == ("Title", "Before.", ["First"])
    found = Tags(html := markup.html(sections["First"], no_picture))
    assert found.tags.count("table") == found.tags.count("details") == found.tags.count("figure") == 1
    assert found.tags.count("pre") == found.tags.count("li") == 2
    assert "<strong>bold</strong>, <code>code &#42;&#42;x&#42;&#42;</code>" in html
    assert found.links == ["log.html"]
    assert '<td class="left">a|b</td><td class="right">1</td>' in html
    assert '<li class="error"><strong>error</strong> <code>leak</code>' in html
    assert "<pre><code>a: 1\n\nb: &lt;2&gt;</code></pre>" in html
    assert "x: 1\n\n## no heading</code></pre></details>" in html
    assert html.endswith("<h3>Third</h3>")


@pytest.mark.parametrize(
    "text",
    [
        EVIL,
        f"## {EVIL}",
        f"- {EVIL}\n- **error** `{EVIL}`",
        table((EVIL,), [(EVIL,)]),
        code(EVIL),
        folded(EVIL, EVIL),
        f'[x](javascript:alert(1)) [y](https://a"onclick="b) ![{EVIL}](a.png)',
        "```\nnever closed",
        "|\n| broken",
    ],
)
def test_no_text_becomes_a_tag(text: str) -> None:
    found = Tags(markup.html(text, lambda caption, _: markup.inline(caption)))
    assert "script" not in found.tags
    assert not [link for link in found.links if "javascript" in link or '"' in link]


def test_a_page_holds_its_pictures_and_no_other_file(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    text = "# T\n\n![one](a.png)\n\n## S\n\n![two](absent.png)\n\n![three](../outside.png)\n"
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    html = twin.write(tmp_path / "page.md").read_text(encoding="utf-8")
    found = Tags(html)
    assert [source.partition(",")[0] for source in found.sources] == ["data:image/png;base64"]
    assert base64.b64decode(found.sources[0].partition(",")[2]) == (tmp_path / "a.png").read_bytes()
    assert not re.findall(r'(?:src|href)="(?!data:)[^#]', html)


def test_pictures_stay_below_the_limit_and_small_ones_as_they_are(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    names = [f"noise{number}.png" for number in range(5)] + ["tiny.png"]
    for name in names:
        cv2.imwrite(str(tmp_path / name), noise[:2, :2] if name == "tiny.png" else noise)
    figure = embedded.embedding(tmp_path, names, most=100_000)
    sources = {name: Tags(figure("c", name)).sources[0] for name in names}
    encoded = {name: base64.b64decode(source.partition(",")[2]) for name, source in sources.items()}
    assert sum(map(len, encoded.values())) <= 100_000
    assert encoded["tiny.png"] == (tmp_path / "tiny.png").read_bytes()
    image = cv2.imdecode(np.frombuffer(encoded["noise0.png"], np.uint8), cv2.IMREAD_COLOR)
    assert 0.4 < image.shape[0] / 300 <= 1
    assert image.shape[1] / image.shape[0] == pytest.approx(400 / 300, abs=0.02)


@pytest.mark.parametrize(
    ("changed", "findings", "expected"),
    [
        ({}, [], "better than chance (0.5000); no findings"),
        ({"interval_95": [0.4, 0.9]}, [], "not shown to be better than chance"),
        ({"interval_95": None}, [], "no interval: better, without an interval to show it, than chance"),
        ({"mean": 0.4}, [], "no better than chance"),
        ({"higher_is_better": False}, [], "no better than chance"),
        ({"higher_is_better": False, "chance": 1.0}, [], "better than chance (1.0000)"),
        (
            {},
            [{"level": "note", "code": "a"}, {"level": "warning", "code": "b"}],
            "; the most severe of 2 findings: warning `b`.",
        ),
        (
            {"folds": {"0": 0.8, "1": 0.8}, "untrained": {"folds": {"0": 0.8, "1": 0.9}, "mean": 0.85}},
            [],
            "no better than the untrained model (0.8500)",
        ),
        (
            {"folds": {"0": 0.8, "1": 0.81}, "untrained": {"folds": {"0": 0.1, "1": 0.11}, "mean": 0.105}},
            [],
            ", better than the untrained model",
        ),
        (
            {"folds": {"0": 0.8, "1": 0.9}, "untrained": {"folds": {"0": 0.79, "1": 0.1}, "mean": 0.445}},
            [],
            ", not shown to be better than the untrained model",
        ),
    ],
)
def test_the_verdict_says_what_is_shown(changed: dict, findings: list, expected: str) -> None:
    assert expected in verdict("auroc", SUMMARY | changed, findings)


def test_the_scale_puts_scores_in_proportion_and_cuts_names_apart() -> None:
    names = [f"a_very_long_name_of_a_config_{number}_with_an_ending_that_all_share-r1" for number in range(3)]
    marks = scale.marks(EVIL, SUMMARY, {name: SUMMARY | {"mean": 0.75} for name in names})
    svg = scale.svg(marks)
    found = Tags(svg)
    assert "script" not in found.tags
    places = [float(x) for x in re.findall(r'cx="([\d.]+)"', svg)]
    chance, own, best = places[1], places[0], places[2]
    assert (own - chance) / (best - chance) == pytest.approx(0.6, abs=0.01)
    assert (chance, best) == (scale.EDGE, scale.WIDTH - scale.EDGE)
    assert len(set(re.findall(r"<text x=\"8\"[^>]*>([^<]*)</text>", svg))) == len(marks)


def test_a_scale_without_bounds_and_of_one_value() -> None:
    summary = SUMMARY | {"bounds": [0, float("inf")], "interval_95": None, "mean": 0.5}
    svg = scale.svg(scale.marks("run", summary, {}))
    assert svg.count("<circle") == 2
    assert "nan" not in svg


def test_the_curve_of_calibration_has_a_point_per_bin(tmp_path: Path) -> None:
    assert reliability.section(tmp_path) == ("", "")
    found = bins(np.array([0, 1, 1, 1]), np.array([0.05, 0.95, 0.55, 0.52]))
    (tmp_path / CALIBRATION).write_text(csv_tables.to_text(found), encoding="utf-8")
    svg, text = reliability.section(tmp_path)
    points = [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)]
    assert points[0] == (reliability._x(0.05), reliability._y(0.0))
    assert len(points) == text.count(" to ") == 3
    assert isinstance(pd.read_csv(tmp_path / CALIBRATION), pd.DataFrame)
