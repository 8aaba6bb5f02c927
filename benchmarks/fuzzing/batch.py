"""One batch: spoiled files under odd names, and how a run over them is asked for. Decided by two numbers alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pipeline.config import Device, Dpi, Executor, Form, Format, RunConfig
from sr_ops.settings import FitSettings, Method, Settings

from ..srpipe_process import write_manifest
from . import names
from .seeds import Seed
from .spoiling import spoil

MAX_PIXELS = 2**18
"""Of a file: so much is done in a second."""

_GOOD = 0.05
"""Share of the files that are left as they are: these must be done."""

_FORMS = (
    *(Form(), Form(single=True), Form(dpi=Dpi.KEEP)),
    *(Form(Format.TIF), Form(Format.TIF, single=True), Form(Format.COG), Form(Format.COG)),
    Form(Format.PNG),
)

_MANIFESTS = ("", "", "m.csv", "m.jsonl")
"""Names of tables; "" for a folder."""


@dataclass(frozen=True)
class Input:
    """One file."""

    path: str
    """Relative."""
    seed: Seed
    spoilt: tuple[str, ...]
    """What was done to it; empty for a good file."""
    data: bytes


@dataclass(frozen=True)
class Batch:
    """Files, and how they are to be run."""

    number: int
    inputs: tuple[Input, ...]
    manifest: str
    """A name of `_MANIFESTS`."""
    form: Form
    settings: Settings
    deep: bool
    divided: bool
    """Tiny images are to take the way of those that are too large for one worker, and for its memory."""

    def write(self, folder: Path) -> str:
        """Write all files, and the table if there is one; what the run is to be given."""
        for item in self.inputs:
            path = folder / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(item.data)
        table = folder / self.manifest
        if self.manifest.endswith(".csv"):
            write_manifest(table, ["uri"], ([item.path] for item in self.inputs))
        elif self.manifest:
            lines = (json.dumps({"image": str(folder / item.path)}) for item in self.inputs)
            table.write_text("".join(f"{line}\n" for line in lines))
        return str(table)

    def config(self, manifest: str, output: str) -> RunConfig:
        return RunConfig(
            manifest=manifest,
            output=output,
            settings=self.settings,
            form=self.form,
            max_pixels=MAX_PIXELS,
            device=Device.CPU,
            executor=Executor.INLINE,
            deep=self.deep,
        )


def make_batch(seeds: Sequence[Seed], seed: int, number: int, size: int) -> Batch:
    """The same for the same arguments; kinds of files are drawn alike, however many seeds there are of each."""
    random = Random(f"{seed} {number}")
    manifest = random.choice(_MANIFESTS)
    kinds = sorted({item.kind for item in seeds})
    of_kind = {kind: [item for item in seeds if item.kind == kind] for kind in kinds}
    weights = [len(of_kind[kind]) ** 0.5 for kind in kinds]
    inputs = []
    for index in range(size):
        chosen = random.choice(of_kind[random.choices(kinds, weights)[0]])
        path = names.name(index, random, in_text=bool(manifest))
        data, spoilt = chosen.data, list[str]()
        if random.random() >= _GOOD:
            data, spoilt = spoil(data, random.choice(seeds).data, random)
        inputs.append(Input(path, chosen, tuple(spoilt), data))
    return Batch(
        number,
        tuple(inputs),
        manifest,
        random.choice(_FORMS),
        _settings(random),
        deep=random.random() < 0.2,
        divided=random.random() < 0.25,
    )


def _settings(random: Random) -> Settings:
    """All stages of the real thing with little work; a fifth of the runs fits networks."""
    fit = FitSettings(steps=2, crop=16, batch=1)
    method = Method.ZSSR if random.random() < 0.2 else Method.BICUBIC
    scale, tile_size = random.choice((2, 2, 3)), random.choice((32, 512))
    return Settings(scale, method, width=8, depth=3, fit=fit, ensemble=False, back_projections=2, tile_size=tile_size)
