"""On which images the methods of a run disagree: by their maps, and by each metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from captum_gag.reliability.scores import by_metric, judged
from captum_gag.report.gallery import Item, agreement_with_mean

WORST = 10
"""Images named by each."""


def disagreement(scores: pd.DataFrame, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return a table by the maps and one by each metric, of which that can be told: caption, words and rows.

    Args:
        scores: A score table, as ``reliability.scores.checked`` returns it.
        items: Of the gallery; other images are not named.
    """
    numbers = {item.image: item.number for item in items}
    by_maps = pd.Series({item.image: item.agreement for item in items}, dtype=float)
    words = "On these images the maps of the methods are least alike (mean Spearman's rho between two methods' maps)."
    tables = [("Maps that differ most", words, by_maps)]
    for metric, table in by_metric(judged(scores)).items():
        if table.shape[1] > 2:
            words = f"On these images {metric} ranks the methods least as it does on average (Spearman's rho)."
            tables.append((f"Ranked against the mean by {metric}", words, agreement_with_mean(table)))
    return [
        {
            "caption": caption,
            "words": words,
            "rows": [
                {"image": image, "number": numbers[image], "value": value}
                for image, value in values.dropna().nsmallest(WORST).items()
                if image in numbers
            ],
        }
        for caption, words, values in tables
        if values.notna().any()
    ]
