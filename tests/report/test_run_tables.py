import numpy as np
import pandas as pd
import pytest
import scipy.stats
from rich.console import Console

from captum_gag import reliability
from captum_gag.report.run_tables import comparison, holm, printable, save_tables


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    base = rng.random(30)
    return reliability.from_arrays(
        {
            "RCAP": {
                "GAG_85": base + 0.3,
                "SG^R": base + 0.01 * rng.normal(size=30),
                "SG": base,
                "none": base * np.nan,
            },
            "DAUC": {"GAG_85": base, "SG^R": base + 0.3, "SG": base + 0.2, "none": base * np.nan},
        }
    )


def test_holm_of_a_worked_example():
    # Holm (1979): the smallest times 3, the next times 2, and never less than the one before.
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": np.nan}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": np.nan}, nan_ok=True
    )
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_comparison_knows_the_best_and_what_differs_from_it(scores):
    rows = comparison(scores, {"RCAP": {"SG": 0.107}}).set_index(["metric", "method"])
    assert rows.index[rows["best"]].tolist() == [("RCAP", "GAG_85"), ("DAUC", "GAG_85")]
    table = scores[scores["metric"] == "RCAP"].pivot(index="image", columns="method", values="score")
    raw = {name: scipy.stats.wilcoxon(table[name] - table["GAG_85"]).pvalue for name in ("SG", "SG^R")}
    assert rows.loc["RCAP", "p"].dropna().to_dict() == pytest.approx(holm(raw))
    assert np.isnan(rows.loc[("RCAP", "GAG_85"), "p"])
    assert rows.loc[("RCAP", "SG"), "published"] == 0.107
    assert rows.loc[("RCAP", "none"), "images"] == 0
    low, mean, high = rows.loc[("RCAP", "SG"), ["low", "mean", "high"]]
    assert low < mean < high


def test_tables_are_written_in_every_form(scores, tmp_path):
    rows = comparison(scores)
    written = save_tables(rows, scores, tmp_path)
    assert [path.name for path in written] == ["table.md", "table.tex", "table.csv", "scores.parquet"]
    markdown = written[0].read_text()
    assert markdown.count("**") == 4
    assert "| none" in markdown
    latex = written[1].read_text()
    assert r"\textbf{" in latex
    assert r"GAG\_85" in latex
    assert r"SG\textasciicircum{}R" in latex
    pd.testing.assert_frame_equal(reliability.read_scores(written[3]), scores, check_dtype=False)
    assert len(pd.read_csv(written[2])) == 8


def test_the_terminal_shows_every_metric_whole(scores):
    wide = pd.concat([scores.assign(metric=scores["metric"] + suffix) for suffix in ("", " 2", " 3", " 4")])
    console = Console(width=100, record=True)
    console.print(printable(comparison(wide)))
    text = console.export_text()
    assert all(f"{metric}{suffix}" in text for metric in ("RCAP", "DAUC") for suffix in (" 2", " 3", " 4"))
    assert "…" not in text
