"""Prior files: what is written is read again, and what is no whole prior is told in a sentence, whatever its bytes."""

import io
import json
import math
import pickle
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from jobs.sample_pictures import satellite_view
from pipeline import storage
from pipeline.errors import UsageError
from pipeline.priors import prior_file as prior_module
from pipeline.priors.prior_file import PriorFile, check_fits, parse_prior, read_prior, to_bytes, weights
from sr_ops.metrics import psnr_y
from sr_ops.networks import build_network
from sr_ops.resample import downscale, upscale
from sr_ops.settings import Network, Settings

MakePrior = Callable[..., bytes]

TINY = Settings(width=8, depth=3)
METADATA = {"network": "subpixel", "width": 8, "depth": 3, "bands": [1, 3]}


def _state(bands: int, settings: Settings = TINY, seed: int = 0) -> dict[str, torch.Tensor]:
    built = build_network(
        settings.network, bands, settings.width, settings.depth, seed, torch.device("cpu"), torch.float32
    )
    return built.state_dict()


@lru_cache
def _good() -> bytes:
    """A prior file for the tiny network."""
    return to_bytes({bands: _state(bands) for bands in (1, 3)}, TINY)


def _header_bytes(data: bytes) -> int:
    """Length of a safetensors file before its numbers."""
    return 8 + int.from_bytes(data[:8], "little")


def _described(text: object, tensors: dict[str, torch.Tensor] | None = None) -> bytes:
    """The tensors of the tiny prior, or others, under any description."""
    described = text if isinstance(text, str) else json.dumps(text)
    return save(load(_good()) if tensors is None else tensors, {"srpipe-prior": described})


# ---- round trip -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "depth"), [(8, 3), (1, 2), (64, 8), (128, 20)])
@pytest.mark.parametrize("bands", [(1,), (1, 3)])
@pytest.mark.parametrize("network", Network)
def test_round_trip(network: Network, bands: tuple[int, ...], width: int, depth: int) -> None:
    """A file gives back the weights, rounded to float16, as float32 tensors, and says which network they are for."""
    size = Settings(network=network, width=width, depth=depth)
    prior = {number: _state(number, size) for number in bands}
    for state in prior.values():
        for tensor in state.values():
            tensor.normal_(generator=torch.Generator().manual_seed(1))
    held = parse_prior(to_bytes(prior, size))
    assert (held.network, held.width, held.depth, held.bands) == (network, width, depth, bands)
    check_fits(held, size)
    read = weights(held.data)
    assert read.keys() == prior.keys()
    for number, state in prior.items():
        assert read[number].keys() == state.keys()
        for name, tensor in state.items():
            assert read[number][name].dtype == torch.float32
            assert torch.equal(read[number][name], tensor.half().float())
            assert not torch.equal(tensor, tensor.half().float())


def test_half_the_bytes_of_float32() -> None:
    """Weights are stored in float16: the file is little more than two bytes a weight."""
    count = sum(tensor.numel() for bands in (1, 3) for tensor in _state(bands).values())
    assert len(_good()) - _header_bytes(_good()) == 2 * count


def test_equal_weights_are_equal_bytes() -> None:
    """Neither the order in which weights come nor where they lie in memory shows in the file; the weights do."""
    states = {bands: _state(bands) for bands in (1, 3)}
    turned = {
        bands: {
            name: tensor.clone(memory_format=torch.contiguous_format)
            for name, tensor in reversed(states[bands].items())
        }
        for bands in (3, 1)
    }
    assert {to_bytes(states, TINY) for _ in range(8)} == {to_bytes(turned, TINY)} == {_good()}
    states[3]["body.0.bias"][0] += 1
    assert to_bytes(states, TINY) != _good()


def test_identity_is_that_of_the_bytes() -> None:
    """The sha256 is the one `sha256sum` gives for the file."""
    alphabet = PriorFile(b"abcdefghijklmnopqrstuvwxyz", Network.SUBPIXEL, 8, 3, (1,))
    assert alphabet.sha256 == "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73"


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize(("width", "depth"), [(8, 2), (8, 3), (5, 4), (64, 8), (1, 9)])
@pytest.mark.parametrize("network", Network)
def test_shapes_are_those_of_the_networks(network: Network, width: int, depth: int, bands: int) -> None:
    """What the file check expects without torch is what the network has, name by name."""
    state = _state(bands, Settings(network=network, width=width, depth=depth))
    expected = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert prior_module._shapes(network, bands, width, depth) == expected


# ---- which one ------------------------------------------------------------------------------------------------------


def test_none_is_no_prior() -> None:
    """`none` reads nothing."""
    assert read_prior("none") is None


def test_a_file_is_read_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_prior: MakePrior) -> None:
    """A path may be absolute or relative to the working directory; a file called like a choice is reached by ./"""
    monkeypatch.chdir(tmp_path)
    for name, seed in {"mine.safetensors": 1, "none": 2, "shipped": 3}.items():
        (tmp_path / name).write_bytes(make_prior(seed=seed))
        for choice in (str(tmp_path / name), f"./{name}"):
            held = read_prior(choice)
            assert held is not None
            assert held.data == make_prior(seed=seed)
    assert read_prior("none") is None
    assert read_prior("mine.safetensors") == read_prior("./mine.safetensors")


def test_the_shipped_prior() -> None:
    """It is whole, fits the default settings, serves gray and colour, and is small enough to travel in the wheel."""
    held = read_prior("shipped")
    assert held is not None
    check_fits(held, Settings())
    assert set(held.bands) == {1, 3}
    assert len(held.data) <= 1_100_000
    assert all(tensor.isfinite().all() for state in weights(held.data).values() for tensor in state.values())


@pytest.mark.parametrize("bands", [1, 3])
def test_the_shipped_prior_knows_more_than_bicubic(bands: int) -> None:
    """Without a step of fitting it enlarges a picture it never saw better than bicubic."""
    held = read_prior("shipped")
    assert held is not None
    defaults = Settings()
    network = build_network(
        defaults.network, bands, defaults.width, defaults.depth, 0, torch.device("cpu"), torch.float32
    )
    network.load_state_dict(weights(held.data)[bands])
    truth = torch.from_numpy(satellite_view(128)).permute(2, 0, 1)[:bands] / 255
    lr = downscale(truth, 2)
    with torch.inference_mode():
        enlarged = (network(lr[None])[0], upscale(lr, 2))
    learned, bicubic = (psnr_y(image.clamp(0, 1) * 255, truth * 255, 2) for image in enlarged)
    assert learned > bicubic + 0.5


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({"network": Network.ZSSR}, "zssr of width 8 and depth 3"),
        ({"width": 16}, "subpixel of width 16 and depth 3"),
        ({"depth": 4}, "subpixel of width 8 and depth 4"),
    ],
)
def test_a_prior_for_another_network(change: dict[str, Any], held: str, make_prior: MakePrior) -> None:
    """It is refused with both networks and the remedy."""
    other = parse_prior(make_prior(**change))
    check_fits(other, Settings(**{"width": 8, "depth": 3, **change}))
    with pytest.raises(UsageError) as refused:
        check_fits(other, TINY)
    sentence = str(refused.value)
    assert f"for the network {held}, not subpixel of width 8 and depth 3" in sentence
    assert "use --prior none" in sentence
    assert "srpipe prior" in sentence


# ---- what is no prior -----------------------------------------------------------------------------------------------


def _pickled(**options: Any) -> bytes:
    file = io.BytesIO()
    torch.save({"body.0.weight": torch.zeros(3)}, file, **options)
    return file.getvalue()


def _without(name: str) -> dict[str, torch.Tensor]:
    return {held: tensor for held, tensor in load(_good()).items() if held != name}


def _with(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**load(_good()), name: tensor}


NO_PRIORS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is no whole safetensors file"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "is no whole safetensors file"),
    "text": (lambda: b"weights, please\n" * 100, "is no whole safetensors file"),
    "a header of 4 EB": (lambda: (2**62).to_bytes(8, "little") + b"{}", "is no whole safetensors file"),
    "cut in the header": (lambda: _good()[:200], "is no whole safetensors file"),
    "cut in the numbers": (lambda: _good()[:-1], "is no whole safetensors file"),
    "something behind": (lambda: _good() + b"\0", "is no whole safetensors file"),
    "what torch.save makes": (_pickled, "is a pickle of PyTorch, which could run any code"),
    "what torch.save made": (
        lambda: _pickled(_use_new_zipfile_serialization=False),
        "is a pickle of PyTorch, which could run any code",
    ),
    "a pickle": (lambda: pickle.dumps({"a": 1}, protocol=4), "is a pickle of PyTorch, which could run any code"),
    "somebody's weights": (lambda: save(load(_good())), "does not say what network it is for"),
    "somebody's, described": (lambda: save(load(_good()), {"format": "pt"}), "does not say what network it is for"),
    "no tensors": (lambda: _described(METADATA, {}), "does not hold the tensors of subpixel 8 x 3 for [1, 3] bands"),
    "one tensor short": (lambda: _described(METADATA, _without("3.body.3.bias")), "does not hold the tensors"),
    "one tensor more": (lambda: _described(METADATA, _with("3.extra", torch.zeros(1))), "does not hold the tensors"),
    "a tensor turned": (
        lambda: _described(METADATA, _with("3.body.0.weight", torch.zeros(3, 8, 3, 3))),
        "does not hold the tensors",
    ),
    "another depth": (lambda: _described({**METADATA, "depth": 4}), "does not hold the tensors of subpixel 8 x 4"),
    "another network": (lambda: _described({**METADATA, "network": "zssr"}), "does not hold the tensors of zssr 8 x 3"),
    "no network of one band": (
        lambda: _described(
            {**METADATA, "bands": [3]}, {name: it for name, it in load(_good()).items() if name.startswith("3.")}
        ),
        "does not hold the tensors of subpixel 8 x 3 for [3] bands",
    ),
    "an unknown network": (
        lambda: _described({**METADATA, "network": "edsr"}),
        "does not say what network it is for ('edsr' is not a valid Network)",
    ),
    "a width that is none": (lambda: _described({**METADATA, "width": "wide"}), "does not say what network it is for"),
    "no description": (lambda: _described("{"), "does not say what network it is for"),
    "numbers numpy has not": (
        lambda: _described(METADATA, {name: it.bfloat16() for name, it in load(_good()).items()}),
        "is no whole safetensors file",
    ),
}


@pytest.mark.parametrize("case", NO_PRIORS)
def test_what_is_no_prior_is_told(tmp_path: Path, case: str) -> None:
    """One sentence names the option, the file, what is wrong with it and what to do."""
    make, trouble = NO_PRIORS[case]
    path = tmp_path / "file.safetensors"
    path.write_bytes(make())
    with pytest.raises(UsageError) as refused:
        read_prior(str(path))
    sentence = str(refused.value)
    assert sentence.startswith(f"--prior: {path} {trouble}")
    assert "make one with `srpipe prior`" in sentence
    assert "\n" not in sentence


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    """Reading a file of code as a prior runs none of it."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(ValueError, match="is "):
            parse_prior(pickle.dumps(Trap(), protocol))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ("missing.safetensors", r"--prior: nothing is at /.*/missing\.safetensors; make one with `srpipe prior`"),
        ("missing/p.safetensors", r"--prior: nothing is at /.*/missing/p\.safetensors; .*--prior shipped or none"),
        (".", r"--prior: cannot read /.*: Is a directory; check access"),
        ("mine", r"--prior: cannot read /.*/mine: Permission denied; check access"),
        ("ftp://host/p", r"ftp://host/p: the scheme 'ftp' is not supported; use a local path or an s3:// uri"),
    ],
)
def test_what_cannot_be_read_is_told(
    choice: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not there, is a folder or is locked is one sentence with its path and the remedy."""
    monkeypatch.chdir(tmp_path)
    if choice == "mine":

        def locked(_uri: str) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(storage, "read", locked)
    with pytest.raises(UsageError, match=sentence):
        read_prior(choice)


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"bands": bands}
            for bands in ("0", "3", [], [0, 1, 3], [-1, 1, 3], [1, 3, 10**9], None, 1, [[1], [3]], [None])
        ),
        *({"bands": bands} for bands in ([1, math.inf], [1, 3, math.nan], ["one"])),
        *({"depth": depth} for depth in (1, 0, -5, 10**6, 10**400, math.inf, math.nan, None, [3], "3.5", "")),
        *({"width": width} for width in (0, -8, 10**12, 10**400, math.inf, math.nan, None, {})),
        *({"network": network} for network in ([], {}, None, 0, "", "SUBPIXEL")),
    ],
    ids=lambda change: str(change)[:40],
)
def test_absurd_descriptions(change: dict[str, Any]) -> None:
    """Whatever the description claims, it is refused as a bad file, at once."""
    with pytest.raises(ValueError, match=r"does not (hold|say)|cannot be"):
        parse_prior(_described({**METADATA, **change}))


@pytest.mark.parametrize("text", ["", "null", "5", '"x"', "[]", "[1, 3]", "[" * 100_000, '{"bands":' * 50_000])
def test_descriptions_that_are_no_object(text: str) -> None:
    """So is one that is another kind of JSON, or none."""
    with pytest.raises(ValueError, match=r"does not (hold|say)|cannot be"):
        parse_prior(_described(text))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["1.body.0.bias", "3.body.1.convolution.weight"])
def test_weights_that_are_no_numbers(name: str, value: float) -> None:
    """A prior of which one weight is nan or infinite would make every image black: it is refused."""
    spoilt = load(_good())[name].clone()
    spoilt.view(-1)[-1] = value
    with pytest.raises(ValueError, match=r"finite|nan|infinite"):
        parse_prior(_described(METADATA, _with(name, spoilt)))


def _check_any(data: bytes) -> None:
    """Bytes are refused with ValueError, or are a prior that networks can start from."""
    try:
        held = parse_prior(data)
    except ValueError:
        return
    for bands, state in weights(held.data).items():
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        assert shapes == prior_module._shapes(held.network, bands, held.width, held.depth)
    assert 1 in held.bands


def test_every_truncation_is_refused() -> None:
    """A file that was cut off anywhere is told to be no whole one."""
    for length in range(len(_good())):
        with pytest.raises(ValueError, match="is no whole safetensors file"):
            parse_prior(_good()[:length])


def test_every_slip_in_the_description_is_told() -> None:
    """Whichever character of the description becomes another, the file is a prior still or refused, nothing else."""
    data = _good()
    start, end = data.index(b"{", 9), data.index(b"}}") + 1
    rng = random.Random(0)
    for place in range(start, end):
        for character in (*b'0123456789-+.eE[]{}", ', *rng.sample(range(256), 4)):
            _check_any(data[:place] + bytes([character]) + data[place + 1 :])


@settings(max_examples=500)
@given(place=st.integers(0, 2**16), value=st.integers(0, 255), count=st.integers(1, 3))
@example(place=0, value=0, count=1)
def test_a_flipped_byte_is_told(place: int, value: int, count: int) -> None:
    """A file with spoilt bytes in its header is refused with ValueError, or is a prior still."""
    data = bytearray(_good())
    for number in range(count):
        data[(place * (number + 1)) % _header_bytes(_good())] = value
    _check_any(bytes(data))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(changes=st.dictionaries(st.sampled_from(list(METADATA)), _json, max_size=2))
def test_any_description_is_told(changes: dict[str, Any]) -> None:
    """A description of any JSON values is refused with ValueError, or is a prior still."""
    _check_any(_described({**METADATA, **changes}))
