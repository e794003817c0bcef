"""One HTML file that shows a run, or the reliability of metrics: verdicts, tables, figures, and every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.files import plain, replace_file, without_directories
from captum_gag.reliability import ReliabilityReport
from captum_gag.reliability.bootstrap import N_BOOTSTRAP
from captum_gag.reliability.directions import higher_is_better, known_bounds
from captum_gag.reliability.scores import LABEL, by_metric, checked, judged, lean
from captum_gag.reliability.verdict import consensus
from captum_gag.report import reliability_report
from captum_gag.report.captions import headings, marked, notes
from captum_gag.report.examples import examples
from captum_gag.report.gallery import COLUMNS, Item, classes_of, curves_by_image, gallery, picture_side
from captum_gag.report.image_selection import MOST, NAMED, disagreement_tables, disagreements, select, worth_seeing
from captum_gag.report.pair_table import nearest_pairs
from captum_gag.report.reproduce_command import plain_name, reproduction
from captum_gag.report.run_figures import CURVED, ablation, curves, curves_of, percentiles_of, ranks
from captum_gag.report.source import Source
from captum_gag.report.style import BLACK, HEAT, LINES, as_svg, method_lines
from captum_gag.report.summary import Summary, answers, cards, sentences, summarised
from captum_gag.report.table_files import save_csv, save_figure, save_parquet, save_text
from captum_gag.report.tables import TESTS, failures, printed_cells
from captum_gag.report.worst import ranked
from captum_gag.runs.store import Run

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
    "ranks": "Ranks that each explanation may have, by the tests of all pairs; black: may be best.",
    "ablation": "Mean score of GAG-p over the percentile p of its guide, with 95 % intervals; others as levels.",
    "details": "The curve that each score sums up: mean over the images with its 95 % interval by Student's t.",
    "distributions": "Scores over the images: quartiles, median and mean. One mean hides how far they spread.",
    "alpha": "Krippendorff's alpha with its interval: do the images rank the methods alike?",
    "validity": "Pairs of maps in the right order: by strength of a fault, and of explanations as each truth has them.",
    "consistency": "Spearman's rho between metrics over the images, mean over the methods: do they measure the same?",
    "curves": "Mean score minus the random orderings' over the number of pixels replaced.",
}

UNREAD = ("photo", "run", "seed")
"""Columns of a run's records of which a page shows nothing."""

MISSING = "\N{EN DASH}"

_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("captum_gag.report"), autoescape=True)
_TEMPLATES.policies["json.dumps_kwargs"] = {"sort_keys": False}


def write_page(
    run: Run,
    path: Path,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    most: int | None = MOST,
    paths: bool = False,
    trust: bool = False,
    published: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a run.

    Args:
        run: With at least one image done. Its maps are shown if it kept them (``captum-gag run --save-maps``), its
            photographs if the data set is where it was; the model's weights are not needed.
        path: The HTML file; replaced if there.
        n_bootstrap: Resamples of the images, for all intervals of means; the page says how many.
        seed: Of the resamples, and of the images drawn at random.
        most: How many images are shown; None for all. All numbers are of all images.
        paths: Write absolute paths in full where the page says how to repeat the run. They may name a user.
        trust: Run code of a user's own that the run names, as a data set, a model or a method, where the page needs it:
            for photographs, names of classes and percentiles.
        published: By metric and method, means to show beside those of the run; None takes those that its suite holds.

    Returns:
        The file.

    Raises:
        InputError: The run has no scores yet.
    """
    # Millions of texts of which few differ.
    texts = dict.fromkeys(("curve_x_label", "curve_y_label"), "category")
    scores = checked(run.scores(UNREAD).astype(texts))
    suite, classes = run.config.suite_file(), classes_of(run, scores)
    failed, repeat = failures(scores), reproduction(run, scores, paths)
    if published is None:
        published = {metric: means for metric, means in suite.published.items() if isinstance(means, Mapping)}
    summary = summarised(scores, [run], published, n_bootstrap, seed)
    # Of millions of records nothing is kept but what curves are drawn from, and the rest.
    curved, scores = scores[list(CURVED)], lean(scores)
    images, source = list(classes.index), Source.of(run, trust)
    worst, pairs = ranked(scores, summary.rows), nearest_pairs(scores, summary.rows)
    differing = disagreements(run, scores, images)
    selection = select(images, worth_seeing(worst, differing, pairs), most, seed)
    side = picture_side(len(selection.images) * (1 + scores["method"].nunique()))
    items = list(gallery(run, classes, source, side, selection))
    item_curves = curves_by_image(curves_of(curved[curved["image"].isin(selection.images)]), selection.images)
    try:
        checks, unchecked = reliability.report(scores, n_bootstrap, seed=seed, truth=suite.truth), ""
    except InputError as error:
        checks, unchecked = None, f"Not checked: {error}."
    figures: dict[str, Figure] = {}
    percentiles = percentiles_of(source.methods)
    if len(set(percentiles.values())) > 1:
        figures["ablation"] = ablation(summary.rows, percentiles, higher_is_better(scores))
    details = curves(curved, judged(scores)["method"].unique(), known_bounds(scores))
    if any(axes.lines for axes in details.axes):
        figures["details"] = details
    del curved
    title = f"{plain_name(run.config.model)} on {plain_name(run.config.data)}"
    page = {
        **_of_scores(suite.title or "A run of captum-gag", title, summary, checks, figures),
        "sections": SECTIONS,
        "scope": _scope(run, scores, failed),
        "strip": examples(run, scores, summary.rows, worst, source),
        "failures": laid_out(failed),
        "unchecked": unchecked,
        "selection": selection.words,
        "gallery_note": _gallery_note(items, source),
        "shown": {item.image: item for item in items},
        "pairs": pairs,
        "worst": [
            {"metric": metric, "method": method, "rows": table.head(NAMED).to_dict("records")}
            for (metric, method), table in worst.items()
        ],
        "disagreement": disagreement_tables(differing),
        "resamples": f"{n_bootstrap:,} resamples of the images, seed {seed}",
        "repeat": repeat,
        "side": side,
        "data": _data(scores, images, items, source, side),
        "items": ({**plain(item._asdict()), "curves": drawn} for item, drawn in zip(items, item_curves, strict=True)),
    }
    return _written(page, path)


def save_reliability(report: ReliabilityReport, directory: str | Path) -> list[Path]:
    """Write report.md, report.html, scores.parquet, a CSV of the marks and of each table, and a PNG per figure.

    The table of all groups of images, where there are any, is NAME_by_group.csv.

    Args:
        report: As ``reliability.report`` returns it.
        directory: Made if missing; files of these names are replaced.

    Returns:
        The files.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    summary, figures = summarised(report.scores), reliability_report.figures(report)
    answer = [*sentences(summary.verdicts), consensus(summary.verdicts, report.marks)]
    page = _of_scores("Can these metrics be trusted?", "", summary, report, {})
    page |= {"sections": {name: SECTIONS[name] for name in OF_SCORES}, "scope": [], "failures": None}
    written = [save_text(reliability_report.to_markdown(report, answer), directory / "report.md")]
    written += [_written(page, directory / "report.html"), save_parquet(report.scores, directory / "scores.parquet")]
    tables = {"verdict": summary.verdicts, "marks": report.marks}
    tables |= {name: table for name, (_, table) in reliability_report.sections(report).items()}
    written += [save_csv(table, directory / f"{name}.csv") for name, table in tables.items()]
    return written + [save_figure(figure, directory / f"{name}.png") for name, figure in figures.items()]


def _written(page: Mapping[str, Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = _TEMPLATES.get_template("report.html").stream(page, version=version("captum-gag"))
    replace_file(path, lambda file: stream.dump(str(file), encoding="utf-8"))
    return path


def _of_scores(
    title: str, subtitle: str, summary: Summary, checks: ReliabilityReport | None, figures: dict[str, Figure]
) -> dict[str, Any]:
    """Return the parts of a page that need scores alone."""
    rows, decided = summary.rows, summary.decided
    if rows["rank_low"].notna().any():
        figures = {"ranks": ranks(rows), **figures}
    if checks is not None:
        figures = figures | reliability_report.figures(checks)
    tested = [] if decided is None else [*TESTS, "decision", "rank_low", "rank_high"]
    tables = reliability_report.sections(checks) if checks else {}
    return {
        "title": title,
        "subtitle": subtitle,
        "answers": answers(summary.verdicts),
        "consensus": consensus(summary.verdicts, checks.marks if checks else None),
        "advice": checks.advice if checks else "",
        "cards": cards(summary),
        "keys": _keys(list(rows["method"].unique())),
        "notes": notes(rows),
        "means": _means_table(rows),
        "numbers": laid_out(rows.drop(columns=["best", *tested]).dropna(axis=1, how="all")),
        "decisions": None if decided is None else laid_out(decided),
        "figures": [{"caption": CAPTIONS[name], "svg": as_svg(figure)} for name, figure in figures.items()],
        "verdicts": checks.verdicts if checks else {},
        "marks": laid_out(reliability_report.marked(checks)) if checks else None,
        "reliability": [
            {"name": f"check-{name}", "caption": question, **laid_out(_without_means(table))}
            for name, (question, table) in tables.items()
        ],
    }


def _without_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of the checks without means, which the tables of scores show with their intervals."""
    return table.drop(columns=["mean", "low", "high"]) if {"mean", "std"} <= set(table) else table


def _means_table(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the mean scores, a row per method and a column per metric: columns and rows."""
    texts, names, heads = printed_cells(rows), marked(rows), headings(rows)
    means = rows.pivot(index="method", columns="metric", values="mean")
    bold = set(rows.loc[rows["tied"], ["method", "metric"]].itertuples(index=False, name=None))
    lines = []
    for method, line in texts.iterrows():
        # Published means stand below.
        split = {metric: text.replace(" (published", "\n(published") for metric, text in line.items()}
        cells = [_cell(means.at[method, metric], text, (method, metric) in bold) for metric, text in split.items()]
        lines.append([{**_cell(names[str(method)]), "method": method}, *cells])
    return {"columns": ["method", *(f"{metric}\n{', '.join(heads[metric])}" for metric in texts)], "rows": lines}


def laid_out(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as columns and rows of cells: text, and the number that they are sorted by."""
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return {"columns": list(table.columns), "rows": rows}


def _cell(value: Any, text: str | None = None, best: bool = False) -> dict[str, Any]:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return {"text": MISSING if value is None or value is pd.NA else str(value), "value": None, "best": best}
    finite = not np.isnan(value)
    number = f"{value:d}" if isinstance(value, int | np.integer) else f"{value:.3f}"
    return {"text": text or (number if finite else MISSING), "value": float(value) if finite else None, "best": best}


def _scope(run: Run, scores: pd.DataFrame, failed: pd.DataFrame) -> list[str]:
    """Return how much was scored, and how much of it failed, in sentences."""
    counts = scores[["image", "method", LABEL]].nunique()
    total = len(run.chosen())
    done = f"{counts['image']} images" if counts["image"] == total else f"{counts['image']} of {total} images"
    compared = (
        f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((counts["method"], "method"), (counts[LABEL], "metric"))
    )
    scope = [f"{done} of {plain_name(run.config.data)}, {', '.join(compared)}."]
    if len(failed):
        scope.append(f"{failed['cells'].sum()} of {len(scores)} scores could not be computed; see what failed.")
    return scope


def _gallery_note(items: list[Item], source: Source) -> str:
    if not any(item.pictures for item in items):
        return "The run kept no maps, so there are scores and curves alone; captum-gag run --save-maps keeps them."
    return f"The photographs are not shown: {without_directories(source.missing)}" if source.missing else ""


def _keys(methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return by method the colour and the dashes of its line for SVG; black is the ink of the page."""
    return {
        name: {"colour": "currentColor" if line["color"] == BLACK else line["color"], "dash": LINES[line["linestyle"]]}
        for name, line in method_lines(methods).items()
    }


def _data(scores: pd.DataFrame, images: Sequence[str], items: list[Item], source: Source, side: int) -> dict[str, Any]:
    methods, tables = list(scores["method"].unique()), by_metric(scores)
    stacked = np.stack([table.reindex(index=images, columns=methods) for table in tables.values()], axis=-1).round(6)
    values = stacked.astype(object)
    values[np.isnan(stacked)] = None
    return {
        "images": images,
        "shown": [item.number for item in items],
        "masks": any(item.masked and item.pictures for item in items),
        "mapped": [item.number for item in items if item.pictures],
        "labels": [item.label for item in items],
        "methods": methods,
        "metrics": list(tables),
        "scores": values.tolist(),
        "photographs": not source.missing,
        "side": side,
        "columns": COLUMNS,
        "colours": (colormaps[HEAT](np.linspace(0, 1, 128))[:, :3] * 255).round().astype(int).tolist(),
        "lines": list(_keys(methods).values()),
    }
