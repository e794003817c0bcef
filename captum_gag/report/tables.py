"""Tables of scores and of methods: for the terminal, as Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from captum_gag.files import without_directories
from captum_gag.reliability.directions import higher_is_better, known_bounds
from captum_gag.reliability.pairwise import shared
from captum_gag.reliability.resampling import N_BOOTSTRAP, mean_intervals
from captum_gag.reliability.scores import by_metric, checked, collapsed, explanations, ranked_methods
from captum_gag.report.captions import (
    CONFIDENCE,
    DAGGER,
    arrow,
    counted,
    headings,
    marked,
    marked_name,
    notes,
    of_metrics,
    roles_of,
)
from captum_gag.report.table_files import latex_text, markdown_table, markdown_text, save_csv, save_parquet, save_text

MARKS = {"better": "*", "same": "\N{ALMOST EQUAL TO}"}
"""Mark of a mean by the decision of the best explanation against it."""

LATEX_WIDTH = 45
"""Characters that a column of a paper has room for in 10 points."""

NAME_WIDTH = 18
"""Characters of a line that a name keeps, whatever is beside it."""

TESTS = ["difference", "difference_low", "difference_high", "p", "wins", "losses", "ties"]


def comparison(
    scores: pd.DataFrame,
    published: Mapping[str, Any] | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    *,
    pairs: pd.DataFrame | None = None,
    verdicts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compare the methods of each metric over the images that ``reliability.verdict`` compares them on.

    Controls (the column control) and manipulated maps (the column transform) have their means, but are neither ranked
    nor tested here.

    Args:
        scores: A score table; see ``reliability.read_scores``. Images of one group count as one.
        published: Per metric, published means by method.
        n_bootstrap: Resamples of the images, for the intervals and tests.
        seed: Of the resamples.
        pairs: As ``reliability.pairwise`` returns them, of the same scores; None leaves the tests out.
        verdicts: As ``reliability.verdict`` returns them, of the same scores; None leaves ``tied`` out.

    Returns:
        A row per metric and method: role ("" of an explanation, else one of ``captions.ROLES``), higher_is_better
        (None where unknown; no method is best then), mean, low and high (its 95 % interval by bootstrap-t), images
        (behind the mean), missing (images without a score of the method), total (images with any score), published,
        best (the best mean of the explanations), tied (may be best, by the verdict), difference, difference_low,
        difference_high, p, wins, losses, ties and decision (of the best against the method, as
        ``reliability.pairwise`` has them), rank_low and rank_high (the ranks that the explanation may have, by the same
        decisions); none of these where the verdict cannot tell.

    Raises:
        InputError: The scores are not a score table.
    """
    scores = collapsed(checked(scores))
    roles, directions = roles_of(scores), higher_is_better(scores)
    methods, explained = list(roles), explanations(scores)
    tables = {metric: table.dropna(how="all") for metric, table in by_metric(scores).items()}
    compared = ranked_methods(scores)
    alike = {metric: table.loc[shared(table, compared).index] for metric, table in tables.items()}
    intervals = mean_intervals(alike, n_bootstrap, CONFIDENCE, seed, known_bounds(scores))
    answered = [] if verdicts is None else verdicts.query("state != 'cannot tell'").to_dict("records")
    tied = {row["metric"]: row["tied"] for row in answered}
    rows = []
    for metric, higher in directions.items():
        means = alike[metric].mean()
        ranked = means.reindex(explained).dropna()
        best = None if ranked.empty or higher is None else ranked.idxmax() if higher else ranked.idxmin()
        for method in (name for name in methods if name in means.index):
            low, high = intervals.get((metric, method), (np.nan, np.nan))
            rows.append(
                {
                    "metric": metric,
                    "method": method,
                    "role": roles[method],
                    "higher_is_better": higher,
                    "mean": means[method],
                    "low": low,
                    "high": high,
                    "images": int(alike[metric][method].notna().sum()),
                    "missing": int(tables[metric][method].isna().sum()),
                    "total": len(tables[metric]),
                    "published": (published or {}).get(metric, {}).get(method, np.nan),
                    "best": method == best,
                    "tied": method in tied.get(metric, ()),
                }
            )
    table = pd.DataFrame(rows).astype({"higher_is_better": object})
    if pairs is None:
        return table.assign(**dict.fromkeys(TESTS, np.nan), decision="", rank_low=pd.NA, rank_high=pd.NA)
    pairs = pairs[pairs["method"].isin(explained) & pairs["rival"].isin(explained)]
    # Where a metric cannot tell, its tests must not seem to.
    return _with_tests(table, pairs if verdicts is None else pairs[pairs["metric"].isin(tied)])


def _with_tests(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return a comparison with its tests against the best, and with the rank interval of each explanation."""
    best = table[table["best"]].set_index("metric")["method"]
    against = pairs[pairs["method"].eq(pairs["metric"].map(best))].drop(columns="method")
    against = against.rename(columns={"rival": "method", "low": "difference_low", "high": "difference_high"})
    columns = ["metric", "method", *TESTS, "decision"]
    table = table.merge(against[columns], "left", ["metric", "method"]).fillna({"decision": ""})
    counts = pd.crosstab([pairs["metric"], pairs["method"]], pairs["decision"])
    counts = counts.reindex(columns=["better", "worse", "open", "same"], fill_value=0)
    ranks = pd.DataFrame({"rank_low": 1 + counts["worse"], "rank_high": 1 + counts.sum(axis=1) - counts["better"]})
    return table.merge(ranks.reset_index(), "left", ["metric", "method"]).astype(
        {"rank_low": "Int64", "rank_high": "Int64"}
    )


def printed_cells(rows: pd.DataFrame, embolden: Callable[[str], str] = str) -> pd.DataFrame:
    """Lay a comparison out as text: a row per method, a column per metric; what may be best emboldened."""
    texts = [_text(row, embolden) for row in rows.to_dict("records")]
    methods, metrics = list(rows["method"].unique()), list(rows["metric"].unique())
    cells = rows.assign(text=texts).pivot(index="method", columns="metric", values="text")
    return cells.reindex(index=methods, columns=metrics).fillna("").rename_axis(columns=None)


def printable(rows: pd.DataFrame, width: int = 80) -> Group:
    """Lay a comparison out for the terminal: a line per method, as many metrics beside each other as have room.

    What may be best is bold, or between asterisks where it is printed into a file or a pipe.
    """
    shows_bold = Console().is_terminal
    cells = printed_cells(rows) if shows_bold else printed_cells(rows, "**{}**".format)
    heads, names = headings(rows), marked(rows)
    bold = set(rows.loc[rows["tied"], ["method", "metric"]].itertuples(index=False, name=None))
    cell = max(len(text) for text in [*cells.to_numpy().ravel(), *(line for head in heads.values() for line in head)])
    columns = max(1, (width - max(map(len, names.values())) - 4) // (cell + 2))
    tables = []
    for first in range(0, cells.shape[1], columns):
        table = Table(box=SIMPLE)
        table.add_column("method", overflow="fold", min_width=min(NAME_WIDTH, max(map(len, names.values()))))
        part = cells.iloc[:, first : first + columns]
        for metric in part:
            head = [*wrap(str(metric), max(cell, NAME_WIDTH)), *heads[metric]]
            table.add_column(Text("\n".join(head)), justify="right", no_wrap=True)
        for method, line in part.iterrows():
            texts = [Text(text, "bold" if (method, metric) in bold else "") for metric, text in line.items()]
            table.add_row(Text(names[method]), *texts)
        tables.append(table)
    legend = [note if shows_bold else note.replace("Bold:", "Between **:") for note in notes(rows)]
    return Group(*tables, *(Text(f"{note}\n") for note in legend))


def save_tables(rows: pd.DataFrame, scores: pd.DataFrame, directory: Path, answers: Sequence[str] = ()) -> list[Path]:
    """Write table.md, table.tex, table.csv and scores.parquet; ``answers`` are sentences that come first."""
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / name for name in ("table.md", "table.tex", "table.csv", "scores.parquet")]
    cells = headed_cells(rows, "**{}**".format)
    sentences = [markdown_text(note).replace("*", r"\*") for note in [*answers, *notes(rows)]]
    save_text("\n\n".join([markdown_table(cells), *sentences]) + "\n", written[0])
    save_text(latex_table(rows, answers), written[1])
    save_csv(rows, written[2])
    save_parquet(scores, written[3])
    return written


def headed_cells(rows: pd.DataFrame, embolden: Callable[[str], str] = str) -> pd.DataFrame:
    """Return printed cells with direction and number of images beside each metric, and marked methods."""
    cells = printed_cells(rows, embolden)
    heads = {metric: f"{metric} ({', '.join(parts)})" for metric, parts in headings(rows).items()}
    return cells.rename(index=marked(rows), columns=heads)


def latex_table(rows: pd.DataFrame, answers: Sequence[str] = ()) -> str:
    """Return a comparison as a LaTeX table for booktabs and graphicx, no wider than a column, with sentences below."""
    cells = printed_cells(rows, r"\textbf{{{}}}".format)
    counts = {metric: counted(of_metric) for metric, of_metric in of_metrics(rows)}
    alike = len(set(counts.values())) == 1
    n = next(iter(counts.values())) if alike else ", ".join(f"{count} ({name})" for name, count in counts.items())
    heads = {metric: f"{metric} {arrow(of_metric)}".rstrip() for metric, of_metric in of_metrics(rows)}
    escaped = cells.rename(index=marked(rows), columns=heads).rename(index=latex_text, columns=latex_text)
    escaped = escaped.apply(lambda column: column.str.replace(MARKS["same"], latex_text(MARKS["same"])))
    first, *others = [*notes(rows), *answers]
    options = {"index_names": False, "column_format": "l" + "r" * len(cells.columns), "position": "htbp"}
    table = str(escaped.to_latex(**options, caption=latex_text(f"{first} n = {n}."), label="tab:scores"))
    widest = max(map(len, marked(rows).values())) + sum(max(map(len, [*cells[name], name])) for name in cells)
    if widest > LATEX_WIDTH:
        table = table.replace("\\begin{tabular}", "\\resizebox{\\columnwidth}{!}{\\begin{tabular}")
        table = table.replace("\\end{tabular}", "\\end{tabular}}")
    footnotes = "".join(f"\\par\\footnotesize {latex_text(note)}\n" for note in others)
    return table.replace("\\end{table}", f"{footnotes}\\end{{table}}")


def _text(row: Mapping[Any, Any], embolden: Callable[[str], str]) -> str:
    if np.isnan(row["mean"]):
        return "-"
    mean = f"{row['mean']:.3f}"
    beside = "" if np.isnan(row["published"]) else f" (published {row['published']:.3f})"
    # One image has no interval.
    between = "" if np.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{embolden(mean) if row['tied'] else mean}{MARKS.get(row['decision'], '')}{between}{beside}"


def failures(scores: pd.DataFrame) -> pd.DataFrame:
    """List the failures in the records of a run.

    Returns:
        A row per method and error, with the number of cells and the first image; all methods of an image that could
        not be read are one row.
    """
    failed = scores[scores["error"] != ""]
    # Runs of earlier versions kept where files lay.
    failed = failed.assign(error=failed["error"].map(without_directories))
    if not len(failed):
        return pd.DataFrame(columns=["method", "error", "cells", "image"])
    everything = failed.groupby(["image", "error"])["method"].transform("nunique") == scores["method"].nunique()
    lines = failed.assign(method=failed["method"].mask(everything, "all methods"))
    grouped = lines.groupby(["method", "error"], sort=False)
    return grouped.agg(cells=("image", "size"), image=("image", "first")).reset_index()


def score_table(rows: Sequence[Mapping[str, Any]], width: int = 80) -> Group:
    """Lay out scores with a line per image and metric, a column per method, and the best explanation of a line bold.

    With two images or more the last line of each metric is the mean over its images, without scores that are NaN.

    Args:
        rows: image, method, metric, score; label and probability are shown, and controls are marked, if present.
        width: Of a line; the methods that have no room in one table follow in another.
    """
    frame = pd.DataFrame([{"control": "", **row} for row in rows]).drop_duplicates(["image", "method", "metric"])
    names = {
        name: marked_name(str(name), control) for name, control in zip(frame["method"], frame["control"], strict=True)
    }
    ranked = list(frame.loc[frame["control"] == "", "method"].unique())
    metrics = list(frame["metric"].unique())
    several = len(metrics) > 1
    room = width - NAME_WIDTH - several * (1 + max(map(len, metrics)))
    tables: list[Table] = []
    for methods in _in_groups(names, room):
        # As narrow as it may be: seven methods fit into a line of 80 characters.
        title = None if several else Text(str(metrics[0]))
        table = Table("image", *["metric"] * several, title=title, box=SIMPLE, padding=(0, 1, 0, 0))
        for method in methods:
            table.add_column(Text(names[method]), justify="right", overflow="fold", no_wrap=len(names[method]) < room)
        for metric, of_metric in frame.groupby("metric", sort=False):
            scores = of_metric.pivot(index="image", columns="method", values="score").reindex(columns=list(names))
            lines, label = of_metric.drop_duplicates("image").to_dict("records"), [Text(str(metric))] * several
            for row in lines:
                probability = f" {row['probability']:.0%}" if "probability" in row else ""
                image = Text(f"{row['image']} {row.get('label', '')}{probability}".rstrip(), overflow="fold")
                table.add_row(image, *label, *_emboldened(scores.loc[row["image"]], ranked, methods))
            if len(lines) > 1:
                table.add_row(Text("mean", "italic"), *label, *_emboldened(scores.mean(), ranked, methods))
        tables.append(table)
    if len(ranked) < len(names):
        tables[-1].caption = f"{DAGGER} control: shown for reference, never the best"
    return Group(*tables)


def _in_groups(names: Mapping[str, str], room: int) -> list[list[str]]:
    """Return the methods in groups whose columns have room beside each other."""
    groups: list[list[str]] = [[]]
    used = 0
    for method, name in names.items():
        # A score has six characters.
        used += 1 + max(6, len(name))
        if used > room and groups[-1]:
            groups.append([])
            used = 1 + max(6, len(name))
        groups[-1].append(method)
    return groups


def _emboldened(scores: pd.Series, ranked: Sequence[str], methods: Sequence[str]) -> list[Text]:
    best = scores[ranked].max()
    return [
        Text(f"{scores[method]:.4f}", "bold" if scores[method] == best and method in ranked else "")
        for method in methods
    ]
