"""The optimiser of a fit and its learning-rate schedule."""

from collections.abc import Iterable

from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from ..settings import FitSettings


def one_cycle(parameters: Iterable[nn.Parameter], settings: FitSettings) -> tuple[Adam, OneCycleLR]:
    """Return Adam, and the schedule of its learning rate and its first beta (0.95 to 0.85 and back); step both."""
    optimiser = Adam(parameters, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)
    return optimiser, OneCycleLR(optimiser, settings.learning_rate, total_steps=max(2, settings.steps))
