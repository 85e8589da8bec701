"""Small logs of every format."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    """The writers of small logs, which the script `damage.py` has as well."""
    spec = importlib.util.spec_from_file_location("samples", _HERE / "samples.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["samples"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
