"""`autotune train`: a placeholder until training is in place."""

import argparse

from autotune.cli import ExitStatus
from diagnostics.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""


def run(args: argparse.Namespace) -> ExitStatus:
    """Say that there is nothing yet."""
    raise UserError("autotune train is not built yet", "See autotune --help for what is.")
