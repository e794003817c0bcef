"""``captum-gag reliability``, and the training of the network that the second paper judges metrics on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from captum_gag.cli.common import Device, errors_in_one_line


def reliability(
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES",
            help="A .parquet or .csv with the columns image, method, metric, score, perhaps higher_is_better; or the "
            "directory of a run.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory for the report; made if missing.")] = Path("reliability"),
    n_bootstrap: Annotated[int, typer.Option(min=1, help="Resamples of the images, for the intervals.")] = 10_000,
    confidence: Annotated[float, typer.Option(min=0.01, max=0.9999, help="Of the intervals.")] = 0.999,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
) -> None:
    """Tell whether metrics can be trusted: do images, methods and metrics agree (Tomsett et al., 2019)?

    Prints a verdict per metric and writes report.html, report.md, a CSV per table and a PNG per figure. The columns of
    a run say which methods are random orderings and edges, to be beaten (control), and which manipulate another's maps
    to fool the metric (base, transform); a table without them knows Random, Sobel and Constant by name. Where a column
    higher_is_better is missing, the metrics must be known to this package or to Quantus.

    Example: captum-gag reliability scores.csv --out report
    """
    with errors_in_one_line():
        from captum_gag import reliability as checks
        from captum_gag.report.reliability_report import save
        from captum_gag.runs.store import Run

        is_run = (scores / "run.json").is_file()
        table = Run.load(scores).scores() if is_run else checks.read_scores(scores)
        found = checks.report(table, n_bootstrap, confidence, seed)
        written = save(found, out)
    for metric, verdict in found.verdicts.items():
        typer.echo(f"{metric}: {verdict}")
    typer.echo("\n".join(map(str, written)))


def train_cifar10(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="CIFAR-10: torchvision's directory, a folder or a zip per split, or a zip."
        ),
    ],
    out: Annotated[Path, typer.Option(help="File of the weights.")] = Path("cifar10.safetensors"),
    epochs: Annotated[
        int, typer.Option(min=1, help="At most so many; fewer if the validation loss stops falling.")
    ] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and dropout.")] = 0,
    device: Device = "auto",
) -> None:
    """Train the CIFAR-10 network of the second paper; the same command goes on after an interruption.

    Three blocks of two convolutions, weight decay, dropout, early stopping on 5,000 held-out images. Then:
    captum-gag run metric-reliability --model cifar10 --weights cifar10.safetensors --data cifar10:DATA --out RUN
    """
    with errors_in_one_line():
        from captum_gag.models.loading import best_device
        from captum_gag.models.training import Recipe, train_cifar10

        place = best_device() if device == "auto" else device
        accuracy = train_cifar10(data, out, Recipe(epochs=epochs, seed=seed), place, typer.echo)
        typer.echo(f"test accuracy {accuracy:.1%}\n{out}")
