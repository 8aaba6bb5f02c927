"""The kernels with names, for `srpipe kernel --list`."""

from itertools import groupby
from textwrap import wrap

from sr_ops.camera.kernel_spec import FORMS, PLAIN
from sr_ops.camera.sensors import SENSORS, Sensor


def as_text() -> str:
    """Return plain names, forms with numbers, and sensors with their bands and values, followed by their source."""
    width = max(map(len, FORMS)) + 2
    blocks = ["\n".join([*PLAIN, *(f"{form:<{width}}{what}" for form, what in FORMS.items())])]
    for source, named in groupby(SENSORS.items(), lambda each: each[1].source):
        lines = [line for name, sensor in named for line in _of_sensor(name, sensor)]
        lines += wrap(f"from {source}", 100, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_objects() -> dict[str, object]:
    """Return the same for programs."""
    sensors = {name: {"bands": sensor.grids, "source": sensor.source} for name, sensor in SENSORS.items()}
    return {"names": PLAIN, "forms": FORMS, "sensors": sensors}


def _of_sensor(name: str, sensor: Sensor) -> list[str]:
    """Return a line per grid: what to write, and the bands with their transfers."""
    specs = [f"sensor:{name}", *(f"sensor:{name}:{','.join(bands)}" for bands in [*sensor.grids.values()][1:])]
    return [
        f"{spec}  ({grid}) {', '.join(f'{band} {transfer:g}' for band, transfer in bands.items())}"
        for spec, (grid, bands) in zip(specs, sensor.grids.items(), strict=True)
    ]
