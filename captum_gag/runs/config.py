"""The configuration of a run, as data, and the objects that it describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from captum_gag.errors import InputError
from captum_gag.options import declared, option, options_of

# The command line reads the options below, and takes none of these for it.
if TYPE_CHECKING:
    from captum_gag.runs.spec import Suite
    from captum_gag.runs.suite_file import SuiteFile

CHANGE_NO_NUMBER = ("device", "threads", "save_maps")
"""Options that a run may resume with other values of: numbers change in their last digits at most."""


IN_PYTHON = "python"
"""Type of a model, and of a data set, that is a Python object."""


@declared
class Config:
    """Everything that decides the numbers of a run, and where and how it is computed.

    Its options but the first three are those of ``captum-gag run``, of the same names.
    """

    suite: dict[str, Any] = option(help="The suite, as its TOML file has it; see make_suite.")
    model: dict[str, Any] = option(help="Type and options of the model.")
    data: dict[str, Any] = option(help="Type and options of the data set.")
    limit: int | None = option(
        default=None,
        help="Images at most, of those confident enough: drawn by the seed, as many of each class as can be.",
        ge=1,
    )
    confidence: float = option(
        default=0.0,
        help="Leave out images with a lower probability of their true class.",
        unset="the suite's",
        ge=0,
        le=1,
    )
    seed: int = option(default=0, help="Seed of all noise: the same seed gives the same maps.", ge=0, lt=2**63)
    device: str = option(
        default="auto", help="Where to compute; auto takes a GPU if there is one.", metavar="auto|cpu|cuda|cuda:N|mps"
    )
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = option(
        default="float32", help="Data type of the model and its input."
    )
    attribution_autocast: Literal["bfloat16"] | None = option(
        default=None,
        help="Data type of torch.autocast while methods explain. Small gradients would be 0 in float16.",
    )
    metrics_autocast: Literal["bfloat16", "float16"] | None = option(
        default=None, help="Data type of torch.autocast while metrics judge; they need no gradients."
    )
    threads: int = option(
        default=1,
        help="CPU threads of each worker; sums are rounded by how they are split.",
        unset="the cores allowed, shared among the workers",
        ge=1,
    )
    batch_size: int | None = option(
        default=None, help="Images scored at a time. Default: many small ones, one of 224 x 224 or larger.", ge=1
    )
    save_maps: bool = option(
        default=False, help="Keep the maps, and a small photograph of each image, to show them on the page."
    )
    until: Literal["done", "decided"] = option(
        default="done",
        help="done: score all images. decided: take them in random order, and stop as soon as every metric has decided "
        "which methods are better on most images than the one of --against, or at --limit.",
    )
    alpha: float = option(default=0.05, help="With --until decided: probability of any wrong decision.", gt=0, lt=1)
    against: str = option(
        default="best",
        help="With --until decided: the method that all others are compared with; best is the one with the best mean "
        "score by each metric, which needs more images.",
        metavar="METHOD|best",
    )

    def __post_init__(self) -> None:
        """Raise InputError where two options contradict each other."""
        if (self.attribution_autocast or self.metrics_autocast) and self.dtype != "float32":
            raise InputError(f"autocast is for a model in float32, dtype is {self.dtype}; leave one of them out")
        if self.until == "done" and any(getattr(self, one.name) != one.default for one in DECIDING):
            raise InputError("alpha and against are options of until = decided; give --until decided with them")

    def suite_file(self) -> SuiteFile:
        """Return the suite as data, without building its methods and metrics."""
        from captum_gag.runs.suite_file import SuiteFile

        return SuiteFile(**self.suite)

    def made_suite(self) -> Suite:
        """Build the suite to inspect it, without what is code of a user's own: none is run."""
        from captum_gag.names import nothing_imported
        from captum_gag.runs.spec import make_suite
        from captum_gag.runs.suite_file import without_own_code

        with nothing_imported():
            return make_suite(without_own_code(self.suite_file()))


SETTINGS = [one for one in options_of(Config) if one.name not in ("suite", "model", "data")]
"""Options of the command line that are options of a config."""

DECIDING = options_of(Config, "alpha", "against")
"""Options of a run until decided."""
