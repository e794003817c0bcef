"""Which methods were found better, after how many images: of runs until decided, for the terminal and as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from captum_gag.runs.stopping import UntilDecided
from captum_gag.runs.store import Run


def decisions(run: Run, scores: pd.DataFrame) -> pd.DataFrame | None:
    """Return what a run decided, as ``reliability.sequential`` does; None of a run that was not one until decided.

    Args:
        run: Its images count in the order of its selection, up to the first that is not done.
        scores: The records of all its images done.
    """
    if run.config.until != "decided":
        return None
    until = UntilDecided(run)
    until.count(scores)
    return until.table()


def printable(rows: pd.DataFrame) -> Group:
    """Lay decisions out for the terminal: a line for each question, a table for each metric."""
    return Group(*(_of_metric(str(metric), lines) for metric, lines in rows.groupby("metric", sort=False)))


def _of_metric(metric: str, rows: pd.DataFrame) -> Table:
    # All questions of a metric are about one method.
    title = f"{metric}: {rows['method'].iloc[0]} against"
    table = Table("rival", "wins:losses", "share of wins", "e, adjusted", "decided", box=SIMPLE, title=Text(title))
    for row in rows.to_dict("records"):
        share = row["wins"] / max(1, row["wins"] + row["losses"])
        ended = row["decision"] if row["decision"] == "open" else f"{row['decision']} at {row['decided_at']}"
        table.add_row(
            Text(row["rival"]),
            f"{row['wins']}:{row['losses']}",
            f"{share:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
            f"{row['e_adjusted']:.3g}",
            Text(ended, "" if row["decision"] == "open" else "bold"),
        )
    return table


def save_decisions(rows: pd.DataFrame, directory: Path) -> Path:
    """Write decisions.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    rows.to_csv(directory / "decisions.csv", index=False)
    return directory / "decisions.csv"
