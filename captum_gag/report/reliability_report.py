"""What the reliability checks found: as figures, as Markdown, as one HTML page, and as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2
import pandas as pd
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from captum_gag.reliability import RELIABLE_ALPHA, ReliabilityReport
from captum_gag.reliability.marks import in_figures
from captum_gag.report import reliability_figures
from captum_gag.report.style import as_svg, page_colours
from captum_gag.report.writing import (
    markdown_table,
    markdown_text,
    save_csv,
    save_figure,
    save_parquet,
    save_text,
)

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
"""What each table of a report answers."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("captum_gag.report"),
    autoescape=jinja2.select_autoescape(["html"]),
    keep_trailing_newline=True,
)


def figures(found: ReliabilityReport) -> dict[str, Figure]:
    """Draw distributions, alpha, which fault each metric sees, how far they agree, and curves over the steps.

    What was not run is not drawn.

    Returns:
        Figures not known to pyplot, by distributions, alpha, validity, consistency, curves.
    """
    drawn = {"distributions": reliability_figures.distributions(found.scores)}
    drawn["alpha"] = reliability_figures.alphas(found.tables["inter_rater"], RELIABLE_ALPHA)
    if "faults" in found.tables:
        drawn["validity"] = reliability_figures.right_orders(found.tables["faults"], found.tables.get("validity"))
    if "internal_consistency" in found.tables:
        drawn["consistency"] = reliability_figures.consistency(found.tables["internal_consistency"])
    if found.scores["steps"].notna().any():
        drawn["curves"] = reliability_figures.curves(found.scores)
    return drawn


def marked(found: ReliabilityReport) -> pd.DataFrame:
    """Return the four marks of each metric as text, with the figure behind each."""
    columns = {
        "reliable": ("reliable (alpha)", "alpha", _beside_threshold),
        "valid": ("valid (pairs of explanations in the wrong order)", "wrong", "{:.0%}".format),
        "sensitive": ("sensitive to its implementation (rho)", "rho", _beside_threshold),
        "fooled": ("fooled by sharpening (gain)", "gain", "{:+.3f}".format),
    }
    marks = found.marks
    return pd.DataFrame(
        {"metric": marks["metric"]}
        | {
            title: [
                f"{mark} ({shown(value)})" if mark and value == value else mark or "-"
                for mark, value in zip(marks[name], marks[figure], strict=True)
            ]
            for name, (title, figure, shown) in columns.items()
        }
    )


def _beside_threshold(value: float) -> str:
    return in_figures(value, RELIABLE_ALPHA)


def marks_table(found: ReliabilityReport) -> Table:
    """Return the four marks of each metric for the terminal."""
    marks = marked(found)
    table = Table(*marks, box=SIMPLE)
    for row in marks.itertuples(index=False):
        table.add_row(*map(Text, map(str, row)))
    return table


def to_markdown(found: ReliabilityReport) -> str:
    """Return verdicts and tables as Markdown."""
    tables = _laid_out(found, lambda table: markdown_table(table, index=False, digits=".3f"))
    verdicts = {markdown_text(metric): markdown_text(said) for metric, said in found.verdicts.items()}
    marks, advice = markdown_table(marked(found), index=False), markdown_text(found.advice)
    return _TEMPLATES.get_template("reliability.md").render(
        verdicts=verdicts, tables=tables, marks=marks, advice=advice, assumption=found.assumption
    )


def to_html(found: ReliabilityReport) -> str:
    """Return verdicts, tables and figures as one HTML page that needs nothing else."""
    tables = _laid_out(found, lambda table: table.to_html(index=False, float_format="{:.3f}".format, border=0))
    drawn = [as_svg(figure) for figure in figures(found).values()]
    template = _TEMPLATES.get_template("reliability.html")
    marks = marked(found).to_html(index=False, border=0)
    return template.render(
        verdicts=found.verdicts,
        marks=marks,
        advice=found.advice,
        assumption=found.assumption,
        tables=tables,
        figures=drawn,
        colours=page_colours(),
    )


def save(found: ReliabilityReport, directory: str | Path) -> list[Path]:
    """Write report.md, report.html, scores.parquet, a CSV of the marks and of each table, and a PNG per figure.

    The table of all groups of images, where there are any, is NAME_by_group.csv.

    Args:
        found: What ``reliability.report`` returned.
        directory: Made if missing; files of these names are replaced.

    Returns:
        What was written.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / "report.md", directory / "report.html", directory / "scores.parquet"]
    save_text(to_markdown(found), written[0])
    save_text(to_html(found), written[1])
    save_parquet(found.scores, written[2])
    tables = {"marks": found.marks, **found.tables}
    tables |= {f"{name}_by_group": table for name, table in found.by_group.items()}
    written += [save_csv(table, directory / f"{name}.csv") for name, table in tables.items()]
    written += [save_figure(figure, directory / f"{name}.png") for name, figure in figures(found).items()]
    return written


def _laid_out(found: ReliabilityReport, layout: Callable[[pd.DataFrame], str]) -> list[tuple[str, str]]:
    whole = [(SECTIONS[name], layout(table)) for name, table in found.tables.items()]
    return whole + [(f"{SECTIONS[name]} By {found.by}", layout(table)) for name, table in found.by_group.items()]
