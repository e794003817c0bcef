"""The decisions of a run until decided, for the terminal and as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Group
from rich.table import Table

from captum_gag.reliability.scores import checked
from captum_gag.report.captions import marked_name, of_metrics, roles_of, terminal_table
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
    lines = [
        {
            "rival": marked_name(row["rival"], row["rival_role"]),
            "wins:losses": f"{row['wins']}:{row['losses']}",
            "share of wins": f"{row['wins'] / max(1, row['wins'] + row['losses']):.2f} "
            f"[{row['low']:.2f}, {row['high']:.2f}]",
            "e, adjusted": f"{row['e_adjusted']:.3g}",
            "decided": "open" if row["decision"] == "open" else f"{row['decision']} at {row['decided_at']}",
        }
        for row in rows.to_dict("records")
    ]
    title = f"{metric}: {marked_name(first['method'], first['role'])} against"
    return terminal_table(pd.DataFrame(lines), title)


def save_decisions(rows: pd.DataFrame, directory: Path) -> Path:
    """Write decisions.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    return save_csv(rows, directory / "decisions.csv")
