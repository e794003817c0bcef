"""What the page shows before anything else: typical photographs with the best maps beside those of controls."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pandas as pd

from captum_gag.reliability.scores import LABEL
from captum_gag.report.gallery import sheet
from captum_gag.report.notes import of_metrics
from captum_gag.report.worst import Ranked
from captum_gag.runs.store import Run

PHOTOGRAPHS, BEST = 2, 3
"""How many are shown, and how many methods."""
CONTROLS = ("random", "edges")
"""The roles of the controls that stand beside them."""
SIDE = 256
"""Of a picture, in pixels."""


def strip(run: Run, scores: pd.DataFrame, rows: pd.DataFrame, ranked: Ranked) -> dict[str, Any] | None:
    """Return the photographs on which the best explanation scores as usual, with its map, two more, and controls.

    Args:
        run: The run.
        scores: A checked score table.
        rows: As ``tables.comparison`` returns them.
        ranked: As ``worst.ranked`` returns them; the first metric counts.

    Returns:
        words, side and rows of image, pictures (see ``gallery.Item``) and methods (name, role, score); None for a run
        without a best explanation, or without maps.
    """
    by_metric = dict(of_metrics(rows))
    for (metric, method), images in ranked.items() if run.keeps("maps") else ():
        nearest = (images["score"] - images["score"].median()).abs().sort_values(kind="stable").index
        # Of thousands of images, few are looked for.
        kept = (place for place in nearest if run.has_maps(images.at[place, "image"]))
        usual = list(islice(kept, PHOTOGRAPHS))
        of_metric = by_metric[metric]
        shown = _methods(of_metric)
        own = scores[scores[LABEL].eq(metric)].set_index(["image", "method"])["score"]
        found = [_row(run, str(image), shown, own) for image in images.loc[usual, "image"]]
        if any(row["methods"] for row in found):
            words = (
                f"The photographs on which {method} scores nearest to its median by {metric}, with the maps of the "
                "methods best by it and, to compare with, of what knows nothing of the network. Below each map its "
                "score."
            )
            return {"words": words, "side": SIDE, "rows": found}
    return None


def _methods(of_metric: pd.DataFrame) -> dict[str, str]:
    """Return the role of the best explanations, the best first, and of the controls."""
    higher = bool(of_metric["higher_is_better"].iloc[0])
    known = of_metric[of_metric["images"] > 0].sort_values("mean", ascending=not higher, kind="stable")
    best = known.loc[known["role"].eq(""), "method"].head(BEST)
    controls = known[known["role"].isin(CONTROLS)].drop_duplicates("role").sort_values("role", ascending=False)
    return dict.fromkeys(best, "") | dict(zip(controls["method"], controls["role"], strict=True))


def _row(run: Run, image: str, shown: dict[str, str], scores: pd.Series) -> dict[str, Any]:
    maps = run.maps(image)
    drawn = {name: maps[name] for name in shown if name in maps}
    methods = [{"name": name, "role": shown[name], "score": float(scores.get((image, name), "nan"))} for name in drawn]
    return {"image": image, "methods": methods, "pictures": sheet(run.photograph(image), drawn, SIDE)}
