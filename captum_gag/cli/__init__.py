"""The command line: a function for each command, in a module for each job."""

# Each of these enters its commands. Torch, captum, quantus and matplotlib are imported inside the commands, so that
# --help does not wait for them.
from captum_gag.cli import explain, run, show, judge, papers  # noqa: F401, I001
from captum_gag.cli.commands import app

__all__ = ["app"]
