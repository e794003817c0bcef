"""One HTML file that shows a run: words, tables, figures, every image, and whether the metrics can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from captum_gag import reliability
from captum_gag.attr.methods import Method
from captum_gag.errors import InputError
from captum_gag.files import plain, replace_file
from captum_gag.reliability import ReliabilityReport
from captum_gag.reliability.bootstrap import N_BOOTSTRAP
from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.scores import LABEL, by_metric, checked, independence, judged, lean
from captum_gag.report import reliability_report
from captum_gag.report.answers import cards, headline, sentences
from captum_gag.report.choosing import MOST, choose
from captum_gag.report.decisions import decisions
from captum_gag.report.disagreement import disagreement, disagreements
from captum_gag.report.gallery import COLUMNS, Item, curves_by_image, gallery, images_of, picture_side
from captum_gag.report.notes import legend
from captum_gag.report.page_tables import laid_out, means_table
from captum_gag.report.reproduce_command import plain_name, reproduction
from captum_gag.report.run_figures import CURVED, ablation, curves, curves_of, percentiles_of
from captum_gag.report.runner_up import Duel, duels
from captum_gag.report.strip import strip
from captum_gag.report.style import BLACK, HEAT, LINES, as_svg, method_lines, page_colours
from captum_gag.report.tables import comparison, failures
from captum_gag.report.worst import Ranked, badly_explained, ranked
from captum_gag.runs.store import Run

SECTIONS = {
    "summary": "Summary",
    "scores": "Scores",
    "figures": "Figures",
    "gallery": "Gallery",
    "duels": "Best and runner-up",
    "worst": "Badly explained images",
    "disagreement": "Where methods disagree",
    "reliability": "Can the metrics be trusted?",
    "repeat": "Repeat this run",
}
CAPTIONS = {
    "ablation": "Mean score of GAG-p over the percentile p of its guide, with 95 % intervals; others as levels.",
    "details": "The curve that each score sums up: mean over the images with its 95 % interval.",
    "distributions": "Scores over the images: quartiles, median and mean. One mean hides how far they spread.",
    "alpha": "Krippendorff's alpha with its interval: do the images rank the methods alike?",
    "validity": "Pairs of maps in the right order: by strength of a fault, and of explanations as each truth has them.",
    "consistency": "Spearman's rho between metrics over the images, mean over the methods: do they measure the same?",
    "curves": "Mean score minus the random orderings' over the number of pixels replaced.",
}

UNREAD = ("photo", "run", "seed")
"""The columns of a run's records of which a page shows nothing."""

_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("captum_gag.report"), autoescape=True)
_TEMPLATES.policies["json.dumps_kwargs"] = {"sort_keys": False}


def write_page(
    run: Run,
    path: Path,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    most: int | None = MOST,
    paths: bool = False,
    published: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page of a run.

    Args:
        run: With at least one image done. Its maps and photographs are shown if it kept them (``captum-gag run
            --save-maps``); neither model nor data set are needed, and no code that it names is run.
        path: The HTML file; replaced if there.
        n_bootstrap: Resamples of the images, for all intervals of means; the page says how many.
        seed: Of the resamples, and of the images drawn at random.
        most: How many images are shown; None for all. All numbers are of all images.
        paths: Write absolute paths in full where the page says how to repeat the run. They may name a user.
        published: By metric and method, means to show beside those of the run; None takes those that its suite holds.

    Returns:
        The file.

    Raises:
        InputError: The run has no scores yet.
    """
    # Millions of texts of which few differ.
    texts = dict.fromkeys(("curve_x_label", "curve_y_label"), "category")
    scores = checked(run.scores(UNREAD).astype(texts))
    config = run.config
    suite, known = config.suite_file(), images_of(run, scores)
    found, decided, repeat = failures(scores), decisions(run, scores), reproduction(run, scores, paths)
    # Of millions of records nothing is kept but what curves are drawn from, and the rest.
    curved, scores = scores[list(CURVED)], lean(scores)
    alike, methods = disagreements(run, scores, list(known.index)), dict[str, Method]()
    # A suite may hold what this version no longer has: that costs the figure over p and the slider.
    with suppress(InputError):
        methods = run.config.made_suite().methods
    if published is None:
        published = {metric: means for metric, means in suite.published.items() if isinstance(means, Mapping)}
    rows = comparison(scores, published, n_bootstrap, seed)
    badly, compared = ranked(scores, rows), duels(scores, rows, n_bootstrap, seed)
    choice = choose(list(known.index), _worth_seeing(badly, alike, compared), most, seed)
    side = picture_side(len(choice.images) * (1 + scores["method"].nunique()))
    items = list(gallery(run, known, methods, side, choice))
    shown_curves = curves_by_image(curves_of(curved[curved["image"].isin(choice.images)]), choice.images)
    try:
        checks, unreliable = reliability.report(scores, n_bootstrap, seed=seed, truth=suite.truth), ""
    except InputError as error:
        checks, unreliable = None, f"Not checked: {error}."
    figures = _figures(scores, rows, percentiles_of(methods), checks, curved)
    del curved
    found_cards, keys = cards(rows, decided), _keys(list(scores["method"].unique()))
    page = {
        "colours": page_colours(),
        "title": suite.title or "A run of captum-gag",
        "subtitle": f"{plain_name(config.model)} on {plain_name(config.data)}",
        "sections": SECTIONS,
        "scope": _in_words(run, scores, found),
        "cards": found_cards,
        "headline": headline(found_cards),
        "strip": strip(run, scores, rows, badly),
        "keys": keys,
        "summary": sentences(rows, decided, checks),
        "legend": legend(rows),
        "means": means_table(rows),
        "numbers": laid_out(rows.drop(columns="best")),
        "failures": laid_out(found),
        "decisions": None if decided is None else laid_out(decided),
        "figures": figures,
        "choice": choice.words,
        "gallery_note": _gallery_note(items, run),
        "shown": {item.image: item for item in items},
        "duels": compared,
        "worst": badly_explained(badly),
        "disagreement": disagreement(alike),
        "unreliable": unreliable,
        "verdicts": checks.verdicts if checks else {},
        "marks": laid_out(reliability_report.marked(checks)) if checks else None,
        "reliability": [
            {"name": f"check-{name}", "caption": reliability_report.SECTIONS[name], **laid_out(table)}
            for name, table in (checks.tables.items() if checks else ())
        ],
        "resamples": f"{n_bootstrap:,} resamples of the images, seed {seed}. {independence(scores)}",
        "repeat": repeat,
        "side": side,
        "data": _data(scores, list(known.index), items, run, side),
        "items": ({**plain(item._asdict()), "curves": each} for item, each in zip(items, shown_curves, strict=True)),
        "version": version("captum-gag"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = _TEMPLATES.get_template("report.html").stream(page)
    replace_file(path, lambda place: stream.dump(str(place), encoding="utf-8"))
    return path


def _in_words(run: Run, scores: pd.DataFrame, failed: pd.DataFrame) -> list[str]:
    """Return what was scored, and how much of it failed."""
    counts = scores[["image", "method", LABEL]].nunique()
    chosen = len(run.chosen())
    done = f"{counts['image']} images" if counts["image"] == chosen else f"{counts['image']} of {chosen} images"
    compared = (
        f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((counts["method"], "method"), (counts[LABEL], "metric"))
    )
    said = [f"{done} of {plain_name(run.config.data)}, {', '.join(compared)}."]
    if len(failed):
        said.append(f"{failed['cells'].sum()} of {len(scores)} scores could not be computed; see what failed.")
    return said


def _figures(
    scores: pd.DataFrame,
    rows: pd.DataFrame,
    percentiles: Mapping[str, float],
    checks: ReliabilityReport | None,
    curved: pd.DataFrame,
) -> list[dict[str, str]]:
    drawn: dict[str, Figure] = {}
    if len(set(percentiles.values())) > 1:
        drawn["ablation"] = ablation(rows, percentiles, higher_is_better(scores))
    details = curves(curved, judged(scores)["method"].unique())
    if any(axes.lines for axes in details.axes):
        drawn["details"] = details
    if checks is not None:
        drawn |= reliability_report.figures(checks)
    return [{"caption": CAPTIONS[name], "svg": as_svg(figure)} for name, figure in drawn.items()]


def _gallery_note(items: list[Item], run: Run) -> str:
    if not any(item.pictures for item in items):
        return "The run kept no maps, so there are scores and curves alone; captum-gag run --save-maps keeps them."
    return "" if run.keeps("photographs") else "The run kept no photographs: it is of an earlier version."


def _keys(methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return by method the colour and the dashes of its line, as SVG takes them; black is the ink of the page."""
    return {
        name: {"colour": "currentColor" if line["color"] == BLACK else line["color"], "dash": LINES[line["linestyle"]]}
        for name, line in method_lines(methods).items()
    }


def _worth_seeing(badly: Ranked, alike: Mapping[str, pd.Series], compared: Sequence[Duel]) -> dict[str, list[str]]:
    """Return by reason the images that are worth seeing, the most so first."""
    by_name = {f"of {method} by {metric}": table["image"].tolist() for (metric, method), table in badly.items()}
    worst = {f"among the worst {name}": images for name, images in by_name.items()}
    best = {f"among the best {name}": images[::-1] for name, images in by_name.items()}
    differ = {f"methods disagree ({caption})": list(values.index) for caption, values in alike.items()}
    apart = {
        f"{' and '.join(duel.methods)} are far apart by {duel.metric}": [each["image"] for each in duel.images]
        for duel in compared
    }
    return {**worst, **best, **apart, **differ}


def _data(scores: pd.DataFrame, images: Sequence[str], items: list[Item], run: Run, side: int) -> dict[str, Any]:
    methods, tables = list(scores["method"].unique()), by_metric(scores)
    whole = np.stack([table.reindex(index=images, columns=methods) for table in tables.values()], axis=-1).round(6)
    known = whole.astype(object)
    known[np.isnan(whole)] = None
    return {
        "images": images,
        "shown": [item.number for item in items],
        "masks": any(item.masked and item.pictures for item in items),
        "mapped": [item.number for item in items if item.pictures],
        "labels": [item.label for item in items],
        "methods": methods,
        "metrics": list(tables),
        "scores": known.tolist(),
        "photographs": run.keeps("photographs"),
        "side": side,
        "columns": COLUMNS,
        "colours": (colormaps[HEAT](np.linspace(0, 1, 128))[:, :3] * 255).round().astype(int).tolist(),
        "lines": list(_keys(methods).values()),
    }
