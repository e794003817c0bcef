"""What a table of scores says of itself: directions, numbers of images, and what its marks mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from captum_gag.report.paired_tests import MANIPULATED, SIGNIFICANT

DAGGER = "\N{DAGGER}"
BASELINES = {"random": "random orderings", "edges": "an edge detector", "constant": "a constant map"}
"""What knows nothing of the model, by its role."""
ROLES = {
    **BASELINES,
    "displaced": "a map moved by half the image",
    "truth": "made from the segmentation",
    MANIPULATED: "manipulated maps",
}
"""What is no explanation, by its role."""


def headings(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return by metric of a comparison which direction is better, and over how many images."""
    return {metric: [direction(of_metric), f"n = {counted(of_metric)}"] for metric, of_metric in of_metrics(rows)}


def direction(of_metric: pd.DataFrame) -> str:
    """Return in words which direction of a metric is better."""
    higher = of_metric["higher_is_better"].iloc[0]
    return "direction not known" if higher is None else "higher is better" if higher else "lower is better"


def counted(of_metric: pd.DataFrame) -> str:
    """Return over how many images the means of a metric are, of methods that have one."""
    images = of_metric.loc[of_metric["images"] > 0, "images"]
    least, most = (0, 0) if images.empty else (images.min(), images.max())
    return f"{least}" if least == most else f"{least} to {most}"


def marked(rows: pd.DataFrame) -> dict[str, str]:
    """Return the methods of a comparison, with a dagger behind what is no explanation."""
    roles = rows.drop_duplicates("method").set_index("method")["role"]
    return {str(method): marked_name(str(method), role) for method, role in roles.items()}


def marked_name(method: str, role: str) -> str:
    """Return a method's name, with a dagger if it is no explanation."""
    return f"{method} {DAGGER}" if role else method


def notes(rows: pd.DataFrame) -> list[str]:
    """Return what the reader of a comparison must know: what its marks mean, and what it cannot tell."""
    return [*legend(rows), *(sentence for _, of_metric in of_metrics(rows) for sentence in warned(of_metric))]


def legend(rows: pd.DataFrame) -> list[str]:
    """Return what brackets, bold, stars and daggers mean, of those that there are, and which images are too few."""
    said = ["Mean over the images"]
    said += ["with its 95 % interval by bootstrap-t in brackets"] if rows["low"].notna().any() else []
    said += ["beside it the published value"] if rows["published"].notna().any() else []
    found = [", ".join(said) + "."]
    if rows["best"].any():
        found[0] += " Bold: the best explanation of each metric."
    if (rows["p"] < SIGNIFICANT).any():
        found[0] += (
            " *: differs from the best (Wilcoxon signed-rank test over the images, p < 0.05 after Holm's correction "
            "over the explanations)."
        )
    roles = [words for role, words in ROLES.items() if role in set(rows["role"])]
    if roles:
        found.append(f"{DAGGER}: no explanation, to compare with: never best, not tested ({', '.join(roles)}).")
    few: dict[str, list[str]] = {}
    for metric, of_metric in of_metrics(rows):
        if too_few(of_metric):
            few.setdefault(counted(of_metric), []).append(metric)
    return found + [f"{', '.join(metrics)}: {few_images(count)}." for count, metrics in few.items()]


def warned(of_metric: pd.DataFrame) -> list[str]:
    """Return why no explanation is best by one metric, or what is none and yet ahead of all, in sentences."""
    metric, said = of_metric["metric"].iloc[0], []
    if not of_metric["images"].any():
        return [f"{metric}: no method has a score."]
    if of_metric["higher_is_better"].iloc[0] is None:
        said.append(f"{metric}: it is not known whether higher is better, so no method is best.")
    ahead = of_metric[of_metric["unbeaten"].eq(True)]
    baselines = list(ahead.loc[ahead["role"].isin(BASELINES), "method"])
    others = list(ahead.loc[~ahead["role"].isin(BASELINES), "method"])
    if baselines:
        said.append(f"By {metric} no method beats {in_words(baselines)}: it cannot tell here.")
    if others:
        said.append(f"By {metric} these score better than every explanation, and are none: {', '.join(others)}.")
    return said


def too_few(of_metric: pd.DataFrame) -> bool:
    """Tell whether no scores of so many images could tell the best explanation from another, or bound its mean."""
    best = of_metric[of_metric["best"]]
    rivals = of_metric[~of_metric["best"] & of_metric["role"].eq("") & of_metric["images"].gt(0)]
    return bool(len(best)) and (bool(best["low"].isna().all()) or bool(len(rivals) and not rivals["testable"].any()))


def few_images(count: str) -> str:
    """Return that so many images are too few."""
    return f"{count} image{'' if count == '1' else 's'}: too few to conclude"


def of_metrics(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of a comparison metric by metric, in their order."""
    for metric, of_metric in rows.groupby("metric", sort=False):
        yield str(metric), of_metric


def in_words(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: a, b or c."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
