"""The table that every check starts from: one row per image, method and metric."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from captum_gag.errors import InputError, printable
from captum_gag.reliability.lists import arrays

COLUMNS = ("image", "method", "metric", "score")
KEY = ["image", "method", "metric", "variant", "steps"]
LABEL = "metric_label"
"""The column with a metric's name as tables and figures show it: ``AOPC MoRF (mean) L=20``."""

CONTROLS = {"Random": "random", "Sobel": "edges", "Constant": "constant", "Truth": "truth"}
"""The catalogue's methods that know nothing of the model, for tables without the column ``control``."""

DISPLACED = "displaced"
"""The control of an explanation's map that was moved by half the image."""


def checked(scores: pd.DataFrame) -> pd.DataFrame:
    """Check a score table, and complete it to the form that every statistic takes.

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
            - group (text): images that depend on each other, such as those of one patient, have the same; see
              ``collapsed``;
            - network (text): whose scores these are, in a table of several runs; images are named apart.

            Others are left alone.

    Returns:
        The table with the columns of text and numbers that statistics need, missing text as "" and infinite scores as
        NaN, and with ``metric_label``.

    Raises:
        InputError: A column is missing, a score is not a number, the table is empty, or an image has two scores by
            the same metric for the same method.
    """
    _check_columns(scores)
    # Names may be numbers; everything that looks them up takes them as text.
    table = scores.assign(method=scores["method"].astype(str), metric=scores["metric"].astype(str))
    # Only what is stored as objects can be of several types.
    if table["image"].dtype == object and table["image"].map(type).nunique() > 1:
        table["image"] = table["image"].astype(str)
    if "control" not in table:
        table["control"] = table["method"].map(CONTROLS)
    group = ["group"] if "group" in table else []
    for name in ("variant", "base", "transform", "control", *group):
        table[name] = _text(table[name]).astype(str) if name in table else ""
    for name in ("image", "method", "metric", "variant", "base", *group):
        # Millions of rows have few names.
        escaped = {text: printable(text) for text in table[name].unique() if isinstance(text, str)}
        if any(text != safe for text, safe in escaped.items()):
            table[name] = table[name].replace(escaped)
    kinds = [*CONTROLS.values(), DISPLACED]
    strange = sorted(set(table["control"].unique()) - {"", *kinds})
    if strange:
        raise InputError(f"the column control has {strange[0]!r}; it must be {', '.join(kinds)} or nothing")
    for name, dtype in (("strength", "float64"), ("steps", "Int64")):
        table[name] = _numbers(table, name, dtype)
    score = table["score"].astype(float)
    table["score"] = score.mask(np.isinf(score)) if np.isinf(score).any() else score
    # Groups are numbered as they come.
    setting = table.groupby(KEY[2:], dropna=False, sort=False).ngroup().to_numpy()
    settings = table.loc[~pd.Series(setting, table.index).duplicated(), KEY[2:]]
    labels = pd.Series(
        [
            metric_label(metric, variant, None if steps is pd.NA else steps)
            for metric, variant, steps in settings.itertuples(index=False)
        ],
        dtype=settings["metric"].dtype,
    )
    if labels.duplicated().any():
        raise InputError(f"two metrics are shown as {labels[labels.duplicated()].iloc[0]!r}; rename one")
    table[LABEL] = labels.array.take(setting)
    _check_unique(table, setting)
    return table


def _text(column: pd.Series) -> pd.Series:
    """Replace missing text by ""."""
    if isinstance(column.dtype, pd.StringDtype):
        # Of millions of texts there is no copy where none is missing.
        return column.fillna("") if column.hasnans else column
    return column.astype(object).where(column.notna(), "")


def _check_columns(scores: pd.DataFrame) -> None:
    if not isinstance(scores, pd.DataFrame):
        raise InputError(f"the scores are a {type(scores).__name__}; expected a DataFrame, see from_arrays")
    missing = [column for column in COLUMNS if column not in scores.columns]
    if missing:
        raise InputError(
            f"the scores lack the column {', '.join(missing)}; expected {', '.join(COLUMNS)}, "
            f"there are {', '.join(map(str, scores.columns))}"
        )
    if not len(scores):
        raise InputError("the scores are empty; expected a row per image, method and metric")
    for name in COLUMNS[:3]:
        unnamed = scores[name].isna() | (_text(scores[name]) == "")
        if unnamed.any():
            raise InputError(f"the column {name} is missing in {unnamed.sum()} rows; expected a name in each")
    if not pd.api.types.is_numeric_dtype(scores["score"]) or pd.api.types.is_bool_dtype(scores["score"]):
        raise InputError(f"the scores are of type {scores['score'].dtype}; expected numbers")


def _numbers(table: pd.DataFrame, name: str, dtype: str) -> pd.Series:
    """Return a column as numbers, or as whole ones; where there is none, all are missing."""
    if name not in table or table[name].dtype == dtype:
        return table.get(name, pd.Series(pd.NA if dtype == "Int64" else np.nan, table.index, dtype))
    try:
        numbers = table[name].astype("Float64")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the column {name} has values that are no numbers; it must hold numbers or nothing"
        ) from error
    if dtype == "Int64" and not (numbers == numbers.round()).fillna(True).all():
        raise InputError(f"the column {name} has values that are no whole numbers")
    return numbers.astype(dtype) if dtype == "Int64" else numbers.astype(float)


def _check_unique(table: pd.DataFrame, setting: NDArray[np.intp]) -> None:
    """Refuse two scores of one image by the same metric for the same method."""
    cell = np.zeros(len(table), dtype=np.int64)
    for codes in (pd.factorize(table["image"])[0], pd.factorize(table["method"])[0], setting):
        cell = cell * (int(codes.max()) + 1) + codes
    # To sort millions of numbers takes a third of the memory that finding doubles by a table does.
    cell.sort()
    if (cell[1:] != cell[:-1]).all():
        return
    twice = table.duplicated(["image", "method", LABEL])
    image, method, metric = table.loc[twice, ["image", "method", LABEL]].iloc[0]
    raise InputError(
        f"{twice.sum()} rows are double, first image {image!r}, method {method!r}, metric {metric!r}; "
        "expected one score for each"
    )


def collapsed(scores: pd.DataFrame) -> pd.DataFrame:
    """Average the scores of the images of each group, which then counts as one image.

    Statistics take images as independent draws. Ten photographs of one patient are not; their mean is one draw.

    Args:
        scores: A checked score table. Images whose column ``group`` is empty stay as they are.

    Returns:
        The table with a row per group, method and metric: score, baseline_probability and lists ``curve_y`` are means
        over the images of the group that all methods compared by the metric have a score for, so that they are of the
        same images; all else is that of the first image.

    Raises:
        InputError: An image without a group is called as a group is.
    """
    grouped = scores["group"] != "" if "group" in scores else pd.Series(False, scores.index)
    if not grouped.any():
        return scores
    alone, rows = scores[~grouped], scores[grouped]
    alone, rows = alone.assign(image=alone["image"].astype(str)), rows.assign(image=rows["group"])
    both = set(alone["image"].unique()) & set(rows["image"].unique())
    if both:
        raise InputError(f"{min(both)!r} is a group and an image without a group; rename one of them")
    lacking = _lacking(scores[grouped]).to_numpy()
    rows = rows.assign(score=rows["score"].mask(lacking))
    cells = rows.groupby(KEY, dropna=False, sort=False)
    means = rows[cells.cumcount() == 0].copy()
    for name in means.columns.intersection(["score", "baseline_probability"]):
        means[name] = cells[name].mean().to_numpy()
    if "curve_y" in means:
        padded = np.array(list(zip_longest(*arrays(rows["curve_y"]), fillvalue=np.nan)), dtype=float)
        padded.reshape(-1, len(rows))[:, lacking] = np.nan
        curves = pd.DataFrame(padded.reshape(-1, len(rows)).T).groupby(cells.ngroup().to_numpy()).mean()
        lists = [None if np.isnan(curve).all() else curve for curve in curves.to_numpy()]
        means["curve_y"] = pd.Series(lists, means.index, dtype=object)
    return pd.concat([alone, means])


def _lacking(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows are of an image that some compared method has no score of by the metric, though of others."""
    compared = scores[scores["method"].isin(ranked_methods(scores))]
    scored = compared.groupby([LABEL, "method"])["score"].transform("count") > 0
    complete = compared[scored].dropna(subset=["score"]).groupby([LABEL, "image"])["method"].nunique()
    methods = compared[scored].groupby(LABEL)["method"].nunique()
    images = pd.MultiIndex.from_frame(scores[[LABEL, "image"]])
    counts = complete.reindex(images).fillna(0).to_numpy()
    return pd.Series(counts < scores[LABEL].map(methods).fillna(0).to_numpy(), scores.index)


def independence(scores: pd.DataFrame) -> str:
    """State the assumption of every interval and test on the images of a checked score table."""
    if "group" not in scores or not (scores["group"] != "").any():
        return "Images are taken as independent draws; where several show one object, say so in a column group."
    groups = scores.loc[scores["group"] != "", "group"].nunique()
    return f"Images of one group count as one ({groups} groups); groups are taken as independent draws."


def metric_label(metric: str, variant: str, steps: int | None) -> str:
    """Return a metric's name with its variant and number of steps: ``AOPC MoRF (mean) L=20``."""
    return family_label(metric, variant) + ("" if steps is None else f" L={steps}")


def family_label(metric: str, variant: str) -> str:
    """Return a metric's name with its variant: ``AOPC MoRF (mean)``."""
    return f"{metric} ({variant})" if variant else metric


def is_random(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows of a checked table are of random orderings."""
    return (scores["control"] == "random") & ~is_manipulated(scores)


def is_edges(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows of a checked table are of edge detection."""
    return (scores["control"] == "edges") & ~is_manipulated(scores)


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
    return picked(scores, ~(scores["control"].isin(["random", "truth", DISPLACED]) | is_manipulated(scores)))


def picked(scores: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    """Return some rows of a table; the table itself if all, since millions are not copied for nothing."""
    return scores if rows.all() else scores[rows]


def explanations(scores: pd.DataFrame) -> list[str]:
    """List the methods of a checked table that explain: no controls, truths or manipulated maps."""
    own = scores["control"].eq("") & ~is_manipulated(scores)
    return [str(method) for method in scores.loc[own, "method"].unique()]


def ranked_methods(scores: pd.DataFrame) -> list[str]:
    """Methods of a checked table that are compared to find the best: explanations, random orderings and edges."""
    own = scores["control"].isin(["", "random", "edges"]) & ~is_manipulated(scores)
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
    tables = {}
    for place, name in enumerate(metrics):
        rows = metric == place
        matrix = np.full((len(images), len(methods)), np.nan)
        matrix[image[rows], method[rows]] = values[rows]
        in_image, in_method = np.unique(image[rows]), np.unique(method[rows])
        axes = images[in_image].rename("image"), methods[in_method].rename("method")
        tables[str(name)] = pd.DataFrame(matrix[np.ix_(in_image, in_method)], *axes)
    return tables


def complete(matrix: pd.DataFrame) -> pd.DataFrame:
    """Drop methods without any score, then images that lack one: ranks among different methods cannot be compared.

    Both come sorted, so that their order changes nothing.
    """
    return matrix.dropna(axis=1, how="all").dropna(axis=0, how="any").sort_index().sort_index(axis=1)


def ranks(matrix: pd.DataFrame) -> NDArray[np.float64]:
    """Rank the methods of each image, 1 for the highest score, ties sharing their average rank; images x methods."""
    ranked: NDArray[np.float64] = (-matrix).rank(axis=1, method="average").to_numpy()
    return ranked
