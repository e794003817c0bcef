"""``run.json``: what a run was asked for, and what its numbers depend on beside that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from captum_gag.errors import InputError, first_line
from captum_gag.files import replace_file
from captum_gag.runs.config import CHANGE_NO_NUMBER, Config
from captum_gag.runs.identity import digest

SCHEMA_VERSION = 2


class Description(NamedTuple):
    """What ``run.json`` says, as JSON has it.

    Attributes:
        config: What was asked for, last.
        identity: What the numbers depend on beside it.
        digest: What marks the records of the run: they are of its config, as it began, and of what that stood for.
    """

    config: dict[str, Any]
    identity: dict[str, str]
    digest: str

    @classmethod
    def of(cls, config: Config, identity: Mapping[str, str]) -> Description:
        """Describe a run that begins."""
        # A date in a suite is text here.
        said, stood_for = json.loads(json.dumps([asdict(config), dict(identity)], default=str))
        return cls(said, stood_for, digest([said, stood_for])[:16])

    @classmethod
    def read(cls, path: Path) -> Description:
        """Read the file.

        Raises:
            InputError: It cannot be read, or is damaged, or of another version.
        """
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read now ({first_line(error)}); try again") from error
        # Thousands of brackets are no JSON that Python reads.
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: is damaged ({first_line(error)}); run it again with another --out") from error
        found = stored.get("schema", 1) if isinstance(stored, dict) else None
        if found != SCHEMA_VERSION:
            raise InputError(
                f"{path}: was written with schema {found}, this version of captum-gag reads {SCHEMA_VERSION}; "
                "read it with the version that wrote it, or run it again with another --out"
            )
        config, identity = stored.get("config"), stored.get("identity")
        if not isinstance(config, dict) or not isinstance(identity, dict):
            raise InputError(f"{path}: is damaged (no config, no identity); run it again with another --out")
        return cls(config, identity, str(stored.get("digest") or digest([config, identity])[:16]))

    def write(self, path: Path) -> None:
        """Write the file."""
        text = json.dumps({"schema": SCHEMA_VERSION, **self._asdict()}, indent=1)
        replace_file(path, lambda place: place.write_text(text, encoding="utf-8"))

    def going_on(self, asked: Description, directory: Path) -> Description:
        """Return the same run with what another config says that changes no number.

        Args:
            asked: What is asked for now.
            directory: Of the run, for the message.

        Raises:
            InputError: It would change one.
        """
        different = [
            name
            for name, value in self.config.items()
            if value != asked.config.get(name) and name not in CHANGE_NO_NUMBER
        ]
        if different:
            raise InputError(
                f"{directory} holds a run with another {', '.join(different)}; give --out another directory, "
                "or go on with the old one: captum-gag resume"
            )
        now = {name: asked.config[name] for name in CHANGE_NO_NUMBER}
        return self._replace(config={**self.config, **now})
