"""Trained models of others: what files are taken for, and what they make of windows of any size."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn

from pipeline.models.kinds import Kind
from pipeline.models.model_file import ModelFile, parse_model
from pipeline.models.spandrel_model import SpandrelModel
from pipeline.models.takes import Takes
from sr_ops.enlarging.restorer import Restorer, RestorerError, restored
from sr_ops.in_memory import super_resolve
from sr_ops.settings import Settings

from .onnx_models import as_onnx, by_torch, drawn, of_one_node

HALO = 8


def ready(data: bytes, halo: int = HALO) -> Restorer:
    return parse_model(data).ready(halo, 1, "cpu")


def noise(bands: int, height: int, width: int) -> Tensor:
    return torch.rand(bands, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("bands", [1, 3])
def test_onnx_gives_what_torch_gives(bands: int, scale: int) -> None:
    """The same network, run by another library, on a window of odd sides."""
    weights, image = drawn(bands, scale), 1.6 * noise(bands, 23, 31) - 0.3  # as 16 bits are, beyond 0 and 1
    model = ready(as_onnx(weights, scale))
    assert (model.scale, model.bands) == (scale, bands)
    assert torch.allclose(model(image), by_torch(image, weights, scale), atol=1e-5)


def test_half_precision() -> None:
    """A model in float16 gets and gives float32."""
    weights, image = drawn(), noise(3, 20, 20)
    made = ready(as_onnx(weights, 2, dtype=TensorProto.FLOAT16))(image)
    assert made.dtype == torch.float32
    assert torch.allclose(made, by_torch(image, weights, 2), atol=1e-2)


def test_a_model_that_wants_multiples() -> None:
    """Windows are mirrored up to them; far from the border that is nothing, and no row is lost."""
    weights, image = drawn(), noise(3, 29, 43)
    file = parse_model(as_onnx(weights, 2, window=8))
    assert file.takes == Takes(2, 3, None, 8, 8)
    made, expected = file.ready(HALO, 1, "cpu")(image), by_torch(image, weights, 2)
    assert made.shape == expected.shape
    assert torch.allclose(made[:, :-6, :-6], expected[:, :-6, :-6], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(24, 32), (25, 33), (90, 70), (7, 100), (1, 1)])
def test_a_model_of_one_size(height: int, width: int) -> None:
    """It is laid out in windows of that size, as if it had seen the whole."""
    weights, image = drawn(), noise(3, height, width)
    file = parse_model(as_onnx(weights, 2, (1, 3, 24, 32)))
    assert file.takes.fixed == (24, 32)
    made, expected = file.ready(HALO, 1, "cpu")(image), by_torch(image, weights, 2)
    assert made.shape == expected.shape
    rows, columns = 2 * height - 6 * (height < 24), 2 * width - 6 * (width < 32)  # beyond, it saw a mirror
    if rows > 0 and columns > 0:
        assert torch.allclose(made[:, :rows, :columns], expected[:, :rows, :columns], atol=1e-5)


def test_pieces_are_as_the_whole() -> None:
    """A piece with a halo as wide as the network sees is what the whole would be; with none it is not."""
    weights, image = drawn(), noise(3, 300, 40)
    model, expected = ready(as_onnx(weights, 2)), by_torch(image, weights, 2)
    assert torch.allclose(restored(image, model, HALO, together=True), expected, atol=1e-5)
    assert not torch.allclose(restored(image, model, 0, together=True), expected, atol=1e-2)


def test_bands_are_gray_pictures_where_they_are_no_colours() -> None:
    """Of a model of colours each band is seen three times, and the mean taken; one of gray sees each as it is."""
    colour, gray, image = drawn(3), drawn(1), noise(5, 20, 24)
    by_colour = restored(image, ready(as_onnx(colour, 2)), HALO, together=False)
    by_gray = restored(image, ready(as_onnx(gray, 2)), HALO, together=True)
    for band, of_colour, of_gray in zip(image, by_colour, by_gray, strict=True):
        assert torch.allclose(of_colour, by_torch(band.expand(3, -1, -1), colour, 2).mean(0), atol=1e-5)
        assert torch.allclose(of_gray, by_torch(band[None], gray, 2)[0], atol=1e-5)
    whole = restored(image[:3], ready(as_onnx(colour, 2)), HALO, together=True)
    assert torch.allclose(whole, by_torch(image[:3], colour, 2), atol=1e-5)
    apart = restored(image[:3], ready(as_onnx(colour, 2)), HALO, together=False)
    assert torch.allclose(apart, by_colour[:3], atol=1e-6)
    assert not torch.allclose(whole, apart, atol=1e-2)


def test_some_bands_of_many_are_no_colours() -> None:
    """Seven are enlarged in fours and threes; a band comes out the same wherever it stands."""
    settings = Settings(scale=2, method="model", kernel="bicubic", noise="0")
    image = noise(1, 20, 22).expand(7, -1, -1)
    made = super_resolve(image, settings, restorer=ready(as_onnx(drawn(3), 2)))
    assert torch.allclose(made, made[:1].expand(7, -1, -1), atol=1e-5)
    assert not torch.allclose(
        made[:3], super_resolve(image[:3], settings, restorer=ready(as_onnx(drawn(3), 2))), atol=1e-2
    )


def test_in_memory_a_model_must_be_handed_in() -> None:
    """Without one that is said."""
    with pytest.raises(ValueError, match="the method model needs a trained model"):
        super_resolve(noise(3, 20, 20), Settings(scale=2, method="model", kernel="bicubic"))


def test_in_memory_a_model_is_of_the_scale_that_is_asked_for() -> None:
    """Another one is told, too."""
    with pytest.raises(ValueError, match="the model enlarges by 2, not by 3; give it as the scale"):
        super_resolve(noise(3, 20, 20), Settings(scale=3, method="model"), restorer=ready(as_onnx(drawn(3), 2)))


def test_numbers_that_are_none() -> None:
    """They are told, not written."""
    weights, image = drawn(), noise(3, 20, 20)
    image[0, 3, 3] = float("inf")
    with pytest.raises(RestorerError, match="not finite"):
        restored(image, ready(as_onnx(weights, 2)), HALO, together=True)


def test_what_fails_while_it_runs_is_told() -> None:
    """A size that was not tried, and that the model does not take: no window of 4 was a multiple of 6."""
    data = as_onnx(drawn(), 2, window=8)
    wrong = ModelFile(data, Kind.ONNX, Takes(2, 3)).ready(HALO, 1, "cpu")
    with pytest.raises(RestorerError, match="does not run on 20 x 18 pixels"):
        wrong(noise(3, 18, 20))


class _Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this was run",)


def checkpoint(held: object, **options: object) -> bytes:
    stream = io.BytesIO()
    torch.save(held, stream, **options)  # type: ignore[arg-type]
    return stream.getvalue()


TENSORS = nn.Conv2d(3, 3, 3).state_dict()
CALLS: dict[str, Callable[[], bytes]] = {
    "a checkpoint": lambda: checkpoint({"params": TENSORS, "more": _Calls()}),
    "an old checkpoint": lambda: checkpoint({"more": _Calls()}, _use_new_zipfile_serialization=False),
    "a whole module": lambda: checkpoint(nn.Conv2d(3, 3, 3)),
    "a bare pickle": lambda: pickle.dumps(_Calls(), 2),
}


@pytest.mark.parametrize("what", CALLS)
def test_a_pickle_that_runs_code_is_not_opened(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of it is run, and that is said, with or without what could read it."""
    with pytest.raises(ValueError, match="is a pickle that runs code when it is opened"):
        parse_model(CALLS[what]())
    assert "this was run" not in capsys.readouterr().out


@pytest.mark.parametrize("held", [_Calls(), {"a": "torch._utils", "b": "_rebuild_tensor_v2", "c": _Calls()}, TENSORS])
def test_a_later_pickle_is_not_opened(held: object, capsys: pytest.CaptureFixture[str]) -> None:
    """It names what it calls by what it put on its stack, perhaps long before, so that one need not look."""
    with pytest.raises(ValueError, match=r"tells only as it is opened what it runs, .*; save its tensors alone"):
        parse_model(pickle.dumps(held, 4))
    with pytest.raises(ValueError, match="tells only as it is opened what it runs"):
        parse_model(checkpoint(held, pickle_protocol=4))
    assert "this was run" not in capsys.readouterr().out


def test_a_damaged_archive_is_no_checkpoint() -> None:
    """Whatever the method of its compression."""
    for method, damaged in ((zipfile.ZIP_DEFLATED, b"\xff"), (zipfile.ZIP_BZIP2, b"x"), (zipfile.ZIP_LZMA, b"\xff")):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            archive.writestr("a/data.pkl", bytes(1000))
        data = bytearray(stream.getvalue())
        start = 30 + len("a/data.pkl")
        data[start : start + 12] = damaged * 12
        with pytest.raises(ValueError, match="is not a complete checkpoint of PyTorch"):
            parse_model(bytes(data))


@pytest.mark.parametrize("old", [False, True])
def test_a_checkpoint_of_tensors_is_no_such_pickle(old: bool) -> None:
    """What is said of it is about spandrel: that it is not here, or knows no such network."""
    held = {"params": TENSORS, "parameter": nn.Parameter(torch.zeros(128)), "half": torch.zeros(2).half(), "epoch": 3}
    with pytest.raises(ValueError, match=r"needs spandrel|that spandrel knows \("):
        parse_model(checkpoint(held, _use_new_zipfile_serialization=not old))


GOOD = as_onnx(drawn(), 2)
REFUSED = {
    "empty": (b"", "is not a complete ONNX model"),
    "text": (b"no model at all, but a sentence\n", "is not a complete ONNX model"),
    "a truncated one": (GOOD[: len(GOOD) // 2], "is not a complete ONNX model"),
    "a truncated checkpoint": (checkpoint(TENSORS)[:300], "is not a complete checkpoint of PyTorch"),
    "four bands": (as_onnx(drawn(4), 2), "is for pictures of 4 bands"),
    "fewer bands out than in": (as_onnx(drawn(3, made=1), 2), "not an enlargement of it"),
    "as large as before": (as_onnx(drawn(3, 1), 1), "enlarges by 1; "),
    "far too large": (as_onnx(drawn(3, 9), 9), "enlarges by 9; "),
    "two pictures at once": (as_onnx(drawn(), 2, (2, 3, "h", "w")), "takes 2 pictures at a time"),
    "one side open": (as_onnx(drawn(), 2, (1, 3, 24, "w")), "of one size in one direction alone"),
    "a classifier": (of_one_node("Flatten"), "makes 12288 of 3 x 64 x 64, which is not .*; take a model"),
    "one number": (of_one_node("ReduceMean", keepdims=0), "makes one number of 3 x 64 x 64, .*; take a model"),
    "words": (of_one_node("Cast", TensorProto.STRING, to=TensorProto.STRING), r"gives tensor\(string\), .*; take"),
    "no size that is tried": (as_onnx(drawn(), 2, window=7), "does not run on 64 x 64 pixels .*; export it"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_model_for_pictures(what: str) -> None:
    """One line says why."""
    data, sentence = REFUSED[what]
    with pytest.raises(ValueError, match=sentence) as caught:
        parse_model(data)
    assert "\n" not in str(caught.value)


def test_weights_outside_the_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sha256 covers them, and a worker on another machine would not find them."""
    onnx.save_model(
        onnx.load_model_from_string(GOOD),
        str(tmp_path / "m.onnx"),
        save_as_external_data=True,
        location="m.data",
        size_threshold=0,
    )
    monkeypatch.chdir(tmp_path)  # where onnxruntime would look for them
    with pytest.raises(ValueError, match="keeps its weights in another file; save it as one"):
        parse_model((tmp_path / "m.onnx").read_bytes())


def test_weights_in_safetensors_that_are_cut_off() -> None:
    """That is said before spandrel is looked for."""
    data = (Path(__file__).parent.parent / "pipeline/priors/any_camera.safetensors").read_bytes()
    with pytest.raises(ValueError, match="is not a complete file of tensors"):
        parse_model(data[: len(data) // 2])


def test_spandrel_gives_what_torch_gives() -> None:
    """Where it is installed: a small network that it knows (SRVGGNetCompact), beyond 0 and 1 as well, of odd sides."""
    pytest.importorskip(
        "spandrel", reason="goes with no torch that is pinned here", exc_type=(ImportError, RuntimeError)
    )
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), nn.Conv2d(8, 8, 3, padding=1), nn.PReLU(8))
    body = nn.Sequential(*layers, nn.Conv2d(8, 12, 3, padding=1))
    image = 1.6 * noise(3, 23, 31) - 0.3
    model = ready(checkpoint({"params": {f"body.{name}": tensor for name, tensor in body.state_dict().items()}}))
    with torch.inference_mode():
        expected = nn.functional.pixel_shuffle(body(image[None]), 2)[0]
        expected += nn.functional.interpolate(image[None], scale_factor=2)[0]
        assert torch.allclose(model(image), expected, atol=1e-5)
    assert expected.min() < -0.1
    assert expected.max() > 1.1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError("size of tensor a (7)\nmust match"),
            (RestorerError, r"not run on 8 x 10 pixels \(size of .*must"),
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), (RuntimeError, "DefaultCPUAllocator")),
    ],
)
def test_a_model_of_spandrels_that_fails_is_no_bug_here(error: Exception, told: tuple[type[Exception], str]) -> None:
    """As with ONNX; but want of memory is told as such, since a smaller window may succeed."""

    def fail(*_: object) -> Tensor:
        raise error

    model = SpandrelModel.__new__(SpandrelModel)
    model._model, model._takes, model.scale = SimpleNamespace(_call_fn=fail, model=None), Takes(2, 3, multiple=2), 2
    with pytest.raises(told[0], match=told[1]):
        model(noise(3, 9, 7))


def test_the_least_side_is_one_that_a_model_takes() -> None:
    """Also where it is no multiple of what sides must be a multiple of."""
    takes = Takes(2, 3, least=10, multiple=8)
    assert (takes.sides(3, 17), takes.sides(16, 9)) == ((16, 24), (16, 16))


def test_spandrel_that_is_not_here_is_named() -> None:
    """With what to install, in versions that go together."""
    try:
        import spandrel  # noqa: F401
    except (ImportError, RuntimeError):
        with pytest.raises(ValueError, match=r"pip install spandrel==.* torch==.* torchvision==.*as ONNX"):
            parse_model(checkpoint(TENSORS))
    else:
        with pytest.raises(ValueError, match="of no model that spandrel knows"):
            parse_model(checkpoint(TENSORS))
