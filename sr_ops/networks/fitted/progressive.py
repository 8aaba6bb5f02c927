"""Coarse to fine: one residual from features at LR size, and one from features at HR size."""

from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle

from ...settings import STAGE_SCALE
from ..layers import Addition, Head, convolution
from ..residual_network import NetworkAtLrSize


class Progressive(NetworkAtLrSize):
    """LapSRN's pyramid (Lai et al. 2017, section 3.1); its levels are the stages here, fitted one after the other.

    Within a level, features at LR size give a first residual. Enlarged to HR size, with a quarter of the channels, they
    give a second one. Depth 2 has the first only.
    """

    line = "LapSRN's pyramid: features at the input's size, then at the result's; each adds what it finds."
    source = "Lai et al. 2017, section 3.1"

    def layers(self, bands: int, width: int, depth: int) -> list[nn.Module]:
        return [_Level(bands, width, *_additions(depth), has_fine=depth > 2)]

    @classmethod
    def reach_of(cls, depth: int) -> int:
        coarse, fine = _additions(depth)
        return 2 + coarse + (-(-(fine + 1) // STAGE_SCALE) if depth > 2 else 0)


class _Level(nn.Module):
    def __init__(self, bands: int, width: int, coarse: int, fine: int, *, has_fine: bool) -> None:
        super().__init__()
        phases, narrow = STAGE_SCALE**2, max(1, width // STAGE_SCALE**2)
        self.coarse = nn.Sequential(convolution(bands, width), *(Addition(width) for _ in range(coarse)), nn.ReLU())
        self.head = Head(width, bands * phases)
        self.fine: nn.Sequential | None = None
        if has_fine:
            further = (Addition(narrow) for _ in range(fine))
            last = Head(narrow, bands)
            self.fine = nn.Sequential(
                convolution(width, narrow * phases), nn.PixelShuffle(STAGE_SCALE), *further, nn.ReLU(), last
            )

    def forward(self, image: Tensor) -> Tensor:
        features = self.coarse(image)
        residual = pixel_shuffle(self.head(features), STAGE_SCALE)
        return residual if self.fine is None else residual + self.fine(features)


def _additions(depth: int) -> tuple[int, int]:
    """Return how many hidden additive convolutions there are at LR and at HR size.

    A path of `depth` convolutions has three further ones, or two at depth 2."""
    fine = max(0, depth - 3) // 2
    return max(0, depth - 3) - fine, fine


NETWORK = Progressive
