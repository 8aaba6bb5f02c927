"""Python's way in: `from pipeline import run, enlarge` and `from sr_ops import super_resolve`."""

import doctest
import importlib
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from typer.main import get_group

import pipeline
import sr_ops
from jobs.cli import app
from pipeline import ImageError, UsageError, enlarge, load_prior, run
from pipeline.options import BOUNDS, names_of_quality, names_of_run
from sr_ops import Domain, Preset, Settings, preset, super_resolve

from .onnx_models import as_onnx, drawn
from .pictures import noise, star
from .rasters import write_raster

REPOSITORY = Path(__file__).parent.parent

FAST = {"method": "bicubic", "kernel": "bicubic"}


def picture(*shape: int, dtype: str = "uint8") -> NDArray[Any]:
    """Smooth, with some noise; of whole numbers a good part of what the type holds, of floats -40 to 60."""
    height, width = shape[:2]
    waves = np.sin(np.arange(height) / 3)[:, None] * np.cos(np.arange(width) / 5)
    waves = waves.reshape(height, width, *(1 for _ in shape[2:])) / 2 + np.random.default_rng(0).random(shape) / 8
    top = {"uint8": 200, "uint16": 9000, "int16": 900}.get(dtype, 100.0)
    return ((waves + 0.5) * top - (40 if top == 100.0 else 0)).astype(dtype)


def write(path: Path, image: NDArray[Any], **profile: Any) -> None:
    """(H, W) or (H, W, C) as PNG, (C, H, W) as TIFF."""
    if path.suffix == ".png":
        Image.fromarray(image).save(path)
        return
    write_raster(path, image, **profile)


def read(path: Path) -> NDArray[Any]:
    """As `write` takes it."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    with rasterio.open(path) as raster:
        samples: NDArray[Any] = raster.read()
        return samples


def with_holes(image: NDArray[Any], number: float) -> NDArray[Any]:
    image[..., 3:9, 5:12] = number
    return image


SAME = {
    "gray": (picture(20, 26), ".png", {}, FAST),
    "colour, by the shipped prior": (picture(20, 26, 3), ".png", {}, {"preset": "fast"}),
    "colour, fitted": (picture(28, 30, 3), ".png", {}, {"method": "zssr", "network": "subpixel", "steps": 3}),
    "alpha": (picture(20, 26, 4), ".png", {"alpha": True}, FAST),
    "tiles": (picture(40, 50), ".png", {}, {**FAST, "tile_size": 16}),
    "another size": (picture(20, 26), ".png", {}, {**FAST, "scale": "2.5x1.5"}),
    "16 bits": (picture(20, 26, dtype="uint16"), ".png", {}, {**FAST, "kernel": "gaussian:1.2", "noise": 3}),
    "five bands": (picture(20, 26, 5, dtype="uint16").transpose(2, 0, 1), ".tif", {"channel_axis": 0}, FAST),
    "floats with NaN": (
        with_holes(picture(20, 26, 2, dtype="float32").transpose(2, 0, 1), math.nan),
        ".tif",
        {"channel_axis": 0},
        {"preset": "fast"},
    ),
    "a fill nobody declared": (
        with_holes(picture(20, 26, 1, dtype="float32").transpose(2, 0, 1), -9999.0),
        ".tif",
        {"channel_axis": 0},
        FAST,
    ),
    "nodata": (
        with_holes(picture(20, 26, 1, dtype="int16").transpose(2, 0, 1), -7),
        ".tif",
        {"channel_axis": 0},
        {**FAST, "nodata": -7},
    ),
    "on a map": (
        picture(20, 26, 2, dtype="uint16").transpose(2, 0, 1),
        ".tif",
        {"channel_axis": 0, "georeferenced": True},
        {**FAST, "kernel": np.outer([1, 2, 1], [1, 2, 1]) / 16},
    ),
    "kernel estimated": (picture(64, 72, 3), ".png", {}, {"method": "bicubic", "kernel": "estimate"}),
}


def test_a_model_of_others_enlarges_an_array(tmp_path: Path) -> None:
    """To the bit as a run does; at another scale than its own it is told in a sentence."""
    (tmp_path / "m.onnx").write_bytes(as_onnx(drawn(), 2))
    image = picture(20, 26, 3)
    write(tmp_path / "a.png", image)
    options: dict[str, Any] = {"method": "model", "weights": tmp_path / "m.onnx", "model_halo": 8}
    summary = run(tmp_path / "a.png", tmp_path / "out", scale=2, executor="inline", single=True, **options)
    assert summary.done == 1
    np.testing.assert_array_equal(enlarge(image, 2, **options), read(tmp_path / "out/images/a.png"))
    with pytest.raises(UsageError, match="enlarges by 2, not by 3"):
        enlarge(image, 3, **options)
    with pytest.raises(ImageError, match="enlarges by 2, and this image is to be by 3"):
        enlarge(image, target_size="60x50", **options)
    with pytest.raises(UsageError, match="--weights has no effect with --method auto"):
        enlarge(image, weights="m.onnx")


@pytest.mark.parametrize("case", SAME)
def test_an_array_is_enlarged_as_a_file_of_its_numbers(case: str, tmp_path: Path) -> None:
    """To the last bit, with the options by their names."""
    image, ending, layout, options = SAME[case]
    options = {"scale": 2, **options}
    path = tmp_path / f"a{ending}"
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}
    write(path, image, **(place if "georeferenced" in layout else {}))
    kind = "png" if ending == ".png" else "tif"
    summary = run(path, tmp_path / "out", executor="inline", format=kind, single=True, **options)
    (record,) = summary.records().to_pylist()
    assert record["status"] == "done", record["error_message"]
    np.testing.assert_array_equal(enlarge(image, **layout, **options), read(Path(record["output_uri"])))


def test_a_place_without_tiles_is_nodata() -> None:
    """No tile is made where nothing was measured; the result has the image's number there."""
    image = picture(16, 64, dtype="int16")
    image[:, 16:] = -7
    made = enlarge(image, 2, nodata=-7, tile_size=16, **FAST)
    assert (made[:, 32:] == -7).all()
    assert (made[:, :32] != -7).all()


def test_a_place_without_tiles_is_transparent() -> None:
    """Also where a number is nodata: as an alpha it would be opaque."""
    image = picture(16, 64, 2)
    image[..., 1] = 255
    image[:, 16:] = 255, 0
    made = enlarge(image, 2, alpha=True, georeferenced=True, nodata=255, tile_size=16, **FAST)
    assert (made[:, 32:] == [255, 0]).all()
    assert (made[:, :28, 1] == 255).all()


def test_axes_and_kinds_are_those_of_the_image() -> None:
    """(H, W, C), (C, H, W), a tensor, floats of any size and bytes in any order: the same samples, as they came."""
    image = picture(12, 16, 3)
    made = enlarge(image, 2, **FAST)
    assert made.shape == (24, 32, 3)
    first = image.transpose(2, 0, 1)
    np.testing.assert_array_equal(enlarge(first, 2, channel_axis=0, **FAST), made.transpose(2, 0, 1))
    of_tensor = enlarge(torch.from_numpy(first.copy()), 2, **FAST)
    assert of_tensor.dtype == torch.uint8
    np.testing.assert_array_equal(of_tensor.numpy(), made.transpose(2, 0, 1))
    np.testing.assert_array_equal(enlarge(image[::-1, :, ::-1], 2, **FAST)[::-1, :, ::-1], made)


@pytest.mark.filterwarnings("error")
def test_an_image_that_is_only_to_be_read_stays_as_it_is() -> None:
    """As `np.asarray` of a picture gives it; one that may be written is not written either."""
    image = picture(12, 16)
    before = image.copy()
    made = enlarge(image, 2, **FAST)
    image.setflags(write=False)
    np.testing.assert_array_equal(enlarge(image, 2, **FAST), made)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("dtype", "computed_as"),
    [("float16", "float32"), ("float64", "float32"), (">f4", "float32"), (">i2", "int16"), ("int8", "int8")],
)
def test_a_type_is_kept(dtype: str, computed_as: str) -> None:
    """Of those that no file is read as, the result is that of the one in which they are computed."""
    image = picture(12, 16, dtype="float32").astype(dtype)
    made = enlarge(image, 2, **FAST)
    assert made.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(made, enlarge(image.astype(computed_as), 2, **FAST).astype(dtype))


@pytest.mark.parametrize(("fill", "told"), [(1e20, {"nodata": 1e20}), (-9999.9, {"nodata": -9999.9}), (-9999.9, {})])
def test_a_fill_that_float32_does_not_hold(fill: float, told: dict[str, float]) -> None:
    """Of float64 it comes back as it was, whether it is told or found."""
    image = picture(40, 48, dtype="float32").astype(np.float64)
    image[:20, :24] = fill
    made = enlarge(image, 2, **FAST, **told)
    assert (made == fill).sum() == 4 * (image == fill).sum() > 0
    assert (np.abs(made[made != fill]) < 1000).all()


def test_a_told_fill_of_float64_is_not_the_sample_beside_it() -> None:
    """Which float32 takes for the same number."""
    image = picture(40, 48, dtype="float32").astype(np.float64)
    image[0, 0], image[10:20, 10:20] = 1e-50, 0.0
    assert (enlarge(image, 2, nodata=0, **FAST)[24:36, 24:36] == 0.0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_tensor_keeps_its_type(dtype: torch.dtype) -> None:
    """bfloat16, which numpy does not know, too."""
    image = noise(3, 12, 16)
    made = enlarge(image.to(dtype), 2, **FAST)
    assert made.dtype == dtype
    torch.testing.assert_close(made.float(), enlarge(image.to(dtype).float(), 2, **FAST), rtol=0.01, atol=0.01)


def test_a_kernel_may_be_an_array_of_taps() -> None:
    """What it blurs is undone: another result than by bicubic, and the one by the kernel's file."""
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    image = picture(20, 26)
    made = enlarge(image, 2, method="bicubic", kernel=taps)
    assert (made != enlarge(image, 2, **FAST)).any()
    with pytest.raises(UsageError, match="kernel: the array holds taps that sum to 16"):
        enlarge(image, 2, kernel=taps * 16)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float32])
def test_a_kernel_may_be_a_tensor(dtype: torch.dtype) -> None:
    """Of any floats, and with gradients, as a network that estimates it gives it."""
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    image = picture(20, 26)
    made = enlarge(image, 2, method="bicubic", kernel=torch.from_numpy(taps).to(dtype).requires_grad_())
    np.testing.assert_array_equal(made, enlarge(image, 2, method="bicubic", kernel=taps))
    with pytest.raises(UsageError, match=r"kernel: .* is not a kernel"):
        enlarge(image, 2, kernel=torch.ones(1, 1, dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_nodata_in_floats_of_16_bits(dtype: torch.dtype) -> None:
    """The number that is told is rounded as the samples were: neither type holds -9999."""
    image = torch.from_numpy(picture(20, 26, dtype="float32"))[None]
    image[:, 3:9, 5:12] = -9999
    image = image.to(dtype)
    made = enlarge(image, 2, nodata=-9999, **FAST)
    hole = image == image.min()
    assert torch.equal(made == image.min(), hole.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert float(made[made != image.min()].min()) > -100
    if dtype == torch.float16:
        np.testing.assert_array_equal(enlarge(image.numpy(), 2, channel_axis=0, nodata=-9999, **FAST), made.numpy())
    assert enlarge(image[:, 10:], 2, nodata=-1e39, **FAST).isfinite().all(), "beyond float16, and left out"


WRONG_IMAGES = {
    "no array": ([[1, 2]], {}, TypeError, "list is not an image"),
    "masked": (np.ma.masked_equal(picture(8, 8), 3), {}, TypeError, "masked array"),
    "one axis": (picture(8, 8)[0], {}, ImageError, r"shape \(8,\)"),
    "four axes": (picture(8, 8)[None, None], {}, ImageError, "channel_axis"),
    "no such axis": (picture(8, 8, 3), {"channel_axis": 3}, ImageError, "channel_axis=3"),
    "bands first": (np.zeros((4, 12, 90), np.uint8), {}, ImageError, "90 bands.*channel_axis"),
    "empty": (np.zeros((0, 5), np.uint8), {}, ImageError, "empty"),
    "true and false": (picture(8, 8) > 90, {}, ImageError, "bool.*uint8"),
    "complex": (picture(8, 8) + 0j, {}, ImageError, "complex128"),
    "32 bits": (picture(8, 8).astype(np.int32), {}, ImageError, "int32"),
    "beyond float32": (np.full((8, 8), 1e300), {}, ImageError, "beyond float32"),
    "alpha alone": (picture(8, 8), {"alpha": True}, ImageError, "alpha"),
    "alpha of floats": (picture(8, 8, 2, dtype="float32"), {"alpha": True}, ImageError, "alpha"),
    "no larger": (picture(8, 8), {"target_size": "8x8"}, ImageError, "no more"),
    "a device that there is none of": (picture(8, 8), {"device": "tpu"}, UsageError, "device: 'tpu'"),
    "an option that means nothing": (picture(8, 8), {"workers": 2}, TypeError, "no option 'workers'"),
    "a misspelt one": (picture(8, 8), {"tilesize": 32}, TypeError, "did you mean tile_size"),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_what_is_no_image_is_told(case: str) -> None:
    """In a sentence, by the documented class."""
    image, options, kind, message = WRONG_IMAGES[case]
    with pytest.raises(kind, match=message):
        enlarge(image, **options)


def test_a_caller_without_gradients_can_fit() -> None:
    """Whatever it switched off; and an image that itself asks for gradients gets none."""
    lr, image = star(24), picture(24, 24)
    settings = Settings(scale=2, method="zssr", width=4, depth=3)
    settings = Settings(**{**vars(settings), "fit": type(settings.fit)(steps=2, crop=16, batch=2)})
    options = {"method": "zssr", "network": "subpixel", "steps": 2, "width": 4}
    expected, of_array = super_resolve(lr, settings), enlarge(image, 2, **options)
    for without in (torch.no_grad(), torch.inference_mode()):
        with without:
            torch.testing.assert_close(super_resolve(lr.clone(), settings), expected, rtol=0, atol=0)
            np.testing.assert_array_equal(enlarge(image, 2, **options), of_array)
    torch.testing.assert_close(super_resolve(lr.clone().requires_grad_(), settings), expected, rtol=0, atol=0)


def flags() -> tuple[Any, ...]:
    """What a process has set for torch."""
    cudnn, cuda, mkldnn = torch.backends.cudnn, torch.backends.cuda.matmul, torch.backends.mkldnn
    operations = (cudnn.conv, cudnn.rnn, cuda, mkldnn.conv, mkldnn.matmul)
    precisions = [operation.fp32_precision for operation in operations]
    state = (torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled())
    return *state, cudnn.deterministic, cudnn.allow_tf32, precisions


@pytest.fixture
def set_otherwise() -> Iterator[tuple[Any, ...]]:
    """A process with settings of its own; `flags` then."""
    before = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.no_grad():
            yield flags()
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(before[1])
        torch.set_num_threads(before[0])


def test_a_run_leaves_torch_as_it_is(tmp_path: Path, set_otherwise: tuple[Any, ...]) -> None:
    """One in this process heeds nothing of what its caller has set, gives the same pixels, and changes none of it."""
    write(tmp_path / "a.png", picture(28, 30))
    options: dict[str, Any] = {"method": "zssr", "network": "subpixel", "steps": 2, "width": 4, "single": True}
    made = []
    for name in ("set", "plain"):
        summary = run(tmp_path / "a.png", tmp_path / name, scale=2, executor="inline", **options)
        assert summary.done == 1, summary.records().to_pylist()[0]["error_message"]
        made.append(read(tmp_path / name / "images/a.png"))
        if name == "set":
            assert flags() == set_otherwise
            torch.set_default_device(None)
            torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(*made)


def test_cameras_leave_torch_as_it_is(tmp_path: Path, set_otherwise: tuple[Any, ...]) -> None:
    """The kernel of a camera, too, is found without a trace."""
    for name in "ab":
        write(tmp_path / f"{name}.png", picture(64, 72))
    options = {"method": "bicubic", "kernel": "estimate-collection", "executor": "inline"}
    summary = run(tmp_path / "*.png", tmp_path / "out", scale=2, **options)
    assert summary.done == 2
    assert flags() == set_otherwise


def test_images_in_memory_need_no_default_of_torch(set_otherwise: tuple[Any, ...]) -> None:
    """Arrays and tensors of the CPU are enlarged there, whatever device the process makes tensors on."""
    image = picture(24, 26)
    lr = torch.from_numpy(image)[None].float() / 255
    settings = Settings(scale=2, method="bicubic")
    options = {"preset": "fast", "noise": 2}
    made = enlarge(image, 2, **options), super_resolve(lr, settings)
    assert flags() == set_otherwise
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(made[0], enlarge(image, 2, **options))
    assert torch.equal(made[1], super_resolve(lr, settings))


def test_a_default_device_may_be_set_before_anything_is_imported() -> None:
    """Tables that are made with an import lie on the CPU all the same."""
    code = """import torch
torch.set_default_device("meta")
import numpy as np
from pipeline import enlarge
image = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
print(enlarge(image, 2, preset="fast", noise=2).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(48, 48)\n", done.stderr


WRONG_TENSORS = {
    "two axes": (noise(8, 9), "give (C, H, W)"),
    "bytes": (noise(1, 8, 9, dtype=torch.uint8), "torch.uint8"),
    "empty": (noise(1, 0, 9), "(1, 0, 9)"),
    "not finite": (noise(1, 8, 9).log().where(noise(1, 8, 9) > 0.5, math.nan), "NaN"),
    "grey levels": (noise(1, 8, 9) * 255, "scale it to [0, 1]"),
}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_what_is_no_lr_image_is_told(case: str) -> None:
    """Before anything is computed."""
    lr, message = WRONG_TENSORS[case]
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("(", r"\(").replace(")", r"\)")):
        super_resolve(lr, Settings(scale=2))


WITHOUT_WEIGHTS = {
    "fast": (preset(Preset.FAST, from_prior=True), "the method auto of the network direct starts from a prior"),
    "a few steps": (preset(Preset.BALANCED, from_prior=True), "give pipeline.load_prior()"),
    "no step": (replace(preset(Preset.FAST, from_prior=True), method="zssr"), "the method zssr of the network direct"),
    "the prior's own method": (Settings(network="direct", method="prior"), "the method prior of the network direct"),
}


@pytest.mark.parametrize("case", WITHOUT_WEIGHTS)
def test_settings_that_start_from_a_prior_without_one_are_told(case: str) -> None:
    """Else the result would be bicubic, and nobody would know."""
    settings, message = WITHOUT_WEIGHTS[case]
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        super_resolve(noise(1, 12, 16), settings)


def test_a_prior_of_another_network_is_told() -> None:
    """A network that is fitted from scratch has no place for the weights; what uses no network ignores them."""
    lr, prior = noise(1, 12, 16), load_prior()
    with pytest.raises(ValueError, match="a prior is for the network direct, not for subpixel; give settings made by"):
        super_resolve(lr, Settings(scale=2), prior)
    assert super_resolve(lr, Settings(scale=2, method="bicubic"), prior).shape == (1, 24, 32)


def test_a_size_on_the_ground_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor lies nowhere."""
    monkeypatch.setattr("sr_ops.in_memory.fit_stages", None)
    with pytest.raises(ValueError, match=r"gsd:2\.5 is not a size in pixels"):
        super_resolve(noise(1, 12, 16), Settings(scale=2, result_size="gsd:2.5"))


def test_kernels_of_another_number_of_bands_are_told() -> None:
    """Both numbers, and what to give; one kernel a band, or one for all, is taken."""
    lr, settings = noise(2, 8, 9), Settings(scale=2, method="bicubic", noise="0")
    with pytest.raises(ValueError, match=r"mtf:0.2,0.3,0.4 is for 3 bands, the image has 2; give one for all, or 2"):
        super_resolve(lr, replace(settings, kernel="mtf:0.2,0.3,0.4"))
    for kernel in ("mtf:0.2,0.3", "mtf:0.2"):
        assert super_resolve(lr, replace(settings, kernel=kernel)).shape == (2, 16, 18)


def test_what_a_domain_allows_is_taken() -> None:
    """Its bounds, and samples that it calls unknown, are no errors."""
    lr = noise(1, 8, 9) * 4
    settings = Settings(scale=2, method="bicubic")
    assert float(super_resolve(lr, settings, domain=Domain(high=4.0)).max()) > 2
    most = torch.tensor([[[0.3]]], dtype=torch.float64)
    full = torch.full((1, 8, 9), 0.3)  # in float32 by a hair more than in float64
    assert float(super_resolve(full, settings, domain=Domain(high=most)).max()) == float(full.max())
    holes = lr.clone()
    holes[:, 2, 2] = math.nan
    made = super_resolve(holes, settings, domain=Domain(known=holes.isfinite(), high=4.0))
    assert bool(made.isfinite().all())


def test_super_resolve_starts_from_the_shipped_prior() -> None:
    """It is another result than without, by the settings that go with it."""
    settings = Settings(**{**vars(preset(Preset.FAST, from_prior=True)), "scale": 2})
    lr = noise(1, 12, 16)
    by_prior = super_resolve(lr, settings, load_prior())
    assert by_prior.shape == (1, 24, 32)
    assert not torch.equal(by_prior, super_resolve(lr, Settings(scale=2, method="bicubic")))
    with pytest.raises(UsageError, match="nothing is at"):
        load_prior("nowhere.safetensors")


SHOWN_ONLY = {"manifest", "config", "output", "json", "verbose", "log_format", "report"}
"""Options of `srpipe run` that say what it reads, and what it shows; a call returns it."""


def options_of_run() -> dict[str, Any]:
    """The command's parameters by name."""
    parameters = get_group(app).commands["run"].params
    return {max(one.opts, key=len).lstrip("-").replace("-", "_").lower(): one for one in parameters}


def test_every_option_of_the_command_is_one_of_the_call() -> None:
    """But for those that show something, and those of S3, which are `storage_options`."""
    storage = {name for name in options_of_run() if "s3" in name or name.endswith("storage_option")}
    assert {*names_of_quality(), *names_of_run()} == set(options_of_run()) - storage - SHOWN_ONLY


def test_numbers_are_in_the_ranges_of_the_command() -> None:
    """Both say the same of every option that has one."""
    ranges = {
        name: (option.min, math.inf if option.max is None else option.max)
        for name, option in options_of_run().items()
        if option.min is not None
    }
    assert ranges == BOUNDS


WRONG_OPTIONS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "none of them": ({"turbo": True}, TypeError, "no option 'turbo'"),
    "a word for a number": ({"steps": "many"}, UsageError, "steps: 'many'"),
    "too small": ({"tile_size": 4}, UsageError, "tile_size: 4 cannot be taken; give a whole number from 16"),
    "text for a size": (
        {"tile_size": "big"},
        UsageError,
        "'big' cannot be taken; give a whole number",
    ),
    "a preset nearly right": (
        {"preset": "fats"},
        UsageError,
        "no preset 'fats'; did you mean fast; use one of fast",
    ),
    "no number": ({"learning_rate": math.nan}, UsageError, "learning_rate: nan"),
    "no such preset": ({"preset": "better"}, UsageError, "preset: there is no preset 'better'"),
    "no such method": ({"method": "magic"}, UsageError, "method: .*magic"),
    "no such network": ({"network": "magic", "depth": 3}, UsageError, "network: .*magic"),
    "no such kernel": ({"kernel": "gauss:1"}, UsageError, "kernel: 'gauss:1' is not a kernel"),
    "no scale": ({"scale": 1}, UsageError, "scale: the scale '1' cannot be made"),
    "two sizes": ({"scale": 2, "target_size": "9x9"}, UsageError, "leave out all but one"),
    "a share of a GPU": ({"gpus_per_worker": 0.3}, UsageError, "gpus_per_worker: '0.3' is not 1, 1/2 or 1/4"),
    "options that do not go together": ({"executor": "inline", "workers": 2}, UsageError, "--workers"),
    "a kernel that cannot be": ({"kernel": object()}, UsageError, "kernel: "),
}


@pytest.mark.parametrize("case", WRONG_OPTIONS)
def test_a_call_that_cannot_be_has_written_nothing(case: str, tmp_path: Path) -> None:
    """As the command: it names the option and what to do."""
    options, kind, message = WRONG_OPTIONS[case]
    write(tmp_path / "a.png", picture(8, 8))
    with pytest.raises(kind, match=message):
        run(tmp_path / "a.png", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_run_goes_on_and_tells_its_failures(tmp_path: Path) -> None:
    """Records of an earlier call are among those of this one, and a bad image is one of them."""
    write(tmp_path / "a.png", picture(8, 8))
    (tmp_path / "b.png").write_text("no picture")
    options: dict[str, Any] = {"scale": 2, "executor": "inline", **FAST}
    first, second = (run(tmp_path / "*.png", tmp_path / "out", **options) for _ in range(2))
    assert (first.done, first.failed, first.errors) == (1, 1, {"corrupt": 1})
    assert (second.done, second.already_done, second.failed) == (0, 1, 1)
    records = {row["key"]: row for row in second.records().to_pylist()}
    assert (records["a.png"]["status"], records["b.png"]["status"]) == ("done", "failed")
    assert Path(second.table).is_file()


def test_enums_paths_and_numbers_of_numpy_are_options_too(tmp_path: Path) -> None:
    """What code has at hand need not be turned into text."""
    write(tmp_path / "a.png", picture(8, 8))
    np.save(tmp_path / "k.npy", np.full((3, 3), 1 / 9))
    options = {"preset": Preset.FAST, "seed": np.int64(3), "noise": np.float32(2), "kernel": tmp_path / "k.npy"}
    summary = run(tmp_path / "a.png", tmp_path / "out", scale=np.int64(2), executor="inline", **options)
    (record,) = summary.records().to_pylist()
    assert (record["seed"], record["noise"], record["scale"]) == (3, [pytest.approx(2.0)], 2.0)
    assert record["kernel"].startswith("file, 3 x 3")


@pytest.mark.parametrize("package", [pipeline, sr_ops])
def test_all_names_are_there(package: Any) -> None:
    """And others are not."""
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018 - to look it up is what is tried


def modules_with_examples() -> list[str]:
    files = [file for layer in ("sr_ops", "pipeline", "jobs") for file in sorted((REPOSITORY / layer).rglob("*.py"))]
    return [
        ".".join(file.relative_to(REPOSITORY).with_suffix("").parts) for file in files if ">>> " in file.read_text()
    ]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_are_true(name: str) -> None:
    """What a docstring shows is what comes out."""
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted > 0
    assert done.failed == 0


def test_what_python_calls_has_examples() -> None:
    """The three that documentation leads to."""
    assert {"sr_ops.in_memory", "pipeline.arrays", "pipeline.running"} <= set(modules_with_examples())
