"""The tests import the scripts beside them by name, as these import each other and the judge."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "corpus")]
