"""The tests of a report's formats import the report beside them by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
