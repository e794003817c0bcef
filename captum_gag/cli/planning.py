"""``captum-gag plan``: what a run will take, before it is begun."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captum_gag.cli.asking import (
    Alpha,
    AttributionAutocast,
    BatchSize,
    Case,
    Confidence,
    Data,
    Dtype,
    Limit,
    MetricsAutocast,
    Model,
    Sets,
    Suite,
    Threads,
    config_of,
)
from captum_gag.cli.common import Device, ImageSize, Json, Output, Seed, Weights, errors_in_one_line, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from captum_gag.runs.planning import Plan


def plan(
    suite: Suite,
    case: Case = None,
    model: Model = None,
    data: Data = None,
    weights: Weights = None,
    output: Output = None,
    image_size: ImageSize = None,
    set: Sets = None,
    limit: Limit = None,
    confidence: Confidence = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "float32",
    attribution_autocast: AttributionAutocast = None,
    metrics_autocast: MetricsAutocast = None,
    threads: Threads = None,
    batch_size: BatchSize = None,
    workers: Annotated[int, typer.Option(min=1, help="Tell also what so many processes on this machine take.")] = 1,
    pilot: Annotated[
        int,
        typer.Option(min=0, help="Score so many images, 10 at least, and foresee from them the images to a decision."),
    ] = 0,
    from_: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="A run of the same suite to foresee them from instead.")
    ] = None,
    alpha: Alpha = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="METHOD|best", help="As with run --until decided: the method that all are compared with."),
    ] = None,
    json: Json = False,
) -> None:
    """Score two images, and say what a run takes: passes, seconds, memory, and images to a decision. Writes nothing.

    The options are those of captum-gag run. Images are drawn at random by the seed. How many images a run with --until
    decided takes cannot be told from two: give --pilot N, or --from RUN.

    The time of several workers is the least that it can be: one is measured alone, with its threads, and the images are
    shared out among as many as have cores (or a GPU) of their own. Workers on the same cores do not add up.

    Example: captum-gag plan gag-comparison --model demo --data DIR --pilot 10 --against GAG-85 --workers 4
    """
    with errors_in_one_line():
        from rich.console import Console

        from captum_gag.errors import InputError
        from captum_gag.runs import planning
        from captum_gag.runs.store import Run

        if not pilot and from_ is None and (alpha is not None or against is not None):
            raise InputError("--alpha and --against say what is to be decided; give --pilot N or --from RUN with them")
        questions = {name: each for name, each in {"alpha": alpha, "against": against}.items() if each is not None}
        config = config_of(
            suite,
            case=case,
            model=model,
            data=data,
            weights=weights,
            output=output,
            image_size=image_size,
            set=set,
            limit=limit,
            confidence=confidence,
            seed=seed,
            device=device,
            dtype=dtype,
            attribution_autocast=attribution_autocast,
            metrics_autocast=metrics_autocast,
            threads=threads,
            batch_size=batch_size,
            workers=workers,
            **questions,
        )
        found = planning.plan(config, workers, pilot, None if from_ is None else Run.load(from_).scores())
        if json:
            print_json({**asdict(found), "totals": [row._asdict() for row in found.totals()]})
            return
        Console().print(_printable(found))
        typer.echo("\n".join(_said(found)))


def _printable(found: Plan) -> Table:
    """Lay out what each number of images takes."""
    from rich.box import SIMPLE
    from rich.table import Table

    rows = found.totals()
    table = Table("", *(f"{row.images:,} image{'s' * (row.images > 1)}" for row in rows), box=SIMPLE)
    table.add_row("forward passes", *(f"{row.forward:,.0f}" for row in rows))
    table.add_row("backward passes", *(f"{row.backward:,.0f}" for row in rows))
    table.add_row(f"time, 1 worker ({found.threads} threads)", *(_time(row.seconds) for row in rows))
    if found.workers > 1:
        several = f"at least, {found.workers} workers ({found.threads} threads each)"
        table.add_row(several, *(_time(row.seconds_of_workers) for row in rows))
    return table


def _said(found: Plan) -> list[str]:
    """Return what the table does not say, in lines."""
    lines = [
        f"measured on {found.measured} images, {found.at_once} at a time, on {found.device}; a pass is of one image"
    ]
    if found.failed:
        lines.append(f"{found.failed} of their cells failed, so that a run may take longer; captum-gag run says why")
    if found.at_most:
        lines.append("images are at most: those that are not confident are left out, each after one forward pass")
    memory = f"memory of a worker at its highest: {_size(found.memory)}"
    if found.device_memory is not None:
        memory += f", and {_size(found.device_memory)} of the GPU"
    lines.append(memory + (f"; {found.workers} workers take {found.workers} times as much" * (found.workers > 1)))
    if found.workers > 1:
        lines.append(
            f"the time of {found.workers} workers is that of {found.abreast}, which have cores or a GPU of their own; "
            "that they share memory bandwidth and clock rate is not measured"
        )
    return [*lines, _decided(found)]


def _decided(found: Plan) -> str:
    foreseen = found.decision
    if foreseen is None:
        return f"images to a decision: {found.measured} cannot tell; give --pilot N (10 or more) or --from RUN"
    if foreseen.median is None:
        middle = f"more than {foreseen.most:,}"
    else:
        high = f"more than {foreseen.most:,}" if foreseen.high is None else f"{foreseen.high:,}"
        middle = f"{foreseen.median:,} (median; 90 % quantile {high})"
    return (
        f"images to a decision, foreseen from {foreseen.pilot}: {middle}; all is decided by {foreseen.most:,} in "
        f"{foreseen.share:.0%} of the futures drawn"
    )


def _time(seconds: float) -> str:
    """Return a duration in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _size(bytes_: int | None) -> str:
    return "not known here" if bytes_ is None else f"{bytes_ / 2**30:.2f} GiB"
