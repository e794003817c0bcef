"""What all commands share: options of the same meaning, errors in one line, and JSON for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

Seed = Annotated[int, typer.Option(help="Fixes the noise: the same seed gives the same maps.")]
Out = Annotated[Path, typer.Option(help="Directory for the results; made if missing, files of the same name replaced.")]
Device = Annotated[
    str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute; auto takes a GPU if there is one.")
]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="Directory that captum-gag run made.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn what the user can mend into one line on stderr and exit status 2."""
    from captum_gag.errors import InputError

    try:
        yield
    except (InputError, OSError) as error:
        typer.echo(f"captum-gag: {error}", err=True)
        raise typer.Exit(2) from error


def print_json(value: Any) -> None:
    """Print a value as JSON; what is not a number there, NaN, is null."""
    from captum_gag.runs.files import plain

    typer.echo(json.dumps(plain(value), indent=1, default=str))


def importable_from_here() -> None:
    """Let a model or a data set in the working directory be imported, as with python -m."""
    sys.path.append(os.getcwd())
