"""Which metric is right on which kind of truth: the tables of docs/which-metric.md, from runs of metric-validity.

    python benchmarks/validity.py NAME=RUN [NAME=RUN ...]

Prints the share of pairs of explanations in the wrong order, the faults that are not seen, and alpha, by metric.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from captum_gag import reliability
from captum_gag.runs.store import Run

N_BOOTSTRAP = 1_000


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    named = dict(each.split("=", 1) for each in parser.parse_args().runs)
    found = {name: _checked(Run.load(Path(run))) for name, run in named.items()}
    tables = {
        "Pairs of explanations in the wrong order, by one truth / the other": _wrong,
        "Spearman's rho of the explanations' means, with one truth / the other": _of_means,
        "Faults that are not seen; rewarded ones in bold": _missed,
        "Alpha, and the mark valid": _alpha,
    }
    widest = max(
        ((table["wrong_high"] - table["wrong_low"]) / 2).max()
        for table in (report.tables["validity"] for report in found.values())
    )
    print(f"Intervals of shares of pairs are at most +- {widest:.1%}.\n")
    for title, cells in tables.items():
        table = pd.DataFrame({name: cells(report) for name, report in found.items()})
        order = found[next(iter(found))].marks["metric"]
        print(f"### {title}\n\n{table.reindex(order).fillna('').to_markdown()}\n")


def _checked(run: Run) -> reliability.ReliabilityReport:
    return reliability.report(run.scores(), N_BOOTSTRAP, truth=run.config.suite_file().truth)


def _wrong(report: reliability.ReliabilityReport) -> pd.Series:
    return _by_truth(report, "wrong", "{:.0%}")


def _of_means(report: reliability.ReliabilityReport) -> pd.Series:
    return _by_truth(report, "rho_means", "{:.2f}")


def _by_truth(report: reliability.ReliabilityReport, name: str, digits: str) -> pd.Series:
    table = report.tables["validity"].query("maps == 'explanations'").pivot(index="metric", columns="truth")
    cells = table[name].map(lambda value: "-" if np.isnan(value) else digits.format(value))
    return cells[[metric for metric in report.marks["metric"] if metric in cells]].agg(" / ".join, axis=1)


def _missed(report: reliability.ReliabilityReport) -> pd.Series:
    table = report.tables["faults"]
    missed = table[table["found"].isin(["unseen", "rewarded"])]
    cells = missed["fault"].where(missed["found"] == "unseen", "**" + missed["fault"] + "**")
    return cells.groupby(missed["metric"], sort=False).agg(", ".join).reindex(table["metric"].unique()).fillna("-")


def _alpha(report: reliability.ReliabilityReport) -> pd.Series:
    marks = report.marks.set_index("metric")
    return marks["alpha"].map("{:.2f}".format) + ", " + marks["valid"]


if __name__ == "__main__":
    main()
