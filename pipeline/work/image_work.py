"""The work on an open image: fit, enlarge tile by tile, write, commit. For a scene: its fit, or a group of tiles."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from math import isfinite

import torch

from sr_ops.learning import fit_stages
from sr_ops.model import Model
from sr_ops.prior import Prior
from sr_ops.restorer import Restorer
from sr_ops.settings import Method, Settings
from sr_ops.tiles import Tile

from .. import storage
from ..codec import to_json
from ..config import RunConfig
from ..errors import ErrorType, ImageError
from ..imagery import camera
from ..imagery.header import Header
from ..imagery.picture import Picture
from ..imagery.samples import measured
from ..imagery.writing.georef import name_of_crs
from ..output.kernel_columns import with_kernel
from ..output.layout import Commit
from ..output.maps import map_target
from ..output.record import Record
from ..output.sinks import open_sink, store
from ..output.status import Status
from ..output.target import Target
from ..output.tidying import finish_map, finish_tiles, remove_other_forms
from ..output.written_tile import WrittenTile
from ..storage.patience import Patience
from . import scene
from .enlarging import tiles_of, write_tiles
from .fitting import ImageFit, prepare
from .opening import Image, Opened
from .recording import Recorder
from .scene_weights import model_to_bytes
from .stopwatch import Stopwatch
from .units import Answer, Division, Group, GroupRecord, Row, Scene, divide, with_tiles


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

    def __call__(self, row: Row, opened: Opened, fit: ImageFit | None, begun: Record, piece: int) -> Answer:
        """Return the answer for what was opened, computed in pieces of side `piece`, which divides that of a tile.

        Args:
            fit: from a stack, if it was done already.

        Raises:
            ImageError, DeadlineError, and any error that means out of memory.
        """
        image = opened.found
        if not isinstance(image, Image):
            return image
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        if image.group is not None:
            return self._do_group(*image.group, opened, image, begun, piece)
        return self._do_image(row, opened, image, fit, begun, piece)

    def _do_image(
        self, row: Row, opened: Opened, image: Image, fit: ImageFit | None, begun: Record, piece: int
    ) -> Record | Scene:
        watch, picture, target = opened.watch, image.picture, image.target
        check_scale(self._restorer, opened.settings.scale)
        fit = fit or self._fit(opened, picture, piece)
        settings, model = fit.settings, replace(fit.fitted.model, restorer=self._restorer)
        self._withdraw(row)
        record = self._described(begun, opened, image, fit)
        bands = measured(picture.header)
        groups = () if target.one_file else divide(picture.height, picture.width, bands, settings, self._division)
        if groups:
            begun_scene = Scene(row, self._recorder.timed(record, watch), groups)
            return self._begin_scene(begun_scene, image, opened.commit, model, settings.kernel)
        tiles = tiles_of(picture.header, settings, model.degradation)
        written, map_names = self._write(row.key, image, tiles, model, settings, watch, piece)
        with watch("write"):
            place_of_map = self._tidy(
                row, target, [tile.name for tile in written], map_names, len(tiles), settings.tile_size
            )
        empty = 0 if target.one_file else len(tiles) - len(written)
        record = replace(with_tiles(record, written, empty), status=Status.DONE, disagreement_uri=place_of_map)
        record = self._recorder.timed(record, watch)
        store(opened.commit.uri(self._output), to_json(record), self._patiently)
        return record

    def _fit(self, opened: Opened, picture: Picture, piece: int) -> ImageFit:
        watch = opened.watch
        ready = prepare(opened.settings, picture, self._device, watch, opened.of_camera)
        in_pieces = replace(ready.settings, tile_size=piece)
        fitted = fit_stages(
            ready.lr, in_pieces, self._prior, ready.degradation, watch, watch.check, ready.domain, ready.signs
        )
        return ImageFit(ready.settings, ready.guess, fitted)

    def _do_group(
        self, group: Group, model: Model, opened: Opened, image: Image, begun: Record, piece: int
    ) -> GroupRecord:
        settings, commit, watch = opened.settings, opened.commit, opened.watch
        model = replace(model, restorer=self._restorer)
        tiles = tiles_of(image.picture.header, settings, model.degradation)[group.start : group.stop]
        written, map_names = self._write(group.row.key, image, tiles, model, settings, watch, piece)
        timed = self._recorder.timed(replace(begun, status=Status.DONE), watch)
        record = GroupRecord(group.start, group.stop, written, timed, map_names)
        store(scene.group_uri(self._output, commit, group.start, group.stop), to_json(record), self._patiently)
        return record

    def _write(
        self,
        key: str,
        image: Image,
        tiles: Sequence[Tile],
        model: Model,
        settings: Settings,
        watch: Stopwatch,
        piece: int,
    ) -> tuple[tuple[WrittenTile, ...], tuple[str, ...]]:
        """Enlarge and write tiles, and their disagreement map if wanted; like `write_tiles`."""
        with ExitStack() as sinks:
            sink = sinks.enter_context(open_sink(image.target, watch, self._patiently))
            maps = None
            if self._config.disagreement:
                of_map = map_target(self._output, key, image.target)
                maps = sinks.enter_context(open_sink(of_map, watch, self._patiently))
            return write_tiles(image.picture, tiles, model, settings, self._device, watch, sink, piece, maps)

    def _begin_scene(self, begun: Scene, image: Image, commit: Commit, model: Model, kernel: str) -> Scene:
        """Store what the groups of a scene need.

        Args:
            kernel: from `Settings`, given or estimated.
        """
        folder = commit.scene_folder(self._output)
        try:
            self._patiently(lambda: scene.clear(self._output, commit))
        except OSError as error:
            message = f"cannot remove old work from {folder}: {storage.reason(error)}; run again"
            raise ImageError(ErrorType.WRITE, message) from error
        side, target = self._config.settings.tile_size, image.target
        store(
            scene.result_uri(self._output, commit),
            to_json(scene.SceneResult(side, target.header, target.grid)),
            self._patiently,
        )
        store(scene.scaling_uri(self._output, commit), to_json(image.picture.scaling), self._patiently)
        store(scene.weights_uri(self._output, commit), model_to_bytes(model, kernel), self._patiently)
        store(scene.fit_uri(self._output, commit), to_json(begun.record), self._patiently)
        return begun

    def _described(self, begun: Record, opened: Opened, image: Image, fit: ImageFit) -> Record:
        """Return the record with everything known before the first tile."""
        header, made, fitted = image.picture.header, image.target.header, fit.fitted
        model = fitted.model
        by_networks = bool(model.networks)
        rows, columns = image.target.grid.rows, image.target.grid.columns
        noise_offset, noise_slope = camera.lines_in_native_units(fitted.noise_lines, image.picture.scaling)
        return replace(
            with_kernel(begun, fit.guess),
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
            notes="; ".join((*made.notes, *_of_model(header, opened.settings))) or None,
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

    def _withdraw(self, row: Row) -> None:
        """Remove what earlier work says about the tiles, before the first one is overwritten."""
        for uri in row.stale:
            try:
                self._patiently(partial(storage.remove, uri))
            except OSError as error:
                raise ImageError(ErrorType.WRITE, f"cannot remove {uri}: {storage.reason(error)}; run again") from error

    def _tidy(
        self, row: Row, target: Target, names: Sequence[str], map_names: Sequence[str], planned: int, side: int
    ) -> str | None:
        """Do what follows the last tile; return the uri of the map, if there is one."""
        kept = target.place if target.one_file else None
        place_of_map = None
        common = planned, target.grid, side
        try:
            if not target.one_file:
                self._patiently(lambda: finish_tiles(self._output, row.key, target.header, names, *common))
            if map_names or row.stale:
                place_of_map = self._patiently(
                    lambda: finish_map(self._output, row.key, target.header, map_names, *common)
                )
            if row.stale:
                self._patiently(lambda: remove_other_forms(self._output, row.key, kept))
            return place_of_map
        except OSError as error:
            message = f"cannot tidy up {target.place}: {storage.reason(error)}; check space and access, then run again"
            raise ImageError(ErrorType.WRITE, message) from error


def check_scale(restorer: Restorer | None, scale: int) -> None:
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
