"""What is looked for in pixels is looked for once, and found as if each had looked for itself."""

from collections import Counter
from typing import Any

import pytest
import torch

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.estimation import signs
from sr_ops.estimation.estimate import estimate, noise_of_bands
from sr_ops.estimation.jpeg import find_steps, round_to_steps, steps_of_quality
from sr_ops.estimation.signs import Signs
from sr_ops.estimation.spectrum import spectrum_of
from sr_ops.learning.damage import find_damage
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.settings import Method, Settings

from .pictures import white_noise
from .scenes import scene, seen

STEP = 1 / 255


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each is looked for."""
    counted: Counter[str] = Counter()

    def count(name: str) -> Any:
        real = getattr(signs, name)

        def looked(*args: Any) -> Any:
            counted[name] += 1
            return real(*args)

        return looked

    for name in ("find_steps", "spectrum_of", "estimate", "noise_of_bands"):
        monkeypatch.setattr(signs, name, count(name))
    return counted


def test_each_is_looked_for_once_and_only_when_asked_for(looks: Counter[str]) -> None:
    """By the guess of the kernel and the search for damage together."""
    image = seen(scene(256, bands=3), 1.2, 1.2, 0, noise=5.0)
    found = Signs(image, None, STEP)
    assert not looks
    for _ in range(2):
        assert found.estimate is not None
        assert find_damage(found).noise is not None
    assert looks == {"find_steps": 1, "spectrum_of": 1, "estimate": 1, "noise_of_bands": 1}


def test_a_fit_takes_what_was_found(looks: Counter[str]) -> None:
    """Signs that are handed on leave nothing to be looked for; without them the fit looks for itself."""
    image = seen(scene(256, bands=3), 1.2, 1.2, 0)
    found = Signs(image, None, STEP)
    assert found.estimate is not None
    before = looks.copy()
    settings = Settings(scale=2, method=Method.BICUBIC)
    fit_stages(Observation(image, Degradation((bicubic(2),), 2), signs=found), settings, None)
    assert looks == before
    fit_stages(Observation(image, Degradation((bicubic(2),), 2)), settings, None)
    assert looks["find_steps"] == before["find_steps"] + 1


def test_noise_is_not_asked_of_the_spectrum_where_blocks_show_none(looks: Counter[str]) -> None:
    """The lesser of both counts: nothing can come of it."""
    image = seen(scene(256), 1.2, 1.2, 0)
    assert find_damage(Signs(image)).noise is None
    assert looks["noise_of_bands"] == 0


@pytest.mark.parametrize("jpeg", [False, True])
def test_what_is_found_is_what_each_finds_alone(jpeg: bool) -> None:
    """To the bit, with parts that are not known."""
    image = seen(scene(256, bands=3), 1.2, 1.2, 0, noise=3.0)
    image = round_to_steps(image, steps_of_quality(80)).clamp(0, 1) if jpeg else image
    known = torch.ones(image.shape[-2:], dtype=torch.bool)
    known[:30, :40] = False
    found, steps = Signs(image, known, STEP), find_steps(image)
    assert (steps is not None) == jpeg
    assert steps is None or torch.equal(steps, found.jpeg_steps)  # type: ignore[arg-type]
    spectrum = spectrum_of(image, known, steps, STEP)
    assert spectrum is not None
    assert found.estimate == estimate(spectrum)
    if not jpeg:
        assert torch.equal(found.noise, noise_of_bands(image, known))  # type: ignore[arg-type]


def test_noise_is_told_where_only_it_is_seen() -> None:
    """An image that is flat for its file's coarse steps has no camera, but noise."""
    image = 0.5 + 0.004 * white_noise(1, 128, 128)
    found = Signs(image, None, 0.01)
    assert found.estimate is None
    assert found.noise is not None


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_frame_tells_nothing_of_camera_and_noise(level: float) -> None:
    """Black or white, a quarter of the picture: kernel and noise are found as without it."""
    image = seen(scene(384, bands=3), 1.2, 1.2, 0, noise=6.0)
    framed = image.clone()
    framed[:, :96] = level
    bare, found = Signs(image[:, 96:], None, STEP), Signs(framed, None, STEP)
    assert bare.noise is not None
    assert found.noise is not None
    assert torch.allclose(found.noise, bare.noise, rtol=0.2)
    assert bare.estimate is not None
    assert found.estimate is not None
    assert found.estimate.misfit < 2 * bare.estimate.misfit
