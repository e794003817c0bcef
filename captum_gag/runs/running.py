"""Runs a suite over a data set: takes up where it was interrupted, and loses nothing that has been computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pandas as pd

from captum_gag.errors import InputError
from captum_gag.runs.executors import Engine, in_this_process
from captum_gag.runs.store import Run

Shard = tuple[int, int]
Track = Callable[[int, int], AbstractContextManager[Callable[[], None]]]
"""(total, already done) -> a context that gives what to call after each image."""


def execute(
    run: Run,
    engine: Engine = in_this_process,
    *,
    shard: Shard = (1, 1),
    track: Track | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Scores the images of a run that are not yet done.

    Args:
        run (Run): Where to read what to do, and to keep what is done.
        engine (Engine): Who does it.
        shard (tuple): (I, N): do only every N-th image, from the I-th on, I = 1..N. Several machines can share a run's
            directory that way.
        track (callable, optional): Shows progress.
        say (callable): Gets a line of text now and then.

    Returns:
        int: How many images were scored now.

    Raises:
        InputError: The model, the data or the shard cannot be used.
    """
    number, count = shard
    if not 1 <= number <= count:
        raise InputError(f"shard {number}/{count} does not exist; expected I/N with 1 <= I <= N")
    scorer = run.config.scorer()
    mine = run.selection(scorer, say)[number - 1 :: count]
    todo = [work for work in mine if not run.is_done(work[0])]
    if len(todo) < len(mine):
        say(f"{len(mine) - len(todo)} of {len(mine)} images are done already")
    with track(len(mine), len(mine) - len(todo)) if track else nullcontext(_nothing) as advance:
        for index, rows, maps in engine(run.config, scorer, todo) if todo else ():
            run.keep(index, rows, maps)
            advance()
    return len(todo)


def failures(scores: pd.DataFrame) -> pd.DataFrame:
    """Lists what failed in a run.

    Returns:
        DataFrame: A row per method and error, with the number of cells and the first image; all methods of an image
        that could not be read are one row.
    """
    failed = scores[scores["error"] != ""]
    if not len(failed):
        return pd.DataFrame(columns=["method", "error", "cells", "image"])
    everything = failed.groupby(["image", "error"])["method"].transform("nunique") == scores["method"].nunique()
    named = failed.assign(method=failed["method"].mask(everything, "all methods"))
    grouped = named.groupby(["method", "error"], sort=False)
    return grouped.agg(cells=("image", "size"), image=("image", "first")).reset_index()


def _nothing() -> None:
    pass
