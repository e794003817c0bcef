"""``captum-gag run`` and ``resume``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from captum_gag.cli.asking import (
    Against,
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
    Workers,
    config_of,
)
from captum_gag.cli.common import (
    Device,
    ImageSize,
    Output,
    RunDirectory,
    Seed,
    Weights,
    device_named,
    errors_in_one_line,
)
from captum_gag.cli.executing import (
    Address,
    EngineName,
    Prefetch,
    Recompute,
    Shard,
    execute_run,
    executor_named,
    say_what_explains_again,
)
from captum_gag.cli.interrupting import resumable


def run(
    suite: Suite,
    out: Annotated[Path, typer.Option(help="Directory of the run; made if missing.")],
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
    workers: Workers = 1,
    prefetch: Prefetch = 0,
    engine: EngineName = "local",
    address: Address = None,
    shard: Shard = "1/1",
    save_maps: Annotated[bool, typer.Option("--save-maps", help="Keep the maps, as safetensors.")] = False,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="decided",
            help="Take the images in random order, and stop as soon as it is decided by every metric which of the "
            "methods are better on most images than the one of --against, or at --limit.",
        ),
    ] = None,
    alpha: Alpha = None,
    against: Against = None,
) -> None:
    """Score many methods by many metrics over a data set: a table of a paper, or your own.

    Writes one Parquet file per image into RUN/scores (columns image, method, metric, score, and how they were made).
    Interrupted anywhere, it goes on with captum-gag resume RUN, to the same numbers. A broken image or a failing method
    costs its own cells only; they are listed at the end, and the exit status is then 1.

    Example: captum-gag run quick --model demo --data demo --out RUN
    """
    with errors_in_one_line(), resumable(out, **_goes_on(workers, prefetch, engine, address, shard)):
        from captum_gag.runs.execution import begin

        executor = executor_named(engine, workers, address, prefetch)
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
            save_maps=save_maps,
            **_questions(until, alpha, against),
        )
        opened, bench = begin(out, config)
        say_what_explains_again(bench)
        execute_run(opened, executor, shard, bench=bench)


def resume(
    run: RunDirectory,
    workers: Workers = 1,
    prefetch: Prefetch = 0,
    engine: EngineName = "local",
    address: Address = None,
    shard: Shard = "1/1",
    recompute: Recompute = False,
    device: Annotated[
        str | None,
        typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute, this time. Default: where the run was to."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="CPU threads per worker, this time. Default: the run's, at most the cores shared out."
        ),
    ] = None,
) -> None:
    """Go on with a run that was interrupted, as it was asked for; what is done stays as it is.

    Refused where weights, photographs, class files, code or package versions are no longer those that the run began
    with, since its scores would then be of two kinds; --recompute scores again what that concerns.
    """
    with errors_in_one_line(), resumable(run, **_goes_on(workers, prefetch, engine, address, shard)):
        from captum_gag.runs.store import Run
        from captum_gag.threads import threads_each

        executor = executor_named(engine, workers, address, prefetch)
        opened = Run.load(run)
        config = opened.config
        opened.go_on_with(
            replace(
                config,
                device=device_named(device or config.device),
                threads=threads or min(config.threads, threads_each(workers)),
            )
        )
        execute_run(opened, executor, shard, recompute=recompute)


def _goes_on(workers: int, prefetch: int, engine: str, address: str | None, shard: str) -> dict[str, Any]:
    """Return the options of ``resume`` by which the same work as this is done; those that say nothing are None."""
    return {
        "workers": workers if workers > 1 else None,
        "prefetch": prefetch or None,
        "engine": None if engine == "local" else engine,
        "address": address,
        "shard": None if shard == "1/1" else shard,
    }


def _questions(until: str | None, alpha: float | None, against: str | None) -> dict[str, Any]:
    """Return when the run is to stop, as options of its config."""
    from captum_gag.errors import InputError

    given = {"until": until, "alpha": alpha, "against": against}
    if until not in (None, "decided"):
        raise InputError(f"--until {until!r} is unknown; expected decided")
    if until is None and (alpha is not None or against is not None):
        raise InputError("--alpha and --against say what is to be decided; give --until decided with them")
    return {name: value for name, value in given.items() if value is not None}
