"""The import path of the plain loops: test folders are no packages, so that siblings are found by name here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
