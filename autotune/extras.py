"""Packages that only some commands need, and the extra of autotune-rl that brings each."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from diagnostics.errors import UserError

EXTRAS: Mapping[str, str] = {
    "accelerate": "train",
    "cmaes": "tune",
    "datasets": "train",
    "matplotlib": "plots",
    "optuna": "train,tune",  # whoever starts a study wants to train as well
    "optuna_dashboard": "tune",
    "peft": "train",
    "pyarrow": "wandb",
    "scipy": "tune",
    "textual": "tui",
    "torch": "train",
    "transformers": "train",
    "trl": "train",
    "wandb": "wandb",
    "yaml": "lint",
}


def require(*packages: str) -> None:
    """Raise UserError for the first of `packages` that is not installed; imports none of them."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise missing(package)


def missing(package: str) -> UserError:
    """The error for a package of EXTRAS that is not installed."""
    return UserError(
        f"this command needs {package}, which is not installed",
        f"Install it: pip install 'autotune-rl[{EXTRAS[package]}]'",
    )
