"""The benchmarks are no part of the package: they are found in the folder of the project, after everything else."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
