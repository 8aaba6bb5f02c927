"""What every method holds that needs no network: whatever file of `sr_ops/methods/` it is, it is tested here."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipeline.work.scene_weights import model_from_bytes, model_to_bytes
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.method import EnlargingMethod
from sr_ops.enlarging.model import Model, degradation_of, no_phase
from sr_ops.enlarging.stages import halo
from sr_ops.image.domain import UNIT, Domain
from sr_ops.image.resample import downscale
from sr_ops.image.tiles import cut, owned, plan_tiles
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.registry import METHODS, method_of
from sr_ops.settings import Settings

GREY_LEVEL = 1 / 255
CAMERAS = ("bicubic", "gaussian:1.4")

every_method = pytest.mark.parametrize("name", METHODS)

BY_VALUES = ("anr", "selfex", "sparse")
"""Methods that look up only patches that are not flat: which these are, a device without values cannot tell."""


def settings_of(name: str, kernel: str = "bicubic", scale: int = 2) -> Settings:
    return Settings(scale=scale, method=name, kernel=kernel, noise="0")


def seen(settings: Settings, height: int, width: int) -> Tensor:
    """A scene as the camera of the settings sees it."""
    return degradation_of(settings).apply(scene(settings.scale * height, settings.scale * width))


def learned(image: Tensor, settings: Settings, domain: Domain = UNIT) -> Model:
    return fit_stages(Observation(image, degradation_of(settings), domain), settings, None).model


def scene(height: int, width: int, bands: int = 3) -> Tensor:
    """Edges, rings and a ramp, in colour, as a camera sees them."""
    rows, columns = torch.meshgrid(torch.arange(2.0 * height), torch.arange(2.0 * width), indexing="ij")
    radius = torch.hypot(rows - height, columns - 0.7 * width)
    made = []
    for band in range(bands):
        rings = 0.25 * torch.cos(radius / (4.5 + band))
        edges = 0.3 * ((rows + (2 + band % 3) * columns) % 37 < 17).float()
        made.append(0.3 + rings + edges + 0.1 * columns / (2 * width))
    return downscale(torch.stack(made).clamp(0, 1), 2).clamp(0, 1)


@every_method
def test_it_tells_what_it_is(name: str) -> None:
    """One line for people, and where it was published."""
    method = method_of(name)
    assert isinstance(method, EnlargingMethod)
    assert method.line.endswith(".")
    assert "\n" not in method.line
    assert any(figure.isdigit() for figure in method.source)


@every_method
@pytest.mark.parametrize("kernel", CAMERAS)
@pytest.mark.parametrize("scale", [2, 3])
def test_tiles_equal_the_whole(name: str, kernel: str, scale: int) -> None:
    """With the halo that it asks for, both ends of a strip are as in the whole, to half a grey level.

    The strip is so long that neither end reads the other.
    """
    settings = settings_of(name, kernel, scale)
    around = halo(settings, degradation_of(settings))
    image = scene(36, around + 72)
    model = learned(image, settings)
    whole = enlarge(image, model, settings)
    assert whole.shape == (3, 36 * scale, image.shape[2] * scale)
    tiles = plan_tiles(*image.shape[1:], 36, around)
    for tile in (tiles[0], tiles[-1]):
        assert cut(image, tile).shape[2] < image.shape[2]
        made = owned(enlarge(cut(image, tile), model, settings), tile, scale)
        expected = whole[:, :, scale * tile.columns.start : scale * tile.columns.stop]
        assert float((made - expected).abs().max()) < GREY_LEVEL / 2


@every_method
@pytest.mark.parametrize("kernel", CAMERAS)
def test_it_agrees_with_its_input(name: str, kernel: str) -> None:
    """What the camera sees of the result is the image, to a grey level and a half on average."""
    settings = settings_of(name, kernel)
    image = seen(settings, 40, 44)
    model = learned(image, settings)
    error = model.degradation.apply(enlarge(image, model, settings)) - image
    assert float(error.abs().mean()) < 1.5 * GREY_LEVEL


@pytest.mark.parametrize("name", [name for name in METHODS if name not in BY_VALUES])
@pytest.mark.parametrize("kernel", CAMERAS)
def test_it_computes_where_the_image_lies(name: str, kernel: str) -> None:
    """A device without values stands for a GPU: there, too, what lies on it and what does not cannot be added up."""
    camera = degradation_of(settings_of(name, kernel), (0.02,))
    image, known = torch.empty(3, 20, 22, device="meta"), torch.empty(3, 20, 22, dtype=torch.bool, device="meta")
    made = method_of(name).enlarge(image, camera, Domain(known), {})
    assert (made.shape, made.device) == ((3, 40, 44), image.device)


@every_method
@pytest.mark.parametrize("bands", [1, 2, 7])
def test_any_number_of_bands(name: str, bands: int) -> None:
    """A band comes out as it does for an image that has it thrice."""
    image = scene(24, 26, 1)
    settings = settings_of(name)
    whole = enlarge(image.expand(bands, -1, -1), learned(image.expand(bands, -1, -1), settings), settings)
    thrice = enlarge(image.expand(3, -1, -1), learned(image.expand(3, -1, -1), settings), settings)
    assert whole.shape == (bands, 48, 52)
    assert torch.allclose(whole, thrice[:1].expand(bands, -1, -1), atol=GREY_LEVEL / 2)


@every_method
def test_what_is_unknown_is_not_seen(name: str) -> None:
    """Whatever numbers stand where nothing was measured, the known samples come out the same, and within the range."""
    image, known = scene(40, 40), torch.ones(3, 40, 40, dtype=torch.bool)
    known[:, 12:20, 9:30] = False
    settings = settings_of(name)
    domain = Domain(known, UNIT.low, UNIT.high)
    results = []
    for fill in (0.0, 0.9):
        filled = torch.where(known, image, torch.full_like(image, fill))
        results.append(enlarge(filled, learned(filled, settings, domain), settings, domain=domain))
    assert torch.equal(*results)
    assert 0 <= float(results[0].min()) <= float(results[0].max()) <= 1


@every_method
def test_it_is_stored_with_a_scene(name: str) -> None:
    """Another worker makes the same pixels of what was learned."""
    image, settings = scene(40, 44), settings_of(name)
    model = learned(image, settings)
    again, _ = model_from_bytes(model_to_bytes(model, settings.kernel), settings, torch.device("cpu"))
    assert again.method == name
    assert torch.equal(enlarge(image, again, settings), enlarge(image, model, settings))


def test_the_data_step_is_left_out_where_it_is_not_wanted() -> None:
    """With no back-projection an interpolation is just that."""
    image, settings = scene(20, 20), replace(settings_of("bicubic"), back_projections=0)
    model = learned(image, settings)
    plain = method_of("bicubic").enlarge(image, model.degradation, UNIT, {}).clamp(0, 1)
    assert torch.equal(enlarge(image, model, settings, no_phase), plain)


@pytest.mark.parametrize(
    ("field", "value", "near"), [("method", "bicubik", "bicubic"), ("network", "zsr", "zssr"), ("method", "q", "")]
)
def test_an_unknown_name(field: str, value: str, near: str) -> None:
    """The sentence names the nearest, where one is near, and all there are."""
    with pytest.raises(ValueError, match=value) as caught:
        replace(Settings(), **{field: value})
    assert ("did you mean" in str(caught.value)) == bool(near)
    assert near in str(caught.value)
    assert "bicubic" in str(caught.value) or field == "network"
