"""Typical photographs at the top of the page, with the best maps beside those of controls."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pandas as pd

from captum_gag.reliability.scores import LABEL
from captum_gag.report.gallery import sheet
from captum_gag.report.worst import Ranked
from captum_gag.runs.store import Run

PHOTOGRAPHS, BEST = 2, 3
"""Photographs, and explanations beside each."""

CONTROLS = ("random", "edges")
"""Roles of the controls that stand beside them."""

SIDE = 256
"""Of a picture, in pixels."""


def examples(run: Run, scores: pd.DataFrame, rows: pd.DataFrame, ranked: Ranked) -> dict[str, Any]:
    """Return the photographs with the most usual scores of the best mean, with its map, two more, and controls.

    Args:
        run: The run.
        scores: A checked score table.
        rows: As ``tables.comparison`` returns them.
        ranked: As ``worst.ranked`` returns them; the first metric counts.

    Returns:
        words, side and rows of image, pictures (see ``gallery.Item``) and methods (name, role, score); empty for a run
        without a best explanation, or without maps.
    """
    for (metric, method), images in ranked.items() if run.keeps("maps") else ():
        nearest = images.loc[(images["score"] - images["score"].median()).abs().sort_values(kind="stable").index]
        # Of thousands of images, few are looked for.
        typical = list(islice((image for image in nearest["image"] if run.has_maps(image)), PHOTOGRAPHS))
        roles = _roles(rows[rows["metric"].eq(metric)])
        of_metric = scores[scores[LABEL].eq(metric)].set_index(["image", "method"])["score"]
        lines = [_line(run, str(image), roles, of_metric) for image in typical]
        if any(line["methods"] for line in lines):
            words = (
                f"The photographs on which {method} scores nearest to its median by {metric}, with the maps of the "
                "methods with the best means and of controls (\N{DAGGER}). Below each map its score."
            )
            return {"words": words, "side": SIDE, "rows": lines}
    return {}


def _roles(of_metric: pd.DataFrame) -> dict[str, str]:
    """Return the role of the explanations with the best means, the best first, and of a control of each kind."""
    higher = bool(of_metric["higher_is_better"].iloc[0])
    ordered = of_metric[of_metric["images"] > 0].sort_values("mean", ascending=not higher, kind="stable")
    best = ordered.loc[ordered["role"].eq(""), "method"].head(BEST)
    controls = ordered[ordered["role"].isin(CONTROLS)].drop_duplicates("role").sort_values("role", ascending=False)
    return dict.fromkeys(best, "") | dict(zip(controls["method"], controls["role"], strict=True))


def _line(run: Run, image: str, roles: dict[str, str], scores: pd.Series) -> dict[str, Any]:
    maps = run.maps(image)
    maps = {name: maps[name] for name in roles if name in maps}
    methods = [{"name": name, "role": roles[name], "score": float(scores.get((image, name), "nan"))} for name in maps]
    return {"image": image, "methods": methods, "pictures": sheet(run.photograph(image), maps, SIDE)}
