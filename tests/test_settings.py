"""The presets and the stages: plain values that other files rely on."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from sr_ops.settings import MAX_SCALE, MIN_SCALE, NO_PRIOR, FitSettings, Method, Network, Preset, Settings, preset

STAGES = {2: (2,), 3: (2, 3), 4: (2, 4), 5: (2, 4, 5), 6: (2, 4, 6), 7: (2, 4, 7), 8: (2, 4, 8)}
DIRECT_STAGES = {2: (2,), 3: (3,), 4: (4,), 5: (4, 5), 6: (4, 6), 7: (4, 7), 8: (4, 8)}
OURS = (Preset.FAST, Preset.BALANCED, Preset.BEST)
STARTS = [
    (name, start)
    for name in Preset
    for start in (True, False)
    if (name, start) not in (("paper", True), ("classic", True), ("real", False))
]
"""Two presets are fitted from scratch only; real images are done by the prior as it is."""
every_preset = pytest.mark.parametrize(("name", "from_prior"), STARTS)
each_start = pytest.mark.parametrize("from_prior", [True, False])


@pytest.mark.parametrize(
    ("network", "stages"), [(Network.SUBPIXEL, STAGES), (Network.ZSSR, STAGES), (Network.DIRECT, DIRECT_STAGES)]
)
def test_stages_of_every_scale(network: Network, stages: dict[int, tuple[int, ...]]) -> None:
    """From scratch stages double until the scale is reached, direct networks go to x4 at once; the last stops there."""
    scales = range(MIN_SCALE, MAX_SCALE + 1)
    assert {scale: Settings(scale=scale, network=network).stage_scales for scale in scales} == stages


def test_settings_do_not_load_torch() -> None:
    """Reading settings is quick: torch is not imported."""
    code = "import sys, sr_ops.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every_preset
def test_a_preset_chooses_the_network_and_its_fit_and_nothing_else(name: Preset, from_prior: bool) -> None:
    """The rest is as in plain settings, but for the ensemble of fast: the method is auto, and no prior is named."""
    chosen = preset(name, from_prior)
    assert chosen.ensemble is (name is not Preset.FAST)
    few = from_prior and name in (Preset.BALANCED, Preset.REAL)
    assert chosen.members == (12 if name is Preset.CLASSIC else 4 if few else 8)
    if name is Preset.CLASSIC:
        assert (chosen.back_projections, chosen.back_projection_factor) == (3, 0.5)
        assert (chosen.fit.level_odds, chosen.fit.son_noise) == (0.5, 5)
        chosen = replace(chosen, back_projections=Settings.back_projections, back_projection_factor=0.0)
    alike = replace(chosen, network=Settings().network, fit=Settings().fit, ensemble=True, members=8)
    assert alike == Settings()
    assert (chosen.method, chosen.prior) == (Method.AUTO, NO_PRIOR)
    assert chosen.fit.batch == FitSettings().batch
    assert chosen.fit.crop // (4 if from_prior else 2) >= 24, "sons of x4 are as large as to learn from"


@pytest.mark.parametrize(("name", "from_prior"), [("paper", True), ("classic", True), ("real", False)])
def test_a_preset_that_does_not_start_so_is_told(name: str, from_prior: bool) -> None:
    """By its name, and with what to give instead."""
    with pytest.raises(ValueError, match=f"the preset {name} starts from .* only; give from_prior={not from_prior}"):
        preset(Preset(name), from_prior)


@pytest.mark.parametrize("scale", [2.5, 2.0, 1, 0, 12, True, "2"])
def test_a_scale_that_is_not_whole_is_told(scale: Any) -> None:
    """Before anything is computed, and how it is made."""
    with pytest.raises(ValueError, match=rf"the scale {scale!r} is no whole number from 2 to 8; .*'times:2.5x2.5'"):
        Settings(scale=scale)


@pytest.mark.parametrize("members", [2, 12])
def test_members_that_a_direct_network_does_not_have_are_told(members: int) -> None:
    """Before anything is fitted; those that it has are taken, and 12 from scratch."""
    with pytest.raises(ValueError, match=f"1, 4 or 8 members, not {members}"):
        Settings(network=Network.DIRECT, members=members)
    assert [Settings(network=Network.DIRECT, members=some).members for some in (1, 4, 8)] == [1, 4, 8]
    assert Settings(network=Network.SUBPIXEL, members=12).members == 12


@each_start
def test_better_presets_take_more_steps(from_prior: bool) -> None:
    """Fast takes fewer steps than balanced, and balanced fewer than best, all at one learning rate."""
    fits = [preset(name, from_prior).fit for name in OURS]
    assert all(faster.steps < better.steps for faster, better in pairwise(fits))
    assert (fits[0].steps == 0) is from_prior, "fast takes the prior as it is"
    assert len({fit.learning_rate for fit in fits}) == 1


@each_start
def test_only_fast_does_without_the_self_ensemble(from_prior: bool) -> None:
    """It makes an enlargement eight times as long; the others take that time."""
    assert [preset(name, from_prior).ensemble for name in OURS] == [False, True, True]


def test_real_images_are_done_by_the_prior_as_it_is_and_the_self_ensemble() -> None:
    """All but the fit is as by default."""
    real, balanced = (preset(name, from_prior=True) for name in (Preset.REAL, Preset.BALANCED))
    assert real.fit.steps == 0
    assert replace(real, fit=balanced.fit) == balanced


def test_the_papers_preset_has_the_self_ensemble() -> None:
    """As published."""
    assert preset(Preset.PAPER, from_prior=False).ensemble


@pytest.mark.parametrize("name", OURS)
def test_a_fit_from_scratch_takes_more_and_longer_steps(name: Preset) -> None:
    """What a prior knows has to be learned without one; with one, long steps would undo it."""
    scratch, prior = preset(name, from_prior=False).fit, preset(name, from_prior=True).fit
    assert scratch.steps > prior.steps
    assert scratch.learning_rate > prior.learning_rate


def test_fast_from_scratch_takes_more_steps_than_balanced_from_a_prior() -> None:
    """What is called fast still has to learn from scratch what a prior brings along."""
    assert preset(Preset.FAST, from_prior=False).fit.steps > preset(Preset.BALANCED, from_prior=True).fit.steps


@every_preset
def test_each_start_has_its_network(name: Preset, from_prior: bool) -> None:
    """Direct ones from a prior; from scratch ZSSR's for the paper, 8 layers of 64, classic's, or the default."""
    chosen = preset(name, from_prior)
    if name is Preset.PAPER:
        assert (chosen.network, chosen.depth, chosen.width) == (Network.ZSSR, 8, 64)
    elif name is Preset.CLASSIC:
        assert chosen.network is Network.SUPERRESNET
    else:
        assert chosen.network is (Network.DIRECT if from_prior else Network.SUBPIXEL)


def test_the_papers_network_is_fitted_as_long_as_the_best() -> None:
    """The paper's network, the slowest to learn, gets no fewer steps from scratch than any other preset."""
    steps = {name: preset(name, from_prior=False).fit.steps for name in (*OURS, Preset.PAPER)}
    assert steps[Preset.PAPER] == max(steps.values())
