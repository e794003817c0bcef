"""What the arguments that the statistics share may be."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

Confidence: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
"""Of an interval."""

Resamples: TypeAlias = Annotated[int, Field(ge=1)]
"""Of the images."""

Seed: TypeAlias = Annotated[int, Field(ge=0)]
"""Of what is drawn."""
