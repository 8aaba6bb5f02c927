"""Files of direct networks, and what a head for one band starts from."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.direct_training import of_one_band
from pipeline.priors import heads
from sr_ops.direct import Body, DirectNetwork
from sr_ops.networks import initialise

BODY = Body(width=8, depth=3)


def network(bands: int, scale: int) -> DirectNetwork:
    made = DirectNetwork(bands, scale, BODY, torch.float32)
    generator = torch.Generator().manual_seed(scale)
    initialise(made.body, generator)
    with torch.no_grad():
        for parameter in list(made.parameters())[-2:]:
            parameter.normal_(generator=generator)
    return made.eval()


def test_a_file_gives_back_its_networks(tmp_path: Path) -> None:
    """Every head, its weights in float16."""
    kept = {head: network(head[1], head[0]) for head in ((2, 1), (4, 1), (4, 3))}
    data = heads.to_bytes({head: net.state_dict() for head, net in kept.items()}, BODY)
    file = tmp_path / "w.safetensors"
    file.write_bytes(data)
    read = heads.read(file, torch.float32)
    assert set(read) == set(kept)
    for head, net in kept.items():
        for name, tensor in net.state_dict().items():
            assert torch.equal(read[head].state_dict()[name], tensor.half().float())
    assert data == heads.to_bytes({head: net.state_dict() for head, net in kept.items()}, BODY)


def test_another_file_is_refused(tmp_path: Path) -> None:
    """It names the file."""
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors holds no heads"):
        heads.read(tmp_path / "other.safetensors", torch.float32)


def test_shipped_heads_lift_a_picture_that_was_shrunk() -> None:
    """Each lifts its base on bicubic's own forward model; there is one for each scale, and for three bands and one."""
    from sr_ops.degradation import Degradation
    from sr_ops.kernels import bicubic
    from sr_ops.resample import upscale

    shipped = heads.read(heads.SHIPPED, torch.float32)
    assert set(shipped) == {(scale, bands) for scale in (2, 3, 4) for bands in (1, 3)}
    row = torch.arange(96.0)
    hr = ((row[:, None] - 48) ** 2 + (row[None, :] - 40) ** 2 < 900).float()[None] * 0.7 + 0.1
    for (scale, bands), net in shipped.items():
        degradation = Degradation(bicubic(scale), scale)
        lr = ((degradation.apply(hr) * 255).round() / 255).expand(bands, -1, -1)
        base = degradation.data_step(lr, upscale(lr, scale))
        with torch.no_grad():
            sr = net(lr[None], base[None], torch.zeros(1, 2, 1, 1))[0]
        assert float((sr - hr).square().mean()) < 0.6 * float((base - hr).square().mean())


@pytest.mark.parametrize("scale", [2, 3])
def test_a_head_for_one_band_starts_where_three_equal_bands_end(scale: int) -> None:
    """A grey picture in three bands gives the mean of its bands."""
    three = network(3, scale)
    one = DirectNetwork(1, scale, BODY, torch.float32).eval()
    one.load_state_dict(of_one_band(three.state_dict(), scale, BODY))
    generator = torch.Generator().manual_seed(5)
    lr, base = torch.rand(1, 1, 9, 9, generator=generator), torch.rand(1, 1, 9 * scale, 9 * scale, generator=generator)
    planes = torch.rand(1, 2, 1, 1, generator=generator)
    with torch.no_grad():
        mean = three(lr.expand(-1, 3, -1, -1), base.expand(-1, 3, -1, -1), planes).mean(1, keepdim=True)
        torch.testing.assert_close(one(lr, base, planes), mean, atol=1e-5, rtol=1e-4)
