"""What the checks found is written whole, asks for nothing, and escapes names."""

import html.parser
import re

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.report.reliability_report import SECTIONS, figures, to_markdown
from captum_gag.report.score_page import save_reliability


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    names = ("GAG-85", "SG", "<script>x</script>", "Random:0", "Random:1")
    drawn = {"RCAP": {name: rng.random(30) + place for place, name in enumerate(names)}}
    table = reliability.from_arrays(drawn, controls={"Random:0": "random", "Random:1": "random"})
    stepped = [table.assign(metric="AOPC MoRF", steps=steps) for steps in (20, 40)]
    return reliability.report(pd.concat([table, *stepped]), n_bootstrap=50)


def test_saving_writes_everything_and_the_scores_come_back(report, tmp_path):
    written = save_reliability(report, tmp_path / "out")
    assert all(path.stat().st_size > 0 for path in written)
    names = {path.name for path in written}
    assert {"report.md", "report.html", "curves.png", "distributions.png", "alpha.png", "consistency.png"} <= names
    assert {f"{name}.csv" for name in (*report.tables, "marks", "verdict")} <= names
    again = reliability.read_scores(tmp_path / "out" / "scores.parquet")
    pd.testing.assert_frame_equal(again, report.scores.reset_index(drop=True), check_dtype=False)


def test_its_page_is_that_of_a_run_without_the_images(report, tmp_path):
    save_reliability(report, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    seen = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.append((tag, dict(attrs)))

    Reader().feed(page)
    sections = [attributes["id"] for tag, attributes in seen if tag == "section"]
    assert sections == ["summary", "scores", "figures", "reliability"]
    links = [attributes["href"] for tag, attributes in seen if tag == "a"]
    assert links == ["#main", *(f"#{section}" for section in sections)]
    captions = re.findall(r"<figcaption>([^<]*)", page)
    assert [caption.split()[0] for caption in captions] == [
        *("Means", "Mean", "Scores", "Krippendorff&#39;s", "Spearman&#39;s", "Mean")
    ]
    assert [tag for tag, _ in seen].count("script") == 1
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page
    assert "application/json" not in page


def test_markdown_has_a_section_per_table_and_names_mean_nothing(report):
    text = to_markdown(report, ["By RCAP: <b>x</b> (decided)."])
    assert r"By RCAP: \<b>x\</b> (decided)." in text
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        SECTIONS[name] for name in report.tables
    ]
    assert "| RCAP" in text
    assert r"\<script>x\</script>" in text
    assert "|<" not in text.replace(" ", "")


def test_a_table_without_steps_has_no_curves(tmp_path):
    found = reliability.report(reliability.from_arrays({"RCAP": {"x": [1.0], "y": [2.0]}}), n_bootstrap=10)
    assert set(figures(found)) == {"distributions", "alpha"}
    save_reliability(found, tmp_path)
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
