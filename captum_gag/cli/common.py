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
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="demo (EfficientNet-Lite0), cifar10, a torchvision classifier such as resnet18, timm:NAME, or "
        "package.module:callable, which returns a torch.nn.Module (fed as for ImageNet) or a "
        "captum_gag.models.Classifier.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="State dict for the model, .safetensors or .pth (read without running code). Without it, torchvision "
        "downloads its own.",
    ),
]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="Directory that captum-gag run made.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn what the user can mend into one line on stderr and exit status 2."""
    from captum_gag.errors import InputError

    importable_from_here()
    try:
        yield
    except (InputError, OSError) as error:
        typer.echo(f"captum-gag: {error}", err=True)
        raise typer.Exit(2) from error


def importable_from_here() -> None:
    """Let methods, metrics, models and data sets in the working directory be imported, as with python -m."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def model_spec(name: str, weights: Path | None) -> dict[str, Any]:
    """Return the spec of a model, with the absolute path of its weights: a run goes on from any directory."""
    from captum_gag.models.catalogue import parse

    return parse(name) if weights is None else {**parse(name), "weights": str(weights.resolve())}


def print_json(value: Any) -> None:
    """Print a value as JSON; what is not a number there, NaN, is null."""
    from captum_gag.files import plain

    typer.echo(json.dumps(plain(value), indent=1, default=str))
