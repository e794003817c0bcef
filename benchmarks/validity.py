"""Which metric is right on which kind of truth: the tables of docs/which-metric.md, from runs of metric-validity.

    python benchmarks/validity.py KIND=RUN[,RUN ...] [KIND=RUN[,RUN ...] ...]

The runs of a kind are of several networks, each with images of its own. A last column is of all networks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from captum_gag import reliability
from captum_gag.reliability.marks import advice, marks
from captum_gag.reliability.scores import checked, explanations
from captum_gag.runs.store import Run

TRUTHS = ["Relevance mass", "Localisation AUC"]


@dataclass
class Checks:
    """Scores of one kind of networks, and what the checks say of its metrics."""

    scores: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    marks: pd.DataFrame


def main() -> None:
    """Print the tables, and the advice by kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="KIND=RUN[,RUN ...]")
    kinds = {kind: runs.split(",") for kind, runs in (each.split("=", 1) for each in parser.parse_args().runs)}
    kinds["all"] = [run for runs in kinds.values() for run in runs]
    checks = {kind: check(runs) for kind, runs in kinds.items()}
    for title, cells in TABLES.items():
        table = pd.DataFrame({kind: cells(of_kind) for kind, of_kind in checks.items()})
        print(f"### {title}\n\n{table.reindex(checks['all'].marks['metric']).dropna(how='all').to_markdown()}\n")
    for kind, of_kind in checks.items():
        print(f"{kind}: {advice(of_kind.scores, of_kind.tables, of_kind.marks)}")


def check(runs: list[str]) -> Checks:
    """Check the scores of several networks as one table, whose images are named apart."""
    parts = [Run.load(Path(run)).scores().assign(network=run) for run in runs]
    scores = checked(pd.concat([part.assign(image=part["network"] + " " + part["image"]) for part in parts]))
    explained = scores[scores["method"].isin(explanations(scores))]
    tables = {
        "inter_rater": reliability.inter_rater(explained).reset_index(),
        "validity": reliability.validity(scores, TRUTHS),
        "faults": reliability.faults(scores),
    }
    return Checks(scores, tables, marks(scores, tables))


def by_truth(write: Callable[[pd.Series], str], of_kind: Checks) -> pd.Series:
    """Write a row of the validity of each metric by one truth / the other."""
    rows = of_kind.tables["validity"].set_index(["metric", "truth"])
    return rows.apply(write, axis=1).unstack()[TRUTHS].fillna("-").agg(" / ".join, axis=1)


def wrong(row: pd.Series) -> str:
    """Write the share of pairs in the wrong order, with half the width of its interval."""
    return f"{row.wrong:.0%} ± {50 * (row.wrong_high - row.wrong_low):.0f}"


def regret(row: pd.Series) -> str:
    """Write the regret of the pick as a share of that of a random pick, with half its interval, and the rank."""
    half = (row.regret_high - row.regret_low) / 2
    return f"{row.regret / row.regret_by_chance:.0%} ± {100 * half / row.regret_by_chance:.0f} ({row['rank']:.1f})"


def valid(of_kind: Checks) -> pd.Series:
    """Write the mark valid, alpha over the images of all networks, and the faults not seen, rewarded ones in bold."""
    faults = of_kind.tables["faults"]
    faults = faults[faults["found"].isin(["unseen", "rewarded"])]
    names = faults["fault"].where(faults["found"] != "rewarded", "**" + faults["fault"] + "**")
    table = of_kind.marks.set_index("metric")
    missed = ("; " + names.groupby(faults["metric"]).agg(", ".join)).reindex(table.index).fillna("")
    return table["valid"] + ", " + table["alpha"].map("{:.2f}".format) + missed


def beaten(of_kind: Checks) -> pd.Series:
    """Write on which share of images and explanations the mean of the random orderings scores better."""
    shares = {}
    for metric, rows in of_kind.scores.groupby("metric_label", sort=False):
        table = rows.pivot(index="image", columns="method", values="score")
        random = table[rows.loc[rows["control"] == "random", "method"].iloc[0]]
        explained = table[[name for name in explanations(rows) if name in table]]
        better = explained.lt(random, axis=0) if rows["higher_is_better"].iloc[0] else explained.gt(random, axis=0)
        shares[metric] = f"{better.to_numpy().mean():.0%}"
    return pd.Series(shares)


TABLES = {
    "Pairs of explanations in the wrong order": partial(by_truth, wrong),
    "Regret of the pick, of that of a random pick (rank of 10)": partial(by_truth, regret),
    "Valid, alpha; faults that are not seen": valid,
    "Explanations that random orderings beat": beaten,
}


if __name__ == "__main__":
    main()
