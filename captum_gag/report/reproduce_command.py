"""The command and the suite that reproduce a run, and the facts that decided its numbers besides."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import tomli_w

from captum_gag.files import without_directories
from captum_gag.names import DATASETS
from captum_gag.options import arguments, assignment
from captum_gag.runs.config import IN_PYTHON, SETTINGS, Config
from captum_gag.runs.store import Run


def reproduction(run: Run, scores: pd.DataFrame, paths: bool) -> dict[str, Any]:
    """Return the command and the suite that reproduce a run, and the facts beside them, for its page.

    Args:
        run: The run.
        scores: Its records.
        paths: Whether absolute paths are written in full; they may name who ran it and on which machine.

    Returns:
        command, suite (TOML), facts (by name, versions and digests that decided the numbers, and their cost) and cut
        (whether paths in them are cut to their last part).
    """
    config = run.config
    shorten: Callable[[Any], Any] = (lambda value: value) if paths else without_directories
    model, data, suite = shorten([config.model, config.data, config.suite])
    identity = "; ".join(f"{shorten(name)}: {value}" for name, value in run.identity.items())
    words = command(config, model, data)
    facts = {
        "Made with": identity,
        "Computing": f"{scores['seconds'].sum() / 3600:.2f} hours in all",
        "Directory": shorten(str(run.directory.absolute())),
    }
    return {
        "command": " ".join(words) if model["type"] == IN_PYTHON else shlex.join(words),
        "suite": tomli_w.dumps(suite),
        "facts": facts,
        "cut": [model, data, suite] != [config.model, config.data, config.suite],
    }


def command(config: Config, model: Mapping[str, Any], data: Mapping[str, Any]) -> list[str]:
    """Return the command that makes a run of this config, with its suite in suite.toml, into the directory RUN.

    Args:
        config: The config.
        model: Type and options of its model.
        data: Type and options of its data set.
    """
    if model["type"] == IN_PYTHON:
        settings = {"n_samples": config.suite["n_samples"], "seed": config.seed, "limit": config.limit}
        settings |= {} if config.until == "done" else {"until": config.until, "against": config.against}
        listed = "".join(f", {key}={value!r}" for key, value in settings.items() if value is not None)
        return [f"captum_gag.compare({model['name']}, {data['type']}, suite['methods'], suite['metrics']{listed})"]
    words = ["captum-gag", "run", "suite.toml"]
    for section, spec in (("model", model), ("data", data)):
        name, options = _name_and_options(spec)
        words += [f"--{section}", name]
        words += [word for key, value in options.items() for word in ("--set", assignment(f"{section}.{key}", value))]
    return [*words, *arguments(SETTINGS, vars(config)), "--out", "RUN"]


def _name_and_options(spec: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a model or a data set on the command line, and the options that the name does not say."""
    type, options = str(spec["type"]), {key: value for key, value in spec.items() if key != "type"}
    argument = "name" if type in ("torchvision", "timm") else DATASETS[type].argument if type in DATASETS else ""
    return (f"{type}:{options.pop(argument)}", options) if argument in options else (type, options)


def plain_name(spec: Mapping[str, Any]) -> str:
    """Return the name of a model or a data set, without the folders that it lies in."""
    name = str(spec.get("name", spec.get("root", spec["type"])))
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].rpartition(":")[2]
