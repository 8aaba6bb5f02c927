"""Images that are enlarged tile by tile, to be compared with the whole."""

from math import nan

from torch import Tensor

from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model
from sr_ops.image.tiles import cut, owned, paste, plan_tiles
from sr_ops.settings import Settings


def enlarged_in_tiles(image: Tensor, model: Model, settings: Settings, halo: int) -> Tensor:
    """Enlarge each tile of (C, H, W), of the settings' size and with this halo, and put them together."""
    bands, height, width = image.shape
    scale = model.degradation.scale
    canvas = image.new_full((bands, height * scale, width * scale), nan)
    for tile in plan_tiles(height, width, settings.tile_size, halo):
        paste(canvas, tile, owned(enlarge(cut(image, tile), model, settings), tile, scale), scale)
    return canvas
