"""The reliability of metrics as tables, figures and Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from captum_gag.reliability import RELIABLE_ALPHA, ReliabilityReport
from captum_gag.reliability.marks import in_figures
from captum_gag.report import reliability_figures
from captum_gag.report.table_files import markdown_table, markdown_text

SECTIONS = {
    "inter_rater": "Do the images agree on the ranking of the methods? (Krippendorff's alpha)",
    "inter_rater_without_edges": "The same without the edge detector",
    "validity": "Does a metric rank maps as the truth does?",
    "faults": "Which fault of a map does a metric see? (share of pairs of strengths in the wrong order)",
    "inter_method": "Is an image that is easy for one method easy for the others? (mean pairwise Spearman's rho)",
    "internal_consistency": "Do the metrics agree with each other? (Spearman's rho over images, per method)",
    "implementation": "Does a metric agree with itself when its implementation changes?",
    "baselines": "Which methods beat random orderings and edges?",
    "tricks": "Can a metric be fooled?",
    "stability": "How many images are enough?",
    "summary": "Distribution of the scores over the images",
}
"""The question that each table of a report answers."""


def figures(report: ReliabilityReport) -> dict[str, Figure]:
    """Draw distributions, alpha, faults seen, agreement of the metrics, and curves over the steps.

    Returns:
        Figures not known to pyplot, by distributions, alpha, validity, consistency, curves; of the checks that ran.
    """
    tables = report.tables
    panels = {"distributions": reliability_figures.distributions(report.scores)}
    panels["alpha"] = reliability_figures.alphas(tables["inter_rater"], RELIABLE_ALPHA)
    if "faults" in tables:
        panels["validity"] = reliability_figures.right_orders(tables["faults"], tables.get("validity"))
    if "internal_consistency" in tables:
        panels["consistency"] = reliability_figures.consistency(tables["internal_consistency"])
    if report.scores["steps"].notna().any():
        panels["curves"] = reliability_figures.curves(report.scores)
    return panels


def marked(report: ReliabilityReport) -> pd.DataFrame:
    """Return the four marks of each metric as text, with the figure behind each."""
    columns = {
        "reliable": ("reliable (alpha)", "alpha", _beside_threshold),
        "valid": ("valid (pairs of explanations in the wrong order)", "wrong", "{:.0%}".format),
        "sensitive": ("sensitive to its implementation (rho)", "rho", _beside_threshold),
        "fooled": ("fooled by sharpening (gain)", "gain", "{:+.3f}".format),
    }
    marks = report.marks
    return pd.DataFrame(
        {"metric": marks["metric"]}
        | {
            title: [
                f"{mark} ({text(value)})" if mark and value == value else mark or "-"
                for mark, value in zip(marks[name], marks[figure], strict=True)
            ]
            for name, (title, figure, text) in columns.items()
        }
    )


def _beside_threshold(value: float) -> str:
    return in_figures(value, RELIABLE_ALPHA)


def sections(report: ReliabilityReport) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the tables of a report with the question that they answer, by name, those of groups of images last."""
    by_group = {
        f"{name}_by_group": (f"{SECTIONS[name]} By {report.by}", table) for name, table in report.by_group.items()
    }
    return {name: (SECTIONS[name], table) for name, table in report.tables.items()} | by_group


def to_markdown(report: ReliabilityReport, answers: Sequence[str]) -> str:
    """Return answers, marks, verdicts in words and tables as Markdown."""
    parts = ["# Can these metrics be trusted?", *map(markdown_text, filter(None, [*answers, report.advice]))]
    parts.append(markdown_table(marked(report), index=False))
    parts += [f"- **{markdown_text(metric)}**: {markdown_text(words)}" for metric, words in report.verdicts.items()]
    for question, table in sections(report).values():
        parts += [f"## {question}", markdown_table(table, index=False, digits=".3f")]
    return "\n\n".join(parts) + "\n"
