"""``captum-gag papers``: tables, claims and figures of both papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from captum_gag.cli import judge
from captum_gag.cli.commands import app, command, print_table
from captum_gag.cli.options import SET_MODEL, RunDirectories, Source, classifier_of, sections
from captum_gag.cli.run import Work, interruptible, run
from captum_gag.errors import InputError
from captum_gag.names import parse_method
from captum_gag.options import options_of
from captum_gag.runs.config import Config

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

    from captum_gag.papers.propositions import Place
    from captum_gag.runs.scorer import Scorer

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
    scores, ours = ({case: getattr(one, name) for case, one in cases.items()} for name in ("scores", "ours"))
    of_papers = huang_liu.tables(scores, ours)
    # The second paper has one case; runs of several cases of the first are none of it.
    if len(scores) == 1:
        of_papers += tomsett.tables(*scores.values())
    if not of_papers:
        raise InputError("no table of a paper has scores for half of its rows; expected runs of the papers' suites")
    _print_tables(of_papers, runs[0] / "tables")


def _print_tables(of_papers: Sequence[Any], out: Path) -> None:
    from rich.console import Group

    from captum_gag.papers.layout import printable, save_paper_tables

    files = save_paper_tables(of_papers, out)
    print_table(Group(*map(printable, of_papers)), files)


@command(papers)
def claims(runs: RunDirectories, *, out: Path | None = None) -> None:
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

    from captum_gag.papers.claims import as_lines, save_claims
    from captum_gag.papers.claims import claims as tested

    suites = [one.config.made_suite() for one in loaded]
    networks = [str(one.config.model.get("name", one.config.model["type"])) for one in loaded]
    tables = []
    for one, suite, network in zip(loaded, suites, networks, strict=True):
        name = f"{network} ({one.directory})" if networks.count(network) > 1 else network
        tables.append(tested(one.scores(), suite).assign(network=name))
    rows = pd.concat(tables, ignore_index=True)
    files = save_claims(rows, out) if out else []
    typer.echo("\n".join([*as_lines(rows), *map(str, files)]))


@command(papers, source=[*options_of(Source, "model"), SET_MODEL])
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

    Example: captum-gag papers figure propositions cat.jpg --at 0.4,0.5

    Args:
        kind: maps: Figure 1, the maps of all methods of Table 2 with their RCAP. areas: Figure 3, the focus area and
            the noise area of a map. propositions: Figure 4, four Gaussian maps, well placed or misplaced, sharp or
            wide.
        images: Image files, or names of the demo's photographs: chelsea, coffee, rocket, china, flower.
        method: A method; for maps, give it again for several. Default for areas: GAG-85.
        mask: For propositions: segmentation of the one image, white on the object; adds Log-Cosh Dice and MAE.
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
    centre = None
    if at is not None:
        from captum_gag.papers.propositions import Place

        try:
            centre = Place(*map(float, at.split(",")))
        except (TypeError, ValueError):
            raise InputError(f"--at {at!r} must be shares of width and height, such as 0.5,0.5") from None
    classifier = classifier_of(source, options["model"], "auto")
    from captum_gag.data.images import DEMO, demo_image, named_apart, read_image
    from captum_gag.report.table_files import save_figure
    from captum_gag.runs.explaining import photo_scorer
    from captum_gag.runs.suite_file import read_suite

    default = read_suite("gag-comparison")["methods"] if kind == "maps" else ["GAG-85"]
    scorer = photo_scorer(classifier, method or default)
    out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    for name, path in named_apart([Path(image) for image in images]).items():
        try:
            photo = demo_image(str(path)) if str(path) in DEMO and not path.exists() else read_image(path)
            drawing, errors = _figure(kind, scorer, photo, name, mask, centre, out)
            typer.echo(str(save_figure(drawing, out / f"{name}-{kind}.png")))
        except InputError as error:
            errors = [f"skipped {error}"]
        failed += errors
        typer.echo("".join(f"{line}\n" for line in errors), err=True, nl=False)
    if failed:
        raise typer.Exit(1)


def _figure(
    kind: str, scorer: Scorer, photo: Image.Image, name: str, mask: Path | None, centre: Place | None, out: Path
) -> tuple[Figure, list[str]]:
    """Return a figure of one photograph, and a line for each method that it lacks."""
    from captum_gag.papers import figures

    if kind == "propositions":
        import pandas as pd

        from captum_gag.data.masks import read_mask
        from captum_gag.papers.propositions import propositions
        from captum_gag.report.table_files import save_csv

        judged = propositions(scorer, photo, name, mask=None if mask is None else read_mask(mask), at=centre)
        save_csv(pd.DataFrame(judged.rows()), out / f"{name}-propositions.csv")
        typer.echo(str(out / f"{name}-propositions.csv"))
        return figures.propositions_figure(judged), []
    from captum_gag.runs.explaining import explain_photo

    explanation = explain_photo(scorer, photo, name)
    if kind == "areas":
        if explanation.errors:
            raise InputError(explanation.errors[0])
        return figures.areas(explanation.photo, next(iter(explanation.maps.values()))), []
    title = f"{explanation.label} ({explanation.probability:.0%})"
    sheet = figures.map_sheet(title, explanation.photo, explanation.maps, explanation.scores)
    return sheet, [f"failed: {line}" for line in explanation.errors]


@command(papers, settings=options_of(Config, "limit"), work=options_of(Work, "workers"))
def reliability(
    data: judge.Cifar10Data,
    *,
    settings: dict[str, Any],
    work: dict[str, Any],
    out: Path,
    weights: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    random_orderings: Annotated[int, typer.Option(min=0)] = 100,
) -> None:
    """Reproduce Tomsett et al. (2019) from a folder of CIFAR-10: training, run, tables, figures.

    Trains the network into OUT/cifar10.safetensors, runs the suite metric-reliability (written to OUT/suite.toml) into
    OUT/run, prints Tables 1 and 2 beside the published ones (saved in OUT/tables), and writes the reliability report
    with Figure 2 into OUT/reliability. The same command goes on after an interruption, wherever that was.

    Example: captum-gag papers reliability DATA --out OUT --limit 100

    Args:
        out: Directory for weights, run, tables and report; made if missing.
        weights: Weights of captum-gag train cifar10. Without them, it is trained first.
        random_orderings: Random orderings that the methods are compared with; the paper has 100.
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
    status = 0
    try:
        run(str(out / "suite.toml"), source=source, settings=settings, work=work, out=out / "run")
    except typer.Exit as exit:
        # The cells that failed are listed by now, and cost the others nothing.
        status = exit.exit_code
        if status != 1:
            raise
    with interruptible():
        from captum_gag.papers.tomsett import tables
        from captum_gag.runs.store import Run

        _print_tables(tables(Run.load(out / "run").scores()), out / "tables")
        judge.reliability(out / "run", out=out / "reliability")
    raise typer.Exit(status)
