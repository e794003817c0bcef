"""Every number that the tables of both papers print, and where it is printed.

- ``huang-liu-2024.csv``: Huang, Y. & Liu (2024), Guided AbsoluteGrad, Tables 1, 2 and 3.
- ``tomsett-2019-table-1.csv``, ``tomsett-2019-table-2.csv``: Tomsett et al. (2019), Sanity Checks for Saliency
  Metrics, Tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from captum_gag.errors import InputError

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
    whole = _read(HUANG_LIU)
    for name, asked in (("table", table), ("case", case)):
        known = list(whole[name].unique())
        if asked not in known:
            raise InputError(f"{HUANG_LIU} has no {name} {asked!r}; expected {', '.join(map(str, known))}")
    chosen = whole[(whole["table"] == table) & (whole["case"] == case)]
    return chosen[["method", "metric", "value"]].reset_index(drop=True)


def huang_liu_cases() -> list[str]:
    """Return the names of the cases, in the order of the paper."""
    return list(_read(HUANG_LIU)["case"].unique())


def tomsett_alpha() -> pd.DataFrame:
    """Return Table 1 of Tomsett et al. (2019): Krippendorff's alpha between images.

    Returns:
        metric, perturbation ("mean" or "uniform_rgb"), edge_detection ("with" or "without"), alpha, and its 99.9 %
        interval, low_99.9 and high_99.9.
    """
    return _read("tomsett-2019-table-1").copy()


def tomsett_rho() -> pd.DataFrame:
    """Return Table 2 of Tomsett et al. (2019): Spearman's rho between two metrics over the images.

    Returns:
        metric_a, metric_b, method, spearman_rho; AOPC at L = 100, scores as they are.
    """
    return _read("tomsett-2019-table-2").copy()


def means(said: Mapping[str, Any], case: str) -> dict[str, Any]:
    """Return the published means that a suite's table ``published`` stands for.

    Args:
        said: ``paper`` and ``table`` (a number or several), or by metric and method the means themselves; ``source``.
        case: The column to compare with, for means that are taken from a paper's table.

    Returns:
        By metric and method the means; and ``source``.

    Raises:
        InputError: It says something that has no meaning.
    """
    found = {name: each for name, each in said.items() if name not in ("paper", "table")}
    for name, each in found.items():
        values = each.values() if isinstance(each, Mapping) else [None]
        if name != "source" and not all(isinstance(value, int | float) for value in values):
            raise InputError(f"published {name} is {each!r}; expected a table of means by method")
    if not {"paper", "table"} & set(said):
        return found
    paper, numbers = said.get("paper"), said.get("table", ())
    numbers = list(numbers) if isinstance(numbers, list | tuple) else [numbers]
    if paper != HUANG_LIU or not numbers or RATIOS in numbers:
        raise InputError(
            f"published paper = {paper!r}, table = {said.get('table')!r} has no means; expected paper = "
            f"{HUANG_LIU!r} with table = 1 or 2, or means by metric and method"
        )
    for number in numbers:
        for metric, rows in huang_liu(number, case).groupby("metric", sort=False):
            printed = dict(zip(rows["method"], rows["value"].astype(float), strict=True))
            found[str(metric)] = {**printed, **found.get(str(metric), {})}
    tables = " and ".join(map(str, numbers))
    return {"source": f"Huang & Liu 2024, Table {tables}, {case}", **found}


@cache
def _read(name: str) -> pd.DataFrame:
    with files(__name__).joinpath(f"{name}.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)
