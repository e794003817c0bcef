"""``captum-gag run --dry-run``: the cost of a run, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from captum_gag.runs.config import Config
    from captum_gag.runs.planning import Plan


def print_plan(config: Config, workers: int) -> None:
    """Score a few images of a run, and print what all of them take.

    Args:
        config: Configuration of the run.
        workers: Processes that share the images.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    from captum_gag.runs.planning import plan

    cost = plan(config, workers)
    rows = cost.totals()
    table = Table("", *(f"{row.images:,} image{'s' * (row.images > 1)}" for row in rows), box=SIMPLE)
    table.add_row("forward passes", *(f"{row.forward:,.0f}" for row in rows))
    table.add_row("backward passes", *(f"{row.backward:,.0f}" for row in rows))
    table.add_row(f"time, 1 worker ({cost.threads} threads)", *(_duration(row.seconds) for row in rows))
    if workers > 1:
        several = f"at least, {workers} workers ({cost.threads} threads each)"
        table.add_row(several, *(_duration(row.seconds_of_workers) for row in rows))
    Console().print(table)
    typer.echo("\n".join(_notes(cost)))


def _notes(cost: Plan) -> list[str]:
    lines = [f"measured on {cost.measured} images, {cost.at_once} at a time, on {cost.device}; a pass is of one image"]
    if cost.failed:
        lines.append(f"{cost.failed} of their cells failed, so that a run may take longer; captum-gag run says why")
    if cost.at_most:
        lines.append("images are at most: those that are not confident are left out, each after one forward pass")
    memory = f"peak memory of a worker: {_size(cost.memory)}"
    if cost.device_memory is not None:
        memory += f", and {_size(cost.device_memory)} of the GPU"
    lines.append(memory + (f"; {cost.workers} workers take {cost.workers} times as much" * (cost.workers > 1)))
    if cost.workers > 1:
        lines.append(
            f"the time of {cost.workers} workers is that of {cost.abreast}, which have cores or a GPU of their own; "
            "that they share memory bandwidth and clock rate is not measured"
        )
    if cost.decision is None:
        return [*lines, "images to a decision: give --until decided, and 10 images or more, to forecast them"]
    forecast = cost.decision
    if forecast.median is None:
        middle = f"more than {forecast.most:,}"
    else:
        high = f"more than {forecast.most:,}" if forecast.high is None else f"{forecast.high:,}"
        middle = f"{forecast.median:,} (median; 90 % quantile {high})"
    return [
        *lines,
        f"images to a decision, forecast from {forecast.pilot}: {middle}; all is decided by {forecast.most:,} in "
        f"{forecast.share:.0%} of the simulated futures",
    ]


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _size(bytes_: int | None) -> str:
    return "unknown" if bytes_ is None else f"{bytes_ / 2**30:.2f} GiB"
