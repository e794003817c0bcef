"""The parts of a page that need scores alone, and the page of the reliability of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from captum_gag.files import replace_file
from captum_gag.reliability import ReliabilityReport, consensus
from captum_gag.report import reliability_report
from captum_gag.report.captions import headings, marked, notes, of_metrics
from captum_gag.report.reliability_figures import critical_differences, heat_map, means
from captum_gag.report.style import BLACK, LINES, as_svg, method_lines
from captum_gag.report.summary import Summary, cards, sentences, summarised
from captum_gag.report.table_files import save_csv, save_figure, save_parquet, save_text
from captum_gag.report.tables import TESTS, headed_cells, latex_table, printed_cells

SECTIONS = {
    "summary": "Summary",
    "scores": "Scores",
    "figures": "Figures",
    "gallery": "Gallery",
    "nearest": "Best two means",
    "worst": "Badly explained images",
    "disagreement": "Where methods disagree",
    "reliability": "Can the metrics be trusted?",
    "repeat": "Repeat this run",
}
OF_SCORES = ("summary", "scores", "figures", "reliability")
"""Sections of a page that is not of a run."""

CAPTIONS = {
    "means": "Means with 95 % intervals. Black: may be best; grey: not, or not told; hollow: control (\N{DAGGER}).",
    "heat-map": "Mean scores, from worst (light) to best (dark); bold: may be best; white: the metric cannot tell.",
    "critical-differences": "Mean rank over the images; a bar joins explanations without a significant difference.",
    "ablation": "Mean score of GAG-p over the percentile p of its guide, with 95 % intervals; others as levels.",
    "details": "The curve that each score sums up: mean over the images with its 95 % interval by Student's t.",
    "distributions": "Scores over the images: quartiles, median and mean. One mean hides how far they spread.",
    "alpha": "Krippendorff's alpha with its interval: do the images rank the methods alike?",
    "validity": "Pairs of maps in the right order: by strength of a fault, and of explanations as each truth has them.",
    "consistency": "Spearman's rho between metrics over the images, mean over the methods: do they measure the same?",
    "curves": "Mean score minus the random orderings' over the number of pixels replaced.",
}

WORDS = {
    "higher_is_better": "higher is better",
    "low": "95 % from",
    "high": "95 % to",
    "tied": "may be best",
    "total": "of all",
    "missing": "without a score",
    "difference_low": "difference from",
    "difference_high": "difference to",
    "rank_low": "rank from",
    "rank_high": "rank to",
    "e_adjusted": "e-value, adjusted",
    "n": "images",
    "cells": "scores",
    "std": "standard deviation",
    "min": "lowest",
    "max": "highest",
    "flips": "order changes when an image is left out",
    "wrong": "wrong order",
}
"""Headings of columns whose names are not words."""

MISSING = "\N{EN DASH}"

_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("captum_gag.report"), autoescape=True)
_TEMPLATES.policies["json.dumps_kwargs"] = {"sort_keys": False}


def save_reliability(report: ReliabilityReport, directory: str | Path, summary: Summary | None = None) -> list[Path]:
    """Write report.md, report.html, scores.parquet, a CSV of the marks and of each table, and a PNG per figure.

    The table of all groups of images, where there are any, is NAME_by_group.csv.

    Args:
        report: As ``reliability.report`` returns it.
        directory: Made if missing; files of these names are replaced.
        summary: Of its scores; None computes it.

    Returns:
        The files.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    summary, figures = summary or summarised(report.scores), reliability_report.figures(report)
    answer = [*sentences(summary.verdicts), consensus(summary.verdicts, report.marks), summary.assumption]
    page = of_scores("Can these metrics be trusted?", "", summary, report, {})
    page |= {"sections": {name: SECTIONS[name] for name in OF_SCORES}, "scope": [], "failures": None}
    written = [save_text(reliability_report.to_markdown(report, answer), directory / "report.md")]
    written += [
        written_page(page, directory / "report.html"),
        save_parquet(report.scores, directory / "scores.parquet"),
    ]
    tables = {"verdict": summary.verdicts, "marks": report.marks}
    tables |= {name: table for name, (_, table) in reliability_report.sections(report).items()}
    written += [save_csv(table, directory / f"{name}.csv") for name, table in tables.items()]
    return written + [save_figure(figure, directory / f"{name}.png") for name, figure in figures.items()]


def of_scores(
    title: str, subtitle: str, summary: Summary, checks: ReliabilityReport | None, figures: dict[str, Figure]
) -> dict[str, Any]:
    """Return the parts of a page that need scores alone."""
    rows, decided = summary.rows, summary.decided
    figures = of_summary(summary) | figures
    reliability_figures = {} if checks is None else reliability_report.figures(checks)
    tested = [] if decided is None else [*TESTS, "decision", "rank_low", "rank_high"]
    tables = reliability_report.sections(checks) if checks else {}
    return {
        "title": title,
        "subtitle": subtitle,
        "consensus": consensus(summary.verdicts, checks.marks if checks else None),
        "advice": checks.advice if checks else "",
        "cards": cards(summary),
        "keys": line_keys(list(rows["method"].unique())),
        "notes": [*notes(rows), summary.assumption],
        "means": _means_table(rows),
        "numbers": laid_out(rows.drop(columns=["best", "higher_is_better", *tested]).dropna(axis=1, how="all")),
        "decisions": None if decided is None else laid_out(decided),
        "drawn": figures | reliability_figures,
        "means_figure": _drawn({"means": figures["means"]})[0],
        "figures": _drawn({name: figure for name, figure in figures.items() if name != "means"}),
        "reliability_figures": _drawn(reliability_figures),
        "copies": {"LaTeX": latex_table(rows, sentences(summary.verdicts)), "CSV": headed_cells(rows).to_csv()},
        "verdicts": checks.verdicts if checks else {},
        "marks": laid_out(reliability_report.marked(checks)) if checks else None,
        "reliability": [
            {"name": f"check-{name}", "caption": question, **laid_out(_shown(table, decided is None))}
            for name, (question, table) in tables.items()
        ],
    }


def of_summary(summary: Summary) -> dict[str, Figure]:
    """Draw means, heat map and, where pairs were tested, critical differences, by name; not known to pyplot."""
    rows = summary.rows
    figures = {"means": means(rows, dict(zip(summary.verdicts["metric"], summary.verdicts["state"], strict=True)))}
    figures["heat-map"] = heat_map(rows)
    # Where a metric cannot tell, its tests must not seem to.
    tested = [metric for metric, table in of_metrics(rows) if table["rank_low"].notna().any()]
    if tested and summary.pairs is not None:
        figures["critical-differences"] = critical_differences(summary.ranks.loc[tested], summary.pairs)
    return figures


def _drawn(figures: Mapping[str, Figure]) -> list[dict[str, str]]:
    return [{"name": name, "caption": CAPTIONS[name], "svg": as_svg(each)} for name, each in figures.items()]


def _shown(table: pd.DataFrame, tested: bool) -> pd.DataFrame:
    """Return a table of the checks without means, which stand with the scores, and p values that do not hold."""
    hidden = ["mean", "low", "high"] if {"mean", "std"} <= set(table) else []
    return table.drop(columns=[*hidden, *(name for name in table if not tested and str(name).split("_")[-1] == "p")])


def _means_table(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the mean scores, a row per method and a column per metric: columns and rows."""
    texts, names, heads = printed_cells(rows), marked(rows), headings(rows)
    values = rows.pivot(index="method", columns="metric", values="mean")
    bold = set(rows.loc[rows["tied"], ["method", "metric"]].itertuples(index=False, name=None))
    lines = []
    for method, line in texts.iterrows():
        # Published means stand below.
        split = {metric: text.replace(" (published", "\n(published") for metric, text in line.items()}
        cells = [_cell(values.at[method, metric], text, (method, metric) in bold) for metric, text in split.items()]
        lines.append([{**_cell(names[str(method)]), "method": method}, *cells])
    return {"columns": ["method", *(f"{metric}\n{', '.join(heads[metric])}" for metric in texts)], "rows": lines}


def laid_out(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as columns and rows of cells: text, and the number that they are sorted by."""
    p_values = [str(name).split("_")[-1] == "p" for name in table]
    rows = [
        [_cell(value, "<0.001" if is_p and value < 0.001 else None) for value, is_p in zip(row, p_values, strict=True)]
        for row in table.itertuples(index=False)
    ]
    return {"columns": [WORDS.get(str(name), str(name).replace("_", " ")) for name in table], "rows": rows}


def _cell(value: Any, text: str | None = None, best: bool = False) -> dict[str, Any]:
    if isinstance(value, bool | np.bool_):
        return {"text": "yes" if value else "no", "value": None, "best": best}
    if not isinstance(value, int | float | np.number):
        return {"text": MISSING if value is None or value is pd.NA else str(value), "value": None, "best": best}
    finite = not np.isnan(value)
    number = f"{value:d}" if isinstance(value, int | np.integer) else f"{value:.3f}"
    return {"text": text or (number if finite else MISSING), "value": float(value) if finite else None, "best": best}


def line_keys(methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return colour and dashes of the line of each method for SVG; black is the ink of the page."""
    return {
        name: {"colour": "currentColor" if line["color"] == BLACK else line["color"], "dash": LINES[line["linestyle"]]}
        for name, line in method_lines(methods).items()
    }


def written_page(page: Mapping[str, Any], path: Path) -> Path:
    """Write the parts of a page into its template; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = _TEMPLATES.get_template("report.html").stream(page, version=version("captum-gag"))
    replace_file(path, lambda file: stream.dump(str(file), encoding="utf-8"))
    return path
