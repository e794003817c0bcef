"""``python -m captum_gag.cli``."""

from captum_gag.cli import app

app()
