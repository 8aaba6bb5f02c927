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
from pipeline.priors.prior_file import PriorFile, check_fits, parse_prior, read_prior, to_bytes, weights
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.image.resample import upscale
from sr_ops.measures.metrics import psnr_y
from sr_ops.networks.body_shapes import shapes
from sr_ops.networks.direct import DirectNetwork
from sr_ops.priors.heads import deeper, first_weights
from sr_ops.priors.prior import HEAD_SCALES, Prior, body_of
from sr_ops.settings import Body, BodyKind, Network, Settings

from .fixture_types import MakePrior

TINY = Body(width=8, depth=3)
BODY = {"width": 8, "depth": 3}
OTHER_BODIES = [Body(6, 4, kind) for kind in BodyKind if kind is not BodyKind.ADDITIVE]


def _state(scale: int, bands: int, body: Body = TINY) -> dict[str, torch.Tensor]:
    return first_weights((scale, bands), body, None, {}, seed=0)


def _prior(bands: tuple[int, ...] = (1, 3), body: Body = TINY) -> Prior:
    return Prior(body, {(scale, count): _state(scale, count, body) for scale in HEAD_SCALES for count in bands})


@lru_cache
def _good() -> bytes:
    """A prior file of tiny heads."""
    return to_bytes(_prior())


def _header_bytes(data: bytes) -> int:
    """Length of a safetensors file before its numbers."""
    return 8 + int.from_bytes(data[:8], "little")


def _metadata(data: bytes) -> str:
    """What a file says of its networks."""
    said: str = json.loads(data[8 : _header_bytes(data)])["__metadata__"]["srpipe-heads"]
    return said


def _described(body: object, tensors: dict[str, torch.Tensor] | None = None) -> bytes:
    """The tensors of the tiny prior, or others, under any description: text, or the body in one."""
    described = body if isinstance(body, str) else json.dumps({"body": body})
    return save(load(_good()) if tensors is None else tensors, {"srpipe-heads": described})


# ---- round trip -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [TINY, Body(1, 2), Body(64, 8), Body(8, 4), *OTHER_BODIES], ids=str)
@pytest.mark.parametrize("bands", [(1,), (1, 3)])
def test_round_trip(bands: tuple[int, ...], body: Body) -> None:
    """A file gives back the weights, rounded to float16, as float32 tensors, and says which heads they are."""
    prior = _prior(bands, body)
    for state in prior.heads.values():
        for tensor in state.values():
            tensor.normal_(generator=torch.Generator().manual_seed(1))
    held = parse_prior(to_bytes(prior))
    assert held.body == body
    assert held.heads == tuple((scale, count) for scale in (2, 3, 4) for count in bands)
    read = weights(held)
    assert read.body == body
    assert read.heads.keys() == prior.heads.keys()
    for head, state in prior.heads.items():
        assert read.heads[head].keys() == state.keys()
        for name, tensor in state.items():
            assert read.heads[head][name].dtype == torch.float32
            assert torch.equal(read.heads[head][name], tensor.half().float())
            assert not torch.equal(tensor, tensor.half().float())


def test_some_scales_may_have_one_band_only() -> None:
    """What a collection in grey, or a part of the scales, was trained for."""
    prior = _prior((1,))
    held = parse_prior(to_bytes(Prior(TINY, {**prior.heads, (4, 3): _state(4, 3)})))
    assert held.heads == ((2, 1), (3, 1), (4, 1), (4, 3))


def test_heads_for_clean_images_have_a_body_of_their_own() -> None:
    """The file tells it, and gives back their weights; as large as any is what both need."""
    clean = {scale: deeper(_state(scale, 3), 5) for scale in (2, 4)}
    held = parse_prior(to_bytes(Prior(TINY, _prior().heads, clean)))
    assert (held.body, held.clean_body, held.clean) == (TINY, Body(8, 5), (2, 4))
    assert held.largest == Body(8, 5)
    read = weights(held)
    assert read.heads.keys() == _prior().heads.keys()
    assert {scale: body_of(state) for scale, state in read.clean.items()} == {2: Body(8, 5), 4: Body(8, 5)}
    for scale, state in clean.items():
        assert all(torch.equal(read.clean[scale][name], tensor.half().float()) for name, tensor in state.items())


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_heads_for_clean_images_must_be_as_the_file_says(depth: int) -> None:
    """Another depth than is told is refused, and so is none told."""
    good = to_bytes(Prior(TINY, _prior().heads, {2: deeper(_state(2, 3), 5)}))
    described = {"body": BODY, "clean": {"width": 8, "depth": depth}}
    with pytest.raises(ValueError, match=f"width 8 and depth 3, width 8 and depth {depth} in float16"):
        parse_prior(save(load(good), {"srpipe-heads": json.dumps(described)}))
    with pytest.raises(ValueError, match="does not say what networks it is for"):
        parse_prior(save(load(good), {"srpipe-heads": json.dumps({"body": BODY})}))


def test_what_is_additive_does_not_say_so() -> None:
    """So a file made today is one for earlier versions, and one of theirs is additive."""
    assert json.loads(_metadata(_good())) == {"body": BODY}
    held = parse_prior(_good())
    assert held.body.kind is held.largest.kind is BodyKind.ADDITIVE


@pytest.mark.parametrize("body", OTHER_BODIES, ids=str)
def test_heads_for_clean_images_are_of_the_same_kind(body: Body) -> None:
    """It is told for both, and one that differs is refused."""
    prior = _prior(body=body)
    data = to_bytes(Prior(body, prior.heads, {2: deeper(prior.heads[2, 3], 5)}))
    held = parse_prior(data)
    assert held.clean_body == held.largest == Body(6, 5, body.kind)
    described = json.loads(_metadata(data))
    assert [described[which]["kind"] for which in ("body", "clean")] == [body.kind.value] * 2
    del described["clean"]["kind"]
    with pytest.raises(ValueError, match=f"is for two kinds of bodies: {body.kind}, and for clean images additive"):
        parse_prior(save(load(data), {"srpipe-heads": json.dumps(described)}))


@pytest.mark.parametrize("body", OTHER_BODIES, ids=str)
def test_a_body_must_be_as_the_file_says(body: Body) -> None:
    """Heads of one kind are no heads of another."""
    tensors = load(to_bytes(_prior(body=body)))
    for kind in set(BodyKind) - {body.kind}:
        with pytest.raises(ValueError, match=f"does not hold the tensors of {kind} heads of width 6 and depth 4"):
            parse_prior(_described({"width": 6, "depth": 4, "kind": kind.value}, tensors))


def test_half_the_bytes_of_float32() -> None:
    """Weights are stored in float16: the file is little more than two bytes a weight."""
    count = sum(tensor.numel() for state in _prior().heads.values() for tensor in state.values())
    assert len(_good()) - _header_bytes(_good()) == 2 * count


def test_equal_weights_are_equal_bytes() -> None:
    """Neither the order in which weights come nor where they lie in memory shows in the file; the weights do."""
    heads = {head: dict(state) for head, state in _prior().heads.items()}
    turned = {
        head: {
            name: tensor.clone(memory_format=torch.contiguous_format)
            for name, tensor in reversed(list(heads[head].items()))
        }
        for head in reversed(list(heads))
    }
    assert {to_bytes(Prior(TINY, heads)) for _ in range(8)} == {to_bytes(Prior(TINY, turned))} == {_good()}
    heads[2, 3]["body.0.bias"][0] += 1
    assert to_bytes(Prior(TINY, heads)) != _good()


def test_identity_is_that_of_the_bytes() -> None:
    """The sha256 is the one `sha256sum` gives for the file."""
    alphabet = PriorFile(b"abcdefghijklmnopqrstuvwxyz", TINY, ((2, 1),))
    assert alphabet.sha256 == "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73"


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("scale", HEAD_SCALES)
@pytest.mark.parametrize(("width", "depth"), [(8, 2), (8, 3), (5, 4), (64, 8), (1, 9)])
@pytest.mark.parametrize("kind", BodyKind)
def test_shapes_are_those_of_the_networks(kind: BodyKind, width: int, depth: int, scale: int, bands: int) -> None:
    """What the file check expects without torch is what the network has, name by name, and tells the body."""
    body = Body(width, depth, kind)
    state = DirectNetwork(bands, scale, body, torch.float32).state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes(scale, bands, body) == expected
    assert body_of(state) == (body if depth > 2 else Body(width, depth))


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
    """It is whole, has every head, and is small enough to travel in the wheel."""
    held = read_prior("shipped")
    assert held is not None
    assert set(held.heads) == {(scale, bands) for scale in (2, 3, 4) for bands in (1, 3)}
    assert held.clean
    assert len(held.data) <= 20_000_000


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("scale", HEAD_SCALES)
def test_the_shipped_prior_knows_more_than_the_base(scale: int, bands: int) -> None:
    """Without a step of fitting it enlarges a picture it never saw better than the data step does."""
    held = read_prior("shipped")
    assert held is not None
    prior = weights(held)
    network = DirectNetwork(bands, scale, prior.body, torch.float32)
    network.load_state_dict(prior.heads[scale, bands])
    truth = torch.from_numpy(satellite_view(144)).permute(2, 0, 1)[:bands] / 255
    degradation = Degradation((bicubic(scale),), scale)
    lr = degradation.apply(truth)
    base = degradation.data_step(lr, upscale(lr, scale))
    with torch.inference_mode():
        enlarged = network(lr[None], base[None], torch.zeros(1, len(lr), 2))[0]
    learned, alone = (psnr_y(image.clamp(0, 1) * 255, truth * 255, scale) for image in (enlarged, base))
    assert learned > alone + 0.5


@pytest.mark.parametrize("network", [Network.SUBPIXEL, Network.ZSSR])
def test_a_network_that_starts_from_none(network: Network, make_prior: MakePrior) -> None:
    """It is refused with what the prior holds and the remedy."""
    prior = parse_prior(make_prior())
    check_fits(prior, Settings(network=Network.DIRECT))
    with pytest.raises(UsageError) as refused:
        check_fits(prior, Settings(network=network))
    assert str(refused.value) == (
        f"--prior: it holds direct networks of width 8 and depth 3; {network} is fitted from scratch only; use --prior"
        " none, or --network direct"
    )


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
    "empty": (lambda: b"", "is not a complete safetensors file"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a complete safetensors file"),
    "text": (lambda: b"weights, please\n" * 100, "is not a complete safetensors file"),
    "a header of 4 EB": (lambda: (2**62).to_bytes(8, "little") + b"{}", "is not a complete safetensors file"),
    "cut in the header": (lambda: _good()[:200], "is not a complete safetensors file"),
    "cut in the numbers": (lambda: _good()[:-1], "is not a complete safetensors file"),
    "something behind": (lambda: _good() + b"\0", "is not a complete safetensors file"),
    "what torch.save makes": (_pickled, "is a pickle of PyTorch, which could run any code"),
    "what torch.save made": (
        lambda: _pickled(_use_new_zipfile_serialization=False),
        "is a pickle of PyTorch, which could run any code",
    ),
    "a pickle": (lambda: pickle.dumps({"a": 1}, protocol=4), "is a pickle of PyTorch, which could run any code"),
    "somebody's weights": (lambda: save(load(_good())), "does not say what networks it is for"),
    "somebody's, described": (lambda: save(load(_good()), {"format": "pt"}), "does not say what networks it is for"),
    "of an earlier srpipe": (
        lambda: save({"1.body.0.bias": torch.zeros(8)}, {"srpipe-prior": '{"network": "subpixel"}'}),
        "is a prior of an earlier srpipe, for networks that start from none any more; make one",
    ),
    "no tensors": (lambda: _described(BODY, {}), "has no head for x2 and one band"),
    "one tensor short": (lambda: _described(BODY, _without("2.3.body.3.bias")), "does not hold the tensors"),
    "one tensor more": (lambda: _described(BODY, _with("2.3.extra", torch.zeros(1).half())), "does not hold"),
    "a head more": (lambda: _described(BODY, _with("5.3.body.0.bias", torch.zeros(8).half())), "does not hold"),
    "a head of two bands": (lambda: _described(BODY, _with("2.2.body.0.bias", torch.zeros(8).half())), "does not hold"),
    "a tensor turned": (
        lambda: _described(BODY, _with("2.3.body.0.weight", torch.zeros(17, 8, 3, 3).half())),
        "does not hold the tensors",
    ),
    "float32": (
        lambda: _described(BODY, _with("2.3.body.0.bias", torch.zeros(8))),
        "does not hold the tensors of additive heads of width 8 and depth 3 in float16",
    ),
    "another depth": (
        lambda: _described({**BODY, "depth": 4}),
        "does not hold the tensors of additive heads of width 8 and",
    ),
    "another width": (
        lambda: _described({**BODY, "width": 9}),
        "does not hold the tensors of additive heads of width 9 and",
    ),
    "no head of one band": (
        lambda: _described(BODY, {name: it for name, it in load(_good()).items() if not name.startswith("3.1.")}),
        "has no head for x3 and one band",
    ),
    "a width that is none": (lambda: _described({**BODY, "width": "wide"}), "does not say what networks it is for"),
    "a body of later": (
        lambda: _described({**BODY, "kind": "mamba"}),
        "is for networks of a 'mamba' body, and this srpipe knows additive, pixel-attention, channel-attention,"
        " spatial-attention; use a later srpipe",
    ),
    "a kind that is none": (lambda: _described({**BODY, "kind": 3}), "is for networks of a '3' body"),
    "a body with more": (lambda: _described({**BODY, "height": 3}), "does not say what networks it is for"),
    "no description": (lambda: _described("{"), "does not say what networks it is for"),
    "numbers numpy has not": (
        lambda: _described(BODY, {name: it.bfloat16() for name, it in load(_good()).items()}),
        "is not a complete safetensors file",
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
        (".", r"--prior: cannot read /.*: it is a folder; name a file in it"),
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
        *({"depth": depth} for depth in (1, 0, -5, 10**6, 10**400, math.inf, math.nan, None, [3], "3", 3.0, True, "")),
        *({"width": width} for width in (0, -8, 10**12, 10**400, math.inf, math.nan, None, {}, "8", 8.0, False)),
    ],
    ids=lambda change: str(change)[:40],
)
def test_absurd_descriptions(change: dict[str, Any]) -> None:
    """Whatever the description claims, it is refused as a bad file, at once."""
    with pytest.raises(ValueError, match=r"does not (hold|say)|cannot be"):
        parse_prior(_described({**BODY, **change}))


@pytest.mark.parametrize("text", ["", "null", "5", '"x"', "[]", "[1, 3]", "{}", "[" * 100_000, '{"body":' * 50_000])
def test_descriptions_that_are_no_object(text: str) -> None:
    """So is one that is another kind of JSON, or none."""
    with pytest.raises(ValueError, match=r"does not (hold|say)|cannot be"):
        parse_prior(_described(text))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["2.1.body.0.bias", "4.3.body.1.convolution.weight"])
def test_weights_that_are_no_numbers(name: str, value: float) -> None:
    """A prior of which one weight is nan or infinite would make every image black: it is refused."""
    spoilt = load(_good())[name].clone()
    spoilt.view(-1)[-1] = value
    with pytest.raises(ValueError, match=r"finite|nan|infinite"):
        parse_prior(_described(BODY, _with(name, spoilt)))


def _check_any(data: bytes) -> None:
    """Bytes are refused with ValueError, or are a prior that networks can start from."""
    try:
        held = parse_prior(data)
    except ValueError:
        return
    for (scale, bands), state in weights(held).heads.items():
        assert {name: tuple(tensor.shape) for name, tensor in state.items()} == shapes(scale, bands, held.body)
    assert {(2, 1), (3, 1), (4, 1)} <= set(held.heads)


def test_every_truncation_is_refused() -> None:
    """A file that was cut off anywhere is told to be no whole one."""
    for length in [*range(_header_bytes(_good()) + 100), *range(0, len(_good()), 97), len(_good()) - 1]:
        with pytest.raises(ValueError, match="is not a complete safetensors file"):
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
@given(changes=st.dictionaries(st.sampled_from(list(BODY)), _json, max_size=2))
def test_any_description_is_told(changes: dict[str, Any]) -> None:
    """A description of any JSON values is refused with ValueError, or is a prior still."""
    _check_any(_described({**BODY, **changes}))
