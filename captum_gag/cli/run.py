"""``captum-gag run`` and ``resume``."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from captum_gag.cli.commands import command, print_table
from captum_gag.cli.options import RunDirectory, Source, config_of, device_named, require_device
from captum_gag.errors import InputError
from captum_gag.options import arguments, declared, option, options_of
from captum_gag.runs.config import SETTINGS, Config

if TYPE_CHECKING:
    from captum_gag.runs.executors import Bench
    from captum_gag.runs.store import Run


@declared
class Work:
    """The division of a run's images among workers and machines, which changes no number."""

    workers: int = option(default=1, help="Processes (or Ray actors) that share the images.", ge=1)
    engine: Literal["local", "ray"] = option(
        default="local",
        help="Compute on this machine, or on a Ray cluster: the one of the environment variable RAY_ADDRESS, or else "
        "of this machine, where Ray starts one if there is none.",
    )
    shard: str = option(
        default="1/1",
        help="Score every N-th image only, from the I-th on: a share for each machine.",
        metavar="I/N",
    )

    def __post_init__(self) -> None:
        """Raise InputError unless the shard is I/N."""
        index, _, count = self.shard.partition("/")
        if not index.isdecimal() or not count.isdecimal() or not 1 <= int(index) <= int(count):
            raise InputError(f"--shard {self.shard!r} must be I/N with 1 <= I <= N, such as 1/4")


WORK = options_of(Work)


@command(source=options_of(Source), settings=SETTINGS, work=WORK)
def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE")],
    *,
    source: dict[str, Any],
    settings: dict[str, Any],
    work: dict[str, Any],
    out: Path | None = None,
    dry_run: bool = False,
) -> None:
    """Score many methods by many metrics over a data set: a table of a paper, or your own.

    Writes one Parquet file per image into OUT/scores (columns image, method, metric, score, and how they were made).
    Interrupted anywhere, it goes on with captum-gag resume OUT, to the same numbers. A broken image or a failing method
    costs its own cells only; they are listed at the end, and the exit status is then 1.

    Example: captum-gag run compare --model demo --data demo --out RUN

    Args:
        suite: A suite of captum-gag list suites, or a TOML file.
        out: Directory of the run; made if missing.
        dry_run: Write nothing: score two images, and print the passes, seconds and memory of the run.
    """
    if out is None and not dry_run:
        raise InputError("--out is missing: the directory of the run, which is made (or --dry-run)")
    share = Work(**work)
    with interruptible(lambda: _progress_of(out, share)):
        config = config_of(suite, source, settings, share.workers)
        if out is None or dry_run:
            _print_plan(config, share.workers)
            return
        from captum_gag.runs.execution import begin

        directory, bench = begin(out, config)
        made = bench.scorer.suite
        for entry in made.metrics:
            if times := getattr(entry.metric, "explains_again", 0):
                count = sum(made.judges(label, entry.metric) for label in made.methods)
                typer.echo(
                    f"{entry.label} explains each image again for each of {count} methods, "
                    f"{times} times at least; --dry-run measures what that takes",
                    err=True,
                )
        _execute(directory, share, bench=bench)


@command(work=WORK, again=[one._replace(unset="the run's") for one in options_of(Config, "device", "threads")])
def resume(
    run: RunDirectory, *, work: dict[str, Any], again: dict[str, Any], recompute: bool = False, failed: bool = False
) -> None:
    """Resume a run that was interrupted; images that are done stay as they are.

    Refused where weights, photographs, class files, code or package versions are no longer those that the run began
    with, since its scores would then be of two kinds.

    Args:
        recompute: Score again the images of which weights, photographs, class files, code or versions have changed.
        failed: Score again the images of which any method or metric failed. Images that could not be read at all are
            always tried again.
    """
    share = Work(**work)
    require_device(again.get("device", "auto"))
    with interruptible(lambda: _progress_of(run, share)):
        from captum_gag.runs.store import Run
        from captum_gag.threads import threads_each

        directory = Run.load(run)
        config = directory.config
        device = device_named(again.get("device", config.device))
        threads = again.get("threads") or min(config.threads, threads_each(share.workers))
        directory.go_on_with(replace(config, device=device, threads=threads))
        _execute(directory, share, recompute=recompute, failed=failed)


def _execute(
    run: Run, work: Work, *, bench: Bench | None = None, recompute: bool = False, failed: bool = False
) -> None:
    """Do a share of a run, print its table, decisions and failures; exit with 1 if a cell failed."""
    from captum_gag.papers.published import means
    from captum_gag.report.summary import printable, summarised
    from captum_gag.report.tables import failures
    from captum_gag.runs import executors
    from captum_gag.runs.execution import execute, progress_bar

    executor = executors.in_processes(work.workers) if work.workers > 1 else executors.in_this_process
    if work.engine == "ray":
        executor = executors.on_ray(work.workers)
    index, count = map(int, work.shard.split("/"))
    say = partial(typer.echo, err=True)
    options: dict[str, Any] = {"recompute": recompute, "failed": failed, "track": progress_bar, "say": say}
    execute(run, executor, bench=bench, shard=(index, count), **options)
    scores = run.scores()
    print_table(printable(summarised(scores, [run], means(run.config.suite_file()))))
    typer.echo(str(run.directory))
    errors = failures(scores)
    for row in errors.to_dict("records"):
        typer.echo(f"failed: {row['method']}, {row['cells']} cells, first {row['image']}: {row['error']}", err=True)
    if len(errors) or run.left_out()["failed"].any():
        raise typer.Exit(1)


def _print_plan(config: Config, workers: int) -> None:
    """Score a few images of a run, and print what all of them take."""
    from rich.box import SIMPLE
    from rich.table import Table

    from captum_gag.runs.planning import plan

    cost = plan(config, workers)
    rows = cost.totals()
    table = Table("", *(f"{row.images:,} image{'s' * (row.images > 1)}" for row in rows), box=SIMPLE)
    table.add_row("forward passes", *(f"{row.forward:,.0f}" for row in rows))
    table.add_row("backward passes", *(f"{row.backward:,.0f}" for row in rows))
    table.add_row(f"time, 1 worker ({config.threads} threads)", *(_duration(row.seconds) for row in rows))
    memory = "unknown" if cost.memory is None else f"{cost.memory / 2**30:.2f} GiB"
    if cost.device_memory is not None:
        memory += f", and {cost.device_memory / 2**30:.2f} GiB of the GPU"
    lines = [f"measured on {cost.measured} images, {cost.at_once} at a time on {config.device}; a pass is of one image"]
    if cost.failed:
        lines.append(f"{cost.failed} of their cells failed, so that a run may take longer; captum-gag run says why")
    if config.confidence:
        lines.append("images are at most: those that are not confident are left out, each after one forward pass")
    lines.append(f"peak memory of a worker: {memory}")
    if workers > 1:
        several = f"at least, {workers} workers ({config.threads} threads each)"
        table.add_row(several, *(_duration(row.seconds_of_workers) for row in rows))
        lines[-1] += f"; {workers} workers take {workers} times as much"
        lines.append(
            f"the time of {workers} workers is that of {cost.abreast}, which have cores or a GPU of their own; "
            "that they share memory bandwidth and clock rate is not measured"
        )
    print_table(table)
    typer.echo("\n".join(lines))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


@contextmanager
def interruptible(
    message: Callable[[], str] = lambda: "interrupted; what is finished is kept. Go on with the same command",
) -> Iterator[None]:
    """After SIGINT or SIGTERM in this context, print one line and leave with exit status 130."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)
        typer.echo(f"captum-gag: {message()}", err=True)
        raise typer.Exit(130) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _progress_of(directory: Path | None, work: Work) -> str:
    """Return the progress of a run, and the command that resumes it, in one line."""
    from captum_gag.runs.store import Run

    try:
        if directory is None:
            return "interrupted; nothing is written"
        done, selected = Run.load(directory).progress()
    except InputError:
        return "interrupted before the first image; nothing is written: give the same command again"
    again = shlex.join(["captum-gag", "resume", str(directory), *arguments(WORK, vars(work))])
    return f"interrupted; {done} of {selected} images are done and kept. Go on with: {again}"
