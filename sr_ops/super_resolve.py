"""From one LR image to its enlargement: fit a network per x2 stage, then enlarge window by window.

A scale s takes ceil(log2 s) stages. Each stage runs its network under the self-ensemble, is brought down to the size
asked for when it overshoots (x3 is x4 reduced), and is back-projected against the LR image. A later stage's network
is fitted on what the earlier stages made of the whole image.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from .back_projection import back_project
from .dihedral import self_ensemble
from .fit import MIN_SIDE, fit, reconstruction_psnr
from .networks import ResidualNetwork, build_network, fastest_dtype
from .resample import resize, upscale
from .settings import Settings
from .tiles import cut, owned, paste, plan_tiles


@dataclass(frozen=True)
class Fitted:
    """What was learned from one image."""

    networks: tuple[ResidualNetwork, ...]
    """One per stage; none when the image is too small to fit, which means plain bicubic."""
    final_loss: float
    """Mean L1 of the first stage's last tenth of steps; nan without a fit."""
    reconstruction_psnr: float
    """PSNR in dB of the first network's answer for the image's own son, against the image; nan without a fit."""
    bicubic_reconstruction_psnr: float
    """The same for bicubic."""

    @property
    def method(self) -> str:
        return "zssr" if self.networks else "bicubic"


Phase = Callable[[str], AbstractContextManager[object]]
"""Called with "fit", "infer" or "back_project" around each such piece of work; lets a caller measure time."""


def no_phase(_name: str) -> AbstractContextManager[object]:
    return nullcontext()


def super_resolve(lr: Tensor, settings: Settings) -> Tensor:
    """Enlarge (C, H, W) float32 in [0, 1] to (C, H * scale, W * scale) float32 in [0, 1], on the tensor's device.

    Bit-equal for equal arguments, thread count and device class. Callers that write tiles as they come, or spread
    them over machines, use `fit_stages` and `enlarge` as this does.
    """
    fitted = fit_stages(lr, settings)
    return _enlarge_tiled(lr, fitted.networks, settings, no_phase)


def fit_stages(lr: Tensor, settings: Settings, phase: Phase = no_phase) -> Fitted:
    """Fit one network per stage to (C, H, W) float32 in [0, 1], on the tensor's device.

    An image with a side shorter than `fit.MIN_SIDE` is not fitted: `networks` is empty.
    """
    if min(lr.shape[-2:]) < MIN_SIDE:
        return Fitted((), *3 * (float("nan"),))
    networks: list[ResidualNetwork] = []
    first_loss = float("nan")
    for stage in range(len(settings.stage_scales)):
        image = _enlarge_tiled(lr, tuple(networks), settings, phase) if networks else lr
        network = build_network(
            settings.network,
            len(lr),
            settings.width,
            settings.depth,
            settings.seed,
            lr.device,
            fastest_dtype(lr.device),
        )
        with phase("fit"):
            loss = fit(network, image, settings.fit, settings.seed)
        if stage == 0:
            first_loss = loss
        else:
            # Its input was computed: tiles know it to 1e-7, which bfloat16 can turn into a whole step of its own,
            # 7e-4 of the range. The first stage reads the LR pixels themselves, equal to the bit in every tile.
            network.autocast_dtype = torch.float32
        networks.append(network)
    with phase("fit"):
        learned, bicubic = reconstruction_psnr(networks[0], lr)
    return Fitted(tuple(networks), first_loss, learned, bicubic)


@torch.inference_mode()
def enlarge(
    window: Tensor, networks: tuple[ResidualNetwork, ...], settings: Settings, phase: Phase = no_phase
) -> Tensor:
    """Run the first `len(networks)` stages on a window of the LR image; with no network, bicubic to the full scale.

    Args:
        window: (C, h, w) float32 in [0, 1].

    Returns:
        (C, h * s, w * s) float32 in [0, 1], s the scale the last of these stages reaches. Within `settings.halo` LR
        pixels of a window border that is not an image border the result is not that of the whole image.
    """
    if not networks:
        return _back_project(upscale(window, settings.scale), window, settings, settings.scale, phase)
    image = window
    for network, scale in zip(networks, settings.stage_scales[: len(networks)], strict=True):
        with phase("infer"):
            image = _run(network, image, settings.ensemble)
            image = resize(image, (window.shape[-2] * scale, window.shape[-1] * scale))
        image = _back_project(image, window, settings, scale, phase)
    return image


def _run(network: ResidualNetwork, image: Tensor, ensemble: bool) -> Tensor:
    def once(turned: Tensor) -> Tensor:
        enlarged: Tensor = network(turned[None].contiguous(memory_format=torch.channels_last))[0]
        return enlarged

    return self_ensemble(once, image) if ensemble else once(image)


def _back_project(sr: Tensor, lr: Tensor, settings: Settings, scale: int, phase: Phase) -> Tensor:
    with phase("back_project"):
        return back_project(sr, lr, scale, settings.back_projections)


def _enlarge_tiled(lr: Tensor, networks: tuple[ResidualNetwork, ...], settings: Settings, phase: Phase) -> Tensor:
    """`enlarge` over all tiles of the LR image, put together."""
    bands, height, width = lr.shape
    scale = settings.stage_scales[len(networks) - 1] if networks else settings.scale
    canvas = lr.new_empty(bands, height * scale, width * scale)
    for tile in plan_tiles(height, width, settings.tile_size, settings.halo):
        sr = enlarge(cut(lr, tile), networks, settings, phase)
        paste(canvas, tile, owned(sr, tile, scale), scale)
    return canvas
