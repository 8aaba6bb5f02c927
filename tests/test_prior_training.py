"""Training heads: what is learned, that nothing but images and request decides it, and going on from a checkpoint."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from signal import SIGINT, pthread_kill, signal
from threading import Event, main_thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import UsageError
from pipeline.priors import course
from pipeline.priors.pictures import TrainingImages, read_pictures
from pipeline.priors.prior_file import parse_prior, to_bytes
from pipeline.priors.training import Request, Trained, train_prior_file
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import gaussian
from sr_ops.image.resample import upscale
from sr_ops.networks.direct import DirectNetwork
from sr_ops.priors import draws
from sr_ops.priors.heads import deeper
from sr_ops.priors.prior import Head, Prior
from sr_ops.settings import Body, BodyKind

from .fixture_types import MakePrior
from .weights import prior_in

BRIEF = Request(
    start="none",
    scales=(2, 3, 4),
    clean=False,
    steps=4,
    batch=1,
    crop=16,
    learning_rate=None,
    max_images=8,
    seed=0,
    width=8,
    depth=3,
    body=None,
    device="cpu",
    threads=1,
)


def silent(_head: Head, _steps: int, _loss: float) -> None:
    """Nobody looks on."""


@pytest.fixture(autouse=True)
def _few_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw thousands takes longer than to learn for some steps."""
    monkeypatch.setattr(draws, "_CAMERAS", 20)
    monkeypatch.setattr(course, "_LEAST_KERNELS", 10)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Weights are equal only for equal thread counts."""
    yield
    torch.set_num_threads(1)


@pytest.fixture
def offered(tmp_path: Path) -> TrainingImages:
    """Three pictures in colour and one in grey, large enough for every scale."""
    uris = []
    for number in range(4):
        rough = np.random.default_rng(number).integers(0, 256, (26, 27 + number, 3))
        levels = np.kron(rough, np.ones((8, 8, 1))).astype(np.uint8)
        uris.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(levels if number else levels[..., 0]).save(uris[-1])
    return TrainingImages("in", dict.fromkeys(uris, 1.0), ())


@pytest.fixture
def train(tmp_path: Path, offered: TrainingImages) -> Callable[..., bytes]:
    """Train as BRIEF says, with changes, into tmp_path/p; the bytes of the file."""

    def run(tell: course.Tell = silent, images: TrainingImages = offered, **changes: Any) -> bytes:
        trained = train_prior_file(images, str(tmp_path / "p"), replace(BRIEF, **changes), tell)
        data = (tmp_path / "p").read_bytes()
        assert parse_prior(data).sha256 == trained.sha256
        assert not (tmp_path / "p.checkpoint").exists()
        return data

    return run


@pytest.fixture
def interrupted(train: Callable[..., bytes]) -> Callable[..., None]:
    """Train until a head has done so many steps, then press Control-C."""

    def run(head: Head, at: int, **changes: Any) -> None:
        pressed = Event()

        def press(*_: object) -> None:
            pressed.set()
            raise KeyboardInterrupt

        def tell(told: Head, done: int, _loss: float) -> None:
            if (told, done) == (head, at):
                pthread_kill(main_thread().ident or 0, SIGINT)
                pressed.wait(60)  # a busy machine would do all other steps before its main thread hears of it

        before = signal(SIGINT, press)
        try:
            with pytest.raises(KeyboardInterrupt):
                train(tell, **changes)
        finally:
            signal(SIGINT, before)

    return run


# ---- what decides the file ------------------------------------------------------------------------------------------


def test_equal_requests_give_equal_bytes(train: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torch's own random state is, and however many heads are trained at once; another seed gives others."""
    first = train()
    for at_once in (1, 4):
        torch.manual_seed(at_once)
        monkeypatch.setattr(course, "_at_once", lambda _device, count=at_once: count)
        assert train() == first
    assert parse_prior(first).heads == ((2, 1), (2, 3), (3, 1), (3, 3), (4, 1), (4, 3))
    changes: list[dict[str, Any]] = [{"seed": 1}, {"learning_rate": 0.01}, {"steps": 5}, {"batch": 2}, {"crop": 32}]
    assert len({first, *(train(**change) for change in changes)}) == 6


def test_the_seed_draws_the_first_weights(train: Callable[..., bytes]) -> None:
    """Of a head that begins from none; those for other scales have its body."""
    still = {"steps": 1, "learning_rate": 1e-6}
    one, other = (prior_in(train(seed=seed, **still)).heads for seed in (0, 1))
    hidden = "body.1.convolution.weight"
    assert float((one[4, 3][hidden] - other[4, 3][hidden]).abs().max()) > 0.01
    torch.testing.assert_close(one[2, 3][hidden], one[4, 3][hidden], atol=1e-3, rtol=1e-2)


def test_the_order_of_images_does_not_matter(train: Callable[..., bytes], offered: TrainingImages) -> None:
    """Nor does it which of them are offered twice; how much they count does."""
    backwards = replace(offered, weights=dict(reversed(offered.weights.items())))
    assert train() == train(images=backwards)
    heavy = {uri: 1.0 + 9 * (number == 1) for number, uri in enumerate(offered.weights)}
    assert train(images=replace(offered, weights=heavy), batch=8) != train(batch=8)


def test_images_have_the_odds_of_their_weights(offered: TrainingImages) -> None:
    """In all sizes and bands together, for those that hold a patch."""
    heavy = {uri: float(number + 1) for number, uri in enumerate(offered.weights)}
    pictures = read_pictures(replace(offered, weights=heavy), 96, 8, seed=0)
    odds = dict.fromkeys(range(4), 0.0)
    for picture in pictures.drawn:
        assert picture.pixels.dtype == torch.uint8
        assert picture.pixels.shape[0] == 3
        odds[picture.image] += picture.odds
    assert sorted(odds.values()) == pytest.approx([1, 2, 3, 4])
    assert len({tuple(picture.pixels.shape) for picture in pictures.drawn}) == 16  # four sizes of four pictures


def test_heads_that_are_not_trained_are_kept(
    tmp_path: Path, train: Callable[..., bytes], make_prior: MakePrior
) -> None:
    """Bit for bit, and the others are not: --scales says which."""
    (tmp_path / "start").write_bytes(make_prior())
    before = prior_in(make_prior()).heads
    after = prior_in(train(start=str(tmp_path / "start"), scales=(3,), width=None, depth=None)).heads
    assert after.keys() == before.keys()
    for head, state in before.items():
        same = all(torch.equal(after[head][name], tensor) for name, tensor in state.items())
        assert same == (head[0] != 3)


def test_heads_for_clean_images(tmp_path: Path, train: Callable[..., bytes], make_prior: MakePrior) -> None:
    """They begin as those for any camera, deeper; the others stay. Trained again they go on from where they were."""
    (tmp_path / "start").write_bytes(make_prior())
    clean: dict[str, Any] = {"clean": True, "width": None, "depth": 5, "scales": (2,)}
    still = train(start=str(tmp_path / "start"), steps=1, learning_rate=1e-6, **clean)
    start, made = prior_in(make_prior()), prior_in(still)
    for head, state in start.heads.items():
        assert all(torch.equal(made.heads[head][name], tensor) for name, tensor in state.items())
    assert made.clean.keys() == {2}
    for name, tensor in deeper(start.heads[2, 3], 5).items():
        torch.testing.assert_close(made.clean[2][name], tensor, atol=1e-4, rtol=1e-3)
    (tmp_path / "start").write_bytes(train(start=str(tmp_path / "start"), learning_rate=0.01, **clean))
    before = prior_in((tmp_path / "start").read_bytes())
    both = prior_in(train(start=str(tmp_path / "start"), **(clean | {"scales": (3,), "depth": None})))
    assert both.clean.keys() == {2, 3}
    assert all(torch.equal(both.clean[2][name], tensor) for name, tensor in before.clean[2].items())
    again = prior_in(train(start=str(tmp_path / "start"), steps=1, learning_rate=1e-6, **clean))
    for name, tensor in before.clean[2].items():
        torch.testing.assert_close(again.clean[2][name], tensor, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("body", [kind for kind in BodyKind if kind is not BodyKind.ADDITIVE])
def test_heads_of_other_bodies(tmp_path: Path, train: Callable[..., bytes], body: BodyKind) -> None:
    """From none by name; then the prior says what it is of, also of heads for clean images."""
    made = train(body=body, learning_rate=0.01)
    assert parse_prior(made).body == Body(8, 3, body)
    moved = [name for name, tensor in prior_in(made).heads[2, 1].items() if "gate.weight" in name and tensor.any()]
    assert moved == ["body.1.gate.weight"]
    (tmp_path / "start").write_bytes(made)
    onward: dict[str, Any] = {"start": str(tmp_path / "start"), "width": None, "depth": None}
    assert parse_prior(train(scales=(3,), **onward)).body == Body(8, 3, body)
    assert parse_prior(train(scales=(2,), clean=True, **onward)).clean_body == Body(8, 9, body)
    with pytest.raises(UsageError, match=f"--body: the prior that it starts from has {body}, not additive; use --fr"):
        train(body=BodyKind.ADDITIVE, **onward)


def test_a_head_for_clean_images_goes_where_that_for_any_camera_was_trained(
    tmp_path: Path, train: Callable[..., bytes], make_prior: MakePrior
) -> None:
    """Else it would enlarge clean images in the place of what was just learned."""
    start = prior_in(make_prior())
    clean = {scale: deeper(start.heads[scale, 3], 4) for scale in (2, 3, 4)}
    (tmp_path / "start").write_bytes(to_bytes(Prior(start.body, start.heads, clean)))
    made = parse_prior(train(start=str(tmp_path / "start"), scales=(3,), width=None, depth=None))
    assert made.clean == (2, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "none"}, "--clean: heads for clean images begin as those for any camera; leave out --from none"),
        ({"width": 9}, "--width: the prior that it starts from has 8, not 9"),
        (
            {"body": BodyKind.PIXEL},
            "--body: the prior that it starts from has additive, not pixel-attention",
        ),
        ({"depth": 2}, "--depth: heads for clean images of this prior have at least 3 convolutions, not 2"),
    ],
)
def test_what_heads_for_clean_images_cannot_begin_from(
    tmp_path: Path, train: Callable[..., bytes], make_prior: MakePrior, changes: dict[str, Any], message: str
) -> None:
    """Told before anything is read."""
    (tmp_path / "start").write_bytes(make_prior())
    given: dict[str, Any] = {"start": str(tmp_path / "start"), "clean": True, "width": None, "depth": None}
    with pytest.raises(UsageError) as refused:
        train(**(given | changes))
    assert str(refused.value) == message


def test_heads_for_clean_images_are_no_deeper_than_a_file_may_say(
    tmp_path: Path, train: Callable[..., bytes], make_prior: MakePrior
) -> None:
    """By default they are deeper by six, which is too much for this start: told before the training."""
    (tmp_path / "start").write_bytes(make_prior(depth=251))
    with pytest.raises(UsageError, match=r"would have 257 convolutions, .* at most 256; give one from 251 to 256"):
        train(start=str(tmp_path / "start"), clean=True, width=None, depth=None)


def test_heads_for_clean_images_need_colour(
    tmp_path: Path, train: Callable[..., bytes], offered: TrainingImages, make_prior: MakePrior
) -> None:
    """They are of three bands: grey pictures, and a prior of one band, cannot make them."""
    clean: dict[str, Any] = {"start": str(tmp_path / "start"), "clean": True, "width": None, "depth": None}
    (tmp_path / "start").write_bytes(make_prior(bands=(1,)))
    with pytest.raises(UsageError, match="has no head for x2 and three bands"):
        train(**clean)
    (tmp_path / "start").write_bytes(make_prior())
    for uri in offered.weights:
        Image.open(uri).convert("L").save(uri)
    with pytest.raises(UsageError, match="no picture is in colour"):
        train(**clean)


def test_training_goes_on_from_a_start(tmp_path: Path, train: Callable[..., bytes], make_prior: MakePrior) -> None:
    """A tiny step leads nowhere far from it."""
    (tmp_path / "start").write_bytes(make_prior())
    still = train(start=str(tmp_path / "start"), width=8, depth=None, steps=1, learning_rate=1e-6)
    for head, state in prior_in(make_prior()).heads.items():
        for name, tensor in state.items():
            torch.testing.assert_close(prior_in(still).heads[head][name], tensor, atol=1e-4, rtol=1e-3)


def test_without_colour_there_are_heads_for_one_band_only(
    tmp_path: Path, train: Callable[..., bytes], offered: TrainingImages, make_prior: MakePrior
) -> None:
    """From none; a start's heads for three bands stay as they were."""
    for uri in offered.weights:
        Image.open(uri).convert("L").save(uri)
    assert parse_prior(train()).heads == ((2, 1), (3, 1), (4, 1))
    (tmp_path / "start").write_bytes(make_prior())
    before = prior_in(make_prior()).heads
    after = prior_in(train(start=str(tmp_path / "start"), width=None, depth=None)).heads
    assert all(torch.equal(after[4, 3][name], tensor) for name, tensor in before[4, 3].items())
    assert not torch.equal(after[4, 1]["body.0.weight"], before[4, 1]["body.0.weight"])


def _blocks(seed: int, side: int) -> np.ndarray:
    """Grey squares of 12 pixels: what is quickly learned."""
    levels = np.random.default_rng(seed).integers(0, 256, (side // 12, side // 12))
    return np.kron(levels, np.ones((12, 12))).astype(np.uint8)


def test_a_prior_is_better_than_the_base(tmp_path: Path, train: Callable[..., bytes]) -> None:
    """It knows of squares, and so of others, what the data step of a blurred picture cannot."""
    uris = [str(tmp_path / f"s{number}.png") for number in range(4)]
    for number, uri in enumerate(uris):
        Image.fromarray(_blocks(number, 192)).save(uri)
    images = TrainingImages("in", dict.fromkeys(uris, 1.0), ())
    prior = prior_in(train(images=images, steps=60, batch=4, width=16, learning_rate=4e-3))
    truth = torch.from_numpy(_blocks(9, 96)[None]) / 255
    errors = {"prior": 0.0, "base": 0.0}
    for scale in (2, 3, 4):
        degradation = Degradation((gaussian(1.2, 1.2, 0, scale),), scale)
        lr = degradation.apply(truth)
        base = degradation.data_step(lr, upscale(lr, scale))
        network = DirectNetwork(1, scale, prior.body, torch.float32)
        network.load_state_dict(prior.heads[scale, 1])
        with torch.inference_mode():
            sr = network(lr[None], base[None], torch.zeros(1, len(lr), 2))[0]
        errors["prior"] += float((sr - truth).square().mean())
        errors["base"] += float((base - truth).square().mean())
    assert errors["prior"] < 0.7 * errors["base"]


# ---- stopped, and going on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("head", "steps"), [((4, 3), 1), ((4, 3), 3), ((3, 3), 2), ((2, 1), 3)])
def test_a_resumed_training_is_the_uninterrupted_one(
    tmp_path: Path, train: Callable[..., bytes], interrupted: Callable[..., None], head: Head, steps: int
) -> None:
    """Bit for bit, wherever it was stopped; no step is done twice."""
    uninterrupted = train(steps=8)
    interrupted(head, steps, steps=8)
    assert sorted(path.name for path in tmp_path.glob("p*")) == ["p", "p.checkpoint"]
    heard: list[tuple[Head, int]] = []
    assert train(lambda head, done, _loss: heard.append((head, done)), steps=8) == uninterrupted
    assert min(done for told, done in heard if told == head) > steps


def test_stopped_again_and_again(train: Callable[..., bytes], interrupted: Callable[..., None]) -> None:
    """Each time a little farther, while some heads are done and others are not begun."""
    uninterrupted = train(steps=6)
    for head in ((4, 3), (3, 3), (2, 1)):
        interrupted(head, 5, steps=6)
    assert train(steps=6) == uninterrupted


def test_a_crash_loses_minutes(tmp_path: Path, train: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that had no time to save goes on from where the checkpoint was last written."""
    uninterrupted = train(steps=30)
    monkeypatch.setattr(course, "_SAVE_SECONDS", 0.01)

    def crash(head: Head, done: int, _loss: float) -> None:
        if head == (4, 3) and done == 20:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(crash, steps=30)
    assert (tmp_path / "p.checkpoint").exists()
    heard: list[int] = []
    again = train(lambda head, done, _loss: heard.append(done) if head == (4, 3) else None, steps=30)
    assert again == uninterrupted
    assert 1 < heard[0] <= 20


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "steps": ({"steps": 9}, "--steps was 8, not 9"),
    "batch": ({"batch": 2}, "--batch was 1, not 2"),
    "crop": ({"crop": 32}, "--crop was 16, not 32"),
    "rate": ({"learning_rate": 0.5}, "--learning-rate was 0.001, not 0.5"),
    "seed": ({"seed": 3}, "--seed was 0, not 3"),
    "width": ({"width": 9}, "--width was 8, not 9"),
    "depth": ({"depth": 4}, "--depth was 3, not 4"),
    "body": ({"body": BodyKind.SPATIAL}, "--body was additive, not spatial-attention"),
    "threads": ({"threads": 2}, "--threads was 1, not 2"),
    "two things": ({"steps": 9, "threads": 2}, "--steps was 8, not 9, --threads was 1, not 2"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_checkpoint_of_another_command_is_refused(
    tmp_path: Path, train: Callable[..., bytes], interrupted: Callable[..., None], case: str
) -> None:
    """By name of what differs, with the remedy; it stays as it was."""
    interrupted((4, 3), 2, steps=8)
    before = (tmp_path / "p.checkpoint").read_bytes()
    change, words = CHANGES[case]
    with pytest.raises(UsageError) as refused:
        train(**{"steps": 8, **change})
    sentence = str(refused.value)
    assert sentence.startswith(f"{tmp_path}/p.checkpoint is of another training: {words}")
    assert sentence.endswith("; give the options that it was begun with, or remove it to start over")
    assert (tmp_path / "p.checkpoint").read_bytes() == before
    assert not (tmp_path / "p").exists()


def test_a_checkpoint_that_knew_one_body_is_gone_on_with(
    tmp_path: Path, train: Callable[..., bytes], interrupted: Callable[..., None]
) -> None:
    """Versions before there were others did not say it was additive."""
    uninterrupted = train(steps=8)
    interrupted((4, 3), 2, steps=8)
    path = tmp_path / "p.checkpoint"
    held = torch.load(path, weights_only=True)
    del held["command"]["--body"]
    torch.save(held, path)
    with pytest.raises(UsageError, match="--body was additive, not pixel-attention; give the options"):
        train(steps=8, body=BodyKind.PIXEL)
    assert train(steps=8) == uninterrupted


def test_a_checkpoint_of_other_images_or_another_start_is_refused(
    tmp_path: Path, train: Callable[..., bytes], interrupted: Callable[..., None], make_prior: MakePrior
) -> None:
    """One pixel is enough; where a picture lies does not matter."""
    for seed in (1, 2):
        (tmp_path / f"start{seed}").write_bytes(make_prior(seed=seed))
    given: dict[str, Any] = {"start": str(tmp_path / "start1"), "width": None, "depth": None, "steps": 8}
    interrupted((4, 3), 2, **given)
    other = {**given, "start": str(tmp_path / "start2")}
    with pytest.raises(UsageError, match=r"of another training: --from was [0-9a-f]{64}, not [0-9a-f]{64};"):
        train(**other)
    with pytest.raises(UsageError, match=r"of another training: --scales was 2,3,4, not 2;"):
        train(**{**given, "scales": (2,)})
    picture = np.array(Image.open(tmp_path / "2.png"))
    changed = picture.copy()
    changed[3, 4, 1] ^= 1
    Image.fromarray(changed).save(tmp_path / "2.png")
    with pytest.raises(UsageError, match="of another training: its images are others; give the options"):
        train(**given)
    Image.fromarray(picture).save(tmp_path / "2.png")
    train(**given)


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[:-1], lambda data: data[: len(data) // 2], _flipped, lambda _: b"", lambda _: b"text\n" * 99],
    ids=["cut", "half", "a bit", "empty", "text"],
)
def test_a_damaged_checkpoint_is_refused(
    tmp_path: Path, train: Callable[..., bytes], interrupted: Callable[..., None], spoil: Callable[[bytes], bytes]
) -> None:
    """In one sentence, with the remedy."""
    interrupted((4, 3), 2, steps=8)
    path = tmp_path / "p.checkpoint"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UsageError, match=r"p\.checkpoint is not a complete checkpoint of srpipe prior .*; remove it"):
        train(steps=8)


def test_a_checkpoint_runs_no_code(tmp_path: Path, train: Callable[..., bytes]) -> None:
    """What anybody could put there is numbers and plain values, or refused."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    for held in (Trap(), {"format": 1, "command": Trap(), "done": {}, "begun": {}}, {}, [], 5):
        torch.save(held, tmp_path / "p.checkpoint")
        with pytest.raises(UsageError, match="is not a complete checkpoint"):
            train()
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("weight", [6e4, 65504.0])
def test_a_training_that_diverged_is_told(tmp_path: Path, train: Callable[..., bytes], weight: float) -> None:
    """At once, without a file or a checkpoint that would go on with weights that are no numbers any more."""
    body = Body(8, 12)
    heads = {
        (scale, 1): {
            name: torch.full_like(tensor, weight)
            for name, tensor in DirectNetwork(1, scale, body, torch.float32).state_dict().items()
        }
        for scale in (2, 3, 4)
    }
    (tmp_path / "start").write_bytes(to_bytes(Prior(body, heads)))
    heard: list[Head] = []
    with pytest.raises(UsageError, match=r"diverged \(the head for x4, 1 bands, step 1\); use a lower --learning-rate"):
        train(lambda head, *_: heard.append(head), start=str(tmp_path / "start"), width=None, depth=None, scales=(4,))
    assert (4, 1) not in heard
    assert not list(tmp_path.glob("p*"))


def test_nothing_goes_on_from_a_training_that_diverged(
    tmp_path: Path, train: Callable[..., bytes], interrupted: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lower rate would be another command than the checkpoint's: it is removed."""
    interrupted((4, 3), 2, steps=8)
    with monkeypatch.context() as patch:
        patch.setattr("sr_ops.priors.training.Training.run", lambda *_: float("nan"))
        with pytest.raises(UsageError, match="the training diverged"):
            train(steps=8)
    assert not list(tmp_path.glob("p*"))
    train(steps=8, learning_rate=1e-4)


def test_what_was_trained_is_told(tmp_path: Path, offered: TrainingImages) -> None:
    """The heads, how many images, and what was left out."""
    held = replace(offered, left_out=(("line 9", "mend it"),))
    trained = train_prior_file(held, str(tmp_path / "p"), BRIEF, silent)
    heads = ((4, 3), (4, 1), (3, 3), (3, 1), (2, 3), (2, 1))
    assert trained == Trained(str(tmp_path / "p"), trained.sha256, heads, 4, (("line 9", "mend it"),))


def test_progress_tells_every_step(train: Callable[..., bytes]) -> None:
    """Of each head, in order, with a loss."""
    heard: list[tuple[Head, int, float]] = []
    train(lambda *told: heard.append(told))
    for head in ((2, 1), (2, 3), (3, 1), (3, 3), (4, 1), (4, 3)):
        assert [done for told, done, _ in heard if told == head] == [1, 2, 3, 4]
    assert all(0 < loss < 1 for _, _, loss in heard)
