"""Where the photographs of a run come from, and what its classes are called, as far as they are still there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from captum_gag.data.datasets import ImageData
from captum_gag.errors import in_one_line
from captum_gag.importing import nothing_imported
from captum_gag.models import Preprocessing
from captum_gag.runs.store import Run


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
    def of(cls, run: Run, trust: bool = False) -> Source:
        """Open the data set and the model's preprocessing; whatever is no longer there costs the photographs alone.

        Args:
            run: Which names them.
            trust: Whether code of a user's own that the run names may be run.
        """
        preprocessing = None
        try:
            with nothing_imported(trust):
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
