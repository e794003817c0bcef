import html.parser

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    methods = {"GAG-85": 0.8, "GAG-85^sharp": 0.9, "SG": 0.5, "<script>x</script>": 0.3, "Sobel": 0.4}
    methods |= {f"Random:{seed}": 0.1 for seed in range(20)}
    return reliability.from_arrays(
        {
            metric: {name: rng.normal(quality, noise, 40) for name, quality in methods.items()}
            for metric, noise in {
                "RCAP": 0.01,
                "AOPC (mean) L=20": 5,
                "AOPC (blur) L=20": 5,
                "AOPC (mean) L=40": 3,
            }.items()
        }
    )


@pytest.fixture(scope="module")
def report(scores):
    return reliability.report(scores, n_bootstrap=200)


def test_verdicts_say_what_the_tables_say(report):
    said = report.verdicts["RCAP"]
    assert "Alpha 1.00" in said
    assert "reliable: the images agree" in said
    assert "do not beat the edge detector: <script>x</script>" in said
    assert "fooled by: GAG-85^sharp" in said
    assert "From 5 images on" in said
    assert "unreliable" in report.verdicts["AOPC (mean) L=20"]


def test_tables_are_the_checks_own(scores, report):
    honest = scores[~scores["method"].str.startswith(("Random", "GAG-85^"))]
    expected = reliability.inter_rater(honest, n_bootstrap=200).reset_index()
    pd.testing.assert_frame_equal(report.tables["inter_rater"], expected)
    assert report.tables["inter_rater"]["methods"].unique() == [4]
    assert report.tables["inter_rater_without_edges"]["methods"].unique() == [3]
    assert not report.tables["summary"]["method"].str.startswith("Random").any()


def test_saving_writes_everything_and_the_scores_come_back(report, scores, tmp_path):
    written = report.save(tmp_path / "out")
    assert all(path.stat().st_size > 0 for path in written)
    assert {"report.md", "report.html", "curves.png", "distributions.png", "alpha.png", "consistency.png"} <= {
        path.name for path in written
    }
    pd.testing.assert_frame_equal(
        reliability.read_scores(tmp_path / "out" / "scores.parquet"), scores, check_dtype=False
    )


def test_the_page_is_whole_asks_for_nothing_and_escapes_names(report):
    page = report.to_html()
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


def test_markdown_has_a_section_per_table(report):
    text = report.to_markdown()
    assert text.count("\n## ") == len(report.tables)
    assert "| RCAP" in text


def test_one_image_gives_a_report_without_claims():
    found = reliability.report(reliability.from_arrays({"A": {"x": [1.0], "y": [2.0]}}), n_bootstrap=10)
    assert "undefined (1 images, 2 methods)" in found.verdicts["A"]
    assert "<svg" in found.to_html()


def test_random_orderings_alone_are_nothing_to_judge():
    with pytest.raises(reliability.ScoresError, match="no method to judge: found Random alone"):
        reliability.report(reliability.from_arrays({"A": {"Random": [1.0, 2.0]}}))
