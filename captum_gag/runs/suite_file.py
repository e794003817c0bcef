"""A suite as data: read and checked without building any method or metric, and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from captum_gag.errors import InputError, first_line
from captum_gag.files import read_text, tomllib
from captum_gag.names import METHOD_TYPES, METRICS, PACKAGED, parse_method
from captum_gag.options import declared, option, unknown

ORDERINGS = "Random orderings"
"""The label of all random orderings of a suite, which are one method."""

_CONTROLS = "captum_gag.attr.controls:"
_FOLDER = files("captum_gag.runs").joinpath("suites")


@declared
class SuiteFile:
    """The content of a suite's TOML file, or of a dict like it."""

    methods: dict[str, Any] | tuple[Any, ...] = option(help="Names, or by label type and options.")
    metrics: dict[str, Any] = option(help="By label: type (default: the label), options, steps and variants.")
    title: str = option(default="own suite", help="What the suite is called.")
    n_samples: int = option(default=20, help="Gradients per image, for the methods that sample and do not say.", ge=1)
    confidence: float = option(default=0.0, help="Leave out images with less in their true class.", ge=0, le=1)
    random_orderings: int = option(default=0, help="Add so many random orderings, kept as one method.", ge=0)
    displaced: str | None = option(
        default=None,
        help="Explanation whose maps, moved by half the image, are a control: a metric that sees where maps point "
        'scores it worse. "" for none.',
        unset="the first",
    )
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
        tables = {name: metric for name, metric in self.metrics.items() if isinstance(metric, Mapping)}
        plain = [name for name, metric in tables.items() if not {"variants", "steps"} & set(metric)]
        for label in self.truth:
            if label not in plain:
                raise unknown("truth", label, plain)


def suite_names() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml"))


def read_suite(name: str) -> dict[str, Any]:
    """Return the content of a suite.

    Args:
        name: One of ``suite_names``, or the path of a TOML file.

    Raises:
        InputError: There is no such suite, or it is no TOML.
    """
    if name in suite_names():
        return dict(tomllib.loads(_FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8")))
    if not Path(name).is_file():
        raise InputError(f"there is no suite {name!r}; expected {', '.join(suite_names())} or a TOML file")
    try:
        return dict(tomllib.loads(read_text(Path(name))))
    # Thousands of brackets, or of digits, are no TOML that Python reads.
    except (ValueError, RecursionError) as error:
        raise InputError(f"suite {name}: cannot be read as TOML: {first_line(error)}") from error


def require_names(suite: SuiteFile) -> None:
    """Raise InputError if a method or a metric has no known name, before torch is imported to build any."""
    labels = dict(labelled(suite))
    for label, options in labels.items():
        options = {"type": options} if isinstance(options, str) else options
        if isinstance(options, Mapping):
            name = options.get("of", options.get("type", label))
            if isinstance(name, str) and not ("of" in options and name in labels):
                parse_method(name)
    for label, options in suite.metrics.items():
        type = str(options.get("type", label)) if isinstance(options, Mapping) else label
        if ":" not in type and type not in METRICS:
            raise InputError(f"metric {label!r}: {unknown('metric', type, METRICS)}")


def without_own_code(suite: SuiteFile) -> dict[str, Any]:
    """Content of a suite but for methods and metrics that are code of a user's own, and displaced maps."""
    methods = dict(labelled(suite))
    kept = {label: options for label, options in methods.items() if not _is_own_code(label, options, methods)}
    metrics = dict(suite.metrics)
    for label, options in suite.metrics.items():
        type = str(options.get("type", label)) if isinstance(options, Mapping) else label
        if ":" in type and not type.startswith(PACKAGED):
            del metrics[label]
    truth = [label for label in suite.truth if label in metrics]
    return asdict(suite) | {"methods": kept, "metrics": metrics, "truth": truth, "displaced": ""}


def _is_own_code(label: str, options: Any, methods: Mapping[str, Any]) -> bool:
    """Tell whether a method, or the one whose map it transforms, is code of a user's own."""
    spec = {"type": options} if isinstance(options, str) else options
    # What is no table at all is refused where the suite is built.
    if not isinstance(spec, Mapping):
        return False
    if "of" not in spec:
        spec = parse_method(str(spec.get("type", label)))
    if "of" in spec:
        of, others = spec["of"], {name: each for name, each in methods.items() if name != label}
        return _is_own_code(str(of), others.get(of, of) if isinstance(of, str) else of, others)
    return ":" in spec["type"] and not spec["type"].startswith(("captum:", PACKAGED))


def labels_of(suite: SuiteFile) -> tuple[list[str], list[str]]:
    """Return the labels of a suite's methods and metrics, as tables show them, without building any."""
    from captum_gag.reliability.scores import metric_label

    methods = [name for name, _ in labelled(suite)] + [ORDERINGS] * bool(suite.random_orderings)
    metrics = [
        metric_label(name, variant, steps)
        for name, options in suite.metrics.items()
        for variant in options.get("variants") or ("",)
        for steps in tuple(checked_steps(name, options.get("steps") or ())) or (None,)
    ]
    return methods, metrics


def labelled(suite: SuiteFile) -> Iterator[tuple[str, Any]]:
    """Yield the label and the options of every method, whichever form the suite lists them in; last the displaced one.

    A suite that lists displaced maps itself has no other, unless it names one.

    Raises:
        InputError: A method has no label, or another's; or displaced names none.
    """
    methods = list(suite.methods.items() if isinstance(suite.methods, dict) else map(_label, suite.methods))
    base = suite.displaced
    if base is None:
        is_listed = any(isinstance(each, Mapping) and each.get("transform") == "displaced" for _, each in methods)
        base = "" if is_listed else next((label for label, each in methods if _explains(label, each)), "")
    elif base not in ("", *dict(methods)):
        raise unknown("displaced", base, dict(methods))
    displaced = (f"{base} displaced", {"of": base, "transform": "displaced"})
    methods += [displaced] if base and displaced not in methods else []
    labels = {ORDERINGS} if suite.random_orderings else set()
    for label, options in methods:
        if label in labels:
            raise InputError(f"method {label!r} comes twice; give one of them a label of its own")
        labels.add(label)
        yield label, options


def _label(entry: Any) -> tuple[str, Any]:
    if isinstance(entry, str):
        return entry, {}
    if not isinstance(entry, Mapping) or not {"label", "type"} & set(entry):
        raise InputError(f"method {entry!r} has no meaning; expected a name, or a table with type and options")
    rest = {key: value for key, value in entry.items() if key != "label"}
    return str(entry.get("label", entry.get("type"))), rest


def _explains(label: str, options: Any) -> bool:
    """Return whether a method is an explanation by its name: no control of this package, no map that is changed."""
    options = {"type": options} if isinstance(options, str) else options
    spec = dict(options) if isinstance(options, Mapping) else {}
    spec = spec if "of" in spec else parse_method(str(spec.get("type", label)))
    return "of" not in spec and not METHOD_TYPES.get(spec["type"], spec["type"]).startswith(_CONTROLS)


def checked_steps(label: str, steps: Any) -> Iterator[int]:
    """Yield the numbers of steps of a metric that get a record each.

    Raises:
        InputError: They are none.
    """
    for step in steps if isinstance(steps, list | tuple) else (steps,):
        if not isinstance(step, int) or isinstance(step, bool) or step < 1:
            raise InputError(f"metric {label!r} has steps {steps!r}; expected a list of integers of at least 1")
        yield step
