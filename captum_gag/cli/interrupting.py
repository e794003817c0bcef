"""What Ctrl-C does to a run or a training: one line that says how far it is, and how it goes on."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import typer

STATUS = 130
"""Exit status of a command that was interrupted, as shells have it."""


def resumable(directory: Path, **options: Any) -> AbstractContextManager[None]:
    """End a run that SIGINT or SIGTERM interrupts in one line, with exit status 130.

    Args:
        directory: Of the run.
        options: With which it goes on, by name; those that are None are left out.
    """
    return interruptible(lambda: _how_far(directory, options))


def repeatable() -> AbstractContextManager[None]:
    """End in the same way what goes on when the same command is given again."""
    return interruptible(lambda: "interrupted; what is finished is kept. Go on with the same command")


@contextmanager
def interruptible(said: Callable[[], str]) -> Iterator[None]:
    """End what SIGINT or SIGTERM interrupts with what is said of it in one line, and exit status 130."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        typer.echo(f"captum-gag: {said()}", err=True)
        raise typer.Exit(STATUS) from None
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _how_far(directory: Path, options: Mapping[str, Any]) -> str:
    from captum_gag.errors import InputError
    from captum_gag.runs.store import Run

    try:
        done, chosen = Run.load(directory).progress()
    except InputError:
        return "interrupted before the first image; nothing is written: give the same command again"
    further = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    again = shlex.join(["captum-gag", "resume", str(directory), *further])
    return f"interrupted; {done} of {chosen} images are done and kept. Go on with: {again}"
