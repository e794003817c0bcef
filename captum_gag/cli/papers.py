"""``captum-gag papers``: tables, claims and figures of both papers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from captum_gag.cli import judge
from captum_gag.cli.commands import app, command
from captum_gag.cli.options import RunDirectories, Source, Trust, classifier_of, sections
from captum_gag.cli.run import interruptible, run
from captum_gag.cli.show import Part, show
from captum_gag.errors import InputError
from captum_gag.names import parse_method
from captum_gag.options import options_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

    from captum_gag.papers.propositions import Place
    from captum_gag.runs.scorer import Scorer
    from captum_gag.runs.store import Run

papers = typer.Typer(no_args_is_help=True)
app.add_typer(papers, name="papers", help="Tables, claims and figures of Huang & Liu (2024) and Tomsett et al. (2019).")


@command(papers)
def tables(runs: RunDirectories) -> None:
    """Print the papers' tables, with their rows and columns, ours beside the published, as far as there are scores.

    Of several runs, each case is a group of columns. Writes each table as Markdown, LaTeX and CSV into tables in the
    first RUN.

    Example: captum-gag papers tables RUN-PHOTOGRAPHS RUN-MOSAICS
    """
    from captum_gag.runs.store import Run

    loaded = [Run.load(path) for path in runs]
    from captum_gag.papers import huang_liu, tomsett
    from captum_gag.report.several_runs import together

    cases = together(loaded)
    of_papers = huang_liu.tables(
        {case: one.scores for case, one in cases.items()}, {case: one.ours for case, one in cases.items()}
    )
    # The second paper has one case; runs of several cases of the first are none of it.
    if len(cases) == 1:
        [one] = cases.values()
        of_papers += tomsett.tables(one.scores)
    if not of_papers:
        raise InputError("no table of a paper has scores for half of its rows; expected runs of the papers' suites")
    _print_tables(of_papers, runs[0] / "tables")


def _print_tables(of_papers: Sequence[Any], out: Path) -> None:
    from captum_gag.papers.layout import printable, save_paper_tables

    files = save_paper_tables(of_papers, out)
    last = len(of_papers) - 1
    show([Part([], printable(table), files if i == last else []) for i, table in enumerate(of_papers)])


@command(papers)
def claims(runs: RunDirectories, *, out: Path | None = None, trust: Trust = False) -> None:
    """Test the claims of Huang & Liu (2024): RCAP rises with p, GAG-85 is best, reversed maps are worse, and so on.

    Prints per claim and network whether it holds, fails or is undecided, with the number that decides and its
    interval over the images. A claim about several methods holds if it holds for each of them. Methods are recognised
    by their options, so that any run will do; it is reported which methods a run lacks. The suite gag-claims has all.

    Example: captum-gag run gag-claims --data FOLDER --out RUN && captum-gag papers claims RUN

    Args:
        out: Directory for claims.csv and claims.md; made if missing.
    """
    from captum_gag.runs.store import Run

    loaded = [Run.load(path) for path in runs]
    import pandas as pd

    from captum_gag.importing import nothing_imported
    from captum_gag.papers.claims import as_lines, save_claims
    from captum_gag.papers.claims import claims as tested

    with nothing_imported(trust):
        suites = [run.config.made_suite() for run in loaded]
    rows = pd.concat(
        [
            tested(run.scores(), suite).assign(network=name)
            for run, suite, name in zip(loaded, suites, _networks(loaded), strict=True)
        ],
        ignore_index=True,
    )
    files = save_claims(rows, out) if out else []
    typer.echo("\n".join([*as_lines(rows), *map(str, files)]))


def _networks(runs: list[Run]) -> list[str]:
    """Return a name for the network of each run, with the run's directory where several are of one network."""
    networks = [str(run.config.model.get("name", run.config.model["type"])) for run in runs]
    return [
        f"{name} ({run.directory})" if Counter(networks)[name] > 1 else name
        for name, run in zip(networks, runs, strict=True)
    ]


@command(papers, source=options_of(Source, "model", "set"))
def figure(
    kind: Literal["maps", "areas", "propositions"],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...")],
    *,
    source: dict[str, Any],
    method: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
    mask: Path | None = None,
    at: Annotated[str | None, typer.Option(metavar="X,Y")] = None,
    out: Path = Path("captum-gag-out"),
) -> None:
    """Draw a figure of Huang & Liu (2024) of your own photographs, by your own model.

    Writes NAME-KIND.png for each image; propositions also NAME-propositions.csv with all scores: RCAP sees misplaced
    saliency and noise, DAUC and IAUC the place alone. An image that cannot be read, or a method that fails, is named
    and left out.

    Example: captum-gag papers figure maps cat.jpg --method GAG-85 --method SG --method "Guided IG"

    Example: captum-gag papers figure propositions cat.jpg --at 0.4,0.5

    Args:
        kind: maps: Figure 1, the maps of all methods of Table 2 with their RCAP. areas: Figure 3, the focus area and
            the noise area of a map. propositions: Figure 4, four Gaussian maps, well placed or misplaced, sharp or
            wide.
        images: Image files, or names of the demo's photographs: chelsea, coffee, rocket, china, flower.
        method: A method; for maps, give it again for several. Default for areas: GAG-85.
        mask: For propositions: segmentation of the one image, white on the object: adds Log-Cosh Dice and MAE.
        at: For propositions: where well placed saliency lies, as shares of width and height of the model's input:
            0.5,0.5 is the centre. Default: the mask's centre, or else where GAG-85's map is highest.
        out: Directory of the figures; made if missing.
    """
    options = sections(source, "model")
    for name in method or []:
        parse_method(name)
    if (kind != "maps" and len(method or []) > 1) or (kind == "propositions" and method):
        raise InputError(f"--method {(method or [''])[-1]}: {kind} is of {'one' if kind == 'areas' else 'no'} method")
    if kind != "propositions" and (mask is not None or at is not None):
        raise InputError(f"--mask and --at are options of propositions; leave them out of {kind}")
    if mask is not None and len(images) > 1:
        raise InputError(f"--mask {mask} is of one image, and {len(images)} are given; give one of them")
    centre = None if at is None else _place(at)
    classifier = classifier_of(source, options["model"], "auto")
    from captum_gag.data.images import DEMO, demo_image, named_apart, read_image
    from captum_gag.report.figures import save_figure
    from captum_gag.runs.explaining import photo_scorer
    from captum_gag.runs.suite_file import read_suite

    default = read_suite("gag-comparison")["methods"] if kind == "maps" else ["GAG-85"]
    scorer = photo_scorer(classifier, method or default)
    out.mkdir(parents=True, exist_ok=True)
    failed = False
    for name, path in named_apart([Path(image) for image in images]).items():
        try:
            of_demo = str(path) in DEMO and not path.exists()
            photo = demo_image(str(path)) if of_demo else read_image(path)
            if kind == "propositions":
                drawing = _propositions(scorer, photo, name, mask, centre, out)
            else:
                drawing = _of_maps(kind, scorer, photo, name)
        except InputError as error:
            typer.echo(f"skipped {error}", err=True)
            failed = True
            continue
        save_figure(drawing, out / f"{name}-{kind}.png")
        typer.echo(str(out / f"{name}-{kind}.png"))
    if failed:
        raise typer.Exit(1)


def _of_maps(kind: str, scorer: Scorer, photo: Image.Image, name: str) -> Figure:
    """Draw the maps of a photograph, or the areas of its only map."""
    from captum_gag.papers.figures import areas, map_sheet
    from captum_gag.runs.explaining import explain_photo

    explanation = explain_photo(scorer, photo, name)
    errors = [f"{row['method']} on {name}: {row['error']}" for row in explanation.rows if row["error"]]
    if kind == "areas":
        if errors:
            raise InputError(errors[0])
        [saliency] = explanation.maps.values()
        return areas(explanation.photo, saliency)
    for line in errors:
        typer.echo(f"failed: {line}", err=True)
    title = f"{explanation.label} ({explanation.probability:.0%})"
    return map_sheet(title, explanation.photo, explanation.maps, explanation.scores)


def _propositions(
    scorer: Scorer, photo: Image.Image, name: str, mask: Path | None, centre: Place | None, out: Path
) -> Figure:
    from captum_gag.data.masks import read_mask
    from captum_gag.papers.figures import propositions_figure
    from captum_gag.papers.propositions import propositions
    from captum_gag.report.tables import write_scores

    judged = propositions(scorer, photo, name, mask=None if mask is None else read_mask(mask), at=centre)
    write_scores(out / f"{name}-propositions.csv", list(judged.rows()))
    typer.echo(str(out / f"{name}-propositions.csv"))
    return propositions_figure(judged)


def _place(text: str) -> Place:
    from captum_gag.papers.propositions import Place

    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise InputError(f"--at {text!r} must be shares of width and height, such as 0.5,0.5") from None
    return Place(x, y)


@command(papers)
def reliability(
    data: judge.Cifar10Data,
    *,
    out: Path,
    weights: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    limit: Annotated[int | None, typer.Option(min=1)] = None,
    random_orderings: Annotated[int, typer.Option(min=0)] = 100,
    workers: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Reproduce Tomsett et al. (2019) from a folder of CIFAR-10: training, run, tables, figures.

    Trains the network into OUT/cifar10.safetensors, runs the suite metric-reliability (written to OUT/suite.toml) into
    OUT/run, prints Tables 1 and 2 beside the published ones (saved in OUT/tables), and writes the reliability report
    with Figure 2 into OUT/reliability. The same command goes on after an interruption, wherever that was.

    Example: captum-gag papers reliability DATA --out OUT --limit 100

    Args:
        out: Directory for weights, run, tables and report; made if missing.
        weights: Weights of captum-gag train cifar10. Without them, it is trained first.
        limit: Test images at most.
        random_orderings: Random orderings that the methods are compared with; the paper has 100.
        workers: Processes that share the images.
    """
    out.mkdir(parents=True, exist_ok=True)
    if weights is None:
        weights = out / "cifar10.safetensors"
        judge.cifar10(data, out=weights)
    import tomli_w

    from captum_gag.runs.suite_file import read_suite

    suite = read_suite("metric-reliability") | {"random_orderings": random_orderings}
    (out / "suite.toml").write_text(tomli_w.dumps(suite), encoding="utf-8")
    source = {"model": "cifar10", "data": f"cifar10:{data}", "weights": str(weights)}
    settings = {} if limit is None else {"limit": limit}
    failed = False
    try:
        run(str(out / "suite.toml"), source=source, settings=settings, work={"workers": workers}, out=out / "run")
    except typer.Exit as exit:
        # The cells that failed are listed by now, and cost the others nothing.
        failed = exit.exit_code == 1
        if not failed:
            raise
    with interruptible():
        from captum_gag.papers.tomsett import tables
        from captum_gag.runs.store import Run

        _print_tables(tables(Run.load(out / "run").scores()), out / "tables")
        judge.reliability(out / "run", out=out / "reliability")
    if failed:
        raise typer.Exit(1)
