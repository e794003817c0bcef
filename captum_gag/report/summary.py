"""The verdict of each metric, as the page, the tables and the terminal show it first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from captum_gag.reliability.deciding import BEST
from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.pairwise import ALPHA, pairwise, shared
from captum_gag.reliability.resampling import N_BOOTSTRAP
from captum_gag.reliability.scores import by_metric, checked, collapsed, explanations, independence, ranked_methods
from captum_gag.reliability.verdict import enumerated, verdict
from captum_gag.report import tables
from captum_gag.report.captions import counted, direction, marked_name, of_metrics, roles_of, terminal_table
from captum_gag.runs.stopping import UntilDecided
from captum_gag.runs.store import Run


class Summary(NamedTuple):
    """Verdicts, comparison and decisions of a score table.

    Attributes:
        verdicts: As ``reliability.verdict`` returns them.
        rows: As ``tables.comparison`` returns them; untested of a run until decided.
        decided: As ``decisions`` returns them; None of other runs.
        assumption: What all intervals and tests assume of the images, in a sentence.
        pairs: As ``reliability.pairwise`` returns them; None of a run until decided, or of one method.
        ranks: Mean rank of each explanation over the images that all share, by metric (rows) and method.
    """

    verdicts: pd.DataFrame
    rows: pd.DataFrame
    decided: pd.DataFrame | None
    assumption: str
    pairs: pd.DataFrame | None
    ranks: pd.DataFrame


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


def summarised(
    scores: pd.DataFrame,
    runs: Sequence[Run] = (),
    published: Mapping[str, Any] | None = None,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    *,
    decided: pd.DataFrame | None = None,
    margin: float | None = None,
) -> Summary:
    """Compute verdicts and comparison of scores, with the decisions of the runs that went on until decided.

    Args:
        scores: The records of all runs together, or any score table.
        runs: Those that the scores are of.
        published: As for ``tables.comparison``.
        n_bootstrap: Resamples of the images.
        seed: Of the resamples.
        decided: As ``reliability.sequential`` returns them, instead of those of the runs.
        margin: Difference up to which two methods are practically the same; see ``reliability.pairwise``.
    """
    scores = checked(scores)
    parts = [decisions(run, scores if len(runs) == 1 else run.scores()) for run in runs]
    looked_at = [part for part in parts if part is not None]
    decided = pd.concat(looked_at, ignore_index=True) if looked_at else decided
    against = next((run.config.against for run in runs if run.config.against not in ("", BEST)), None)
    pairs = None
    if decided is None and len(ranked_methods(scores)) > 1:
        pairs = pairwise(scores, alpha=ALPHA, margin=margin, n_bootstrap=n_bootstrap, seed=seed)
    verdicts = verdict(scores, None if decided is None else against, decided, pairs=pairs)
    rows = tables.comparison(scores, published, n_bootstrap, seed, pairs=pairs, verdicts=verdicts)
    stopped = "" if decided is None else " Intervals of means are for a number of images fixed beforehand."
    return Summary(verdicts, rows, decided, independence(scores) + stopped, pairs, _mean_ranks(scores))


def _mean_ranks(scores: pd.DataFrame) -> pd.DataFrame:
    scores = collapsed(scores)
    compared, directions, explained = ranked_methods(scores), higher_is_better(scores), explanations(scores)
    ranks = {
        metric: shared(table, compared).reindex(columns=explained).rank(axis=1, ascending=not directions[metric]).mean()
        for metric, table in by_metric(scores).items()
        if directions[metric] is not None
    }
    return pd.DataFrame(ranks).T


def answers(verdicts: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the answer of each group of metrics that give the same: metrics, methods, state and reason.

    The reason is "" but where the metrics cannot tell.
    """
    groups: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for row in verdicts.to_dict("records"):
        untold = row["state"] == "cannot tell"
        methods = () if untold else (row["best"],) if row["state"] == "decided" else tuple(row["tied"])
        groups.setdefault((row["state"], methods, row["reason"] if untold else ""), []).append(row["metric"])
    return [
        {"metrics": metrics, "methods": list(methods), "state": state, "reason": reason}
        for (state, methods, reason), metrics in groups.items()
    ]


def sentences(verdicts: pd.DataFrame) -> list[str]:
    """Return the answers in words: "By RCAP: GAG-85 (decided).", with the reasons of a metric that cannot tell."""
    texts = []
    for answer in answers(verdicts):
        methods, by = answer["methods"], f"By {enumerated(answer['metrics'])}"
        texts.append(
            f"{by}: cannot tell. {answer['reason']}"
            if answer["state"] == "cannot tell"
            else f"{by}: {enumerated(methods, 'or')}{' may be best' * (answer['state'] == 'open')} ({answer['state']})."
        )
    return texts


def cards(summary: Summary) -> list[dict[str, Any]]:
    """Return a card for each metric: metric, about, methods (that may be best), state and reason."""
    captions = {
        metric: f"{direction(of_metric)}, {counted(of_metric)} images" for metric, of_metric in of_metrics(summary.rows)
    }
    return [
        {
            "metric": row["metric"],
            "about": captions[row["metric"]],
            "methods": [] if row["state"] == "cannot tell" else list(row["tied"]),
            "state": row["state"],
            "reason": row["reason"],
        }
        for row in summary.verdicts.to_dict("records")
    ]


def printable(summary: Summary) -> Group:
    """Lay verdicts, comparison and decisions out for the terminal."""
    lines = [Text(f"{sentence}\n") for sentence in sentences(summary.verdicts)]
    decided = () if summary.decided is None else of_metrics(summary.decided)
    questions = (_decisions_of(metric, rows) for metric, rows in decided)
    return Group(*lines, tables.printable(summary.rows), Text(f"{summary.assumption}\n"), *questions)


def _decisions_of(metric: str, rows: pd.DataFrame) -> Table:
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
