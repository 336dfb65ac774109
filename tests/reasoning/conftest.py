"""The broken answers of the benchmarks are also the fuzz corpus of the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
