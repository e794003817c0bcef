"""Where the photographs of a run come from, what its classes are called and its methods are, as far as still there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from torch import Tensor

from captum_gag.attr.methods import Method
from captum_gag.data.datasets import ImageData
from captum_gag.errors import InputError, in_one_line
from captum_gag.importing import nothing_imported
from captum_gag.models import Preprocessing
from captum_gag.runs.store import Run


class Seen(NamedTuple):
    """An image as it can still be read.

    Attributes:
        photo: As the model saw it, (3, H, W) in [0, 1]; None if it cannot be read.
        mask: Where the object is, (H, W), 1 on it; None if that is not known.
        target: Its class; None if that is not known.
    """

    photo: Tensor | None = None
    mask: Tensor | None = None
    target: int | None = None


class Source(NamedTuple):
    """Where the photographs of a run come from, if they are still there.

    Attributes:
        data: The data set.
        preprocessing: Which prepares the photographs and names the classes.
        missing: Why there are no photographs; "" if there are.
        methods: By label; none where one of them cannot be built.
    """

    data: ImageData | None
    preprocessing: Preprocessing | None
    missing: str
    methods: Mapping[str, Method] = MappingProxyType({})

    @classmethod
    def of(cls, run: Run, trust: bool = False) -> Source:
        """Open the data set and the model's preprocessing; whatever is no longer there costs the photographs alone.

        So does what is a user's own and not trusted; see ``importing``.

        Args:
            run: Which names them.
            trust: Whether code of a user's own that the run names may be run.
        """
        preprocessing, methods = None, {}
        with nothing_imported(trust):
            with suppress(InputError):
                methods = run.config.made_suite().methods
            try:
                preprocessing = run.config.preprocessing()
                data = run.config.dataset()
                # It is listed here, so that a directory that is gone is met here too.
                _ = data.index
                return cls(data, preprocessing, "", methods)
            # A data set of the user's own can fail in any way.
            except Exception as error:
                return cls(None, preprocessing, in_one_line(error), methods)

    def seen(self, image: str) -> Seen:
        """Return what can be read of an image."""
        if self.data is None or self.preprocessing is None:
            return Seen()
        found = Seen()
        # What cannot be read costs itself alone.
        try:
            example = self.data[self.data.index[image]]
            found = Seen(target=example.target)
            x = self.preprocessing.preprocess(example.photo())[None]
            found = found._replace(photo=self.preprocessing.to_rgb(x)[0])
            mask = None if example.mask is None else self.preprocessing.preprocess_mask(example.mask())
            return found._replace(mask=None if mask is None else mask.reshape(mask.shape[-2:]))
        except Exception:
            return found

    def label(self, target: float) -> str:
        """Return the name of a class; "" if not known."""
        return "" if self.preprocessing is None or np.isnan(target) else self.preprocessing.label(int(target))

    def about(self, target: float, probability: float, predicted: float, confidence: float, true: int | None) -> str:
        """Return in words which class was explained, whether it is the true and the predicted one, and which are else.

        Args:
            target: The class explained; NaN if not known, and then nothing is said.
            probability: Of it.
            predicted: The class predicted; NaN if not known, as of runs of earlier versions.
            confidence: Its probability.
            true: The true class; None if not known.
        """
        if np.isnan(target):
            return ""
        known = {"the true class": true, "the class predicted": predicted}
        roles = " and ".join(role for role, each in known.items() if each == target)
        said = ", ".join([self._named(target, probability), *([roles] if roles else [])])
        if predicted == predicted and predicted != target:
            said += f"; the network predicts {self._named(predicted, confidence)}"
        return said if true is None or true == target else f"{said}; the true class is {self._named(true)}"

    def _named(self, target: float, probability: float = float("nan")) -> str:
        known = "" if np.isnan(probability) else f", probability {100 * probability:.0f} %"
        return f"{self.label(target) or f'class {target:.0f}'}{known}"
