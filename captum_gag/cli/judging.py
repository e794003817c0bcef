"""``captum-gag reliability``, and the training of the networks that metrics are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from captum_gag.cli.common import Device, device_named, errors_in_one_line
from captum_gag.cli.interrupting import repeatable


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
    n_bootstrap: Annotated[int, typer.Option(min=1, help="Resamples, for the intervals of means.")] = 10_000,
    confidence: Annotated[float, typer.Option(min=0.01, max=0.9999, help="Of the intervals.")] = 0.999,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    truth: Annotated[
        str,
        typer.Option(
            metavar="LABEL,...",
            help="The metrics that know which maps are right, for the others to be held against; those of a run's "
            "suite by default.",
        ),
    ] = "",
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Run all checks on each group of images too: by their class (target), their probability, or any "
            "column that is the same in all rows of an image.",
        ),
    ] = None,
    edges: Annotated[
        str,
        typer.Option(
            metavar="X,Y,...", help="Cut that column into ranges: 0.8,0.99 gives <= 0.8, 0.8 to 0.99 and >= 0.99."
        ),
    ] = "",
) -> None:
    """Tell whether metrics can be trusted: do images, methods and metrics agree (Tomsett et al., 2019)?

    Prints four marks and a verdict per metric (reliable, valid, sensitive to its implementation, fooled by sharpening)
    and writes report.html, report.md, a CSV per table and a PNG per figure. The columns of
    a run say which methods are random orderings and edges, to be beaten (control), and which manipulate another's maps
    to fool the metric (base, transform); a table without them knows Random, Sobel and Constant by name. Where a column
    higher_is_better is missing, the metrics must be known to this package or to Quantus.

    Example: captum-gag reliability scores.csv --out report

    Example: captum-gag reliability RUN --by probability --edges 0.8,0.99
    """
    with errors_in_one_line():
        from rich.console import Console

        from captum_gag import reliability as checks
        from captum_gag.report.reliability_report import marks_table, save
        from captum_gag.runs.store import Run

        known: Sequence[str] = [each.strip() for each in truth.split(",") if each.strip()]
        if (scores / "run.json").is_file():
            run = Run.load(scores)
            table, known = run.scores(), known or run.config.suite_file().truth
        else:
            table = checks.read_scores(scores)
        found = checks.report(table, n_bootstrap, confidence, seed, truth=known, by=by, edges=_numbers(edges))
        written = save(found, out)
        Console().print(marks_table(found))
    if found.advice:
        typer.echo(f"{found.advice}\n")
    for metric, verdict in found.verdicts.items():
        typer.echo(f"{metric}: {verdict}")
    typer.echo("\n".join(map(str, written)))


Cifar10Data = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="CIFAR-10: torchvision's directory, a folder or a zip per split, or a zip."),
]
Epochs = Annotated[int, typer.Option(min=1, help="At most so many; fewer if the validation loss stops falling.")]
Standardise = Annotated[
    bool,
    typer.Option(
        "--standardise",
        help="Bring each channel to mean 0 and standard deviation 1 over the training images, as in the paper; without "
        "it, pixels come in as they are, in [0, 1]. The weights say which.",
    ),
]


def train_cifar10(
    data: Cifar10Data,
    out: Annotated[Path, typer.Option(help="File of the weights.")] = Path("cifar10.safetensors"),
    epochs: Epochs = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and dropout.")] = 0,
    standardise: Standardise = False,
    device: Device = "auto",
) -> None:
    """Train the CIFAR-10 network of the second paper; the same command goes on after an interruption.

    Three blocks of two convolutions, weight decay, dropout, early stopping on 5,000 held-out images. Then:
    captum-gag run metric-reliability --model cifar10 --weights cifar10.safetensors --data cifar10:DATA --out RUN.
    Both in one: captum-gag metric-reliability.
    """
    with errors_in_one_line(), repeatable():
        from captum_gag.models.training import Recipe, train_cifar10

        recipe = Recipe(epochs=epochs, seed=seed, standardise=standardise)
        accuracy = train_cifar10(data, out, recipe, device_named(device), typer.echo)
        typer.echo(f"test accuracy {accuracy:.1%}\n{out}")


def train_planted(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="What carries the class: object, texture, colour, watermark, both or background."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .safetensors file of the weights.")],
    epochs: Annotated[
        int, typer.Option(min=1, help="At most so many; fewer if the validation loss stops falling.")
    ] = 8,
    n_images: Annotated[int, typer.Option(min=1, help="Training images, which are drawn first.")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and order; the images are those of seed 0.")] = 0,
    device: Device = "auto",
) -> None:
    """Train a small network of which it is known what it relies on; the same command goes on after an interruption.

    Trained on planted:KIND, and verified on its test images: where the part that carries the class is replaced, the
    prediction must become that of the new part, and where another part is replaced, it must stay, in at least 95 % of
    the images at the lower end of a 95 % interval. A network that fails is refused, by this command and by all others.
    Then: captum-gag run SUITE --model planted --weights FILE --data planted:KIND --out RUN.

    Example: captum-gag train-planted watermark --out watermark.safetensors
    """
    with errors_in_one_line(), repeatable():
        from dataclasses import replace

        from captum_gag.data.planted import Planted
        from captum_gag.models.planting import RECIPE, train_planted

        options: dict[str, Any] = {"kind": kind, "split": "train", "n_images": n_images}
        found = train_planted(
            Planted(**options), out, replace(RECIPE, epochs=epochs, seed=seed), device_named(device), typer.echo
        )
        typer.echo(found)
        found.require()
        typer.echo(out)


def metric_reliability(
    data: Cifar10Data,
    out: Annotated[Path, typer.Option(help="Directory for weights, run, tables and report; made if missing.")],
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of a trained network. Without it, one is trained first.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Test images at most.")] = None,
    random_orderings: Annotated[
        int, typer.Option(min=0, help="Random orderings that the methods are compared with; the paper has 100.")
    ] = 100,
    epochs: Epochs = 40,
    standardise: Standardise = False,
    n_bootstrap: Annotated[int, typer.Option(min=1, help="Resamples, for the intervals of means.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the training, all noise, and the resamples.")] = 0,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the images.")] = 1,
) -> None:
    """Reproduce the second paper (Tomsett et al., 2019) from a folder of CIFAR-10: train, run, tables, figures.

    Trains the network into OUT/cifar10.safetensors, runs the suite metric-reliability (written to OUT/suite.toml) into
    OUT/run, prints Tables 1 and 2 beside the published ones (saved in OUT/tables), and writes the reliability report
    with Figure 2 into OUT/reliability. The same command goes on after an interruption, wherever that was.

    Example: captum-gag metric-reliability DATA --out OUT --limit 100
    """
    from captum_gag.cli.running import run

    with errors_in_one_line():
        out.mkdir(parents=True, exist_ok=True)
    if weights is None:
        weights = out / "cifar10.safetensors"
        train_cifar10(data, weights, epochs, seed, standardise, device)
    with errors_in_one_line():
        import tomli_w

        from captum_gag.runs.spec import read_suite

        suite = read_suite("metric-reliability") | {"random_orderings": random_orderings}
        (out / "suite.toml").write_text(tomli_w.dumps(suite), encoding="utf-8")
    asked: dict[str, Any] = {"model": "cifar10", "data": f"cifar10:{data}", "weights": str(weights), "limit": limit}
    failed = 0
    try:
        run(str(out / "suite.toml"), out / "run", **asked, seed=seed, device=device, workers=workers)
    except typer.Exit as left:
        # Cells that failed are told by now, and cost the others nothing.
        if left.exit_code != 1:
            raise
        failed = left.exit_code
    with errors_in_one_line(), repeatable():
        from rich.console import Console

        from captum_gag.papers.layout import printable, save_paper_tables
        from captum_gag.papers.tomsett import tables
        from captum_gag.runs.store import Run

        found = tables(Run.load(out / "run").scores())
        for each in found:
            Console().print(printable(each))
        typer.echo("\n".join(map(str, save_paper_tables(found, out / "tables"))))
        reliability(out / "run", out / "reliability", n_bootstrap, seed=seed)
    if failed:
        raise typer.Exit(failed)


def _numbers(text: str) -> list[float]:
    from captum_gag.errors import InputError

    try:
        return [float(each) for each in text.split(",")] if text else []
    except ValueError as error:
        raise InputError(f"--edges {text!r} are no numbers; expected them between commas, such as 0.8,0.99") from error
