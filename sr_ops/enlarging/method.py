"""The interface of a method that enlarges an image without a network of srpipe's own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from ..camera.degradation import Degradation
from ..image.domain import Domain
from ..settings import Settings

Learned = Mapping[str, Tensor]
"""Tensors that a method learned from an image, by name; those of a scene are stored and sent to other workers."""


class EnlargingMethod(ABC):
    """One method. A file of `methods/` holds one as its METHOD; the file is named as `--method` calls it."""

    line: ClassVar[str]
    """What the method does, shown by `srpipe methods`."""
    source: ClassVar[str]
    """The paper, with its section or equation."""
    knows_camera: ClassVar[bool] = False
    """Whether the method undoes kernel and noise itself. The result of other methods is made consistent with the image
    by a data step, which knows the camera, unless `Settings.back_projections` is 0."""

    @abstractmethod
    def reach(self, degradation: Degradation) -> int:
        """Return how many LR pixels away `enlarge` can depend on.

        Pixels farther away change the result by less than one grey level of 8 bits, whatever their values."""

    def learn(self, lr: Tensor, degradation: Degradation, domain: Domain, settings: Settings) -> Learned:  # noqa: ARG002
        """Return what the method needs to know about the whole image before any window is enlarged.

        Args:
            lr: (C, H, W) float32, mostly in [0, 1], unknown samples filled; for a large image, windows side by side
                (`sheet`).
        """
        return {}

    @abstractmethod
    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:
        """Enlarge a window of the image.

        Args:
            window: (C, h, w) float32, unknown samples filled; any number of bands, all treated alike.
            degradation: the forward model of the image; `window` is enlarged by its scale.
            domain: of the window.
            learned: returned by `learn`, on the window's device.

        Returns:
            (C, h * scale, w * scale) float32, not clamped. Equal windows give equal bits.
        """
