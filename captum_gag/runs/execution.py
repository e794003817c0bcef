"""Run a suite over a data set: take up where it was interrupted, and lose nothing that has been computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from itertools import takewhile
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from captum_gag.errors import InputError
from captum_gag.runs.config import Config
from captum_gag.runs.executors import Bench, Executor, in_this_process
from captum_gag.runs.identity import differences
from captum_gag.runs.selection import changed_images, choose, in_words, is_replaced
from captum_gag.runs.stopping import require_answerable, stopping
from captum_gag.runs.store import Run
from captum_gag.runs.tables import DamagedError

Shard = tuple[int, int]
Say = Callable[[str], None]
Track = Callable[[int, int], AbstractContextManager[Callable[[str], None]]]
"""(total, already done) -> a context that gives what to call after each image, with what is to be said of the run."""


def begin(directory: Path, config: Config) -> tuple[Run, Bench]:
    """Begin a run, or open the one that is there; nothing is written before all that it needs could be opened.

    Raises:
        InputError: The model, the data set or the suite cannot be used, or the directory holds something else.
    """
    bench = Bench.open(config)
    require_answerable(config, bench.scorer.suite)
    return Run.create(directory, config, bench.identity()), bench


def execute(
    run: Run,
    executor: Executor = in_this_process,
    *,
    bench: Bench | None = None,
    shard: Shard = (1, 1),
    recompute: bool = False,
    failed: bool = False,
    track: Track | None = None,
    say: Say = print,
) -> int:
    """Score the images of a run that are not yet done, or as many as it takes where it is one until decided.

    Args:
        run: Where to read what to do, and to keep what is done.
        executor: Who does it.
        bench: What the run needs, if it is open already.
        shard: (I, N): do only every N-th chunk of images that are scored at once, from the I-th on, I = 1..N. Several
            machines can share a run's directory that way.
        recompute: Score again what no longer is what it was: all images where weights, classes, code or versions have
            changed, those whose photographs have. Without it this is refused.
        failed: Score again the images of which any record failed, and choose again where images could not be read.
            Images without any score are always scored again.
        track: Shows progress.
        say: Gets a line of text now and then.

    Returns:
        How many images were scored now.

    Raises:
        InputError: The model, the data or the shard cannot be used, or something has changed.
    """
    number, count = shard
    if not 1 <= number <= count:
        raise InputError(f"shard {number}/{count} does not exist; expected I/N with 1 <= I <= N")
    bench = bench or Bench.open(run.config)
    _check_identity(run, bench, recompute, say)
    if failed and run.left_out()["failed"].any():
        say("choosing the images again, since some could not be read")
        run.forget_selection()
    chosen = _selection(run, bench, recompute, say)
    run.tidy()
    photos = dict(zip(chosen["image"], chosen["photo"], strict=True))
    stamps = dict(zip(chosen["image"], chosen["stamp"], strict=True))
    # Chunks of all images, whatever is done: what shares forward passes is rounded together.
    mine = bench.chunks(list(photos))[number - 1 :: count]
    if not mine:
        say(f"shard {number}/{count} has nothing to do: there are {len(photos)} images, scored several at a time")
    total = sum(map(len, mine))
    todo = {image for chunk in mine for image in chunk if not _is_done(run, image, photos[image], failed, say)}
    if len(todo) < total:
        say(f"{total - len(todo)} of {total} images are done already")
    there = {image for chunk in mine for image in chunk} - todo if bench.config.save_maps else set()
    mapless = {image for image in there if not run.has_maps(image, photos[image])}
    if mapless:
        say(f"{len(mapless)} of them have no maps, which now are to be kept, and are scored again")
        todo |= mapless
    unfinished = [chunk for chunk in mine if not todo.isdisjoint(chunk)]
    until, scored = stopping(run), 0
    until.look()
    if unfinished and not until.decided:
        # Chunks are handed out as workers become free: no further one once all is decided.
        handed_out = takewhile(lambda _: not until.decided, unfinished)
        with (
            track(total, total - len(todo)) if track else nullcontext(lambda _: None) as advance,
            closing(executor(bench, handed_out)) as coming,
        ):
            for chunk in coming:
                for done in (each for each in chunk if each.image in todo):
                    if is_replaced(bench.data, done.image, photos[done.image], stamps[done.image], done.pixels):
                        raise InputError(
                            f"{done.image} was replaced while the run went on, or its data set gives another example "
                            "each time, as one that shuffles or augments does (fix its seed); what is done of the "
                            f"others is kept: captum-gag resume {run.directory} --recompute"
                        )
                    run.keep(done.image, photos[done.image], done.rows, done.arrays)
                    until.look()
                    advance(until.said)
                    scored += 1
    if until.said:
        say(f"{until.said} after {until.images} of {len(photos)} images")
    return scored


def _check_identity(run: Run, bench: Bench, recompute: bool, say: Say) -> None:
    now = bench.identity()
    changed = differences(run.identity, now)
    if not changed:
        return
    if not recompute:
        raise InputError(
            f"{run.directory}: since the run began, this has changed: {', '.join(changed)}. Mixed scores would mean "
            "nothing: give --out another directory, or score all images again with captum-gag resume RUN --recompute"
        )
    say(f"scoring all images again, since this has changed: {', '.join(changed)}")
    run.describe(run.config, now)
    run.forget_selection()


def _selection(run: Run, bench: Bench, recompute: bool, say: Say) -> pd.DataFrame:
    """Return the images that were chosen; choose and store them if none were."""
    if run.has_selection():
        try:
            chosen = run.chosen()
        except DamagedError as error:
            say(f"{error}; choosing the images again")
        else:
            changed, readable = changed_images(chosen, bench.data)
            if not changed and not readable:
                return chosen
            if changed and not recompute:
                raise InputError(
                    f"{run.directory}: {len(changed)} photographs have changed since the run began, or are gone, first "
                    f"{changed[0]}; score them again with captum-gag resume RUN --recompute, or begin anew in another "
                    "directory"
                )
            why, which = ("have changed", changed) if changed else ("can be read now", readable)
            say(f"choosing the images again, since {len(which)} photographs {why}, first {which[0]}")
    say("choosing images")
    chosen, failures = choose(bench)
    if not len(chosen):
        why = f"; the first that has none: {failures[0][1]}" if failures else ""
        raise InputError(f"no image of the data set has a confidence above {run.config.confidence:g}{why}")
    if run.config.limit is not None:
        say(in_words(chosen, bench))
    run.select(chosen)
    others = [*((*each, True) for each in failures), *((*each, False) for each in bench.data.left_out())]
    if others:
        image, reason, _ = others[0]
        say(f"{len(others)} left out, first {image}: {reason}; all are in {run.directory / 'left_out.csv'}")
    run.leave_out(others)
    return run.chosen()


def _is_done(run: Run, image: str, photo: str, without_errors: bool, say: Say) -> bool:
    try:
        return run.is_done(image, photo, without_errors=without_errors)
    except DamagedError as error:
        say(f"{error}; computing it again")
        return False


@contextmanager
def progress_bar(total: int, done: int) -> Iterator[Callable[[str], None]]:
    """Show images done of all, and what is said of the run; see ``Track``."""
    with tqdm(total=total, initial=done, unit="image") as bar:

        def advance(text: str) -> None:
            bar.set_postfix_str(text, refresh=False)
            bar.update(1)

        yield advance
