"""What the benchmark of bodies compares, and what its networks learn from."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from benchmarks import bodies
from benchmarks.bodies import Course, compare, multiplications, ratio
from benchmarks.body_candidates import CANDIDATES, SCALE, Branches, Candidate, fold
from benchmarks.clean_pairs import CleanPairs, pictures_of
from jobs.sample_pictures import satellite_view
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.image.resample import downscale
from sr_ops.networks.direct import DirectNetwork

BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}
FOLDED = BY_NAME["branches folded, 8 x 64"]


def picture(seed: int, side: int = 96) -> Tensor:
    """Another one for each seed."""
    view = satellite_view(side + 8 * seed)[8 * seed :, 8 * seed :]
    return torch.from_numpy(view.copy()).permute(2, 0, 1).contiguous()


@pytest.fixture(scope="module")
def pairs() -> CleanPairs:
    return CleanPairs([picture(1), picture(2)], SCALE, 16, seed=3)


def random_weights(network: DirectNetwork) -> DirectNetwork:
    """All of them, in float32."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.05, generator=generator)
    network.autocast_dtype = torch.float32
    return network


@pytest.mark.parametrize("name", BY_NAME)
def test_bodies_cost_the_same_work(name: str) -> None:
    """Multiplications for an LR pixel are within a twentieth of those of the first."""
    first = multiplications(CANDIDATES[0].network())
    assert first == 9 * (53 * 64 + 6 * 64 * 64 + 64 * 48)
    assert multiplications(fold(BY_NAME[name].network())) == pytest.approx(first, rel=0.05)


@pytest.mark.parametrize("name", BY_NAME)
def test_bodies_begin_alike(name: str, pairs: CleanPairs) -> None:
    """At the base, or what a data step makes of it; every weight has a gradient after a step."""
    drawn = pairs.again(5).batch(2)
    network = BY_NAME[name].network()
    made = network(drawn.lr, drawn.base, drawn.told)
    torch.testing.assert_close(made, drawn.base, rtol=0, atol=0.1 if "data steps" in name else 0)
    random_weights(network)(drawn.lr, drawn.base, drawn.told).square().sum().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in network.parameters())


def test_branches_fold_into_one_convolution(pairs: CleanPairs) -> None:
    """It makes what they make, with as many weights as the additive layers."""
    drawn = pairs.again(5).batch(1)
    network = random_weights(FOLDED.network())
    wide = network(drawn.lr, drawn.base, drawn.told)
    folded = fold(network)
    assert not any(isinstance(layer, Branches) for layer in folded.modules())
    torch.testing.assert_close(folded(drawn.lr, drawn.base, drawn.told), wide, rtol=1e-4, atol=1e-4)
    assert folded.state_dict().keys() == CANDIDATES[0].network().state_dict().keys()


def test_the_second_data_step_holds_the_result_to_the_image(pairs: CleanPairs) -> None:
    """What the second network adds to is seen as the image by the camera."""
    network = random_weights(BY_NAME["two data steps, 2 x 4 x 64"].network())
    with torch.no_grad():
        for parameter in list(network.get_submodule("second").parameters())[-2:]:
            parameter.zero_()
        drawn = pairs.again(5).batch(2)
        held = network(drawn.lr, drawn.base, drawn.told)
    error = (Degradation((bicubic(SCALE),), SCALE).apply(held) - drawn.lr)[..., 4:-4, 4:-4]
    assert float((held - drawn.base).abs().mean()) > 0.01
    assert float(error.abs().max()) < 0.03


def test_pairs_are_crops_of_pictures_made_small(pairs: CleanPairs) -> None:
    """LR and HR crops are of one place, turned alike; the same seed draws the same."""
    drawn, again = pairs.again(7).batch(6), pairs.again(7).batch(6)
    assert all(torch.equal(one, other) for one, other in zip(drawn, again, strict=True))
    assert drawn.lr.shape == (6, 3, 16, 16)
    assert drawn.hr.shape == drawn.base.shape == (6, 3, 64, 64)
    inner = (..., slice(3, -3), slice(3, -3))  # what the crop cuts off of its neighbours
    for lr, base, hr in zip(drawn.lr, drawn.base, drawn.hr, strict=True):
        assert float((downscale(hr, SCALE) - lr)[inner].abs().max()) < 0.6 / 255
        assert float((downscale(base, SCALE) - lr)[inner].abs().max()) < 0.05


def test_pictures_of_a_folder_come_in_several_sizes(tmp_path: Path) -> None:
    """Those that hold a crop."""
    for seed in range(4):
        Image.fromarray(picture(seed, 160).permute(1, 2, 0).numpy()).save(tmp_path / f"{seed}.png")
    sizes = [tuple(found.shape) for found in pictures_of([tmp_path], 100)]
    assert sorted(sizes) == [(3, 102, 102)] * 4 + [(3, 128, 128)] * 4 + [(3, 160, 160)] * 4


def test_a_stopped_comparison_goes_on(pairs: CleanPairs, tmp_path: Path) -> None:
    """Bit for bit, and each stored training is of its own number of steps."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    stopped.mkdir()
    one = Course.begin(CANDIDATES[0], pairs, 4, whole)
    one.turn(4)
    Course.begin(CANDIDATES[0], pairs, 4, stopped).turn(2)
    resumed = Course.begin(CANDIDATES[0], pairs, 4, stopped)
    assert (resumed.training.steps, len(resumed.seconds)) == (2, 1)
    resumed.turn(4)
    resumed.turn(4)
    assert len(resumed.seconds) == 2
    learned, expected = resumed.learned().state_dict(), one.learned().state_dict()
    assert all(torch.equal(learned[name], tensor) for name, tensor in expected.items())
    assert Course.begin(CANDIDATES[0], pairs, 5, stopped).training.steps == 0


def test_seconds_are_compared_turn_by_turn() -> None:
    """A turn in which the machine was busy is slow for all."""
    assert ratio([2.0, 20.0, 2.2], [1.0, 10.0, 1.0]) == 2.0


def test_the_table_has_a_row_for_each_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From pictures to decibels, with few steps."""
    monkeypatch.setattr(bodies, "OUT", tmp_path / "out")
    monkeypatch.setattr(bodies, "PIECE", 16)
    for folder in (*bodies.FOLDERS, "set5", "set14"):
        (tmp_path / folder / "LR_bicubic" / "X4").mkdir(parents=True)
        for seed in range(2):
            hr = picture(seed, 136)
            Image.fromarray(hr.permute(1, 2, 0).numpy()).save(tmp_path / folder / f"{seed}.png")
            lr = downscale(hr / 255, SCALE).mul(255).round().byte()
            Image.fromarray(lr.permute(1, 2, 0).numpy()).save(tmp_path / folder / f"LR_bicubic/X4/{seed}x4.png")
    some: tuple[Candidate, ...] = (CANDIDATES[0], FOLDED)
    part = compare(tmp_path, 2, some)
    rows = [line for line in part.text.splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [candidate.name for candidate in some]
    assert rows[0].split(" | ")[1:7] == ["279", "280", "1.00", "1.00", "8", "1.00"]
    psnr = [float(cell.strip(" |")) for row in rows for cell in row.split(" | ")[7:]]
    assert len(psnr) == 4
    assert all(15 < decibels < 60 for decibels in psnr)
