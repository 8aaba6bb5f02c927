"""What every worker of a run is given. Importing this loads neither torch nor a runtime for models."""

from dataclasses import dataclass

from ..config import RunConfig
from ..models.model_file import ModelFile
from ..priors.prior_file import PriorFile
from .units import DIVISION, Division


@dataclass(frozen=True)
class Assignment:
    """A run with the files that it names, and how its large images are divided."""

    config: RunConfig
    prior: PriorFile | None = None
    """The weights whose sha256 is in the settings."""
    model: ModelFile | None = None
    """The model whose sha256 is in the settings as their weights."""
    division: Division = DIVISION
    run_id: str | None = None
    """As in the output's run.json; None for work without a run."""
