"""The number that means "nothing was measured here", as the user or the samples tell it. This loads no torch."""

from dataclasses import replace

import numpy as np

from sr_ops.settings import AUTO, NONE

from .header import Header, holds, within_type


def with_nodata(header: Header, told: str) -> Header:
    """Return the header with the user's nodata: the file's (AUTO), none (NONE), or the given number.

    A mask that is made of the file's nodata values goes where theirs do not count; any other mask stays.
    """
    if told == AUTO:
        return header
    declared = "" if header.nodata is None else number_text(header.nodata)
    if told == NONE:
        header = _without_mask_of_nodata(header, told)
        notes = (f"its nodata value {declared} is taken for a measurement, as --nodata none says",) if declared else ()
        return replace(header, nodata=None, notes=(*header.notes, *notes))
    value = float(told)
    if not holds(header.dtype, value):
        note = f"the given nodata value {number_text(value)} cannot occur in {header.dtype} and is left out"
        return replace(header, notes=(*header.notes, note))
    value = within_type(header.dtype, value)
    header = _without_mask_of_nodata(header, number_text(value))
    if header.nodata is None or header.nodata == value or header.nodata != header.nodata:
        return replace(header, nodata=value)
    note = f"its nodata value {declared} is taken for a measurement, as --nodata {number_text(value)} says"
    return replace(header, nodata=value, notes=(*header.notes, note))


def _without_mask_of_nodata(header: Header, told: str) -> Header:
    if not header.mask_of_nodata:
        return header
    note = f"the mask that its tag NODATA_VALUES makes does not count, as --nodata {told} says"
    return replace(header, mask=False, mask_of_nodata=False, notes=(*header.notes, note))


def with_fill(header: Header, fill: float) -> Header:
    """Return the header of an image in which a fill was detected."""
    note = f"its samples of {number_text(fill)}, declared nowhere, are taken for nodata; --nodata none keeps them"
    if header.nodata is not None and header.nodata == header.nodata:
        note += f"; its nodata value {number_text(header.nodata)}, which none of them has, is not carried over"
    return replace(header, nodata=fill, notes=(*header.notes, note))


def number_text(number: float) -> str:
    """Write a number as users do: whole numbers without a point, floats with the digits of float32."""
    whole = number.is_integer() and abs(number) < 1e15
    return str(int(number)) if whole else str(np.float32(number) if holds("float32", number) else number)
