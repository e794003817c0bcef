"""What a page needs to show the maps of a run: small pictures, curves, and on which images the maps disagree."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from captum_gag.data.datasets import ImageData
from captum_gag.errors import in_one_line
from captum_gag.models import Preprocessing
from captum_gag.reliability.scores import judged
from captum_gag.report.figures import top_of
from captum_gag.runs.store import Run

SIDES = (224, 192, 160, 128, 112, 96, 80, 72, 64, 56, 48)
"""Of a picture on the page, in pixels: the largest with which the page keeps to its size."""
MOST_BYTES, BYTES_PER_PIXEL = 24e6, 0.3
"""Of all pictures together, and of one pixel of a map in WebP and base64, as measured."""
COLUMNS = 8
COARSE = 28
"""Side to which maps are averaged before they are compared: how they differ from pixel to pixel is noise."""


class Item(NamedTuple):
    """One image of the gallery.

    Attributes:
        number: Its place on the page.
        image: Its name.
        label: Of the class explained; "" if not known.
        probability: Of that class; NaN if not known.
        pictures: Data URI of a sheet of squares: the photograph, or grey, then a map per method; "" without maps.
        methods: Of the maps, in the order of the sheet.
        agreement: Mean of Spearman's rho between the maps of two methods, without random and manipulated ones; NaN with
            fewer than two.
    """

    number: int
    image: str
    label: str
    probability: float
    pictures: str
    methods: list[str]
    agreement: float

    def numbers(self) -> dict[str, float]:
        """Return what may be NaN."""
        return {"probability": self.probability, "agreement": self.agreement}


class Source(NamedTuple):
    """Where the photographs of a run come from, if they are still there.

    Attributes:
        data: The data set.
        preprocessing: Which prepares the photographs and names the classes.
        missing: Why there are no photographs; "" if there are.
    """

    data: ImageData | None
    preprocessing: Preprocessing | None
    missing: str

    @classmethod
    def of(cls, run: Run) -> Source:
        """Open the data set and the model's preprocessing; whatever is no longer there costs the photographs alone."""
        preprocessing = None
        try:
            preprocessing = run.config.preprocessing()
            data = run.config.dataset()
            # It is listed here, so that a directory that is gone is met here too.
            _ = data.index
            return cls(data, preprocessing, "")
        # A data set of the user's own can fail in any way.
        except Exception as error:
            return cls(None, preprocessing, in_one_line(error))

    def photo(self, image: str) -> Tensor | None:
        """Return a photograph as the model saw it, (3, H, W) in [0, 1], or None if it cannot be read."""
        if self.data is None or self.preprocessing is None:
            return None
        try:
            x = self.preprocessing.preprocess(self.data[self.data.index[image]].photo())[None]
        # A photograph that cannot be read costs its picture alone.
        except Exception:
            return None
        return self.preprocessing.to_rgb(x)[0]

    def label(self, target: float) -> str:
        """Return the name of a class; "" if not known."""
        return "" if self.preprocessing is None or np.isnan(target) else self.preprocessing.label(int(target))


def gallery(run: Run, scores: pd.DataFrame, source: Source, side: int) -> Iterator[Item]:
    """Yield the images of a run one by one, in the order of the data set.

    Args:
        run: Its maps are shown if they were kept.
        scores: Its records, as ``reliability.scores.checked`` returns them.
        source: Of the photographs.
        side: Of a picture, in pixels; see ``picture_side``.

    Yields:
        One per image that has scores.
    """
    first = scores.drop_duplicates("image").set_index("image")
    targets = first["target"].astype("Float64").astype(float).to_dict()
    probabilities = first["probability"].astype(float).to_dict()
    methods = set(judged(scores[["method", "control", "transform"]])["method"].unique())
    for number, image in enumerate(image for image in run.chosen()["image"] if image in targets):
        maps = run.maps(image)
        yield Item(
            number=number,
            image=image,
            label=source.label(targets[image]),
            probability=probabilities[image],
            pictures=_sheet(source.photo(image), maps, side) if maps else "",
            methods=list(maps),
            agreement=agreement({name: each for name, each in maps.items() if name in methods}),
        )


def picture_side(count: int) -> int:
    """Return the side at which so many pictures keep to the size of a page."""
    fitting = [side for side in SIDES if count * side**2 * BYTES_PER_PIXEL <= MOST_BYTES]
    return fitting[0] if fitting else SIDES[-1]


def agreement(maps: Mapping[str, Tensor]) -> float:
    """Return the mean of Spearman's rho between the maps of any two methods, each averaged to 28 x 28."""
    coarse = [adaptive_avg_pool2d(each[None], min(COARSE, *each.shape)).flatten() for each in maps.values()]
    kept = [each.numpy() for each in coarse if each.isfinite().all() and each.amax() > each.amin()]
    if len(kept) < 2:
        return float("nan")
    rho = np.atleast_2d(spearmanr(np.stack(kept), axis=1).statistic) if len(kept) > 2 else spearmanr(*kept).statistic
    return float(rho if np.ndim(rho) == 0 else rho[np.triu_indices(len(kept), 1)].mean())


def agreement_with_mean(table: pd.DataFrame) -> pd.Series:
    """Return Spearman's rho of each row with the mean of the rows, over the columns that the row has."""
    means = pd.DataFrame(np.where(table.notna(), table.mean(), np.nan), table.index, table.columns)
    one, other = (ranked.sub(ranked.mean(axis=1), axis=0) for ranked in (table.rank(axis=1), means.rank(axis=1)))
    return (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))


def curves_by_image(drawn: pd.DataFrame, images: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the curves of one image after the other, by metric: a page may have a million of them.

    Args:
        drawn: As ``run_figures.curves_of`` returns them.
        images: Their names.

    Yields:
        By metric x, x_label, y_label and by method y, None where it is not known; empty for an image without curves.
    """
    place = pd.Index(images).get_indexer(drawn["image"])
    order = np.argsort(place, kind="stable")
    names = ("metric", "method", "x", "y", "x_label", "y_label")
    columns = [drawn[name].to_numpy(object)[order] for name in names]
    bounds = np.searchsorted(place[order], np.arange(len(images) + 1))
    for start, end in itertools.pairwise(bounds):
        yield _curves(list(zip(*(column[start:end] for column in columns), strict=True)))


def _curves(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not rows:
        return found
    whole = np.concatenate([y for _, _, _, y, _, _ in rows]).round(3)
    # What is no number is not itself.
    ys = iter([y if y == y else None for y in whole.tolist()])
    for metric, method, x, y, x_label, y_label in rows:
        if metric not in found:
            found[metric] = {"x": x.round(3).tolist(), "x_label": x_label, "y_label": y_label, "y": {}}
        found[metric]["y"][method] = list(itertools.islice(ys, len(y)))
    return found


def _sheet(photo: Tensor | None, maps: Mapping[str, Tensor], side: int) -> str:
    pixels = torch.full((3, side, side), 0.5) if photo is None else photo
    tiles = [_square(pixels.permute(1, 2, 0).numpy(), side)]
    tiles += [_square((each / top_of(each.numpy())).clamp(0, 1).numpy(), side) for each in maps.values()]
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (side * min(COLUMNS, len(tiles)), side * rows))
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (side * (place % COLUMNS), side * (place // COLUMNS)))
    buffer = io.BytesIO()
    sheet.save(buffer, format="WEBP", quality=55, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _square(values: NDArray[Any], side: int) -> Image.Image:
    whole = Image.fromarray((np.nan_to_num(values) * 255).round().astype(np.uint8))
    method = Image.Resampling.BOX if side < max(whole.size) else Image.Resampling.NEAREST
    return ImageOps.pad(whole, (side, side), method)
