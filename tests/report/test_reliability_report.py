"""What the checks found is written whole, asks for nothing, and escapes names."""

import html.parser

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.report.reliability_report import SECTIONS, figures, save, to_html, to_markdown


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    names = ("GAG-85", "SG", "<script>x</script>", "Random:0", "Random:1")
    drawn = {"RCAP": {name: rng.random(30) + place for place, name in enumerate(names)}}
    table = reliability.from_arrays(drawn, controls={"Random:0": "random", "Random:1": "random"})
    stepped = [table.assign(metric="AOPC MoRF", steps=steps) for steps in (20, 40)]
    return reliability.report(pd.concat([table, *stepped]), n_bootstrap=50)


def test_saving_writes_everything_and_the_scores_come_back(report, tmp_path):
    written = save(report, tmp_path / "out")
    assert all(path.stat().st_size > 0 for path in written)
    names = {path.name for path in written}
    assert {"report.md", "report.html", "curves.png", "distributions.png", "alpha.png", "consistency.png"} <= names
    assert {f"{name}.csv" for name in report.tables} <= names
    again = reliability.read_scores(tmp_path / "out" / "scores.parquet")
    pd.testing.assert_frame_equal(again, report.scores.reset_index(drop=True), check_dtype=False)


def test_the_page_is_whole_asks_for_nothing_and_escapes_names(report):
    page = to_html(report)
    seen = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append((tag, dict(attrs)))

    Reader().feed(page)
    tags = [tag for tag, _ in seen]
    assert tags.count("svg") == 4
    assert "script" not in tags
    assert not any(
        value.startswith("http") for tag, attrs in seen for key, value in attrs.items() if key in ("src", "href")
    )
    assert "&lt;script&gt;x" in page
    assert "--ink: #" in page


def test_markdown_has_a_section_per_table_and_names_mean_nothing(report):
    text = to_markdown(report)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        SECTIONS[name] for name in report.tables
    ]
    assert "| RCAP" in text
    assert r"\<script>x\</script>" in text
    assert "|<" not in text.replace(" ", "")


def test_a_table_without_steps_has_no_curves():
    found = reliability.report(reliability.from_arrays({"RCAP": {"x": [1.0], "y": [2.0]}}), n_bootstrap=10)
    assert set(figures(found)) == {"distributions", "alpha"}
    assert "<svg" in to_html(found)
