"""How a run can be repeated: the command, the suite, and what else decided its numbers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd
import tomli_w

from captum_gag.files import without_directories
from captum_gag.runs.store import Run


class Repeating(NamedTuple):
    """What repeats a run.

    Attributes:
        command: What to type.
        suite: The TOML file that it names.
        facts: What else decided the numbers, and what they cost, by name.
        cut: Whether paths in them are cut to their last part.
    """

    command: str
    suite: str
    facts: dict[str, str]
    cut: bool


def repeating(run: Run, scores: pd.DataFrame, paths: bool) -> Repeating:
    """Return what repeats a run.

    Args:
        run: The run.
        scores: Its records.
        paths: Whether absolute paths are written in full, which may name who ran it and on which machine.
    """
    said: Callable[[Any], Any] = (lambda value: value) if paths else without_directories
    given = [run.config.model, run.config.data, run.config.suite]
    suite = tomli_w.dumps(said(run.config.suite))
    return Repeating(_command(run, said), suite, _facts(run, scores, said), cut=said(given) != given)


def _command(run: Run, said: Callable[[Any], Any]) -> str:
    config = run.config
    words = ["captum-gag", "run", "suite.toml"]
    for section, (name, options) in (("model", _named(said(config.model))), ("data", _named(said(config.data)))):
        words += [f"--{section}", name]
        # A string of JSON is one of TOML.
        for key, value in options.items():
            words += ["--set", f"{section}.{key}={json.dumps(value, ensure_ascii=False)}"]
    for key in ("limit", "confidence", "seed", "device", "dtype", "threads"):
        value = getattr(config, key)
        words += [] if value is None else [f"--{key}", str(value)]
    if config.until == "decided":
        words += ["--until", "decided", "--alpha", str(config.alpha), "--against", config.against]
    return shlex.join([*words, *(["--save-maps"] if config.save_maps else []), "--out", "RUN"])


def _named(spec: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what the command line calls a model or a data set, and the options that are left to say."""
    options = {key: value for key, value in spec.items() if key != "type"}
    for key in ("name", "root"):
        if key in options and ":" not in spec["type"]:
            return f"{spec['type']}:{options.pop(key)}", options
    return str(spec["type"]), options


def plain_name(spec: Mapping[str, Any]) -> str:
    """Return what a model or a data set is called, without the folders that it lies in."""
    said = str(spec.get("name", spec.get("root", spec["type"])))
    return said.replace("\\", "/").rstrip("/").rpartition("/")[2].rpartition(":")[2]


def _facts(run: Run, scores: pd.DataFrame, said: Callable[[Any], Any]) -> dict[str, str]:
    identity = "; ".join(f"{said(name)}: {value}" for name, value in run.identity.items())
    hours = scores["seconds"].sum() / 3600
    return {
        "Made with": identity,
        "Computing": f"{hours:.2f} hours in all",
        "Directory": said(str(run.directory.absolute())),
    }
