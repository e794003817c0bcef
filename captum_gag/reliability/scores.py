"""The table that every check starts from: one row per image, method and metric."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from captum_gag.errors import InputError, first_line, printable, shown
from captum_gag.reliability.csv_scores import CSV, read_csv

COLUMNS = ("image", "method", "metric", "score")
KEY = ["image", "method", "metric", "variant", "steps"]
LABEL = "metric_label"
"""The column with a metric's name as tables and figures show it: ``AOPC MoRF (mean) L=20``."""

CONTROLS = {"Random": "random", "Sobel": "edges", "Constant": "constant", "Truth": "truth"}
"""The catalogue's methods that know nothing of the model, for tables without the column ``control``."""

DISPLACED = "displaced"
"""The control of an explanation's map that was moved by half the image."""


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read a score table.

    Args:
        path: A ``.parquet`` or ``.csv`` file (see ``read_csv``), or a directory of Parquet files; for its columns see
            ``checked``.

    Raises:
        InputError: The file cannot be read, or it is not a score table.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"path is {shown(path)}; expected the file of a score table, or a directory of such")
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: cannot be read as scores: there is no such file or folder")
    try:
        table = read_csv(path) if path.suffix.lower() in CSV else pd.read_parquet(path)
    except InputError:
        raise
    # pandas and pyarrow meet broken files with many exceptions.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as scores: {first_line(error)}") from error
    try:
        return checked(table)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def checked(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a score table in the form that every check takes.

    Args:
        scores: The columns image, method, metric, score, and perhaps

            - variant (text) and steps (integer): which of several settings of the metric this is;
            - higher_is_better (bool): see ``directions``;
            - uses_segmentation (bool): whether the metric is given where the object lies;
            - control (text): "random", "edges", "constant" or "truth" (the segmentation) for methods that know nothing
              of the model, "displaced" for an explanation's map that was moved by half the image, else "";
              without this column the methods named in ``CONTROLS`` are such;
            - base and transform (text): of a manipulated map, the method whose map it was, and what was done to it;
              and strength (a number): how much of it, where there are degrees;
            - target (an integer) and label (text): the class explained, and its name; baseline_probability: what the
              model gives that class on the metric's baseline;
            - group (text): images that depend on each other, such as those of one patient, have the same;
            - network (text): whose scores these are, in a table of several runs; images are named apart.

            Others are left alone.

    Returns:
        The table with all of these columns, missing text as "" and infinite scores as NaN, and with ``metric_label``.

    Raises:
        InputError: A column is missing, a score is not a number, the table is empty, or an image has two scores by
            the same metric for the same method.
    """
    _check_columns(scores)
    # Names may be numbers; everything that looks them up takes them as text.
    found = scores.assign(method=scores["method"].astype(str), metric=scores["metric"].astype(str))
    # Only what is stored as objects can be of several types.
    if found["image"].dtype == object and found["image"].map(type).nunique() > 1:
        found["image"] = found["image"].astype(str)
    if "control" not in found:
        found["control"] = found["method"].map(CONTROLS)
    for name in ("variant", "base", "transform", "control"):
        found[name] = _text(found[name]) if name in found else ""
        found[name] = found[name].astype(str)
    for name in ("image", "method", "metric", "variant", "base"):
        found[name] = _printable(found[name])
    kinds = [*CONTROLS.values(), DISPLACED]
    strange = sorted(set(found["control"].unique()) - {"", *kinds})
    if strange:
        raise InputError(f"the column control has {strange[0]!r}; it must be {', '.join(kinds)} or nothing")
    found["strength"] = _numbers(found.get("strength", pd.Series(np.nan, index=found.index)))
    found["steps"] = _whole(found.get("steps", pd.Series(pd.NA, index=found.index)))
    found["score"] = found["score"].astype(float)
    infinite = np.isinf(found["score"])
    if infinite.any():
        found["score"] = found["score"].mask(infinite)
    setting, known = _settings(found)
    found[LABEL] = known[LABEL].array.take(setting)
    if _some_twice(found, setting):
        twice = found[["image", "method"]].assign(setting=setting).duplicated()
        image, method, metric = found.loc[twice, ["image", "method", LABEL]].iloc[0]
        raise InputError(
            f"{twice.sum()} rows are double, first image {image!r}, method {method!r}, metric {metric!r}; "
            "expected one score for each"
        )
    alike = known.loc[known[LABEL].duplicated(), LABEL]
    if len(alike):
        raise InputError(f"two metrics are shown as {alike.iloc[0]!r}; rename one")
    return found


def _text(column: pd.Series) -> pd.Series:
    """Return a column with "" where text is missing."""
    if isinstance(column.dtype, pd.StringDtype):
        # Of millions of texts there is no copy where none is missing.
        return column.fillna("") if column.hasnans else column
    return column.astype(object).where(column.notna(), "")


def _printable(names: pd.Series) -> pd.Series:
    """Return names with what would steer a terminal written out."""
    written = {each: printable(each) for each in names.unique() if isinstance(each, str)}
    changed = {name: text for name, text in written.items() if name != text}
    return names.replace(changed) if changed else names


def _check_columns(scores: pd.DataFrame) -> None:
    if not isinstance(scores, pd.DataFrame):
        raise InputError(f"the scores are a {type(scores).__name__}; expected a DataFrame, see from_arrays")
    missing = [column for column in COLUMNS if column not in scores.columns]
    if missing:
        raise InputError(
            f"the scores lack the column {', '.join(missing)}; expected {', '.join(COLUMNS)}, "
            f"found {', '.join(map(str, scores.columns))}"
        )
    if not len(scores):
        raise InputError("the scores are empty; expected a row per image, method and metric")
    for name in COLUMNS[:3]:
        unnamed = scores[name].isna() | (_text(scores[name]) == "")
        if unnamed.any():
            raise InputError(f"the column {name} is missing in {unnamed.sum()} rows; expected a name in each")
    if not pd.api.types.is_numeric_dtype(scores["score"]) or pd.api.types.is_bool_dtype(scores["score"]):
        raise InputError(f"the scores are of type {scores['score'].dtype}; expected numbers")


def _numbers(strengths: pd.Series) -> pd.Series:
    try:
        return strengths.astype(float)
    except (TypeError, ValueError) as error:
        raise InputError("the column strength has values that are no numbers; expected 0 to 1, or none") from error


def _whole(steps: pd.Series) -> pd.Series:
    if steps.dtype == "Int64":
        return steps
    try:
        numbers = steps.astype("Float64")
    except (TypeError, ValueError) as error:
        raise InputError("the column steps has values that are no numbers; expected whole ones") from error
    if not (numbers == numbers.round()).fillna(True).all():
        raise InputError("the column steps has values that are no whole numbers")
    return numbers.astype("Int64")


def _settings(scores: pd.DataFrame) -> tuple[NDArray[np.intp], pd.DataFrame]:
    """Return the number of each row's metric with variant and steps, and a row for each of these, with its label."""
    # Groups are numbered as they come.
    setting = scores.groupby(KEY[2:], dropna=False, sort=False).ngroup().to_numpy()
    known = scores.loc[~pd.Series(setting, scores.index).duplicated(), KEY[2:]]
    labels = [
        metric_label(metric, variant, None if steps is pd.NA else steps)
        for metric, variant, steps in known.itertuples(index=False)
    ]
    return setting, known.assign(**{LABEL: labels})


def _some_twice(scores: pd.DataFrame, setting: NDArray[np.intp]) -> bool:
    """Tell whether an image has two scores by the same metric for the same method."""
    key = np.zeros(len(scores), dtype=np.int64)
    for codes in (pd.factorize(scores["image"])[0], pd.factorize(scores["method"])[0], setting):
        key = key * (int(codes.max()) + 1) + codes
    # To sort millions of numbers takes a third of the memory that finding doubles by a table does.
    key.sort()
    return bool((key[1:] == key[:-1]).any())


def metric_label(metric: str, variant: str, steps: int | None) -> str:
    """Return how a metric is called, with its variant and its number of steps: ``AOPC MoRF (mean) L=20``."""
    return family_label(metric, variant) + ("" if steps is None else f" L={steps}")


def family_label(metric: str, variant: str) -> str:
    """Return how a metric is called whatever its number of steps: ``AOPC MoRF (mean)``."""
    return f"{metric} ({variant})" if variant else metric


def is_random(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows of a checked table are of random orderings."""
    return (scores["control"] == "random") & ~is_manipulated(scores)


def is_edges(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows of a checked table are of edge detection."""
    return (scores["control"] == "edges") & ~is_manipulated(scores)


def is_truth(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows of a checked table are of a segmentation, as it is."""
    return (scores["control"] == "truth") & ~is_manipulated(scores)


def is_displaced(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows of a checked table are of another method's map, moved by half the image."""
    return scores["control"] == DISPLACED


def is_manipulated(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows of a checked table are of another method's map, manipulated to test the metric."""
    return (scores["transform"] != "") & ~is_displaced(scores)


def lean(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a checked table with the columns that checks and tables read: picking rows of it costs a third."""
    needed = [*KEY, LABEL, "score", "higher_is_better", "control", "base", "transform", "strength", "group", "network"]
    needed += ["uses_segmentation", "curve_x_label", "curve_y", "target", "label", "baseline_probability"]
    return scores[[name for name in needed if name in scores]]


def judged(scores: pd.DataFrame) -> pd.DataFrame:
    """Rows of a checked table whose agreement counts: no random orderings, truths, displaced or manipulated maps."""
    return picked(scores, ~(is_random(scores) | is_truth(scores) | is_displaced(scores) | is_manipulated(scores)))


def picked(scores: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    """Return some rows of a table; the table itself if all, since millions are not copied for nothing."""
    return scores if rows.all() else scores[rows]


def explanations(scores: pd.DataFrame) -> list[str]:
    """List the methods of a checked table that explain: no controls, truths or manipulated maps."""
    own = scores["control"].eq("") & ~is_manipulated(scores)
    return [str(method) for method in scores.loc[own, "method"].unique()]


def metrics_of(scores: pd.DataFrame) -> list[str]:
    """List the labels of the metrics of a checked table, in the order in which they come."""
    return [str(metric) for metric in scores[LABEL].unique()]


def by_image(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one metric's scores of a checked table as a matrix, images x methods, with its gaps."""
    of_metric = scores.loc[scores[LABEL] == metric, ["image", "method", "score"]]
    return of_metric.pivot(index="image", columns="method", values="score")


def by_metric(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return ``by_image`` of each metric of a checked table, in the order in which they come.

    A table may have a million rows: their names are looked up once for all metrics.
    """
    image, images = pd.factorize(scores["image"], sort=True)
    method, methods = pd.factorize(scores["method"], sort=True)
    metric, metrics = pd.factorize(scores[LABEL])
    values = scores["score"].to_numpy()
    found = {}
    for place, name in enumerate(metrics):
        rows = metric == place
        matrix = np.full((len(images), len(methods)), np.nan)
        matrix[image[rows], method[rows]] = values[rows]
        in_image, in_method = np.unique(image[rows]), np.unique(method[rows])
        found[str(name)] = pd.DataFrame(
            matrix[np.ix_(in_image, in_method)],
            images[in_image].rename("image"),
            methods[in_method].rename("method"),
        )
    return found


def matrices(scores: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each metric's scores as a matrix, images x methods.

    A method without any score is left out, and so is every image that lacks a score of one of the others: ranks
    among different sets of methods cannot be compared.
    """
    for metric, matrix in by_metric(scores).items():
        yield metric, complete(matrix)


def complete(matrix: pd.DataFrame) -> pd.DataFrame:
    """Drop columns without any number, then rows with a gap; both come sorted, so that their order changes nothing."""
    return matrix.dropna(axis=1, how="all").dropna(axis=0, how="any").sort_index().sort_index(axis=1)


def ranks(matrix: pd.DataFrame) -> NDArray[np.float64]:
    """Rank the methods of each image, 1 for the highest score, ties sharing their average rank; images x methods."""
    ranked: NDArray[np.float64] = (-matrix).rank(axis=1, method="average").to_numpy()
    return ranked
