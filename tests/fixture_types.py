"""The types of what the fixtures of conftest.py give."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.config import RunConfig

DrawPixels = Callable[..., np.ndarray]
MakeConfig = Callable[..., RunConfig]
MakePng = Callable[..., np.ndarray]
MakePrior = Callable[..., bytes]
ReadRecords = Callable[[str], dict[Any, dict[str, Any]]]
ReadTiles = Callable[[str], dict[str, bytes]]
Refusal = Callable[..., str]
Srpipe = Callable[..., tuple[int, str, str]]
