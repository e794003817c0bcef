"""``captum-gag table`` and ``report``: what a run found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from captum_gag.cli.common import Json, RunDirectory, errors_in_one_line


def table(
    run: RunDirectory,
    out: Annotated[Path | None, typer.Option(help="Directory for the tables. Default: RUN/tables.")] = None,
    json: Json = False,
) -> None:
    """Show what a run found: mean scores with 95 % intervals, the best in bold, and what differs from it.

    A star marks a method that differs from the metric's best one (Wilcoxon signed-rank test over the images, p < 0.05
    after Holm's correction). Published values stand beside ours where the suite knows them. Writes table.md, table.tex,
    table.csv (all numbers) and scores.parquet.
    """
    with errors_in_one_line():
        from captum_gag.report.tables import comparison, printable, save_tables
        from captum_gag.runs.store import Run

        opened = Run.load(run)
        scores = opened.scores()
        rows = comparison(scores, opened.config.suite_file().published)
        written = save_tables(rows, scores, out or run / "tables")
        if json:
            typer.echo(rows.to_json(orient="records", indent=1))
        else:
            from rich.console import Console

            Console().print(printable(rows))
            typer.echo("\n".join(map(str, written)))


def report(
    run: RunDirectory,
    out: Annotated[Path | None, typer.Option(help="The HTML file. Default: RUN/report.html.")] = None,
    n_bootstrap: Annotated[int, typer.Option(min=1, help="Resamples of the images, for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
) -> None:
    """Write a run as one HTML page: summary, tables, figures, every image with its maps, and how to repeat it.

    The page needs no network and no other file. It shows the maps of a run made with --save-maps, and the photographs
    if the data are still where they were; the model's weights are not needed. Works while the run is still going, for
    the images done.

    Example: captum-gag run quick --save-maps --out RUN && captum-gag report RUN
    """
    with errors_in_one_line():
        from captum_gag.report.page import write_page
        from captum_gag.runs.store import Run

        path = write_page(Run.load(run), out or run / "report.html", n_bootstrap, seed)
    typer.echo(str(path))
