"""Captions of score tables: directions, numbers of images, and the meaning of the marks."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from captum_gag.reliability.scores import is_manipulated

DAGGER = "\N{DAGGER}"
CONFIDENCE = 0.95
LONG = 30
"""Characters of a heading from which on it is broken into lines."""
ROLES = ("random", "edges", "constant", "displaced", "truth", "manipulated")


def roles_of(scores: pd.DataFrame) -> dict[str, str]:
    """Return the role of each method of a checked table: "" of an explanation, else one of ``ROLES``."""
    methods = scores.drop_duplicates("method")
    # A copy of the truth with a fault is made from the segmentation, and from no explanation.
    roles = methods["control"].where(~is_manipulated(methods) | methods["control"].eq("truth"), "manipulated")
    return dict(zip(methods["method"], roles, strict=True))


def headings(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return the direction and the number of images of each metric of a comparison."""
    return {metric: [direction(of_metric), f"n = {counted(of_metric)}"] for metric, of_metric in of_metrics(rows)}


def direction(of_metric: pd.DataFrame) -> str:
    """Return in words which direction of a metric is better."""
    higher = of_metric["higher_is_better"].iloc[0]
    return "direction unknown" if pd.isna(higher) else "higher is better" if higher else "lower is better"


def arrow(of_metric: pd.DataFrame) -> str:
    """Return the direction of a metric as an arrow; "" where it is unknown."""
    higher = of_metric["higher_is_better"].iloc[0]
    return "" if pd.isna(higher) else "\N{UPWARDS ARROW}" if higher else "\N{DOWNWARDS ARROW}"


def counted(of_metric: pd.DataFrame) -> str:
    """Return the number of images behind the means of a metric, and of how many: "30 of 40"."""
    images, total = of_metric["images"].max(), of_metric["total"].max()
    return f"{images}" if images == total else f"{images} of {total}"


def marked(rows: pd.DataFrame) -> dict[str, str]:
    """Return the methods of a comparison, controls with a dagger."""
    roles = rows.drop_duplicates("method").set_index("method")["role"]
    return {str(method): marked_name(str(method), role) for method, role in roles.items()}


def marked_name(method: str, role: str) -> str:
    """Return a method's name, with a dagger if it is a control."""
    return f"{method} {DAGGER}" if role else method


def notes(rows: pd.DataFrame) -> list[str]:
    """Return a comparison's legend: its brackets, bold, stars and daggers, and the images that are missing."""
    parts = ["Mean over the images that all explanations, random orderings and edges share"]
    if rows["low"].notna().any():
        parts.append(
            "with its 95 % interval by bootstrap-t in brackets (of this mean alone; that of the best is not corrected "
            "for the choice)"
        )
    parts += ["beside it the published value"] if rows["published"].notna().any() else []
    legend = [", ".join(parts) + "."]
    if rows["tied"].any():
        legend[0] += " Bold: may be the best explanation."
    if rows["decision"].eq("better").any():
        legend[0] += (
            " *: worse than the best mean, on average and on most images (bootstrap-t and sign test, p < 0.05 for all "
            "pairs of the metric together)."
        )
    if rows["decision"].eq("same").any():
        legend[0] += (
            " \N{ALMOST EQUAL TO}: practically the same as the best mean (the difference is within the margin)."
        )
    roles = [role for role in ROLES if role in set(rows["role"])]
    if roles:
        legend.append(f"{DAGGER} control ({', '.join(roles)}): shown for reference, excluded from ranking and tests.")
    return legend + [sentence for metric, of_metric in of_metrics(rows) for sentence in _missing(metric, of_metric)]


def _missing(metric: str, of_metric: pd.DataFrame) -> list[str]:
    """Return the sentence on the images of a metric that lack a score; none where all have one."""
    ranked = of_metric[of_metric["role"].isin(["", "random", "edges"]) & of_metric["images"].gt(0)]
    gaps = ranked[ranked["missing"].gt(0)]
    if gaps.empty:
        return []
    images, total = of_metric["images"].max(), of_metric["total"].max()
    alike = len(gaps) == len(ranked) and gaps["missing"].eq(total - images).all()
    whose = "any method" if alike else ", ".join(f"{row.method} ({row.missing})" for row in gaps.itertuples())
    return [f"{metric}: {total - images} of {total} images are left out, for lack of a score of {whose}."]


def of_metrics(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of a table metric by metric, in their order."""
    for metric, of_metric in rows.groupby("metric", sort=False):
        yield str(metric), of_metric


def terminal_table(cells: pd.DataFrame, title: str = "", left: int = 1) -> Table:
    """Lay texts out for the terminal, the first ``left`` columns to the left; names are not taken for markup."""
    table = Table(box=SIMPLE, title=Text(title) if title else None, title_justify="left")
    for number, column in enumerate(cells):
        names = number < left
        # A name cut short finds no file, and is that of another, too.
        short = not names and len(str(column)) < LONG
        table.add_column(Text(str(column)), justify="left" if names else "right", overflow="fold", no_wrap=short)
    for line in cells.itertuples(index=False):
        table.add_row(*(Text(str(text)) for text in line))
    return table
