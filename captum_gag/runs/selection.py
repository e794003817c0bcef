"""Which images a run takes: all of them, or a number drawn by its seed, as many of each class as can be."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from captum_gag.data.datasets import ImageData
from captum_gag.errors import InputError, in_one_line
from captum_gag.runs.executors import Bench
from captum_gag.runs.identity import digest, file_digest, pixels_digest, stamp

NAMED = 8
"""Classes that the line of a selection names, at most."""


def choose(bench: Bench, most: int | None = None) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Images of a run, and those that have no confidence, with the reason.

    Without a limit these are all; with one they are drawn by the seed, an image of each class in turn, of the classes
    that have any left. Where the data set does not say which class an image is of before it is read, all are of one
    class. Images that are not confident enough, cannot be read, or have no class do not count; the model predicts no
    more images than it takes to have enough. Without a threshold no file is decoded; examples
    that are in no file are read, since only their pixels say what they are.

    Args:
        bench: The data set, and the model where there is a threshold.
        most: Images of a pilot, drawn as the run draws its own, in random order.

    Returns:
        The columns of ``columns.SELECTION``; in the order of the data set, or in a random one by the seed where the
        run is one until decided.
    """
    config, data, failures = bench.config, bench.data, list[tuple[str, str]]()
    in_order = config.until == "done" and most is None
    rng = np.random.default_rng(config.seed)
    order = range(len(data)) if in_order and config.limit is None else rng.permutation(len(data)).tolist()
    classes: dict[int | None, list[int]] = {}
    for index in order:
        classes.setdefault(None if config.limit is None else data.listed_target(index), []).append(index)
    in_turn = deque(_confident(bench, indices, failures) for indices in classes.values())
    limit = most or config.limit or len(data)
    rows: list[dict[str, Any]] = []
    while in_turn and len(rows) < limit:
        of_class = in_turn.popleft()
        row = next(of_class, None)
        if row is not None:
            rows.append(row)
            in_turn.append(of_class)
    if in_order:
        rows.sort(key=lambda row: data.index[row["image"]])
    elif len(classes) > 1:
        # Drawn in turn, classes alternate: a run that may stop anywhere takes images in random order.
        rows = [rows[place] for place in rng.permutation(len(rows))]
    columns = ["image", "target", "probability", "photo", "stamp"]
    return pd.DataFrame(rows, columns=columns).astype({"target": "Int64"}), failures


def _confident(bench: Bench, indices: list[int], failures: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of those images that are confident enough, reading no further one before it is asked for."""
    data = bench.data
    for index in indices:
        name, target, probability = data.names[index], data.listed_target(index), float("nan")
        if bench.config.confidence > 0:
            target, probability, failure = bench.scorer.confidence(name, partial(data.__getitem__, index))
            failures += [(name, failure)] if failure else []
            # Nor is one confident that is not a number.
            if not probability > bench.config.confidence:
                continue
        content = {"photo": photo_digest(data, index), "stamp": cheap_stamp(data, index)}
        yield {"image": name, "target": target, "probability": probability, **content}


def in_words(chosen: pd.DataFrame, bench: Bench) -> str:
    """One line on the images that a limit left: how many of how many, and of each class."""
    counts = chosen["target"].value_counts().sort_index()
    named = [f"{count} {bench.scorer.label(target)}" for target, count in counts.head(NAMED).items()]
    named += [f"and {len(counts) - NAMED} more classes"] if len(counts) > NAMED else []
    line = f"{len(chosen)} of {len(bench.data)}" + (": " + ", ".join(named) if named else "")
    listed = any(bench.data.listed_target(index) is not None for index in range(len(bench.data)))
    return line if listed else f"{line} (drawn by the seed, not balanced: classes are known only once an image is read)"


def changed_images(chosen: pd.DataFrame, data: ImageData) -> tuple[list[str], list[str]]:
    """Images whose files, or whose class, have changed, or that are gone; and those that could not be read before."""
    changed: list[str] = []
    readable: list[str] = []
    for image, photo, before in chosen[["image", "photo", "stamp"]].itertuples(index=False):
        index = data.index.get(image)
        # Of another stamp, and without files, only the content tells.
        same_stamp = index is not None and data.files(index) and cheap_stamp(data, index) == before
        if index is None or not (same_stamp or photo_digest(data, index) == photo):
            was_unread = index is not None and photo == unread(data, index)
            (readable if was_unread else changed).append(image)
    return changed, readable


def is_replaced(data: ImageData, image: str, photo: str, stamp_before: str, pixels: str) -> bool:
    """Whether what was just scored is another than what was chosen; what is gone is not.

    Args:
        data: The data set.
        image: The name of the example.
        photo: Its digest when it was chosen.
        stamp_before: The stamp of its files then.
        pixels: The digest of the pixels that were scored, of an example that is in no file; "" where none were read.
    """
    index = data.index[image]
    if not data.files(index):
        return bool(pixels) and digest([pixels, data.listed_target(index)]) != photo
    if cheap_stamp(data, index) == stamp_before:
        return False
    return photo_digest(data, index) not in (photo, unread(data, index))


def cheap_stamp(data: ImageData, index: int) -> str:
    """Text that differs where an example may have changed: the stamp of its files, and its class."""
    try:
        return f"{stamp(data.files(index))} {data.listed_target(index)}"
    except InputError as error:
        return f"{error} {data.listed_target(index)}"


def photo_digest(data: ImageData, index: int) -> str:
    """Digest of an example: of the content of its files, or its pixels, and its class."""
    try:
        content = file_digest(files) if (files := data.files(index)) else _pixels(data, index)
        return digest([content, data.listed_target(index)])
    # What cannot be read is so until it can; its records say why.
    except InputError:
        return unread(data, index)


def unread(data: ImageData, index: int) -> str:
    """Digest of an example that cannot be read now."""
    return digest(["unreadable", data.listed_target(index)])


def _pixels(data: ImageData, index: int) -> str:
    """Digest of the pixels and the class of an example that is no file."""
    try:
        example = data[index]
        return pixels_digest(example.photo(), example.target)
    # Code of the user's can fail in any way.
    except Exception as error:
        raise InputError(in_one_line(error)) from error
