"""Checks before anything starts, so that a refused run has written nothing."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from pathlib import PurePosixPath

from sr_ops.settings import COLLECTION_KERNEL

from .. import storage
from ..config import OF_GPUS, OF_THE_POOL, Device, Executor, Existing, Format, RunConfig
from ..errors import UsageError
from ..manifest.manifest import Cells, OpenManifest
from ..manifest.table import printable
from ..output import layout
from ..output.run_file import read_run_file


def check_options(config: RunConfig) -> None:
    """Raise UsageError for an option that would have no effect."""
    inline = config.executor is Executor.INLINE
    given = {name: f"--{name.replace('_', '-')}" for name in OF_THE_POOL if getattr(config, name) is not None}
    useless = {
        **{f"{flag} with --executor inline": inline for flag in given.values()},
        "--single with --format cog": config.form.single and config.form.format is Format.COG,
        "--disagreement with one member (--no-self-ensemble, --preset fast)": config.disagreement
        and not config.settings.ensemble,
        f"--disagreement with --method {config.settings.method}": config.disagreement
        and not config.settings.by_networks,
        **{f"{flag} with --device cpu": config.device is Device.CPU for name, flag in given.items() if name in OF_GPUS},
    }
    refuse_without_effect(useless)


def refuse_without_effect(useless: Mapping[str, bool]) -> None:
    """Raise UsageError for the first of some combinations of options, as "A with B", that applies."""
    for options, applies in useless.items():
        if applies:
            raise UsageError(f"{options} has no effect; leave one of them out")


def check_input(config: RunConfig, manifest: OpenManifest) -> None:
    """Raise UsageError if S3 is not usable for the images, or if an image lies in an output with other S3 options."""
    on_s3 = _images_on_s3(manifest)
    first = next(on_s3, None)
    uris = [manifest.uri]
    if first is not None:
        storage.check_service(first)  # a missing bucket only fails its rows
        uris.append(first)
    inside = next(filter(storage.is_output, chain(uris, on_s3)), None)
    if inside and storage.scheme(inside) == "s3" and config.storage.input != config.storage.output:
        raise UsageError(
            f"{inside} lies in the output {config.output}, which has other S3 options than the input; choose another"
            " --output"
        )


def _images_on_s3(manifest: OpenManifest) -> Iterator[str]:
    """Yield the uris of those images, without those that name none: their rows fail, each by itself."""
    for row in manifest.rows:
        if row.uri.lower().startswith("s3://"):
            with suppress(UsageError):
                yield storage.absolute(row.uri)


def check_output(config: RunConfig, manifest: OpenManifest, root: str) -> str | None:
    """Return the folder that the output's relative keys stand for; None if there are none.

    Raises UsageError if this run must not be mixed with what is in the output, or with its own input.
    """
    if config.output != printable(config.output):
        raise UsageError(
            f"the output {printable(config.output)} has bytes in its name that are not UTF-8, which no record can hold;"
            " choose another --output"
        )
    if _reads_results(manifest, config):
        beside = storage.join(storage.parent(manifest.root), PurePosixPath(config.output).name)
        such = f", such as {beside}" if storage.scheme(beside) == "file" and beside != config.output else ""
        raise UsageError(
            f"the output {config.output} lies inside the input {manifest.root}; choose another --output{such}"
        )
    refuse_own_places(manifest, config.output, layout.own_places(config.output))
    relative_to = manifest.folder if not root and _has_relative_keys(manifest) else None
    storage.check_service(config.output)
    try:
        held = read_run_file(config.output)
    except FileNotFoundError:
        return relative_to
    except OSError as error:
        uri = layout.run_json(config.output)
        raise UsageError(f"cannot read {uri}: {storage.reason(error)}; choose another --output") from error
    if config.existing is Existing.ERROR:
        raise UsageError(f"{config.output} already holds a run; choose another --output or --existing resume")
    if held.root != root:
        raise UsageError(
            f"{config.output} was made with keys relative to {held.root!r}, this run's are relative to {root!r};"
            " choose another --output or the old --root"
        )
    if relative_to and held.relative_to not in (None, relative_to):
        raise UsageError(
            f"{config.output} holds results for uris relative to {held.relative_to}, this manifest's are relative to"
            f" {relative_to}; choose another --output or give every row an id"
        )
    return relative_to or held.relative_to


def refuse_own_places(manifest: OpenManifest, output: str, places: Iterable[str]) -> None:
    """Raise UsageError if the manifest, an image or a reference lies where results would replace or remove it.

    Args:
        places: files and folders of the output that are written, replaced and removed.
    """
    resolved = [storage.resolved(place) for place in places]
    for uri, leads_to in storage.each_resolved(_files_to_keep(manifest)):
        if any(storage.is_below(leads_to, place) for place in resolved):
            raise UsageError(
                f"{printable(uri)} lies where the run would write its results, in {output}, and could be"
                " replaced; choose another --output"
            )
    found = next(filter(partial(_finds, _pattern(manifest)), resolved), None)
    if found is not None:
        raise UsageError(
            f"the pattern {manifest.uri} would find {found}, which the run writes, among the images; choose another"
            " --output"
        )


def _pattern(manifest: OpenManifest) -> str:
    """Return the resolved folder or pattern of a manifest that is no table."""
    return storage.resolved(manifest.root) + manifest.uri.removeprefix(manifest.root) if manifest.root else ""


def _finds(pattern: str, uri: str) -> bool:
    """Return whether a pattern without `**` would find a file."""
    parts, names = pattern.split("/"), uri.split("/")
    return len(parts) == len(names) and all(map(fnmatchcase, names, parts))


def _files_to_keep(manifest: OpenManifest) -> Iterator[str]:
    """Yield the uris of the manifest, its images and its references, without those that name no file."""
    yield manifest.uri
    for uri in chain((row.uri for row in manifest.rows), manifest.references()):
        with suppress(UsageError):
            place = storage.absolute(uri, manifest.folder) if uri and "\0" not in uri else ""
            if place and "\0" not in place and uri == printable(uri):
                yield place


def _has_relative_keys(manifest: OpenManifest) -> bool:
    """Return whether a key is a relative uri as written, which in another folder would mean another image."""
    return not manifest.root and any(map(_has_relative_key, manifest.rows))


def _has_relative_key(row: Cells) -> bool:
    is_whole = "://" in row.uri or row.uri.startswith("/") or storage.is_file_uri(row.uri)
    return bool(row.uri and not row.id and not is_whole)


def _reads_results(manifest: OpenManifest, config: RunConfig) -> bool:
    """Return whether a folder or pattern would find the results among the images next time, or finds them now."""
    if not manifest.root:
        return False
    output, root = storage.resolved(config.output), storage.resolved(manifest.root)
    if not storage.is_below(output, root):
        folders = {storage.resolved(storage.parent(row.uri)) for row in manifest.rows}
        led_out = (folder for folder in folders if not storage.is_below(folder, root))  # by links in the input
        return any(storage.is_below(folder, output) for folder in led_out)
    pattern = _pattern(manifest)
    picture = storage.join(layout.tiles_folder(output, "key"), layout.tile_name(0, 0, "png"))
    if config.settings.kernel == COLLECTION_KERNEL:
        picture = layout.kernel_picture(output, "camera")  # less deep
    return pattern == root or "**" in pattern or pattern.count("/") >= picture.count("/")
