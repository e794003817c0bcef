"""The command line: each module holds the commands of one job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from captum_gag.cli import claiming, drawing, explaining, judging, listing, planning, running, showing

# Torch, captum, quantus and matplotlib are imported inside the commands, so that --help does not wait for them.

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"captum-gag {version('captum-gag')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Explain image classifiers with Guided AbsoluteGrad (GAG), score explanations, and judge the scores.

    **demo** and **explain** explain single images. **run** scores many methods by many metrics over a data set,
    **table** and **report** show what came out. **reliability** tells whether such metrics can be trusted.
    """


COMMANDS: tuple[Callable[..., None], ...] = (
    explaining.demo,
    explaining.explain,
    listing.methods,
    planning.plan,
    running.run,
    running.resume,
    showing.table,
    showing.worst,
    showing.report,
    claiming.claims,
    listing.suites,
    listing.metrics,
    judging.reliability,
    judging.train_cifar10,
    judging.train_planted,
    judging.metric_reliability,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(drawing.figure)
