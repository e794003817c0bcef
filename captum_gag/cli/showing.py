"""``captum-gag table``, ``worst`` and ``report``: what a run found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from captum_gag.cli.common import Json, RunDirectory, Trust, errors_in_one_line, print_json

if TYPE_CHECKING:
    from rich.console import Group

    from captum_gag.report.several_runs import Together
    from captum_gag.runs.store import Run


def table(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Directories that captum-gag run made; several are one table."),
    ],
    layout: Annotated[
        str,
        typer.Option(
            metavar="full|paper",
            help="full: every method and metric of the run. paper: the tables of both papers, with their rows and "
            "columns, ours beside the published, for those of which the scores are there.",
        ),
    ] = "full",
    out: Annotated[
        Path | None, typer.Option(help="Directory for the tables. Default: tables in the first RUN.")
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two methods beside each other instead: by how much, how surely and where."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a run found: mean scores with 95 % intervals, the best in bold, and what differs from it.

    A star marks an explanation that differs from the metric's best one (Wilcoxon signed-rank test over the images,
    p < 0.05 after Holm's correction). Controls and manipulated maps, marked by a dagger, are never best. Published
    values stand beside ours where the suite knows them. Writes table.md, table.tex, table.csv (all numbers, with p and
    effect size) and scores.parquet; with --layout paper each table as Markdown, LaTeX and CSV. Of a run made with
    --until decided it also shows what is decided, and writes decisions.csv.

    With --compare A B: by each metric the mean difference with its interval, p, the effect size, the share of images on
    which A is better, and the images on which either is ahead most; written to pair.md, pair.csv and
    pair_images.csv.

    Example: captum-gag table RUN-PHOTOGRAPHS RUN-MOSAICS --layout paper

    Example: captum-gag table RUN --compare GAG-85 Grad-CAM
    """
    with errors_in_one_line():
        from captum_gag.errors import InputError
        from captum_gag.report.several_runs import together
        from captum_gag.runs.store import Run

        if layout not in LAYOUTS:
            raise InputError(f"--layout {layout!r} is unknown; expected {' or '.join(LAYOUTS)}")
        if compare and layout != "full":
            raise InputError(f"--compare has no --layout {layout}; leave one of them out")
        loaded, place = [Run.load(each) for each in runs], out or runs[0] / "tables"
        found = together(loaded)
        shown = _pair(found, compare, place) if compare else LAYOUTS[layout](found, place)
        if len(loaded) == 1 and not compare:
            shown += _decisions(loaded[0], found, place)
        _show(json, shown)


class _Shown(NamedTuple):
    """A part of what is shown: rows for machines, the same laid out, and the files that it is written to."""

    rows: list[dict[Any, Any]]
    blocks: list[Group]
    written: list[Path]


def _full(found: Mapping[str, Together], out: Path) -> list[_Shown]:
    """Return all methods by all metrics of runs of one case."""
    from captum_gag.papers.published import means
    from captum_gag.report.tables import comparison, printable, save_tables

    whole = _of_one_case(found)
    rows = comparison(whole.scores, means(*whole.suites))
    written = save_tables(rows, whole.scores, out)
    return [_Shown(rows.to_dict("records"), [printable(rows)], written)]


def _of_one_case(found: Mapping[str, Together]) -> Together:
    from captum_gag.errors import InputError

    if len(found) > 1:
        raise InputError(f"the runs are of the cases {', '.join(found)}, which have a table each; give --layout paper")
    [whole] = found.values()
    return whole


def _pair(found: Mapping[str, Together], methods: tuple[str, str], out: Path) -> list[_Shown]:
    """Return two methods beside each other, of runs of one case."""
    from captum_gag.report.pairs import extremes, paired, printable, save_pair

    scores = _of_one_case(found).scores
    rows, ends = paired(scores, *methods), extremes(scores, *methods)
    named = [{"table": "images", **row} for row in ends.to_dict("records")]
    return [_Shown([*rows.to_dict("records"), *named], [printable(rows, ends)], save_pair(rows, ends, out))]


def _paper(found: Mapping[str, Together], out: Path) -> list[_Shown]:
    """Return the papers' tables of which the scores are there."""
    from captum_gag.errors import InputError
    from captum_gag.papers import huang_liu, tomsett
    from captum_gag.papers.layout import printable, save_paper_tables

    tables = huang_liu.tables(
        {case: each.scores for case, each in found.items()}, {case: each.ours for case, each in found.items()}
    )
    # The second paper has one case; runs of several cases of the first are none of it.
    if len(found) == 1:
        [whole] = found.values()
        tables += tomsett.tables(whole.scores)
    if not tables:
        raise InputError("no table of a paper has scores for half of its rows; expected runs of the papers' suites")
    written = save_paper_tables(tables, out)
    rows = [{"table": table.name, **cell} for table in tables for cell in table.cells.to_dict("records")]
    return [_Shown(rows, [printable(table) for table in tables], written)]


LAYOUTS: dict[str, Callable[[Mapping[str, Together], Path], list[_Shown]]] = {"full": _full, "paper": _paper}


def _decisions(run: Run, found: Mapping[str, Together], out: Path) -> list[_Shown]:
    """Return what a run decided, if it was one until decided."""
    from captum_gag.report.decisions import decisions, printable, save_decisions

    [whole] = found.values()
    rows = decisions(run, whole.scores)
    if rows is None:
        return []
    named = [{"table": "decisions", **row} for row in rows.to_dict("records")]
    return [_Shown(named, [printable(rows)], [save_decisions(rows, out)])]


def _show(json: bool, shown: list[_Shown]) -> None:
    """Print the rows as JSON, or what is for people and where it was written."""
    if json:
        print_json([row for part in shown for row in part.rows])
        return
    from rich.console import Console

    for part in shown:
        for block in part.blocks:
            Console().print(block)
        typer.echo("\n".join(map(str, part.written)))


def worst(
    run: RunDirectory,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Whose explanations; may be given several times. Default: the best by each metric."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="By which metric; may be given several times. Default: all.")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Images of each.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Directory for worst.csv. Default: RUN/tables.")] = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """List the images that are explained worst: lowest scores, with class and probability.

    A low score by RCAP may be due to the explanation or to an unsure network: the probability tells. The page that
    captum-gag report writes shows the same images with their maps.

    Example: captum-gag worst RUN --method GAG-85 --metric RCAP --n 5
    """
    with errors_in_one_line():
        from captum_gag.report.source import Source
        from captum_gag.report.worst import printable, save_worst
        from captum_gag.report.worst import worst as worst_of
        from captum_gag.runs.store import Run

        loaded = Run.load(run)
        rows = worst_of(loaded.scores(), method or (), metric or (), n, Source.of(loaded, trust).label)
        written = save_worst(rows, out or run / "tables")
        _show(json, [_Shown(rows.to_dict("records"), [printable(rows)], [written])])


def report(
    run: RunDirectory,
    out: Annotated[Path | None, typer.Option(help="The HTML file. Default: RUN/report.html.")] = None,
    n_bootstrap: Annotated[int, typer.Option(min=1, help="Resamples, for the intervals of means.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples, and of the images drawn at random.")] = 0,
    images: Annotated[
        str,
        typer.Option(metavar="N|all", help="How many images are shown; of more, those that are worth seeing."),
    ] = "150",
    paths: Annotated[
        bool,
        typer.Option("--paths", help="Write paths of data, weights and run in full, where it says how to repeat it."),
    ] = False,
    trust: Trust = False,
) -> None:
    """Write a run as one HTML page: summary, tables, figures, images with their maps, and how to repeat it.

    The page needs no network and no other file. It shows the maps of a run made with --save-maps, and the photographs
    if the data are still where they were; the model's weights are not needed. Works while the run is still going, for
    the images done. Of more images than --images it shows those with the worst and the best scores, those on which
    methods disagree, and some at random; all numbers are of all images. It names no directory unless asked to.

    Example: captum-gag run quick --save-maps --out RUN && captum-gag report RUN
    """
    with errors_in_one_line():
        from captum_gag.papers.published import means
        from captum_gag.report.page import write_page
        from captum_gag.runs.store import Run

        most = _shown_at_most(images)
        loaded = Run.load(run)
        published = means(loaded.config.suite_file())
        path = write_page(loaded, out or run / "report.html", n_bootstrap, seed, most, paths, trust, published)
    typer.echo(str(path))


def _shown_at_most(images: str) -> int | None:
    """Return how many images are shown, None for all."""
    from captum_gag.errors import InputError

    if images == "all":
        return None
    if not images.isdecimal() or int(images) < 1:
        raise InputError(f"--images {images!r} is no number of images; expected one above 0, or all")
    return int(images)
