"""The presets and the stages: plain values that other files rely on."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from sr_ops.settings import MAX_SCALE, MIN_SCALE, NO_PRIOR, FitSettings, Method, Network, Preset, Settings, preset

STAGES = {2: (2,), 3: (2, 3), 4: (2, 4), 5: (2, 4, 5), 6: (2, 4, 6), 7: (2, 4, 7), 8: (2, 4, 8)}
OURS = (Preset.FAST, Preset.BALANCED, Preset.BEST)
every_preset = pytest.mark.parametrize("name", list(Preset))
each_start = pytest.mark.parametrize("from_prior", [True, False])


def test_stages_of_every_scale() -> None:
    """Stages double until the scale is reached; the last one stops at it."""
    assert {scale: Settings(scale=scale).stage_scales for scale in range(MIN_SCALE, MAX_SCALE + 1)} == STAGES


def test_settings_do_not_load_torch() -> None:
    """Reading settings is quick: torch is not imported."""
    code = "import sys, sr_ops.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every_preset
@each_start
def test_a_preset_chooses_the_network_and_its_fit_and_nothing_else(name: Preset, from_prior: bool) -> None:
    """The rest is as in plain settings, but for the ensemble of fast: the method is auto, and no prior is named."""
    chosen = preset(name, from_prior)
    assert chosen.ensemble is (name is not Preset.FAST)
    assert replace(chosen, network=Settings().network, fit=Settings().fit, ensemble=True) == Settings()
    assert (chosen.method, chosen.prior) == (Method.AUTO, NO_PRIOR)
    assert (chosen.fit.crop, chosen.fit.batch) == (FitSettings().crop, FitSettings().batch)


@each_start
def test_better_presets_take_more_steps(from_prior: bool) -> None:
    """Fast takes fewer steps than balanced, and balanced fewer than best, all at one learning rate."""
    fits = [preset(name, from_prior).fit for name in OURS]
    assert all(0 < faster.steps < better.steps for faster, better in pairwise(fits))
    assert len({fit.learning_rate for fit in fits}) == 1


@each_start
def test_only_fast_does_without_the_self_ensemble(from_prior: bool) -> None:
    """It makes an enlargement eight times as long; the others take that time."""
    assert [preset(name, from_prior).ensemble for name in OURS] == [False, True, True]
    assert preset(Preset.PAPER, from_prior).ensemble


@pytest.mark.parametrize("name", OURS)
def test_a_fit_from_scratch_takes_more_and_longer_steps(name: Preset) -> None:
    """What a prior knows has to be learned without one; with one, long steps would undo it."""
    scratch, prior = preset(name, from_prior=False).fit, preset(name, from_prior=True).fit
    assert scratch.steps > prior.steps
    assert scratch.learning_rate > prior.learning_rate


def test_fast_from_scratch_takes_more_steps_than_balanced_from_a_prior() -> None:
    """What is called fast still has to learn from scratch what a prior brings along."""
    assert preset(Preset.FAST, from_prior=False).fit.steps > preset(Preset.BALANCED, from_prior=True).fit.steps


@each_start
def test_only_the_paper_preset_takes_the_papers_network(from_prior: bool) -> None:
    """It is ZSSR's, of 8 layers of 64 channels as published; the others take the default network."""
    networks = {name: preset(name, from_prior).network for name in Preset}
    assert networks.pop(Preset.PAPER) is Network.ZSSR
    assert set(networks.values()) == {Settings().network} == {Network.SUBPIXEL}
    paper = preset(Preset.PAPER, from_prior)
    assert (paper.depth, paper.width) == (8, 64)


def test_the_papers_network_is_fitted_as_long_as_the_best() -> None:
    """The paper's network, the slowest to learn, gets no fewer steps from scratch than any other preset."""
    steps = {name: preset(name, from_prior=False).fit.steps for name in Preset}
    assert steps[Preset.PAPER] == max(steps.values())
