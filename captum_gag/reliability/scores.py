"""The table that every check starts from: one row per image, method and metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

COLUMNS = ("image", "method", "metric", "score")

LOWER_IS_BETTER = ("deletion", "dauc", "lerf", "dice", "mae", "infidelity", "sensitivity", "complexity")
"""What the name of a metric contains when lower is better and the table has no column that says so."""

_STEPS = re.compile(r"(?P<metric>.*) L=(?P<steps>\d+)$")
_VARIANT = re.compile(r"(?P<metric>.*) \((?P<variant>[^()]*)\)(?P<steps> L=\d+)?$")
_RANDOM = re.compile(r"random(:\d+)?$", re.IGNORECASE)


class ScoresError(ValueError):
    """The scores cannot be judged; the message is one line that says what came and what was expected."""


def read_scores(path: str | Path) -> pd.DataFrame:
    """Reads a score table.

    Args:
        path (str or Path): A ``.parquet`` or ``.csv`` file, or a directory of Parquet files, with the columns image,
            method, metric, score, and perhaps higher_is_better; others are left alone.

    Raises:
        ScoresError: The file cannot be read, or it is not a score table.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    # pandas and pyarrow meet broken files with many exceptions.
    except Exception as error:
        raise ScoresError(f"{path}: cannot be read as scores: {' '.join(str(error).split())}") from error
    try:
        return checked(table)
    except ScoresError as error:
        raise ScoresError(f"{path}: {error}") from error


def from_arrays(scores: Mapping[str, Mapping[str, ArrayLike]], images: Sequence[object] | None = None) -> pd.DataFrame:
    """Makes a score table of arrays.

    Args:
        scores (Mapping): By metric and method, one score per image, in the same order everywhere.
        images (Sequence, optional): What the images are called; default 0, 1, ...

    Raises:
        ScoresError: The arrays are not all as long as the list of images.
    """
    parts = []
    for metric, by_method in scores.items():
        for method, values in by_method.items():
            column = np.asarray(values, dtype=float)
            images = range(column.size) if images is None else images
            if column.shape != (len(images),):
                raise ScoresError(
                    f"{metric} of {method} has shape {column.shape}; expected ({len(images)},), a score per image"
                )
            parts.append(pd.DataFrame({"image": images, "method": method, "metric": metric, "score": column}))
    return checked(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS))


def checked(scores: pd.DataFrame) -> pd.DataFrame:
    """Gives the table back if every check can use it; infinite scores become NaN.

    Raises:
        ScoresError: A column is missing, a score is not a number, the table is empty, or an image has two scores by
            the same metric for the same method.
    """
    if not isinstance(scores, pd.DataFrame):
        raise ScoresError(f"the scores are a {type(scores).__name__}; expected a DataFrame, see from_arrays")
    missing = [column for column in COLUMNS if column not in scores.columns]
    if missing:
        raise ScoresError(
            f"the scores lack the column {', '.join(missing)}; expected {', '.join(COLUMNS)}, "
            f"found {', '.join(map(str, scores.columns))}"
        )
    if not len(scores):
        raise ScoresError("the scores are empty; expected a row per image, method and metric")
    if not pd.api.types.is_numeric_dtype(scores["score"]):
        raise ScoresError(f"the scores are of type {scores['score'].dtype}; expected numbers")
    twice = scores.duplicated(["image", "method", "metric"])
    if twice.any():
        image, method, metric = scores.loc[twice, ["image", "method", "metric"]].iloc[0]
        raise ScoresError(
            f"{twice.sum()} rows are double, first image {image!r}, method {method!r}, metric {metric!r}; "
            "expected one score for each"
        )
    finite = scores["score"].astype(float).replace([np.inf, -np.inf], np.nan)
    # Names may be numbers; everything that looks them up takes them as text.
    return scores.assign(method=scores["method"].astype(str), metric=scores["metric"].astype(str), score=finite)


def sign(scores: pd.DataFrame, metric: str) -> int:
    """Gives 1 for a metric where higher is better and -1 where lower is.

    The column ``higher_is_better`` decides; without it, the name of the metric (see ``LOWER_IS_BETTER``).
    """
    if "higher_is_better" in scores.columns:
        told = scores.loc[scores["metric"] == metric, "higher_is_better"].dropna()
        if len(told):
            return 1 if bool(told.iloc[0]) else -1
    name = metric.lower()
    return -1 if any(part in name for part in LOWER_IS_BETTER) else 1


def without(scores: pd.DataFrame, unwanted: Callable[[str], bool]) -> pd.DataFrame:
    """Gives the rows whose method is not an unwanted one."""
    return scores[~scores["method"].map(lambda name: unwanted(str(name)))]


def is_random(method: str) -> bool:
    """Tells whether a method is a random ordering: ``Random``, or ``Random:7`` for the one of seed 7."""
    return _RANDOM.match(method) is not None


def is_edges(method: str) -> bool:
    """Tells whether a method is edge detection."""
    return method.lower() in ("sobel", "edge", "edges")


def is_trick(method: str) -> bool:
    """Tells whether a method is another one's map made over (``GAG-85^sharp``)."""
    return "^" in method


def metrics_of(scores: pd.DataFrame) -> list[str]:
    """Lists the metrics in the order in which they come."""
    return [str(metric) for metric in scores["metric"].unique()]


def matrices(scores: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Gives each metric's scores as a matrix, images x methods.

    A method without any score is left out, and so is every image that lacks a score of one of the others: ranks
    among different sets of methods cannot be compared.
    """
    for metric in metrics_of(scores):
        yield (
            metric,
            complete(scores[scores["metric"] == metric].pivot(index="image", columns="method", values="score")),
        )


def complete(matrix: pd.DataFrame) -> pd.DataFrame:
    """Drops columns without any number, then rows with a gap; both come sorted, so that their order changes nothing."""
    return matrix.dropna(axis=1, how="all").dropna(axis=0, how="any").sort_index().sort_index(axis=1)


def ranks(matrix: pd.DataFrame, direction: int) -> NDArray[np.float64]:
    """Ranks the methods of each image, 1 for the best, ties sharing their average rank; images x methods."""
    ranked: NDArray[np.float64] = (-direction * matrix).rank(axis=1, method="average").to_numpy()
    return ranked


def steps_of(metric: str) -> tuple[str, int] | None:
    """Splits ``AOPC MoRF L=20`` into the metric and its number of steps; None for a metric without."""
    found = _STEPS.match(metric)
    return (found["metric"], int(found["steps"])) if found else None


def variant_of(metric: str) -> tuple[str, str] | None:
    """Splits ``AOPC MoRF (blur) L=20`` into ``AOPC MoRF L=20`` and ``blur``; None for a metric without variants."""
    found = _VARIANT.match(metric)
    return (found["metric"] + (found["steps"] or ""), found["variant"]) if found else None
