"""All checks of a score table in one object: tables, verdicts in words, figures; as Markdown, HTML or files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
import pandas as pd

from captum_gag.reliability import figures
from captum_gag.reliability.agreement import (
    CONFIDENCE,
    N_BOOTSTRAP,
    implementation_sensitivity,
    inter_method,
    inter_rater,
    internal_consistency,
)
from captum_gag.reliability.scores import ScoresError, checked, is_edges, is_random, metrics_of, sign, steps_of, without
from captum_gag.reliability.summaries import against_baselines, honest, stability, summary, tricks
from captum_gag.report.style import as_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RELIABLE_ALPHA = 0.65
"""Below this alpha, Tomsett et al. (2019) call the rankings unreliable."""

SECTIONS = {
    "inter_rater": "Do the images agree on the ranking of the methods? (Krippendorff's alpha)",
    "inter_rater_without_edges": "The same without the edge detector",
    "inter_method": "Is an image that is easy for one method easy for the others? (mean pairwise Spearman's rho)",
    "internal_consistency": "Do the metrics agree with each other? (Spearman's rho over images, per method)",
    "implementation": "Does a metric agree with itself when its implementation changes?",
    "baselines": "Which methods beat random orderings and edges?",
    "tricks": "Can a metric be fooled?",
    "stability": "How many images are enough?",
    "summary": "Distribution of the scores over the images",
}

_MARKDOWN = jinja2.Template(
    """# Can these metrics be trusted?

{% for metric, verdict in verdicts.items() -%}
- **{{ metric }}**: {{ verdict }}
{% endfor %}
{% for title, table in tables %}
## {{ title }}

{{ table }}
{% endfor %}""",
    keep_trailing_newline=True,
)

_HTML = jinja2.Environment(autoescape=True).from_string(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Can these metrics be trusted?</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: auto; padding: 1rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ccc; text-align: right; }
svg { max-width: 100%; height: auto; }
</style>
</head>
<body>
<h1>Can these metrics be trusted?</h1>
<dl>{% for metric, verdict in verdicts.items() %}<dt><b>{{ metric }}</b></dt><dd>{{ verdict }}</dd>{% endfor %}</dl>
{% for title, table in tables %}<h2>{{ title }}</h2><div>{{ table | safe }}</div>{% endfor %}
{% for figure in figures %}<div>{{ figure | safe }}</div>{% endfor %}
</body>
</html>
"""
)


@dataclass(frozen=True)
class ReliabilityReport:
    """What the checks found.

    Attributes:
        scores (DataFrame): The score table.
        tables (dict of str to DataFrame): By the keys of ``SECTIONS``; those without a row are left out.
        verdicts (dict of str to str): By metric, in words.
    """

    scores: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    verdicts: dict[str, str]

    def figures(self) -> dict[str, Figure]:
        """Draws the figures: distributions, alpha, agreement of the metrics, and curves where there are any."""
        drawn = {"distributions": figures.distributions(honest(self.scores))}
        drawn["alpha"] = figures.alphas(self.tables["inter_rater"], RELIABLE_ALPHA)
        if "internal_consistency" in self.tables:
            drawn["consistency"] = figures.consistency(self.tables["internal_consistency"])
        if any(steps_of(metric) for metric in metrics_of(self.scores)):
            drawn["curves"] = figures.curves(self.scores)
        return drawn

    def to_markdown(self) -> str:
        """Gives verdicts and tables as Markdown."""
        tables = self._laid_out(lambda table: table.to_markdown(index=False, floatfmt=".3f"))
        return str(_MARKDOWN.render(verdicts=self.verdicts, tables=tables))

    def to_html(self) -> str:
        """Gives verdicts, tables and figures as one HTML page that needs nothing else."""
        tables = self._laid_out(lambda table: table.to_html(index=False, float_format="{:.3f}".format, border=0))
        drawn = [as_svg(figure) for figure in self.figures().values()]
        return str(_HTML.render(verdicts=self.verdicts, tables=tables, figures=drawn))

    def save(self, directory: str | Path) -> list[Path]:
        """Writes report.md, report.html, scores.parquet, a CSV per table and a PNG per figure.

        Args:
            directory (str or Path): Made if missing; files of these names are replaced.

        Returns:
            list of Path: What was written.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        written = [directory / "report.md", directory / "report.html", directory / "scores.parquet"]
        written[0].write_text(self.to_markdown(), encoding="utf-8")
        written[1].write_text(self.to_html(), encoding="utf-8")
        self.scores.to_parquet(written[2], index=False)
        for name, table in self.tables.items():
            written.append(directory / f"{name}.csv")
            table.to_csv(written[-1], index=False)
        for name, figure in self.figures().items():
            written.append(directory / f"{name}.png")
            figure.savefig(written[-1], dpi=120)
        return written

    def _laid_out(self, layout: Callable[[pd.DataFrame], str]) -> list[tuple[str, str]]:
        return [(SECTIONS[name], layout(table)) for name, table in self.tables.items()]


def report(
    scores: pd.DataFrame, n_bootstrap: int = N_BOOTSTRAP, confidence: float = CONFIDENCE, seed: int = 0
) -> ReliabilityReport:
    """Runs every check on a score table.

    Random orderings and made-over maps (``GAG-85^sharp``) count as baselines and tricks only, not as methods.

    Args:
        scores (DataFrame): image, method, metric, score; see `read_scores` and `from_arrays`.
        n_bootstrap (int): Resamples of the images.
        confidence (float): Of the intervals of the agreement statistics.
        seed (int): Of the resamples.

    Returns:
        ReliabilityReport: Tables, verdicts and figures.

    Raises:
        ScoresError: The scores are not a score table, or hold no method besides random orderings.
    """
    scores = checked(scores)
    options = (n_bootstrap, confidence, seed)
    methods = honest(scores)
    if not len(methods):
        named = ", ".join(map(str, scores["method"].unique()[:5]))
        raise ScoresError(f"there is no method to judge: found {named} alone; expected others besides the random ones")
    edgeless = without(methods, is_edges)
    alpha_without_edges = inter_rater(edgeless, *options) if 0 < len(edgeless) < len(methods) else edgeless.iloc[:0]
    found = {
        "inter_rater": inter_rater(methods, *options).reset_index(),
        "inter_rater_without_edges": alpha_without_edges.reset_index(),
        "inter_method": inter_method(methods, *options).reset_index(),
        "internal_consistency": internal_consistency(methods, *options),
        "implementation": implementation_sensitivity(methods, *options),
        "baselines": against_baselines(scores, n_bootstrap, seed=seed),
        "tricks": tricks(scores, n_bootstrap, seed=seed),
        "stability": stability(methods, seed=seed),
        "summary": summary(without(scores, is_random), *options),
    }
    tables = {name: table for name, table in found.items() if len(table) or name == "inter_rater"}
    return ReliabilityReport(scores, tables, {metric: _verdict(metric, scores, found) for metric in metrics_of(scores)})


def _verdict(metric: str, scores: pd.DataFrame, found: dict[str, pd.DataFrame]) -> str:
    rows = {name: table[table["metric"] == metric] for name, table in found.items()}
    better = "higher" if sign(scores, metric) > 0 else "lower"
    said = [f"{better} is better."]
    said += [_alpha_in_words(row) for row in rows["inter_rater"].to_dict("records")]
    beaten = rows["baselines"]
    for key, what in (("beats_random", "random orderings"), ("beats_edges", "the edge detector")):
        losers = list(beaten.loc[beaten[key].eq(False), "method"])
        if losers:
            said.append(f"By it these do not beat {what}: {', '.join(losers)}.")
    fooled = rows["tricks"]
    if fooled["fooled"].any():
        said.append(f"It is fooled by: {', '.join(fooled.loc[fooled['fooled'], 'method'])}.")
    steady = rows["stability"]
    enough = steady[steady["flips"] < 0.05]
    if len(enough):
        said.append(f"From {enough['images'].iloc[0]} images on, fewer than 5 % of the pairs of methods change order.")
    elif len(steady):
        last = steady.iloc[-1]
        said.append(f"Still at {last['images']} images, {last['flips']:.0%} of the pairs of methods change order.")
    return " ".join(said)


def _alpha_in_words(row: dict[str, float]) -> str:
    alpha, low, high = row["alpha"], row["low"], row["high"]
    if np.isnan(alpha):
        return f"Agreement over images is undefined ({row['images']:.0f} images, {row['methods']:.0f} methods)."
    if alpha >= RELIABLE_ALPHA:
        judged = "reliable: the images agree on the ranking of the methods"
        unsure = low < RELIABLE_ALPHA
    else:
        judged = "unreliable: a method that ranks first on average need not do so on your image"
        unsure = high >= RELIABLE_ALPHA
    doubt = ", though too few images to be sure" if unsure else ""
    return f"Alpha {alpha:.2f} [{low:.2f}, {high:.2f}], {judged}{doubt}."
