"""Photographs explained one after the other: what is said, written and shown of each."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from captum_gag.cli.common import print_json

if TYPE_CHECKING:
    from PIL import Image

    from captum_gag.models import Classifier
    from captum_gag.report.map_images import Box
    from captum_gag.runs.explaining import Explanation
    from captum_gag.runs.scorer import Scorer

SURE = 0.5
"""A class of less probability is none that the model is sure of."""


def with_names(classifier: Classifier, given: list[str] | None, beside: Sequence[Path]) -> Classifier:
    """Return the classifier with the names of its classes that were given, or else, where it has none, a file's."""
    from captum_gag.data.class_names import class_names

    if given is None and (classifier.labels or not beside):
        return classifier
    named = copy(classifier)
    object.__setattr__(named, "labels", class_names(beside[0]) if given is None else given)
    return named


def require_a_name_each(scorer: Scorer, named: Sequence[str]) -> None:
    """Refuse names of more or fewer classes than the model has: those of a list might all be of the next class.

    Raises:
        InputError: There are.
    """
    from captum_gag.errors import InputError

    if scorer.classes not in (None, len(named)):
        raise InputError(
            f"--labels names {len(named)} classes, and {scorer.classifier.name} has {scorer.classes}; "
            "expected a name for each"
        )


def explain_all(
    scorer: Scorer,
    photos: Mapping[str, Callable[[], Image.Image]],
    out: Path,
    target: int | None = None,
    files: Mapping[str, Path] | None = None,
    format: str | None = None,
    json: bool = False,
    overlay: bool = False,
) -> list[dict[str, Any]]:
    """Explain every photograph, show the results and return their rows; exit with 1 if an image or a method failed."""
    from rich.console import Console
    from rich.progress import Progress

    from captum_gag.errors import InputError
    from captum_gag.report.tables import score_table, write_scores
    from captum_gag.runs.explaining import explain_photo

    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    written: list[Path] = []
    failed = False
    with Progress(console=Console(stderr=True)) as progress, warnings.catch_warnings():

        def say(message: object, *_: Any) -> None:
            progress.console.print(str(message), markup=False, highlight=False, soft_wrap=True)

        warnings.showwarning = say  # type: ignore[assignment]
        for name, read in progress.track(photos.items(), description="explaining"):
            photo = cache(read)
            try:
                explanation = explain_photo(scorer, photo, name, target)
            except InputError as error:
                say(f"skipped {error}")
                failed = True
                continue
            for row in explanation.rows:
                if row["error"]:
                    say(f"failed: {row['method']} on {name}: {row['error']}")
                    failed = True
            if explanation.probability < SURE:
                share = f"{explanation.label} has a probability of {explanation.probability:.2f}"
                say(f"not sure: {name}: {share}, so that the maps explain what the model hardly believes")
            rows += [{**row, **_where(files, name)} for row in explanation.rows]
            box = scorer.classifier.box(*photo().size)
            written += _write(explanation, out, format, overlay, box)
            written += _write_maps(explanation, photo(), box, out, overlay)
            # After every image: what has been computed is kept, whatever ends the run.
            write_scores(out / "scores.csv", rows)
    if json:
        print_json(rows)
    elif rows:
        written.append(out / "scores.csv")
        Console().print(score_table(rows))
        typer.echo("\n".join(map(str, written)))
    if failed:
        raise typer.Exit(1)
    return rows


def how_to_read(rows: Sequence[Mapping[str, Any]], method: str) -> str:
    """Return what scores by RCAP mean, and on how many photographs one method's is the highest.

    Args:
        rows: As ``explain_all`` returns them.
        method: Whose.
    """
    best: dict[bool, list[bool]] = {True: [], False: []}
    for name in dict.fromkeys(row["image"] for row in rows):
        scored = [row for row in rows if row["image"] == name and not math.isnan(row["score"])]
        if scored:
            highest = max(scored, key=lambda row: row["score"])
            best[highest["probability"] >= SURE].append(highest["method"] == method)
    told = [
        f"on {sum(found)} of the {len(found)} of which the model is {'sure' if sure else 'not sure'}"
        for sure, found in best.items()
        if found
    ]
    return (
        "RCAP: how much of a map's saliency is in its most salient part, times the probability of the class when only\n"
        "that part is shown. A class that the model is not sure of lowers all scores of its photograph: compare the\n"
        f"methods of one photograph. {method} has the highest\n{', and '.join(told)}.\n"
        "Which method is better is a question to many photographs: docs/results.md has 121 of ImageNet, and\n"
        "docs/which-metric.md what RCAP cannot tell."
    )


def _where(files: Mapping[str, Path] | None, name: str) -> dict[str, Any]:
    """Return path and size of the file of an image, where it has one."""
    from captum_gag.data.images import image_size, shown

    if files is None:
        return {}
    width, height = image_size(files[name]) or (None, None)
    return {"path": shown(files[name]), "width": width, "height": height}


def _write(explanation: Explanation, out: Path, format: str | None, overlay: bool, box: Box | None) -> list[Path]:
    """Write photograph, maps and scores in one figure, and the attributions where a format is asked for."""
    from captum_gag.report.figures import map_grid, save_figure

    title = f"{explanation.name}: {explanation.label} ({explanation.probability:.0%})"
    written = [out / f"{explanation.name}-explanation.png"]
    shown = ({title: explanation.photo}, {title: explanation.maps}, {title: explanation.scores})
    save_figure(map_grid(*shown, overlay=overlay), written[0])
    if format is not None:
        written.append(out / f"{explanation.name}-attributions.{format}")
        explanation.save_attributions(written[-1], box)
    return written


def _write_maps(explanation: Explanation, photo: Image.Image, box: Box | None, out: Path, overlay: bool) -> list[Path]:
    """Write each map as an image of its own, by the names of image and method, where the photograph has it."""
    from PIL import Image

    from captum_gag.data.images import named_apart
    from captum_gag.report.map_images import map_image

    if box is None:
        # Only what a transform made of the photograph is known.
        photo = Image.fromarray((255 * explanation.photo).round().astype("uint8"))
    names = named_apart([Path(re.sub(r"[^\w^+-]+", "-", method)) for method in explanation.maps])
    written = []
    for name, saliency in zip(names, explanation.maps.values(), strict=True):
        written.append(out / f"{explanation.name}-{name}.png")
        map_image(saliency, photo, box, overlay=overlay).save(written[-1])
    return written
