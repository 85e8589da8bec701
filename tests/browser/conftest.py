"""The tests import the driver of the browser beside them by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
