"""The types of what the fixtures of conftest.py give."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.config import RunConfig
from pipeline.work.units import Row
from pipeline.work.worker import Worker

DrawPixels = Callable[..., np.ndarray]
MakeConfig = Callable[..., RunConfig]
MakePng = Callable[..., np.ndarray]
MakePrior = Callable[..., bytes]
MakeRow = Callable[..., Row]
MakeWorker = Callable[..., Worker]
ReadRecords = Callable[[str], dict[Any, dict[str, Any]]]
ReadTiles = Callable[[str], dict[str, bytes]]
Refusal = Callable[..., str]
Srpipe = Callable[..., tuple[int, str, str]]
