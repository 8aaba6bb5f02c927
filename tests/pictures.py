"""Pictures by formula, as tensors, for the tests of what computes with them."""

import torch
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform over [0, 1), of uint8 over 0..255; a seed gives the same values always."""
    generator = Generator().manual_seed(seed)
    if dtype == torch.uint8:
        return torch.randint(0, 256, shape, generator=generator, dtype=dtype)
    return torch.rand(shape, generator=generator, dtype=dtype)


def white_noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal, of mean 0 and standard deviation 1."""
    return torch.randn(shape, generator=Generator().manual_seed(seed))


def star(side: int) -> Tensor:
    """(1, side, side): 14 sharp rays, alike at every scale: the small image teaches what the large one needs."""
    fine = torch.arange(4 * side) / 4 - side / 2 + 0.1
    rays = torch.sin(7 * torch.atan2(fine[:, None], fine) + 0.3) > 0
    return avg_pool2d(0.2 + 0.6 * rays.float()[None], 4)


def checkerboard(side: int = 48, cell: int = 6) -> Tensor:
    """(1, side, side): sharp and periodic, so the image shrunk teaches what the image needs."""
    cells = torch.arange(side) // cell
    return 0.2 + 0.6 * ((cells[:, None] + cells) % 2).float()[None]
