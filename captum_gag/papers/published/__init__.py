"""Every number that the tables of both papers print, and the means that a suite is compared with.

Of Huang, Y. & Liu (2024), Guided AbsoluteGrad, Tables 1, 2 and 3; of Tomsett et al. (2019), Sanity Checks for Saliency
Metrics, Tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from captum_gag.errors import InputError
from captum_gag.options import unknown
from captum_gag.runs.suite_file import SuiteFile

HUANG_LIU = "huang-liu-2024"

RATIOS = 3
"""The table of Huang & Liu that prints ratios of mean scores instead of means."""


def huang_liu(table: int, case: str) -> pd.DataFrame:
    """Return a table of Huang & Liu (2024).

    Args:
        table: 1 (GAG over p), 2 (all methods), or 3 (ratios: the methods are called +, -, A, G and GA).
        case: A name of ``huang_liu_cases``.

    Returns:
        method, metric, value; in the order of the paper.

    Raises:
        InputError: There is no such table or case.
    """
    cells = _read(HUANG_LIU)
    for column, value in (("table", table), ("case", case)):
        values = list(cells[column].unique())
        if value not in values:
            raise InputError(f"{HUANG_LIU} has no {column} {value!r}; expected {', '.join(map(str, values))}")
        cells = cells[cells[column] == value]
    return cells[["method", "metric", "value"]].reset_index(drop=True)


def huang_liu_cases() -> list[str]:
    """Return the names of the cases, in the order of the paper."""
    return list(_read(HUANG_LIU)["case"].unique())


def tomsett(table: int) -> pd.DataFrame:
    """Return Table 1 (Krippendorff's alpha between images) or 2 (Spearman's rho) of Tomsett et al. (2019).

    Returns:
        Table 1: metric, perturbation ("mean" or "uniform_rgb"), edge_detection ("with" or "without"), alpha, and its
        99.9 % interval, low_99.9 and high_99.9. Table 2: metric_a, metric_b, method, spearman_rho; AOPC at L = 100,
        scores as they are.
    """
    return _read(f"tomsett-2019-table-{table}").copy()


def means(*suites: SuiteFile) -> dict[str, Any]:
    """Return the published means that suites are compared with, by metric and method, and their ``source``.

    Args:
        suites: Where several have means of a metric, those of the first count.

    Raises:
        InputError: A suite's ``case`` or ``published`` is unknown.
    """
    return {metric: values for suite in reversed(suites) for metric, values in _means(suite).items()}


def _means(suite: SuiteFile) -> dict[str, Any]:
    if suite.case not in huang_liu_cases():
        raise unknown("case", suite.case, huang_liu_cases())
    published = dict(suite.published)
    paper, table = published.pop("paper", None), published.pop("table", None)
    for metric, values in published.items():
        numbers = values.values() if isinstance(values, Mapping) else [None]
        if metric != "source" and not all(isinstance(number, int | float) for number in numbers):
            raise InputError(f"published {metric} is {values!r}; expected a table of means by method")
    if paper is None and table is None:
        return published
    tables = table if isinstance(table, list | tuple) else [table]
    if paper != HUANG_LIU or not tables or None in tables or RATIOS in tables:
        raise InputError(
            f"published paper = {paper!r}, table = {table!r} has no means; expected paper = {HUANG_LIU!r} with "
            "table = 1 or 2, or means by metric and method"
        )
    for number in tables:
        for metric, rows in huang_liu(number, suite.case).groupby("metric", sort=False):
            printed = rows.set_index("method")["value"].to_dict()
            published[str(metric)] = {**printed, **published.get(str(metric), {})}
    source = f"Huang & Liu 2024, Table {' and '.join(map(str, tables))}, {suite.case}"
    return {"source": source, **published}


@cache
def _read(name: str) -> pd.DataFrame:
    with files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
