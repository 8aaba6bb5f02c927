"""Errors for files that storage cannot deliver."""

from collections.abc import Iterator
from contextlib import contextmanager

from .. import storage
from ..errors import ErrorType, ImageError


def unreadable(uri: str, error: OSError) -> ImageError:
    message = f"cannot read {uri}: {storage.to_correct(error)}, then run again"
    return ImageError(ErrorType.READ, message)


@contextmanager
def as_image_errors(uri: str) -> Iterator[None]:
    """Turn the errors of storage for one file into ImageErrors."""
    try:
        yield
    except FileNotFoundError as error:
        message = f"nothing is at {uri}; correct the uri or put the file back"
        raise ImageError(ErrorType.MISSING, message) from error
    except OSError as error:
        raise unreadable(uri, error) from error
