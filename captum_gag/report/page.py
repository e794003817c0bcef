"""One HTML file that shows a run: words, tables, figures, every image, and whether the metrics can be trusted."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import tomli_w
from matplotlib import colormaps

from captum_gag import reliability
from captum_gag.reliability import ReliabilityReport
from captum_gag.reliability.report import SECTIONS as CHECKS
from captum_gag.reliability.summaries import honest
from captum_gag.report.gallery import COLUMNS, Item, Source, gallery, picture_side
from captum_gag.report.run_figures import ablation, curves, curves_of, percentile_of
from captum_gag.report.run_tables import SIGNIFICANT, comparison, printed_cells
from captum_gag.report.style import COLOURS, HEAT, LINES, as_svg
from captum_gag.runs.files import plain, replace_file
from captum_gag.runs.running import failures
from captum_gag.runs.store import Run

SECTIONS = {
    "summary": "Summary",
    "scores": "Scores",
    "figures": "Figures",
    "gallery": "Gallery",
    "disagreement": "Where methods disagree",
    "reliability": "Can the metrics be trusted?",
    "repeat": "Repeat this run",
}
CAPTIONS = {
    "ablation": "Mean score of GAG-p over the percentile p of its guide, with 95 % intervals; other methods as levels.",
    "details": "The curve that each score sums up: mean over the images with its 95 % interval.",
    "distributions": "Scores over the images: quartiles, median and mean. One mean hides how far they spread.",
    "alpha": "Krippendorff's alpha with its interval: do the images rank the methods alike?",
    "consistency": "Spearman's rho between metrics over the images, mean over the methods: do they measure the same?",
    "curves": "Mean score minus the random orderings' over the number of pixels replaced.",
}
DASHES = dict(zip(LINES, ("", "6 3", "2 2", "6 3 2 3"), strict=True))
MISSING = "\N{EN DASH}"
WORST = 10
"""Images named where methods disagree."""

_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("captum_gag.report"), autoescape=True)
_TEMPLATES.policies["json.dumps_kwargs"] = {"sort_keys": False}


def write_page(run: Run, path: Path, n_bootstrap: int = 1000, seed: int = 0) -> Path:
    """Writes the page of a run.

    Args:
        run (Run): With at least one image done. Its maps are shown if it kept them (``captum-gag run --save-maps``),
            its photographs if the data set and the model are where they were.
        path (Path): The HTML file; replaced if there.
        n_bootstrap (int): Resamples of the images, for the intervals of the reliability checks.
        seed (int): Of the resamples.

    Returns:
        Path: The file.

    Raises:
        InputError: The run has no scores yet.
    """
    scores = run.scores()
    source = Source.of(run)
    side = picture_side(scores["image"].nunique() * (1 + scores["method"].nunique()))
    items = list(gallery(run, scores, source, side))
    suite = run.config.made_suite()
    rows = comparison(scores, suite.published)
    try:
        checks, unreliable = reliability.report(scores, n_bootstrap, seed=seed), ""
    except reliability.ScoresError as error:
        checks, unreliable = None, f"Not checked: {error}."
    found = failures(scores)
    page = {
        "title": suite.title or "A run of captum-gag",
        "subtitle": f"{run.config.model} on {run.config.data}",
        "sections": SECTIONS,
        "summary": _in_words(run, scores, rows, checks, found),
        "means": _means(rows),
        "numbers": _table(rows.drop(columns="best")),
        "failures": _table(found),
        "figures": _figures(scores, rows, checks),
        "gallery_note": _gallery_note(items, source),
        "disagreement": _disagreement(scores, items),
        "unreliable": unreliable,
        "verdicts": checks.verdicts if checks else {},
        "reliability": [
            {"name": f"check-{name}", "caption": CHECKS[name], **_table(table)}
            for name, table in (checks.tables.items() if checks else ())
        ],
        "command": _command(run),
        "suite": tomli_w.dumps(run.config.suite),
        "facts": _facts(run, scores),
        "side": side,
        "data": _data(scores, items, source, side),
        "items": (plain(item._asdict()) for item in items),
        "version": version("captum-gag"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = _TEMPLATES.get_template("report.html").stream(page)
    replace_file(path, lambda place: stream.dump(str(place), encoding="utf-8"))
    return path


def _in_words(
    run: Run,
    scores: pd.DataFrame,
    rows: pd.DataFrame,
    checks: ReliabilityReport | None,
    failed: pd.DataFrame,
) -> list[str]:
    counts = scores[["image", "method", "metric"]].nunique()
    chosen = len(run.chosen())
    done = f"{counts['image']} images" if counts["image"] == chosen else f"{counts['image']} of {chosen} images"
    said = [f"{done} of {run.config.data}, {counts['method']} methods, {counts['metric']} metrics."]
    better = scores.drop_duplicates("metric").set_index("metric")["higher_is_better"]
    for metric, of_metric in rows.groupby("metric", sort=False):
        if not of_metric["best"].any():
            said.append(f"{metric}: no method has a score.")
            continue
        best = of_metric[of_metric["best"]].iloc[0]
        alike = list(of_metric.loc[~of_metric["best"] & ~(of_metric["p"] < SIGNIFICANT), "method"])
        which = {True: " (higher is better)", False: " (lower is better)"}.get(better[metric], "")
        close = f" It does not differ significantly from {', '.join(alike)}." if alike else ""
        interval = f"{best['mean']:.3f} [{best['low']:.3f}, {best['high']:.3f}]"
        said.append(f"{metric}{which}: {best['method']} is best, {interval}.{close}")
    if checks is not None:
        alpha = checks.tables["inter_rater"].set_index("metric")["alpha"]
        reliable = list(alpha.index[alpha >= reliability.RELIABLE_ALPHA])
        agreed = ", ".join(reliable) if reliable else "none of the metrics"
        said.append(
            f"The images agree on the ranking of the methods (alpha at least {reliability.RELIABLE_ALPHA}) by {agreed}."
        )
    if len(failed):
        said.append(f"{failed['cells'].sum()} of {len(scores)} scores could not be computed; see what failed.")
    return said


def _means(rows: pd.DataFrame) -> dict[str, Any]:
    texts = printed_cells(rows)
    means = rows.pivot(index="method", columns="metric", values="mean")
    best = set(rows.loc[rows["best"], ["method", "metric"]].itertuples(index=False, name=None))
    lines = [
        [
            _cell(method),
            *(_cell(means.at[method, metric], text, (method, metric) in best) for metric, text in line.items()),
        ]
        for method, line in texts.iterrows()
    ]
    return {"columns": ["method", *texts.columns], "rows": lines}


def _table(table: pd.DataFrame) -> dict[str, Any]:
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return {"columns": list(table.columns), "rows": rows}


def _cell(value: Any, text: str | None = None, best: bool = False) -> dict[str, Any]:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return {"text": MISSING if value is None or value is pd.NA else str(value), "value": None, "best": best}
    known = not np.isnan(value)
    number = f"{value:d}" if isinstance(value, int | np.integer) else f"{value:.3f}"
    return {"text": text or (number if known else MISSING), "value": float(value) if known else None, "best": best}


def _figures(scores: pd.DataFrame, rows: pd.DataFrame, checks: ReliabilityReport | None) -> list[dict[str, str]]:
    drawn = {}
    if rows["method"].map(percentile_of).nunique() > 1:
        drawn["ablation"] = ablation(rows)
    if len(curves_of(honest(scores))):
        drawn["details"] = curves(honest(scores))
    if checks is not None:
        drawn |= checks.figures()
    return [{"caption": CAPTIONS[name], "svg": as_svg(figure)} for name, figure in drawn.items()]


def _gallery_note(items: list[Item], source: Source) -> str:
    if not any(item.pictures for item in items):
        return "The run kept no maps, so there are scores and curves alone; captum-gag run --save-maps keeps them."
    return f"The photographs are not shown: {source.missing}" if source.missing else ""


def _disagreement(scores: pd.DataFrame, items: list[Item]) -> list[dict[str, Any]]:
    numbers = {item.image: item.number for item in items}
    by_maps = pd.Series({item.image: item.agreement for item in items}, dtype=float)
    words = "On these images the maps of the methods are least alike (mean Spearman's rho between two methods' maps)."
    tables = [("Maps that differ most", words, by_maps)]
    for metric, of_metric in honest(scores).groupby("metric", sort=False):
        table = of_metric.pivot(index="image", columns="method", values="score")
        if table.shape[1] > 2:
            words = f"On these images {metric} ranks the methods least as it does on average (Spearman's rho)."
            rho = table.T.corrwith(table.mean(), method="spearman")
            tables.append((f"Ranked against the mean by {metric}", words, rho))
    return [
        {
            "caption": caption,
            "words": words,
            "rows": [
                {"image": image, "number": numbers[image], "value": value}
                for image, value in values.dropna().nsmallest(WORST).items()
                if image in numbers
            ],
        }
        for caption, words, values in tables
        if values.notna().any()
    ]


def _command(run: Run) -> str:
    config = run.config
    options = {name: value for name, value in asdict(config).items() if name not in ("suite", "save_maps")}
    given = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    kept = ["--save-maps"] if config.save_maps else []
    return shlex.join(["captum-gag", "run", "suite.toml", *given, *kept, "--out", "RUN"])


def _facts(run: Run, scores: pd.DataFrame) -> dict[str, str]:
    used = " / ".join(scores["versions"].unique())
    hours = scores["duration"].sum() / 3600
    return {"Versions": used, "Computing": f"{hours:.2f} hours in all", "Directory": str(run.directory.absolute())}


def _data(scores: pd.DataFrame, items: list[Item], source: Source, side: int) -> dict[str, Any]:
    methods, metrics = list(scores["method"].unique()), list(scores["metric"].unique())
    images = [item.image for item in items]
    table = scores.set_index(["image", "method", "metric"])["score"]
    whole = table.reindex(pd.MultiIndex.from_product([images, methods, metrics])).to_numpy().round(6)
    styles = zip(LINES * len(COLOURS), COLOURS * len(LINES), strict=True)
    return {
        "images": images,
        "labels": [item.label for item in items],
        "methods": methods,
        "metrics": metrics,
        "scores": plain(whole.reshape(len(images), len(methods), len(metrics)).tolist()),
        "photographs": not source.missing,
        "side": side,
        "columns": COLUMNS,
        "colours": (colormaps[HEAT](np.linspace(0, 1, 128))[:, :3] * 255).round().astype(int).tolist(),
        "lines": [{"dash": DASHES[line], "colour": colour} for line, colour in styles],
    }
