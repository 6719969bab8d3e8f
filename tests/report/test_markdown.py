"""Texts of users mean nothing in Markdown, nor in the HTML that is made of it, and nothing of them is lost."""

from __future__ import annotations

import re
from html import unescape

import pandas as pd
import pytest

from goldfold.report.page import markup
from goldfold.report.plotting.markdown import code, escaped, folded, table
from goldfold.report.run import classes, confusion, record

MISCHIEF = [
    "<script>alert(1)</script>",
    "[click](https://evil.example)",
    "![x](https://evil.example/pixel.png)",
    "**bold** _it_ ~~gone~~ `code`",
    "a | b",
    "a \\| b \\",
    "&lt;b&gt;",
    "# heading",
    "数 *x*",
]


def shown(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


@pytest.mark.parametrize("text", MISCHIEF)
def test_an_escaped_text_is_shown_as_it_is(text):
    html = markup.inline(escaped(text))
    assert shown(html) == text
    assert "<" not in html


@pytest.mark.parametrize("text", MISCHIEF)
def test_a_class_of_any_name_is_a_cell_of_the_record(tmp_path, text):
    cells = pd.DataFrame({"true": [text, text], "predicted": ["b", text], "rows": [1, 2]})
    cells.assign(share_of_true=0.5, share_of_predicted=0.5).to_csv(tmp_path / confusion.CONFUSION, index=False)
    page = confusion.section(tmp_path)
    assert escaped(text).replace("|", "\\|") in page
    html = markup.html(page, lambda caption, name: "")
    assert text in [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td[^>]*>(.*?)</td>", html)]
    scores = dict.fromkeys(("chance", "average_precision", "low", "high", "auroc", "precision", "recall", "f1"), 0.5)
    pd.DataFrame({"class": [text], "positives": 3, **scores}).to_csv(tmp_path / classes.CLASSES, index=False)
    assert escaped(text).replace("|", "\\|") in classes.section(tmp_path)


@pytest.mark.parametrize("text", MISCHIEF)
def test_a_finding_and_a_config_value_are_escaped(text):
    finding = {"level": "note", "code": "x", "where": text, "message": text}
    assert record._findings([finding], ["a"], []).count(escaped(text)) == 2
    page = record._config({"key": text}, {"key": "none"})
    assert table(("key", "value", "default"), [["`key`", escaped(text), "none"]], left=3) in page


def test_a_text_does_not_end_the_code_it_stands_in():
    text = "a: 1\n```\n<b>out</b>\n````\nb: 2"
    for made in (code(text), folded("keys", text)):
        html = markup.html(made, lambda caption, name: "")
        assert "<b>" not in html
        assert unescape(re.search("<code>(.*)</code>", html, re.DOTALL)[1]) == text
