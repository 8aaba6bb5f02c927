"""The work on an open image: fit, enlarge tile by tile, write, commit. For a scene: its fit, or a group of tiles."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite

import torch

from sr_ops.enlarging.model import Model
from sr_ops.enlarging.restorer import Restorer
from sr_ops.image.tiles import Tile
from sr_ops.learning.learn import fit_stages
from sr_ops.priors.prior import Prior
from sr_ops.settings import Method, Settings

from .. import storage
from ..codec import to_json
from ..config import RunConfig
from ..errors import ErrorType, ImageError
from ..imagery import camera
from ..imagery.header import Header
from ..imagery.picture import Picture
from ..imagery.writing.georef import name_of_crs
from ..output.kernel_columns import kernel_columns
from ..output.layout import Commit
from ..output.maps import map_target
from ..output.record import Record
from ..output.sinks import open_sink, store
from ..output.status import Status
from ..output.target import Target
from ..output.tidying import Tiling
from ..storage.patience import Patience
from .enlarging import Enlargement, Written, write_tiles
from .fitting import ImageFit, prepare
from .opening import Image, Opened
from .recording import Recorder
from .scene import SceneFolder, clear
from .scene_weights import model_to_bytes
from .settling import settle
from .units import Answer, Division, Group, GroupRecord, Row, Scene, with_tiles


@dataclass(frozen=True)
class Attempt:
    """One attempt at an image that was opened."""

    row: Row
    opened: Opened
    fit: ImageFit | None
    """From a stack, if it was done already."""
    begun: Record
    piece: int
    """Side of what is computed at once, as in `Enlargement`: less after an attempt for which memory was too small."""


class ImageWork:
    """What a worker does with an image that was opened."""

    def __init__(
        self,
        config: RunConfig,
        prior: Prior | None,
        device: torch.device,
        division: Division,
        recorder: Recorder,
        patiently: Patience,
        restorer: Restorer | None = None,
    ) -> None:
        self._config = config
        self._output = config.output
        self._prior = prior
        self._device = device
        self._division = division
        self._recorder = recorder
        self._patiently = patiently
        self._restorer = restorer

    def __call__(self, attempt: Attempt) -> Answer:
        """Return the answer for what was opened.

        Raises:
            ImageError, DeadlineError, and any error that means out of memory.
        """
        image = attempt.opened.found
        if isinstance(image, Scene):
            self._withdraw(attempt.row, SceneFolder(self._output, attempt.opened.commit))
        if not isinstance(image, Image):
            return image
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        if image.group is not None:
            return self._do_group(attempt, image, *image.group)
        return self._do_image(attempt, image)

    def _do_image(self, attempt: Attempt, image: Image) -> Record | Scene:
        row, opened, picture, target = attempt.row, attempt.opened, image.picture, image.target
        check_image_scale(self._restorer, opened.settings.scale)
        fit = attempt.fit or self._fit(attempt, picture)
        self._withdraw(row)
        record = self._described(attempt.begun, opened, image, fit)
        groups = image.divided(fit.settings, self._division)
        if groups:
            begun = Scene(row, self._recorder.timed(record, opened.watch), groups)
            return self._begin_scene(begun, image, opened.commit, fit)
        enlargement = self._enlargement(attempt, picture, fit.fitted.model, fit.settings)
        tiles = enlargement.tiles()
        written = self._write(row.key, target, enlargement, tiles)
        with opened.watch("write"):
            place_of_map = self._tidy(row, target, fit.settings.tile_size, written)
        empty = 0 if target.one_file else len(tiles) - len(written.tiles)
        record = with_tiles(record, written.tiles, empty)
        record = replace(record, status=Status.DONE, disagreement_uri=place_of_map)
        record = self._recorder.timed(record, opened.watch)
        store(opened.commit.uri(self._output), to_json(record), self._patiently)
        return record

    def _fit(self, attempt: Attempt, picture: Picture) -> ImageFit:
        opened, watch = attempt.opened, attempt.opened.watch
        ready = prepare(opened.settings, picture, self._device, watch, opened.of_camera)
        in_pieces = replace(ready.settings, tile_size=attempt.piece)
        fitted = fit_stages(ready.observation, in_pieces, self._prior, watch, watch.check)
        return ImageFit(ready.settings, ready.guess, fitted)

    def _do_group(self, attempt: Attempt, image: Image, group: Group, model: Model) -> GroupRecord:
        opened = attempt.opened
        enlargement = self._enlargement(attempt, image.picture, model, opened.settings)
        tiles = enlargement.tiles()[group.start : group.stop]
        written = self._write(group.row.key, image.target, enlargement, tiles)
        timed = self._recorder.timed(replace(attempt.begun, status=Status.DONE), opened.watch)
        record = GroupRecord(group.start, group.stop, written.tiles, timed, written.map_names)
        uri = SceneFolder(self._output, opened.commit).group(group.start, group.stop)
        store(uri, to_json(record), self._patiently)
        return record

    def _enlargement(self, attempt: Attempt, picture: Picture, model: Model, settings: Settings) -> Enlargement:
        """Return what is to be enlarged, and by what; `settings` with the kernel of the model."""
        model = replace(model, restorer=self._restorer)
        return Enlargement(picture, model, settings, self._device, attempt.opened.watch, attempt.piece)

    def _write(self, key: str, target: Target, enlargement: Enlargement, tiles: Sequence[Tile]) -> Written:
        """Enlarge and write tiles, and their disagreement map if wanted; like `write_tiles`."""
        watch = enlargement.watch
        with ExitStack() as sinks:
            sink = sinks.enter_context(open_sink(target, watch, self._patiently))
            maps = None
            if self._config.disagreement:
                of_map = map_target(self._output, key, target)
                maps = sinks.enter_context(open_sink(of_map, watch, self._patiently))
            return write_tiles(enlargement, tiles, sink, maps)

    def _begin_scene(self, begun: Scene, image: Image, commit: Commit, fit: ImageFit) -> Scene:
        """Store what the groups of a scene need."""
        folder, target = SceneFolder(self._output, commit), image.target
        try:
            self._patiently(lambda: clear(folder))
        except OSError as error:
            message = f"cannot remove old work from {folder.uri}: {storage.reason(error)}; run again"
            raise ImageError(ErrorType.WRITE, message) from error
        tiling = Tiling(fit.settings.tile_size, target.header, target.grid)
        store(folder.result, to_json(tiling), self._patiently)
        store(folder.scaling, to_json(image.picture.scaling), self._patiently)
        store(folder.weights, model_to_bytes(fit.fitted.model, fit.settings.kernel), self._patiently)
        store(folder.fit, to_json(begun.record), self._patiently)
        return begun

    def _described(self, begun: Record, opened: Opened, image: Image, fit: ImageFit) -> Record:
        """Return the record with everything known before the first tile."""
        header, made, fitted = image.picture.header, image.target.header, fit.fitted
        model = fitted.model
        by_networks = bool(model.networks)
        notes = (*made.notes, *_of_model(header, opened.settings), *camera.shift_notes(model.degradation))
        rows, columns = image.target.grid.rows, image.target.grid.columns
        noise_offset, noise_slope = camera.lines_in_native_units(fitted.noise_lines, image.picture.scaling)
        return replace(
            begun,
            **(kernel_columns(fit.guess.kernel, fit.guess) if fit.guess else {}),
            source_fingerprint=opened.commit.source,
            output_uri=image.target.place,
            method_used=model.method,
            network=opened.settings.network if by_networks else None,
            noise=camera.in_native_units(fitted.noise, image.picture.scaling),
            noise_offset=noise_offset,
            noise_slope=noise_slope,
            width=header.width,
            height=header.height,
            bands=len(header.bands),
            dtype=header.dtype,
            scale=begun.scale or max(rows.ratio, columns.ratio),
            scale_x=columns.ratio,
            scale_y=rows.ratio,
            whole_scale=opened.settings.scale,
            sr_width=made.width,
            sr_height=made.height,
            crs=name_of_crs(made),
            transform=None if made.georef is None else made.georef.transform,
            nodata=made.nodata,
            notes="; ".join(notes) or None,
            prior_bands=model.networks[0].bands if by_networks and self._prior is not None else None,
            steps=fitted.steps,
            final_loss=_finite(fitted.final_loss),
            fit_curve=fitted.fit_curve if fitted.fit_curve and all(map(isfinite, fitted.fit_curve)) else None,
            reconstruction_psnr=_finite(fitted.reconstruction_psnr),
            prior_reconstruction_psnr=_finite(fitted.prior_reconstruction_psnr),
            bicubic_reconstruction_psnr=_finite(fitted.bicubic_reconstruction_psnr),
            steps_used=fitted.steps if model.method == Method.ZSSR else 0,
            fit_s=opened.watch["fit"],
            config_fingerprint=opened.commit.settings,
        )

    def _withdraw(self, row: Row, kept: SceneFolder | None = None) -> None:
        """Remove what earlier work says about the tiles, before the first one is overwritten.

        Args:
            kept: of the scene that goes on.
        """
        for uri in (*row.stale, *row.begun):
            if kept is not None and uri.startswith(f"{kept.uri}/"):
                continue
            try:
                self._patiently(partial(storage.remove, uri))
            except OSError as error:
                raise ImageError(ErrorType.WRITE, f"cannot remove {uri}: {storage.reason(error)}; run again") from error

    def _tidy(self, row: Row, target: Target, side: int, written: Written) -> str | None:
        """Do what follows the last tile; return the uri of the map, if there is one."""
        one_file = target.place if target.one_file else None
        tiling, names = Tiling(side, target.header, target.grid), [tile.name for tile in written.tiles]
        try:
            return settle(self._output, row, tiling, names, written.map_names, self._patiently, one_file)
        except OSError as error:
            message = f"cannot tidy up {target.place}: {storage.reason(error)}; check space and access, then run again"
            raise ImageError(ErrorType.WRITE, message) from error


def check_image_scale(restorer: Restorer | None, scale: int) -> None:
    """Raise ImageError if a third party's model has another scale than the image needs."""
    if restorer is not None and restorer.scale != scale:
        raise ImageError(
            ErrorType.UNSUPPORTED,
            f"the model of --weights enlarges by {restorer.scale}, and this image is to be by {scale}; give"
            f" the row the scale {restorer.scale}, or use another model",
        )


def _of_model(header: Header, settings: Settings) -> tuple[str, ...]:
    """Return notes about the tiles of a third party's model."""
    tiles = max(header.height, header.width) > settings.tile_size
    if settings.method != Method.MODEL or not tiles:
        return ()
    return (f"tiles agree with the whole image if the model sees no farther than {settings.model_halo} pixels",)


def _finite(value: float) -> float | None:
    """Return None for nan and inf, which JSON and most tables cannot hold."""
    return value if abs(value) < float("inf") else None
