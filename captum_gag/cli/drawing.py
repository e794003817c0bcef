"""``captum-gag figure``: the figures of Huang & Liu, of your own photographs and model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from captum_gag.cli.common import (
    Device,
    ImageSize,
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

    from captum_gag.papers.propositions import Place
    from captum_gag.runs.scorer import Scorer

figure = typer.Typer(
    name="figure",
    help="Draw the figures of Huang & Liu (2024) of your own photographs, by your own model.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        help="Image files, or names of the demo's photographs: chelsea, coffee, rocket, china, flower.",
    ),
]
Target = Annotated[
    int | None, typer.Option(min=0, help="Class to explain, counted from 0. Default: the predicted one.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(metavar="model.KEY=VALUE", help="An option of the model, such as model.channels=1."),
]
Samples = Annotated[int, typer.Option(min=2, help="Noisy copies of each image.")]
LowerBound = Annotated[float, typer.Option(min=0, help="RCAP's last percentile: below it is the noise area.")]
Interval = Annotated[float, typer.Option(help="Distance of RCAP's percentiles.")]
ClassWhere = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y",
        help="Where well placed saliency lies, as shares of width and height of what the model sees: 0.5,0.5 is the "
        "centre. Default: the mask's centre, or else where GAG-85's map is highest.",
    ),
]


@figure.command()
def maps(
    images: Images,
    model: ModelName = "demo",
    weights: Weights = None,
    output: Output = None,
    image_size: ImageSize = None,
    set: Set = None,
    target: Target = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A method; give it again for several. Default: all of the paper's Table 2."),
    ] = None,
    samples: Samples = 20,
    seed: Seed = 0,
    device: Device = "auto",
    out: Out = Path("captum-gag-out"),
) -> None:
    """Figure 1: the maps of all methods side by side, each with its RCAP, and a colour bar.

    Writes NAME-maps.png for each image. An image that cannot be read, or a method that fails, is named and left out.

    Example: captum-gag figure maps cat.jpg --method GAG-85 --method SG --method "Guided IG"
    """
    with errors_in_one_line():
        from captum_gag.papers.figures import map_sheet
        from captum_gag.runs.explaining import explain_photo
        from captum_gag.runs.spec import read_suite

        methods = method or read_suite("gag-comparison")["methods"]
        scorer = _scorer(model, weights, output, image_size, set, methods, samples, seed, device)

        def draw(photo: Image.Image, name: str) -> Figure:
            found = explain_photo(scorer, photo, name, target)
            for row in found.rows:
                if row["error"]:
                    typer.echo(f"failed: {row['method']} on {name}: {row['error']}", err=True)
            title = f"{found.label} ({found.probability:.0%})"
            return map_sheet(title, found.photo, found.maps, found.scores)

        _draw_all(images, "maps", out, draw)


@figure.command()
def areas(
    images: Images,
    model: ModelName = "demo",
    weights: Weights = None,
    output: Output = None,
    image_size: ImageSize = None,
    set: Set = None,
    target: Target = None,
    method: Annotated[str, typer.Option(metavar="NAME", help="Whose map is drawn.")] = "GAG-85",
    lower_bound: LowerBound = 50.0,
    interval: Interval = 10.0,
    samples: Samples = 20,
    seed: Seed = 0,
    device: Device = "auto",
    out: Out = Path("captum-gag-out"),
) -> None:
    """Figure 3: what of a map is focus area and what is noise area, with the share of the saliency in each.

    Writes NAME-areas.png for each image.

    Example: captum-gag figure areas cat.jpg --method SG --lower-bound 70
    """
    with errors_in_one_line():
        from captum_gag.errors import InputError
        from captum_gag.metrics.rcap import thresholds
        from captum_gag.papers import figures
        from captum_gag.runs.explaining import explain_photo

        thresholds(lower_bound, interval)
        scorer = _scorer(model, weights, output, image_size, set, [method], samples, seed, device)

        def draw(photo: Image.Image, name: str) -> Figure:
            found = explain_photo(scorer, photo, name, target)
            if method not in found.maps:
                raise InputError(f"{method} on {name}: {found.rows[0]['error']}")
            return figures.areas(found.photo, found.maps[method], lower_bound, interval)

        _draw_all(images, "areas", out, draw)


@figure.command()
def propositions(
    images: Images,
    model: ModelName = "demo",
    weights: Weights = None,
    output: Output = None,
    image_size: ImageSize = None,
    set: Set = None,
    target: Target = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="Segmentation of the one image, white on the object: adds Log-Cosh Dice and MAE."),
    ] = None,
    at: ClassWhere = None,
    off: Annotated[
        str | None,
        typer.Option(metavar="X,Y", help="Where misplaced saliency lies. Default: the farthest corner."),
    ] = None,
    sharp: Annotated[
        float, typer.Option(help="Standard deviation of the sharp maps, as a share of the shorter side.")
    ] = 0.1,
    wide: Annotated[float, typer.Option(help="That of the wide maps.")] = 0.25,
    lower_bound: LowerBound = 50.0,
    interval: Interval = 10.0,
    samples: Samples = 20,
    seed: Seed = 0,
    device: Device = "auto",
    out: Out = Path("captum-gag-out"),
) -> None:
    """Figure 4: Propositions 1 and 2 by four Gaussian maps, well placed or misplaced, sharp or wide.

    Shows each map, its areas, both factors of RCAP at each step, and the scores by RCAP, DAUC and IAUC: RCAP sees
    misplaced saliency and noise, DAUC and IAUC the place alone. Writes NAME-propositions.png and .csv for each image.

    Example: captum-gag figure propositions cat.jpg --at 0.4,0.5
    """
    with errors_in_one_line():
        from captum_gag.data.masks import read_mask
        from captum_gag.errors import InputError
        from captum_gag.metrics.rcap import thresholds
        from captum_gag.papers.figures import propositions_figure
        from captum_gag.papers.propositions import propositions as judge
        from captum_gag.report.tables import write_scores

        if mask is not None and len(images) > 1:
            raise InputError(f"--mask {mask} is of one image, and {len(images)} are given; give one of them")
        thresholds(lower_bound, interval)
        centre, beside = _place("--at", at), _place("--off", off)
        segmentation = None if mask is None else read_mask(mask)
        scorer = _scorer(model, weights, output, image_size, set, ["GAG-85"], samples, seed, device)

        def draw(photo: Image.Image, name: str) -> Figure:
            found = judge(
                scorer,
                photo,
                name,
                target,
                segmentation,
                at=centre,
                off=beside,
                sharp=sharp,
                wide=wide,
                lower_bound=lower_bound,
                interval=interval,
            )
            write_scores(out / f"{name}-propositions.csv", list(found.rows()))
            typer.echo(str(out / f"{name}-propositions.csv"))
            return propositions_figure(found)

        _draw_all(images, "propositions", out, draw)


def _scorer(
    model: str,
    weights: str | None,
    output: str | None,
    image_size: str | None,
    set: Sequence[str] | None,
    methods: Any,
    samples: int,
    seed: int,
    device: str,
) -> Scorer:
    """Load the model and build the methods."""
    from captum_gag.errors import InputError
    from captum_gag.models.catalogue import model as model_of
    from captum_gag.options import assignments
    from captum_gag.runs.explaining import photo_scorer

    others = [each for each in set or [] if not each.startswith("model.")]
    if others:
        raise InputError(f"--set {others[0]} has no meaning; expected model.KEY=VALUE")
    further = assignments(each.removeprefix("model.") for each in set or [])
    spec = model_spec(model, model_options(weights, output, image_size, further))
    return photo_scorer(model_of(spec).load(device_named(device)), methods, samples, seed)


def _draw_all(images: Sequence[str], what: str, out: Path, draw: Callable[[Image.Image, str], Figure]) -> None:
    """Draw a figure of each image; exit with 1 if one was skipped."""
    from captum_gag.data.images import DEMO, demo_image, named_apart, read_image
    from captum_gag.errors import InputError
    from captum_gag.report.figures import save_figure

    out.mkdir(parents=True, exist_ok=True)
    failed = False
    for name, path in named_apart([Path(each) for each in images]).items():
        try:
            is_demo = str(path) in DEMO and not path.exists()
            drawn = draw(demo_image(str(path)) if is_demo else read_image(path), name)
        except InputError as error:
            typer.echo(f"skipped {error}", err=True)
            failed = True
            continue
        save_figure(drawn, out / f"{name}-{what}.png")
        typer.echo(str(out / f"{name}-{what}.png"))
    if failed:
        raise typer.Exit(1)


def _place(option: str, text: str | None) -> Place | None:
    """Return the place that an option names."""
    from captum_gag.errors import InputError
    from captum_gag.papers.propositions import Place

    if text is None:
        return None
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise InputError(
            f"{option} {text!r} is no place; expected shares of width and height, such as 0.5,0.5"
        ) from None
    return Place(x, y)
