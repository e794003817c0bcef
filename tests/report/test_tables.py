"""Tables show every score, mark what may be best and what differs from it, and read back from disk as they were."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.report.captions import notes
from captum_gag.report.table_files import latex_text
from captum_gag.report.tables import (
    comparison,
    failures,
    latex_table,
    printable,
    printed_cells,
    save_tables,
    score_table,
)


def rows() -> list[Mapping[str, Any]]:
    scores = {
        ("one", "GAG"): 0.5,
        ("one", "VG"): 0.25,
        ("two", "GAG"): float("nan"),
        ("two", "VG"): 0.75,
    }
    return [
        {"image": image, "method": method, "metric": "RCAP", "score": score, "label": "cat", "probability": 0.9}
        for (image, method), score in scores.items()
    ]


def printed(table: object) -> list[list[str]]:
    console = Console(file=StringIO(), width=100)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_line_per_image_and_the_mean_of_what_is_known() -> None:
    title, header, _, *lines = printed(score_table(rows()))
    assert (title, header) == (["RCAP"], ["image", "GAG", "VG"])
    assert lines == [
        ["one", "cat", "90%", "0.5000", "0.2500"],
        ["two", "cat", "90%", "nan", "0.7500"],
        ["mean", "0.5000", "0.5000"],
    ]


def test_the_best_score_of_an_explanation_is_bold() -> None:
    table = score_table([*rows(), *({**row, "method": "Random", "control": "random", "score": 1.0} for row in rows())])
    styles = [[str(cell.style) for cell in column.cells] for column in table.renderables[0].columns[1:]]
    assert styles == [["bold", "", "bold"], ["", "bold", "bold"], ["", "", ""]]
    assert ["image", "GAG", "VG", "Random", "†"] in printed(table)


def test_one_image_has_no_mean_and_a_missing_score_is_nan() -> None:
    lines = printed(score_table([*rows()[:1], {**rows()[1], "metric": "Other"}]))
    assert lines[2:] == [
        ["one", "cat", "90%", "RCAP", "0.5000", "nan"],
        ["one", "cat", "90%", "Other", "nan", "0.2500"],
    ]


def test_methods_without_room_follow_in_another_table_and_nothing_is_cut_short() -> None:
    names = [f"a long name of a method, number {number}" for number in range(5)]
    scored = [{**row, "method": name, "score": number / 10} for number, name in enumerate(names) for row in rows()[::2]]
    console = Console(file=StringIO(), width=80)
    console.print(score_table(scored))
    text = console.file.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert [" ".join(text.split()).count(word) for word in (*names, "0.4000", "one cat 90%")] == [1, 1, 1, 1, 1, 3, 5]
    best = [cell.style for table in score_table(scored).renderables for cell in table.columns[1].cells]
    assert best == [""] * 12 + ["bold"] * 3


def test_names_are_not_taken_for_markup() -> None:
    assert printed(score_table([{**rows()[0], "image": "[red]cat[/red]"}]))[3][0] == "[red]cat[/red]"


@pytest.fixture
def scores() -> pd.DataFrame:
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


def with_pairs(scores: pd.DataFrame, margin: float | None = None, **options: Any) -> pd.DataFrame:
    return comparison(scores, pairs=reliability.pairwise(scores, margin=margin), **options)


def test_comparison_shows_the_best_and_the_tests_of_pairwise(scores: pd.DataFrame) -> None:
    rows = with_pairs(scores, published={"RCAP": {"SG": 0.107}}).set_index(["metric", "method"])
    assert rows.index[rows["best"]].tolist() == [("RCAP", "GAG_85"), ("DAUC", "GAG_85")]
    tests = reliability.pairwise(scores).query("method == 'GAG_85'").set_index(["metric", "rival"])
    for column, source in {"difference": "difference", "difference_high": "high", "p": "p"}.items():
        assert rows.loc[tests.index, column].to_dict() == pytest.approx(tests[source].to_dict(), nan_ok=True)
    assert rows["decision"].replace("", np.nan).dropna().to_dict() == tests["decision"].to_dict()
    assert rows.loc[("RCAP", "SG"), "published"] == 0.107
    assert rows.loc[("RCAP", "none"), ["images", "missing", "total"]].tolist() == [0, 30, 30]
    assert list(rows.loc["DAUC"].index) == ["GAG_85", "SG^R", "SG", "none"], "methods come as in the scores"
    low, mean, high = rows.loc[("RCAP", "SG"), ["low", "mean", "high"]]
    assert low < mean < high
    ranks = rows.loc["DAUC", ["rank_low", "rank_high"]].dropna()
    assert {name: tuple(row) for name, row in ranks.iterrows()} == {"GAG_85": (1, 1), "SG": (2, 2), "SG^R": (3, 3)}


def test_means_are_over_the_images_that_all_explanations_share() -> None:
    easy = [0.9] * 30 + [0.1] * 10
    scores = {"A": [0.85] * 30 + [np.nan] * 10, "B": easy, "Sobel": [0.2] * 39 + [np.nan]}
    rows = comparison(reliability.from_arrays({"RCAP": scores}, levels="metric")).set_index("method")
    assert rows["mean"].to_dict() == pytest.approx({"A": 0.85, "B": 0.9, "Sobel": 0.2})
    assert rows["images"].tolist() == [30, 30, 30]
    assert rows["best"].to_dict() == {"A": False, "B": True, "Sobel": False}
    legend = notes(rows.reset_index())
    assert "RCAP: 10 of 40 images are left out, for lack of a score of A (10), Sobel (1)." in legend
    assert list(printed_cells(rows.reset_index())) == ["RCAP"]


def test_practically_the_same_is_an_answer_of_its_own(scores: pd.DataFrame, tmp_path: Path) -> None:
    rows = with_pairs(scores, margin=0.05).set_index(["metric", "method"])
    assert rows.loc["RCAP", "decision"].to_dict() == {"GAG_85": "", "SG^R": "better", "SG": "better", "none": ""}
    alike = scores[scores["method"].isin(["SG", "SG^R"]) & scores["metric"].eq("RCAP")]
    rows = with_pairs(alike, margin=0.05)
    assert rows.loc[~rows["best"], "decision"].tolist() == ["same"]
    assert "\N{ALMOST EQUAL TO}" in "".join(printed_cells(rows)["RCAP"])
    assert "practically the same" in notes(rows)[0]
    save_tables(rows, alike, tmp_path)
    assert (tmp_path / "table.tex").read_text().count(r"\ensuremath{\approx}") == 2


def test_tables_are_written_in_every_form(scores: pd.DataFrame, tmp_path: Path) -> None:
    rows = comparison(scores, verdicts=reliability.verdict(scores))
    written = save_tables(rows, scores, tmp_path, ["By RCAP: a|b (decided)."])
    assert [path.name for path in written] == ["table.md", "table.tex", "table.csv", "scores.parquet"]
    markdown = written[0].read_text()
    assert markdown.count("**") == 4
    assert r"By RCAP: a\|b (decided)." in markdown
    assert "| none" in markdown
    latex = written[1].read_text()
    assert r"\textbf{" in latex
    assert r"GAG\_85" in latex
    assert r"SG\textasciicircum{}R" in latex
    pd.testing.assert_frame_equal(reliability.read_scores(written[3]), scores, check_dtype=False)
    assert len(pd.read_csv(written[2])) == 8


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("SG^R", r"SG\textasciicircum{}R"),
        ("95 % of a_b & {c}", r"95 \% of a\_b \& \{c\}"),
        (r"C:\~x", r"C:\textbackslash{}\textasciitilde{}x"),
        ("p <= 0.8 > 0", r"p \textless{}= 0.8 \textgreater{} 0"),
    ],
)
def test_latex_prints_what_it_would_take_for_commands(text: str, latex: str) -> None:
    assert latex_text(text) == latex


def test_the_terminal_shows_every_metric_whole(scores: pd.DataFrame) -> None:
    wide = pd.concat([scores.assign(metric=scores["metric"] + suffix) for suffix in ("", " 2", " 3", " 4")])
    console = Console(width=100, record=True)
    console.print(printable(comparison(wide)))
    text = console.export_text()
    assert all(f"{metric}{suffix}" in text for metric in ("RCAP", "DAUC") for suffix in (" 2", " 3", " 4"))
    assert "…" not in text


def test_variants_and_lengths_are_metrics_of_their_own(scores: pd.DataFrame) -> None:
    kinds = [("mean", 20), ("mean", 40), ("blur", 20)]
    stepped = [scores[scores["metric"] == "RCAP"].assign(variant=each, steps=steps) for each, steps in kinds]
    rows = comparison(pd.concat(stepped), {"RCAP (mean) L=40": {"SG": 0.5}})
    assert list(rows["metric"].unique()) == ["RCAP (mean) L=20", "RCAP (mean) L=40", "RCAP (blur) L=20"]
    assert rows.set_index(["metric", "method"])["published"].dropna().to_dict() == {("RCAP (mean) L=40", "SG"): 0.5}


def test_one_image_has_no_interval(scores: pd.DataFrame) -> None:
    one = scores[scores["image"] == scores["image"].iloc[0]]
    assert "[" not in "".join(printed_cells(comparison(one)).to_numpy().ravel())


def test_without_a_direction_no_method_is_best(scores: pd.DataFrame) -> None:
    rows = comparison(scores.assign(metric="mine-" + scores["metric"]))
    assert not rows["best"].any()
    assert rows["p"].isna().all()
    assert rows["mean"].notna().sum() == 6
    with pytest.raises(InputError, match="empty"):
        comparison(scores.iloc[:0])


def test_failures_are_counted_by_method_and_error_and_lost_images_named_once() -> None:
    errors = {("a", "x"): "", ("a", "y"): "no layer", ("b", "x"): "", ("b", "y"): "no layer"}
    errors |= {("c", "x"): "broken file", ("c", "y"): "broken file"}
    rows = [(image, method, error) for (image, method), error in errors.items()]
    found = failures(pd.DataFrame(rows, columns=["image", "method", "error"]))
    assert found.set_index("method").to_dict("index") == {
        "y": {"error": "no layer", "cells": 2, "image": "a"},
        "all methods": {"error": "broken file", "cells": 2, "image": "c"},
    }


def controlled(**higher: list[float]) -> pd.DataFrame:
    """Return scores by RCAP of two explanations and of what is none."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=20) / 1000
    levels = {"GAG": 0.5, "SG": 0.4, "Random": 0.1, "Sobel": 0.2, "Constant": 0.0, "GAG sharp": 0.3, "Truth": 0.0}
    levels |= {"noisy": 0.0} | higher
    found = {name: level + np.roll(noise, place) for place, (name, level) in enumerate(levels.items())}
    transforms = {"GAG sharp": ("GAG", "sharpen"), "noisy": ("Truth", "noisy")}
    return reliability.from_arrays({"RCAP": found}, levels="metric", controls={"noisy": "truth"}, transforms=transforms)


def test_controls_are_shown_but_neither_ranked_nor_tested() -> None:
    scores = controlled(**{"Sobel": 0.9, "GAG sharp": 0.8, "noisy": 0.7})
    rows = with_pairs(scores).set_index("method")
    assert rows["role"].to_dict() == {
        **{"GAG": "", "SG": "", "Random": "random", "Sobel": "edges", "Constant": "constant"},
        **{"GAG sharp": "manipulated", "Truth": "truth", "noisy": "truth"},
    }
    assert list(rows.index[rows["best"]]) == ["GAG"]
    assert list(rows.index[rows["p"].notna()]) == ["SG"]
    assert list(rows.index[rows["rank_low"].notna()]) == ["GAG", "SG"]
    dagger = "\N{DAGGER} control (random, edges, constant, truth, manipulated): shown for reference, excluded from "
    assert f"{dagger}ranking and tests." in notes(rows.reset_index())


def test_what_is_not_to_be_beaten_changes_nothing_about_explanations() -> None:
    scores = controlled(Constant=0.9)
    scores = scores[~scores["method"].isin(["Random", "Sobel"])]
    everything, alone = with_pairs(scores), with_pairs(scores[scores["method"].isin(["GAG", "SG"])])
    pd.testing.assert_frame_equal(everything[everything["role"] == ""], alone)


def test_a_mean_has_one_interval_on_all_pages() -> None:
    scores = controlled(Random=0.3)
    rows, checks = comparison(scores).set_index("method"), reliability.report(scores)
    summary = checks.tables["summary"].set_index("method")
    columns = ["mean", "low", "high"]
    pd.testing.assert_frame_equal(summary[columns], rows.loc[summary.index, columns])


def test_without_an_explanation_no_method_is_best() -> None:
    scores = controlled()
    rows = comparison(scores[scores["method"].isin(["Random", "Sobel"])])
    assert not rows["best"].any()
    assert rows["mean"].notna().all()


def test_a_table_says_what_it_needs_to_be_read(scores: pd.DataFrame, tmp_path: Path) -> None:
    others = controlled()
    together = pd.concat([scores, others[others["method"] != "SG"]])
    save_tables(with_pairs(together.drop(columns="higher_is_better")), scores, tmp_path)
    markdown, latex = ((tmp_path / name).read_text() for name in ("table.md", "table.tex"))
    assert "lower is better, n = 30" in markdown
    assert all(latex.count(part) == 1 for part in ("n = ", r"\label{tab:scores}", r"\resizebox{\columnwidth}{!}"))
    assert r"\ensuremath{\downarrow}" in latex
    for text in (markdown, latex):
        assert "sign test" in text
        assert "interval by bootstrap-t" in text
    assert "| Sobel \N{DAGGER}" in markdown
    assert "\n\N{DAGGER} control" in markdown
    assert all(part in latex for part in (r"\toprule", r"\caption{Mean", r"Sobel \textdagger{} &", r"\end{table}"))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles_within_a_column(scores: pd.DataFrame, tmp_path: Path) -> None:
    text = latex_table(with_pairs(scores), ["By a_b: 50 % & more (open)."])
    packages = r"\documentclass[twocolumn]{article}\usepackage{booktabs,graphicx}\begin{document}"
    (tmp_path / "paper.tex").write_text(f"{packages}\n{text}\n\\end{{document}}")
    done = subprocess.run(["pdflatex", "-halt-on-error", "paper"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
