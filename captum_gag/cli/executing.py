"""Who does a run and how it is shown: the options of ``run`` and ``resume`` that change no number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from captum_gag.runs.executors import Bench, Executor
    from captum_gag.runs.store import Run

Shard = Annotated[
    str, typer.Option(metavar="I/N", help="Do every N-th image only, from the I-th on: a share for each machine.")
]
Prefetch = Annotated[
    int,
    typer.Option(min=0, help="Images, or chunks of small ones, read ahead while the model works; for one worker."),
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


def execute_run(
    run: Run, executor: Executor, shard: str, *, bench: Bench | None = None, recompute: bool = False
) -> None:
    """Do a share of a run, print its table, decisions and failures, and leave with 1 if a cell failed."""
    from rich.console import Console

    from captum_gag.errors import InputError
    from captum_gag.papers.published import means
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
    Console().print(printable(comparison(scores, means(run.config.suite_file()))))
    decided = decisions(run, scores)
    if decided is not None:
        Console().print(printable_decisions(decided))
    typer.echo(str(run.directory))
    failed = failures(scores)
    for row in failed.to_dict("records"):
        typer.echo(f"failed: {row['method']}, {row['cells']} cells, first {row['image']}: {row['error']}", err=True)
    if len(failed):
        raise typer.Exit(1)


def say_what_explains_again(bench: Bench) -> None:
    """Say which of Quantus's metrics explain each image again, and how often, before they take their time."""
    from captum_gag.metrics.external_metric import ExternalMetric

    suite = bench.scorer.suite
    for entry in suite.metrics:
        again = entry.metric.explains_again if isinstance(entry.metric, ExternalMetric) else 0
        if again:
            typer.echo(
                f"{entry.label} explains each image again for each of {len(suite.methods)} methods, {again} times at "
                "least; captum-gag plan measures what that takes",
                err=True,
            )


def executor_named(name: str, workers: int, address: str | None, prefetch: int) -> Executor:
    """Return who does the work, as the options say."""
    from captum_gag.errors import InputError
    from captum_gag.runs import executors, prefetching

    if prefetch and (workers > 1 or name != "local"):
        raise InputError("--prefetch is for one local worker: several read while others compute; leave one out")
    if name == "ray":
        return executors.on_ray(workers, address)
    if name != "local":
        raise InputError(f"--engine {name!r} is unknown; expected local or ray")
    if workers > 1:
        return executors.in_processes(workers)
    return prefetching.reading_ahead(prefetch) if prefetch else executors.in_this_process


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[str], None]]:
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="image") as bar:

        def advance(said: str) -> None:
            bar.set_postfix_str(said, refresh=False)
            bar.update(1)

        yield advance
