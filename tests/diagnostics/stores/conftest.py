"""The tests import the servers beside them by name."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
