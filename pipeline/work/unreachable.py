"""Errors for files that storage cannot deliver."""

from .. import storage
from ..errors import ErrorType, ImageError


def unreadable(uri: str, error: OSError) -> ImageError:
    message = f"cannot read {uri}: {storage.to_correct(error)}, then run again"
    return ImageError(ErrorType.READ, message)


def missing(uri: str) -> ImageError:
    return ImageError(ErrorType.MISSING, f"nothing is at {uri}; correct the uri or put the file back")
