"""``captum-gag run`` and ``resume``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    errors_in_one_line,
)

if TYPE_CHECKING:
    from captum_gag.runs.executors import Bench, Executor
    from captum_gag.runs.store import Run

Shard = Annotated[
    str, typer.Option(metavar="I/N", help="Do every N-th image only, from the I-th on: a share for each machine.")
]
EngineName = Annotated[
    str, typer.Option("--engine", metavar="local|ray", help="Who works: this machine, or a Ray cluster.")
]
Address = Annotated[str | None, typer.Option(help="Of the Ray cluster; without it, Ray starts on this machine.")]
Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="Score again what no longer is what it was: weights, photographs, class files, code, package versions.",
    ),
]


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
    with errors_in_one_line():
        from captum_gag.runs.execution import begin

        executor = _executor(engine, workers, address)
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
        _execute(opened, executor, shard, bench=bench)


def resume(
    run: RunDirectory,
    workers: Workers = 1,
    engine: EngineName = "local",
    address: Address = None,
    shard: Shard = "1/1",
    recompute: Recompute = False,
) -> None:
    """Go on with a run that was interrupted, as it was asked for; what is done stays as it is.

    Refused where weights, photographs, class files, code or package versions are no longer those that the run began
    with, since its scores would then be of two kinds; --recompute scores again what that concerns.
    """
    with errors_in_one_line():
        from captum_gag.runs.store import Run

        _execute(Run.load(run), _executor(engine, workers, address), shard, recompute=recompute)


def _questions(until: str | None, alpha: float | None, against: str | None) -> dict[str, Any]:
    """Return when the run is to stop, as options of its config."""
    from captum_gag.errors import InputError

    given = {"until": until, "alpha": alpha, "against": against}
    if until not in (None, "decided"):
        raise InputError(f"--until {until!r} is unknown; expected decided")
    if until is None and (alpha is not None or against is not None):
        raise InputError("--alpha and --against say what is to be decided; give --until decided with them")
    return {name: value for name, value in given.items() if value is not None}


def _execute(run: Run, executor: Executor, shard: str, *, bench: Bench | None = None, recompute: bool = False) -> None:
    from rich.console import Console

    from captum_gag.errors import InputError
    from captum_gag.report.decisions import decisions
    from captum_gag.report.decisions import printable as printable_decisions
    from captum_gag.report.tables import comparison, failures, printable
    from captum_gag.runs.execution import execute

    parts = shard.split("/")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise InputError(f"--shard {shard!r} has no meaning; expected I/N, such as 1/4")
    execute(
        run,
        executor,
        bench=bench,
        shard=(int(parts[0]), int(parts[1])),
        recompute=recompute,
        track=_progress,
        say=lambda text: typer.echo(text, err=True),
    )
    scores = run.scores()
    Console().print(printable(comparison(scores, run.config.suite_file().published_means())))
    decided = decisions(run, scores)
    if decided is not None:
        Console().print(printable_decisions(decided))
    typer.echo(str(run.directory))
    failed = failures(scores)
    for row in failed.to_dict("records"):
        typer.echo(f"failed: {row['method']}, {row['cells']} cells, first {row['image']}: {row['error']}", err=True)
    if len(failed):
        raise typer.Exit(1)


def _executor(name: str, workers: int, address: str | None) -> Executor:
    from captum_gag.errors import InputError
    from captum_gag.runs import executors

    if name == "ray":
        return executors.on_ray(workers, address)
    if name != "local":
        raise InputError(f"--engine {name!r} is unknown; expected local or ray")
    return executors.in_this_process if workers == 1 else executors.in_processes(workers)


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[str], None]]:
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="image") as bar:

        def advance(said: str) -> None:
            bar.set_postfix_str(said, refresh=False)
            bar.update(1)

        yield advance
