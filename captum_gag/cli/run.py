"""``captum-gag run`` and ``resume``."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from captum_gag.cli.commands import command
from captum_gag.cli.options import RunDirectory, Source, config_of, device_named, require_device
from captum_gag.errors import InputError
from captum_gag.option_text import arguments
from captum_gag.options import declared, option, options_of
from captum_gag.runs.config import SETTINGS, Config

if TYPE_CHECKING:
    from captum_gag.runs.executors import Bench, Executor
    from captum_gag.runs.store import Run

INTERRUPTED = 130
"""Exit status of a command that was interrupted, as shells have it."""


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

    def executor(self) -> Executor:
        """Return the executor of a run."""
        from captum_gag.runs import executors

        if self.engine == "ray":
            return executors.on_ray(self.workers)
        return executors.in_processes(self.workers) if self.workers > 1 else executors.in_this_process

    def part(self) -> tuple[int, int]:
        """Return the shard as (I, N)."""
        parts = self.shard.split("/")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts) or not 1 <= int(parts[0]) <= int(parts[1]):
            raise InputError(f"--shard {self.shard!r} must be I/N with 1 <= I <= N, such as 1/4")
        return int(parts[0]), int(parts[1])


WORK = options_of(Work)
AGAIN = [option._replace(unset="the run's") for option in options_of(Config, "device", "threads")]


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

    With --dry-run it prints forward and backward passes, seconds and memory instead. The time of several workers is the
    least that it can be: one is measured alone, and the images are shared out among as many as have cores (or a GPU) of
    their own.

    Example: captum-gag run quick --model demo --data demo --out RUN

    Args:
        suite: A suite of captum-gag list suites, or a TOML file.
        out: Directory of the run; made if missing.
        dry_run: Score two images, print what the run takes, and write nothing; with --until decided, score 20 and
            forecast how many images it takes.
    """
    if out is None and not dry_run:
        raise InputError("--out is missing: the directory of the run, which is made (or --dry-run)")
    share = Work(**work)
    part = share.part()
    with interruptible(lambda: _progress_of(out, share)):
        config = config_of(suite, source, settings, share.workers)
        if out is None or dry_run:
            from captum_gag.cli.dry_run import print_plan

            print_plan(config, share.workers)
            return
        from captum_gag.runs.execution import begin

        directory, bench = begin(out, config)
        for entry in bench.scorer.suite.metrics:
            if times := getattr(entry.metric, "explains_again", 0):
                typer.echo(
                    f"{entry.label} explains each image again for each of {len(bench.scorer.suite.methods)} methods, "
                    f"{times} times at least; --dry-run measures what that takes",
                    err=True,
                )
        _execute(directory, share, part, bench=bench)


@command(work=WORK, again=AGAIN)
def resume(run: RunDirectory, *, work: dict[str, Any], again: dict[str, Any], recompute: bool = False) -> None:
    """Resume a run that was interrupted; images that are done stay as they are.

    Refused where weights, photographs, class files, code or package versions are no longer those that the run began
    with, since its scores would then be of two kinds.

    Args:
        recompute: Score again the images of which weights, photographs, class files, code or versions have changed.
    """
    share = Work(**work)
    part = share.part()
    require_device(again.get("device", "auto"))
    with interruptible(lambda: _progress_of(run, share)):
        from captum_gag.runs.store import Run
        from captum_gag.threads import threads_each

        directory = Run.load(run)
        config = directory.config
        device = device_named(again.get("device", config.device))
        threads = again.get("threads") or min(config.threads, threads_each(share.workers))
        directory.go_on_with(replace(config, device=device, threads=threads))
        _execute(directory, share, part, recompute=recompute)


def _execute(
    run: Run, work: Work, shard: tuple[int, int], *, bench: Bench | None = None, recompute: bool = False
) -> None:
    """Do a share of a run, print its table, decisions and failures; exit with 1 if a cell failed."""
    from rich.console import Console

    from captum_gag.papers.published import means
    from captum_gag.report.decisions import decisions
    from captum_gag.report.decisions import printable as printable_decisions
    from captum_gag.report.tables import comparison, failures, printable
    from captum_gag.runs.execution import execute

    execute(
        run,
        work.executor(),
        bench=bench,
        shard=shard,
        recompute=recompute,
        track=_progress_bar,
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


@contextmanager
def _progress_bar(total: int, done: int) -> Iterator[Callable[[str], None]]:
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="image") as bar:

        def advance(text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update(1)

        yield advance


@contextmanager
def interruptible(
    message: Callable[[], str] = lambda: "interrupted; what is finished is kept. Go on with the same command",
) -> Iterator[None]:
    """After SIGINT or SIGTERM in this context, print one line and leave with exit status 130.

    Args:
        message: Returns the line.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)
        typer.echo(f"captum-gag: {message()}", err=True)
        raise typer.Exit(INTERRUPTED) from None
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
