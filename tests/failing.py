"""A file system that fails when it is told to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet
import safetensors.numpy

Failure = Callable[[int], bool]
"""Tells of the n-th thing that is asked of the file system whether it fails."""

WRITING = (
    (Path, "touch"),
    (Path, "mkdir"),
    (Path, "write_text"),
    (pyarrow.parquet, "write_table"),
    (safetensors.numpy, "save_file"),
    (os, "fsync"),
    (os, "replace"),
)
"""What is asked of it."""


@contextmanager
def failing(code: int, fails: Failure) -> Iterator[list[str]]:
    """Let the system fail with an error number, when half of a file is written; yields what was asked of it."""
    asked: list[str] = []
    numbers = count()

    def patched(place: Any, name: str) -> Any:
        real = getattr(place, name)

        def call(*args: Any, **options: Any) -> Any:
            asked.append(name)
            if fails(next(numbers)):
                if name in ("write_text", "write_table", "save_file"):
                    next(each for each in args if isinstance(each, Path)).write_bytes(b"half of it")
                raise OSError(code, os.strerror(code))
            return real(*args, **options)

        return patch.object(place, name, call)

    with ExitStack() as stack:
        for place, name in WRITING:
            stack.enter_context(patched(place, name))
        yield asked
