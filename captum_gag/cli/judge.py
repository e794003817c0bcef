"""``captum-gag reliability`` and ``train``: the reliability of metrics, and the networks to judge them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from captum_gag.cli.commands import app, command, print_table
from captum_gag.cli.options import device_named
from captum_gag.cli.run import interruptible
from captum_gag.errors import InputError

if TYPE_CHECKING:
    from captum_gag.runs.store import Run

N_PLANTED = 4000
"""Training images of the planted networks."""

Cifar10Data = Annotated[Path, typer.Argument(metavar="DATA", help="Directory, folder or zip of CIFAR-10.")]


@command()
def reliability(
    scores: Annotated[Path, typer.Argument(metavar="SCORES")],
    *,
    out: Path = Path("reliability"),
    truth: Annotated[str, typer.Option(metavar="LABEL,...")] = "",
    by: Annotated[str | None, typer.Option(metavar="COLUMN")] = None,
    edges: Annotated[str, typer.Option(metavar="X,Y,...")] = "",
) -> None:
    """Judge metrics: do images, methods and metrics agree (Tomsett et al., 2019)?

    Prints by each metric which explanation is best, and four marks with a few words on the metric itself (reliable,
    valid, sensitive to its implementation, fooled by sharpening). Writes report.html (the page of captum-gag report, of
    scores alone), report.md, a CSV per table and a PNG per figure. The columns of a run say which methods are random
    orderings and edges, to be beaten (control), and which manipulate another's maps to fool the metric (base,
    transform); in a table without them Random, Sobel and Constant are recognised by name. Where a column
    higher_is_better is missing, the metrics must be known to this package or to Quantus.

    Example: captum-gag reliability RUN --by probability --edges 0.8,0.99

    Args:
        scores: A .parquet or .csv with the columns image, method, metric, score, perhaps higher_is_better; or the
            directory of a run.
        out: Directory for the report; made if missing.
        truth: The metrics that know which maps are right, for the others to be compared with. Default: those of the
            run's suite.
        by: Run all checks on each group of images too: by their class (target), their probability, or any column that
            is the same in all rows of an image.
        edges: Cut that column into ranges: 0.8,0.99 gives <= 0.8, 0.8 to 0.99 and >= 0.99.
    """
    labels: Sequence[str] = [label.strip() for label in truth.split(",")] if truth else ()
    try:
        ranges = [float(number) for number in edges.split(",")] if edges else []
    except ValueError as error:
        raise InputError(f"--edges {edges!r} must be numbers between commas, such as 0.8,0.99") from error
    runs: list[Run] = []
    if (scores / "run.json").is_file():
        from captum_gag.runs.store import Run

        runs = [Run.load(scores)]
        table, labels = runs[0].scores(), labels or runs[0].config.suite_file().truth
    else:
        from captum_gag.reliability import read_scores

        table = read_scores(scores)
    from captum_gag.reliability import report
    from captum_gag.report.captions import terminal_table
    from captum_gag.report.reliability_report import marked
    from captum_gag.report.score_page import save_reliability
    from captum_gag.report.summary import sentences, summarised

    judged, summary = report(table, truth=labels, by=by, edges=ranges), summarised(table, runs)
    files = save_reliability(judged, out, summary)
    for sentence in sentences(summary.verdicts):
        typer.echo(sentence)
    print_table(terminal_table(marked(judged), left=5))
    if judged.advice:
        typer.echo(f"{judged.advice}\n")
    for metric, verdict in judged.verdicts.items():
        typer.echo(f"{metric}: {verdict}")
    typer.echo("\n".join(map(str, files)))


train = typer.Typer(no_args_is_help=True)
app.add_typer(train, name="train", help="Train a network to judge metrics on.")


@command(train)
def cifar10(data: Cifar10Data, *, out: Path = Path("cifar10.safetensors"), standardise: bool = False) -> None:
    """Train the CIFAR-10 network of the second paper; the same command goes on after an interruption.

    Three blocks of two convolutions, weight decay, dropout, early stopping on 5,000 held-out images. Then:
    captum-gag run metric-reliability --model cifar10 --weights cifar10.safetensors --data cifar10:DATA --out RUN.
    Both in one: captum-gag papers reliability.

    Args:
        out: File of the weights.
        standardise: Bring each channel to mean 0 and standard deviation 1 over the training images, as in the paper;
            without it, pixels are used as they are, in [0, 1]. The weights say which.
    """
    with interruptible():
        from captum_gag.models.training import Recipe, train_cifar10

        accuracy = train_cifar10(data, out, Recipe(standardise=standardise), device_named("auto"), typer.echo)
        typer.echo(f"test accuracy {accuracy:.1%}\n{out}")


@command(train)
def planted(
    kind: Literal["object", "texture", "colour", "watermark", "both", "background"],
    *,
    out: Path,
    epochs: Annotated[int, typer.Option(min=1)] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train a small network whose reason is known; the same command goes on after an interruption.

    Trained on planted:KIND, and verified on its test images: where the part that carries the class is replaced, the
    prediction must become that of the new part, and where another part is replaced, it must stay, in at least 95 % of
    the images at the lower end of a 95 % interval. A network that fails is refused, by this command and by all others.
    Then: captum-gag run SUITE --model planted --weights FILE --data planted:KIND --out RUN.

    Example: captum-gag train planted watermark --out watermark.safetensors

    Args:
        kind: The part of the image that carries the class.
        out: The .safetensors file of the weights.
        epochs: Epochs at most; fewer if the validation loss stops falling.
        seed: Seed of the weights and the order; the images are those of seed 0.
    """
    with interruptible():
        from captum_gag.data.planted import Planted
        from captum_gag.models.planted import RECIPE, train_planted

        data = Planted(kind=kind, split="train", n_images=N_PLANTED)
        recipe = replace(RECIPE, epochs=epochs, seed=seed)
        reliance = train_planted(data, out, recipe, device_named("auto"), typer.echo)
        typer.echo(reliance)
        reliance.require()
        typer.echo(out)
