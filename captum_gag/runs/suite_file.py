"""What a suite says, as data: read and checked without building any method or metric, and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from captum_gag.errors import InputError, first_line
from captum_gag.files import tomllib
from captum_gag.options import declared, option, unknown
from captum_gag.reliability.scores import metric_label

ORDERINGS = "Random orderings"
"""The label of all random orderings of a suite, which are one method."""

_FOLDER = files("captum_gag.runs").joinpath("suites")


@declared
class SuiteFile:
    """What a suite's TOML file, or a dict like it, may say."""

    methods: dict[str, Any] | tuple[Any, ...] = option(help="Names, or by label what each is: type and options.")
    metrics: dict[str, Any] = option(help="By label: type (default: the label), options, steps and variants.")
    title: str = option(default="own suite", help="What the suite is called.")
    n_samples: int = option(default=20, help="Gradients per image, for the methods that sample and do not say.", ge=1)
    confidence: float = option(default=0.0, help="Leave out images with less in their true class.", ge=0, le=1)
    random_orderings: int = option(default=0, help="Add so many random orderings, kept as one method.", ge=0)
    truth: tuple[str, ...] = option(
        default=(), help="Labels of the metrics that know which maps are right, for the others to be held against."
    )
    published: dict[str, Any] = option(
        default={},
        help="What to compare with: a paper and its tables, such as paper = huang-liu-2024 and table = 2; or by metric "
        "and method the means, and their source.",
    )
    case: str = option(
        default="imagenet-s", help="The column of the paper's tables to compare with: imagenet-s, isic or places365."
    )

    def __post_init__(self) -> None:
        """Raise InputError if ``truth`` names no metric."""
        tables = {name: each for name, each in self.metrics.items() if isinstance(each, Mapping)}
        plain = [name for name, each in tables.items() if not {"variants", "steps"} & set(each)]
        for each in self.truth:
            if each not in plain:
                raise unknown("truth", each, plain)


def suite_names() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml"))


def read_suite(name: str) -> dict[str, Any]:
    """Read what a suite says.

    Args:
        name: One of ``suite_names``, or the path of a TOML file.

    Raises:
        InputError: There is no such suite, or it is no TOML.
    """
    if name in suite_names():
        text = _FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_bytes().decode("utf-8", "replace")
    else:
        raise InputError(f"there is no suite {name!r}; expected {', '.join(suite_names())} or a TOML file")
    try:
        return dict(tomllib.loads(text))
    # Thousands of brackets, or of digits, are no TOML that Python reads.
    except (ValueError, RecursionError) as error:
        raise InputError(f"suite {name}: cannot be read as TOML: {first_line(error)}") from error


def labels_of(said: SuiteFile) -> tuple[list[str], list[str]]:
    """Return the labels of the methods and of the metrics of a suite, as tables show them, without building any."""
    methods = [name for name, _ in labelled(said)] + [ORDERINGS] * bool(said.random_orderings)
    metrics = [
        metric_label(name, variant, steps)
        for name, each in said.metrics.items()
        for variant in each.get("variants") or ("",)
        for steps in tuple(checked_steps(name, each.get("steps") or ())) or (None,)
    ]
    return methods, metrics


def labelled(said: SuiteFile) -> Iterator[tuple[str, Any]]:
    """Yield each method's label and what it says, whichever way the suite lists them.

    Raises:
        InputError: A method has no label, or another's.
    """
    listed = said.methods.items() if isinstance(said.methods, dict) else map(_label, said.methods)
    labels = {ORDERINGS} if said.random_orderings else set()
    for label, each in listed:
        if label in labels:
            raise InputError(f"method {label!r} comes twice; give one of them a label of its own")
        labels.add(label)
        yield label, each


def _label(each: Any) -> tuple[str, Any]:
    if isinstance(each, str):
        return each, {}
    if not isinstance(each, Mapping) or not {"label", "type"} & set(each):
        raise InputError(f"method {each!r} has no meaning; expected a name, or a table with type and options")
    rest = {key: value for key, value in each.items() if key != "label"}
    return str(each.get("label", each.get("type"))), rest


def checked_steps(label: str, steps: Any) -> Iterator[int]:
    """Yield the numbers of steps of a metric that get a record each.

    Raises:
        InputError: They are none.
    """
    for each in steps if isinstance(steps, list | tuple) else (steps,):
        if not isinstance(each, int) or isinstance(each, bool) or each < 1:
            raise InputError(f"metric {label!r} has steps {steps!r}; expected a list of integers of at least 1")
        yield each
