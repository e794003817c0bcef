"""What Ctrl-C does to a run: one line that says how far it is, and how it goes on."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

STATUS = 130
"""Exit status of a command that was interrupted, as shells have it."""


@contextmanager
def resumable(directory: Path, **options: Any) -> Iterator[None]:
    """End what SIGINT or SIGTERM interrupts in one line, with exit status 130.

    Args:
        directory: Of the run.
        options: With which it goes on, by name; those that are None are left out.
    """
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        typer.echo(f"captum-gag: {_how_far(directory, options)}", err=True)
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
