"""Tables as a page lays them out: cells of text, with the number that they are sorted by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from captum_gag.report.notes import headings, marked
from captum_gag.report.tables import printed_cells

MISSING = "\N{EN DASH}"


def means_table(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the mean scores, a row per method and a column per metric: columns and rows.

    Args:
        rows: As ``tables.comparison`` returns them.
    """
    texts, names, heads = printed_cells(rows), marked(rows), headings(rows)
    means = rows.pivot(index="method", columns="metric", values="mean")
    best = set(rows.loc[rows["best"], ["method", "metric"]].itertuples(index=False, name=None))
    lines = []
    for method, line in texts.iterrows():
        # What a paper published stands below.
        split = {metric: text.replace(" (published", "\n(published") for metric, text in line.items()}
        cells = [_cell(means.at[method, metric], text, (method, metric) in best) for metric, text in split.items()]
        lines.append([{**_cell(names[str(method)]), "method": method}, *cells])
    return {"columns": ["method", *(f"{metric}\n{', '.join(heads[metric])}" for metric in texts)], "rows": lines}


def laid_out(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as columns and rows of cells."""
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return {"columns": list(table.columns), "rows": rows}


def _cell(value: Any, text: str | None = None, best: bool = False) -> dict[str, Any]:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return {"text": MISSING if value is None or value is pd.NA else str(value), "value": None, "best": best}
    known = not np.isnan(value)
    number = f"{value:d}" if isinstance(value, int | np.integer) else f"{value:.3f}"
    return {"text": text or (number if known else MISSING), "value": float(value) if known else None, "best": best}
