"""One HTML file that shows a run: verdicts, tables, figures, and every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from captum_gag import reliability
from captum_gag.attr.methods import Method
from captum_gag.errors import InputError
from captum_gag.files import plain
from captum_gag.reliability.directions import known_bounds
from captum_gag.reliability.resampling import N_BOOTSTRAP
from captum_gag.reliability.scores import LABEL, by_metric, checked, judged, lean
from captum_gag.report.figures import map_grid
from captum_gag.report.gallery import COLUMNS, Item, classes_of, curves_by_image, examples, gallery, picture_side
from captum_gag.report.image_selection import MOST, NAMED, disagreement_tables, disagreements, select, worth_seeing
from captum_gag.report.pair_table import nearest_pairs
from captum_gag.report.reproduce_command import plain_name, reproduction
from captum_gag.report.run_figures import CURVED, ablation, curves, curves_of, percentiles_of
from captum_gag.report.score_page import SECTIONS, laid_out, line_keys, of_scores, written_page
from captum_gag.report.style import HEAT
from captum_gag.report.summary import summarised
from captum_gag.report.table_files import save_figure
from captum_gag.report.tables import failures
from captum_gag.report.worst import ranked
from captum_gag.runs.store import Run

UNREAD = ("photo", "run", "seed")
"""Columns of a run's records of which a page shows nothing."""


def write_page(
    run: Run,
    path: Path,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    most: int | None = MOST,
    paths: bool = False,
    published: Mapping[str, Any] | None = None,
    figure_format: Literal["pdf", "svg", "png"] | None = None,
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
        figure_format: Write each figure, and the maps of the first photographs, as a file of its own too, into the
            directory figures beside the page.

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
    images, methods = list(classes.index), dict[str, Method]()
    # A suite may hold what this version no longer has: that costs the figure over p and the slider.
    with suppress(InputError):
        methods = run.config.made_suite().methods
    worst, pairs = ranked(scores, summary.rows), nearest_pairs(scores, summary.rows)
    differing = disagreements(run, scores, images)
    selection = select(images, worth_seeing(worst, differing, pairs), most, seed)
    side = picture_side(len(selection.images) * (1 + scores["method"].nunique()))
    items = list(gallery(run, classes, methods, side, selection))
    item_curves = curves_by_image(curves_of(curved[curved["image"].isin(selection.images)]), selection.images)
    try:
        checks, unchecked = reliability.report(scores, n_bootstrap, seed=seed, truth=suite.truth), ""
    except InputError as error:
        checks, unchecked = None, f"Not checked: {error}."
    figures: dict[str, Figure] = {}
    percentiles = percentiles_of(methods)
    if len(set(percentiles.values())) > 1:
        figures["ablation"] = ablation(summary.rows, percentiles)
    details = curves(curved, judged(scores)["method"].unique(), known_bounds(scores))
    if any(axes.lines for axes in details.axes):
        figures["details"] = details
    del curved
    title = f"{plain_name(run.config.model)} on {plain_name(run.config.data)}"
    page = {
        **of_scores(suite.title or "A run of captum-gag", title, summary, checks, figures),
        "sections": SECTIONS,
        "scope": _scope(run, scores, failed),
        "strip": examples(run, scores, summary.rows, worst),
        "failures": laid_out(failed),
        "unchecked": unchecked,
        "selection": selection.words,
        "gallery_note": _gallery_note(items, run),
        "shown": {item.image: item for item in items},
        "pairs": pairs,
        "worst": [
            {"metric": metric, "method": method, "rows": table.head(NAMED).to_dict("records")}
            for (metric, method), table in worst.items()
        ],
        "disagreement": disagreement_tables(differing),
        "resamples": f"{n_bootstrap:,} resamples of the images, seed {seed}.",
        "repeat": repeat,
        "side": side,
        "data": _data(scores, images, items, run, side),
        "items": (
            {**plain(item._asdict()), "curves": curves_of_item}
            for item, curves_of_item in zip(items, item_curves, strict=True)
        ),
    }
    if figure_format:
        drawn = page["drawn"] | _map_panels(run, page["strip"])
        (path.parent / "figures").mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            save_figure(figure, path.parent / "figures" / f"{name}.{figure_format}")
    return written_page(page, path)


def _map_panels(run: Run, strip: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw the maps of the page's first photographs over them; nothing without either."""
    photos, maps, scores = {}, {}, {}
    for row in strip["rows"] if strip else ():
        photograph, kept = run.photograph(row["image"]), run.maps(row["image"])
        if photograph is not None:
            photos[row["image"]] = np.asarray(photograph.photo, dtype=np.float32) / 255
            maps[row["image"]] = {method["name"]: kept[method["name"]].numpy() for method in row["methods"]}
            scores[row["image"]] = {method["name"]: method["score"] for method in row["methods"]}
    return {"maps": map_grid(photos, maps, scores, metric=strip["metric"], overlay=True)} if photos else {}


def _scope(run: Run, scores: pd.DataFrame, failed: pd.DataFrame) -> list[str]:
    """Count what was scored and what failed, in sentences."""
    counts = scores[["image", "method", LABEL]].nunique()
    total = len(run.chosen())
    done = f"{counts['image']} images" if counts["image"] == total else f"{counts['image']} of {total} images"
    compared = (
        f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in ((counts["method"], "method"), (counts[LABEL], "metric"))
    )
    scope = [f"{done} of {plain_name(run.config.data)}, {', '.join(compared)}."]
    if len(failed):
        scope.append(f"{failed['cells'].sum()} of {len(scores)} scores could not be computed; see what failed.")
    return scope


def _gallery_note(items: list[Item], run: Run) -> str:
    if not any(item.pictures for item in items):
        return "The run kept no maps, so there are scores and curves alone; captum-gag run --save-maps keeps them."
    return "" if run.keeps("photographs") else "The run kept no photographs: it is of an earlier version."


def _data(scores: pd.DataFrame, images: Sequence[str], items: list[Item], run: Run, side: int) -> dict[str, Any]:
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
        "photographs": run.keeps("photographs"),
        "side": side,
        "columns": COLUMNS,
        "colours": (colormaps[HEAT](np.linspace(0, 1, 128))[:, :3] * 255).round().astype(int).tolist(),
        "lines": list(line_keys(methods).values()),
    }
