"""``captum-gag claims``: whether the first paper's claims hold for a network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captum_gag.cli.common import Json, Trust, errors_in_one_line

if TYPE_CHECKING:
    from captum_gag.runs.store import Run


def claims(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Directories that captum-gag run made, such as one a network."),
    ],
    out: Annotated[Path | None, typer.Option(help="Directory for claims.csv and claims.md; made if missing.")] = None,
    confidence: Annotated[float, typer.Option(min=0.01, max=0.9999, help="Of the intervals.")] = 0.95,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Test what Huang & Liu (2024) claim: RCAP rises with p, GAG-85 is best, reversed maps are worse, and so on.

    Prints per claim and network whether it holds, fails or is undecided, with the number that decides and its
    interval over the images. A claim about several methods holds if it holds for each of them. Methods are known by
    their options, so that any run will do; what it lacks is said. The suite gag-claims has all that it takes.

    Example: captum-gag run gag-claims --model efficientnet-lite1 --data FOLDER --out RUN && captum-gag claims RUN
    """
    with errors_in_one_line():
        import pandas as pd

        from captum_gag.importing import nothing_imported
        from captum_gag.papers import claims as checks
        from captum_gag.runs.store import Run

        opened = [Run.load(each) for each in runs]
        with nothing_imported(trust):
            suites = [run.config.made_suite() for run in opened]
        found = [
            checks.claims(run.scores(), suite, confidence=confidence).assign(network=name)
            for run, suite, name in zip(opened, suites, _names(opened), strict=True)
        ]
        rows = pd.concat(found, ignore_index=True)
        written = checks.save_claims(rows, out) if out else []
        if json:
            typer.echo(rows.to_json(orient="records", indent=1))
        else:
            typer.echo("\n".join([*checks.as_lines(rows), *map(str, written)]))


def _names(runs: list[Run]) -> list[str]:
    """Return what to call the network of each run, with the run's directory where several are of one network."""
    models = [run.config.model for run in runs]
    names = [str(model.get("name", model["type"])) for model in models]
    return [
        f"{name} ({run.directory})" if Counter(names)[name] > 1 else name for run, name in zip(runs, names, strict=True)
    ]
