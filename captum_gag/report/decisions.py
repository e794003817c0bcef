"""The decisions of a run until decided, for the terminal and as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from captum_gag.reliability.scores import checked
from captum_gag.report.captions import marked_name, of_metrics, roles_of
from captum_gag.report.table_files import save_csv
from captum_gag.runs.stopping import UntilDecided
from captum_gag.runs.store import Run


def decisions(run: Run, scores: pd.DataFrame) -> pd.DataFrame | None:
    """Return the decisions of a run until decided, as ``reliability.sequential`` does; None of another run.

    Args:
        run: Its images count in the order of its selection, up to the first that is not done.
        scores: The records of all its images done.

    Returns:
        With the columns role and rival_role beside those of ``sequential``, as those of ``tables.comparison``.
    """
    if run.config.until != "decided":
        return None
    until = UntilDecided(run)
    until.count(scores)
    rows, roles = until.table(), roles_of(checked(scores))
    return rows.assign(role=rows["method"].map(roles), rival_role=rows["rival"].map(roles))


def printable(rows: pd.DataFrame) -> Group:
    """Lay decisions out for the terminal: a line for each question, a table for each metric."""
    return Group(*(_of_metric(metric, lines) for metric, lines in of_metrics(rows)))


def _of_metric(metric: str, rows: pd.DataFrame) -> Table:
    # All questions of a metric are about one method.
    first = rows.iloc[0]
    title = f"{metric}: {marked_name(first['method'], first['role'])} against"
    table = Table("rival", "wins:losses", "share of wins", "e, adjusted", "decided", box=SIMPLE, title=Text(title))
    for row in rows.to_dict("records"):
        share = row["wins"] / max(1, row["wins"] + row["losses"])
        ended = row["decision"] if row["decision"] == "open" else f"{row['decision']} at {row['decided_at']}"
        table.add_row(
            Text(marked_name(row["rival"], row["rival_role"])),
            f"{row['wins']}:{row['losses']}",
            f"{share:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
            f"{row['e_adjusted']:.3g}",
            Text(ended, "" if row["decision"] == "open" else "bold"),
        )
    return table


def save_decisions(rows: pd.DataFrame, directory: Path) -> Path:
    """Write decisions.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    return save_csv(rows, directory / "decisions.csv")
