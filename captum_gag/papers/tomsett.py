"""Tables 1 and 2 of Tomsett et al. (2019), from a run of the suite metric-reliability, beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from captum_gag.papers.layout import PaperTable
from captum_gag.papers.published import tomsett
from captum_gag.reliability import inter_rater, internal_consistency
from captum_gag.reliability.scores import LABEL, checked, is_edges, judged

METHODS = ("Sensitivity", "Gradient x Input", "DeepSHAP", "Deep Taylor", "Sobel")
"""Those that the paper compares, by the names of the suite."""

CONFIDENCE = 0.999
"""Of the paper's intervals."""

PERTURBATIONS = {"mean": "mean", "uniform_rgb": "uniform RGB"}


def tables(scores: pd.DataFrame) -> list[PaperTable]:
    """Return Table 1 (Krippendorff's alpha) and Table 2 (Spearman's rho), as far as there are scores for them.

    Args:
        scores: A score table with the labels of the suite metric-reliability; other methods and metrics are left out.

    Raises:
        InputError: The scores are not a score table.
    """
    scores = judged(checked(scores))
    scores = scores[scores["method"].isin(METHODS)]
    paper_tables = [*_alphas(scores), *_correlations(scores)]
    return [table for table in paper_tables if table.cells["ours"].notna().any()]


def _alphas(scores: pd.DataFrame) -> Iterator[PaperTable]:
    published = tomsett(1)
    # The paper's "AOPC MoRF L=20" on mean is our "AOPC MoRF (mean) L=20".
    names = published["metric"].str.partition(" L=")
    labels = list(names[0] + " (" + published["perturbation"] + ")" + names[1] + names[2])
    scores = scores[scores[LABEL].isin(labels)]
    edges = is_edges(scores)
    parts = {"without": scores[~edges], "with": scores if edges.any() else scores.iloc[:0]}
    alphas = {name: inter_rater(part, CONFIDENCE) for name, part in parts.items() if len(part)}
    if alphas:
        ours = pd.concat(alphas).reindex(list(zip(published["edge_detection"], labels, strict=True)))
        columns = published["edge_detection"] + " edges, " + published["perturbation"].map(PERTURBATIONS)
        title = "Table 1: Krippendorff's alpha between images [99.9 %]"
        yield _table(title, published["metric"], columns, ours, published["alpha"])


def _correlations(scores: pd.DataFrame) -> Iterator[PaperTable]:
    published = tomsett(2)
    names = published[["metric_a", "metric_b"]].replace(r"^AOPC.*", r"\g<0> L=100", regex=True)
    pairs = [sorted(pair) for pair in names.itertuples(index=False)]
    scores = scores[scores[LABEL].isin({label for pair in pairs for label in pair})]
    if len(scores):
        # Scores as they are: as if higher were better by all of them.
        rhos = internal_consistency(scores.assign(higher_is_better=True), CONFIDENCE)
        keys = [(method, *pair) for method, pair in zip(published["method"], pairs, strict=True)]
        ours = rhos.set_index(["method", "metric", "other"]).reindex(keys)
        columns = (published["metric_a"] + " / " + published["metric_b"]).replace(PERTURBATIONS, regex=True)
        title = "Table 2: Spearman's rho between metrics over the images, AOPC at L = 100 [99.9 %]"
        yield _table(title, published["method"], columns, ours, published["spearman_rho"])


def _table(title: str, rows: pd.Series, columns: pd.Series, ours: pd.DataFrame, published: pd.Series) -> PaperTable:
    """Return a table of cells that are aligned; ours has the columns alpha or rho, low, high and images."""
    numbers = ours.rename(columns={"alpha": "ours", "rho": "ours"})[["ours", "low", "high", "images"]].astype(float)
    cells = pd.DataFrame({"row": rows, "column": columns, **numbers.reset_index(drop=True), "published": published})
    name = f"tomsett-2019-{title.partition(':')[0].lower().replace(' ', '-')}"
    return PaperTable(name, f"Tomsett et al. (2019), {title}", 2, cells.assign(note=""))
