"""Which metric is right on which kind of truth: the tables of docs/which-metric.md, from runs of metric-validity.

    python benchmarks/validity.py KIND=RUN[,RUN ...] [KIND=RUN[,RUN ...] ...]

The runs of a kind are of several networks, each with images of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from captum_gag import reliability
from captum_gag.reliability.scores import explanations
from captum_gag.runs.store import Run

N_BOOTSTRAP = 1_000

TRUTHS = ["Relevance mass", "Localisation AUC"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="KIND=RUN[,RUN ...]")
    kinds = dict(kind.split("=", 1) for kind in parser.parse_args().runs)
    reports = {kind: report(runs.split(",")) for kind, runs in kinds.items()}
    order = next(iter(reports.values())).marks["metric"]
    for title, cells in TABLES.items():
        table = pd.DataFrame({kind: cells(of_kind) for kind, of_kind in reports.items()})
        print(f"### {title}\n\n{table.reindex([name for name in order if name in table.index]).to_markdown()}\n")
    print("\n".join(f"{kind}: {of_kind.advice}" for kind, of_kind in reports.items()))


def report(runs: list[str]) -> reliability.ReliabilityReport:
    """Check the scores of several networks as one table, whose images are named apart."""
    scores = [Run.load(Path(run)).scores().assign(network=run) for run in runs]
    table = pd.concat([each.assign(image=each["network"] + " " + each["image"]) for each in scores])
    return reliability.report(table, N_BOOTSTRAP, truth=TRUTHS)


def wrong(of_kind: reliability.ReliabilityReport) -> pd.Series:
    """Write the share of pairs in the wrong order, with half the width of its interval, by each truth."""
    return by_truth(of_kind, lambda row: f"{row.wrong:.0%} ± {50 * (row.wrong_high - row.wrong_low):.0f}")


def regret(of_kind: reliability.ReliabilityReport) -> pd.Series:
    """Write the regret of the pick as a share of that of a random pick, and its rank, by each truth."""
    return by_truth(of_kind, lambda row: f"{row.regret / row.regret_by_chance:.0%} ({row['rank']:.1f})")


def by_truth(of_kind: reliability.ReliabilityReport, write: Callable[[pd.Series], str]) -> pd.Series:
    """Write a row of the validity of each metric by one truth / the other."""
    rows = of_kind.tables["validity"].set_index(["metric", "truth"])
    return rows.apply(write, axis=1).unstack()[TRUTHS].fillna("-").agg(" / ".join, axis=1)


def valid(of_kind: reliability.ReliabilityReport) -> pd.Series:
    """Write the mark valid, alpha over the images of all networks, and the faults not seen, rewarded ones in bold."""
    faults = of_kind.tables["faults"]
    faults = faults[faults["found"].isin(["unseen", "rewarded"])]
    names = faults["fault"].where(faults["found"] != "rewarded", "**" + faults["fault"] + "**")
    marks = of_kind.marks.set_index("metric")
    missed = ("; " + names.groupby(faults["metric"]).agg(", ".join)).reindex(marks.index).fillna("")
    return marks["valid"] + ", " + marks["alpha"].map("{:.2f}".format) + missed


def beaten(of_kind: reliability.ReliabilityReport) -> pd.Series:
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
    "Pairs of explanations in the wrong order": wrong,
    "Regret of the pick, of that of a random pick (rank of 10)": regret,
    "Valid, alpha; faults that are not seen": valid,
    "Explanations that random orderings beat": beaten,
}


if __name__ == "__main__":
    main()
