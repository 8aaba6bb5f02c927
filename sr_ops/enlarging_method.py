"""What a method is that enlarges an image without a network of srpipe's own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from .degradation import Degradation
from .domain import Domain
from .settings import Settings

Learned = Mapping[str, Tensor]
"""What a method learned from an image, by name: a scene's is stored and goes to other workers."""


class EnlargingMethod(ABC):
    """A file of `methods/` holds one, as its METHOD; the file's name is that of `--method`."""

    line: ClassVar[str]
    """What it does, for `srpipe methods`."""
    source: ClassVar[str]
    """The paper and its section or equation."""
    knows_camera: ClassVar[bool] = False
    """Whether it undoes kernel and noise itself. What the others make is held to the image by a data step, which knows
    the camera, unless `Settings.back_projections` is 0."""

    @abstractmethod
    def reach(self, degradation: Degradation) -> int:
        """LR pixels: those farther away from a place move what `enlarge` makes of it by less than a grey level of 8
        bits, whatever they are."""

    def learn(self, lr: Tensor, degradation: Degradation, domain: Domain, settings: Settings) -> Learned:  # noqa: ARG002
        """What is to be known of the whole image before any window of it is enlarged.

        Args:
            lr: (C, H, W) float32 in [0, 1] for the most part, filled where it is not known; of a large image windows
                side by side (`sheet`).
        """
        return {}

    @abstractmethod
    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:
        """
        Args:
            window: (C, h, w) float32, filled where it is not known; bands are treated alike, however many there are.
            degradation: what made the image; its scale is what to enlarge by.
            domain: of the window.
            learned: by `learn`, on the window's device.

        Returns:
            (C, h * scale, w * scale) float32, not clamped. The same for the same window, bit for bit.
        """
