"""S3 through s3fs: clients with bounded retries, and errors that are OSErrors and reveal no secrets.

botocore is imported only when S3 is used.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import sync

from ..errors import UsageError
from ..storage_options import S3Options, check_endpoint
from .uris import without_secrets

PAGE = 1000
"""Names in one page of a listing, the most that S3 gives."""

_ANSWER_SECONDS = 15
"""Time limit for the first request, all attempts together."""

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_ATTEMPTS = 5
"""Attempts for a request without an answer, or with 5xx or SlowDown; botocore waits longer each time."""
_ROUNDS = 2
"""Rounds of these attempts: an object whose transfer breaks off is requested once more."""

_WRITE_SECONDS = 300
_WRITE_BYTES_PER_SECOND = 50_000
"""Together the time limit for a write, all attempts included. A store that falls silent before it has the bytes has no
other limit, since the client waits for "100 Continue" without one."""

_CHUNK_BYTES = 8 << 20
_CHUNKS_AT_ONCE = 4
"""A large object is fetched in chunks, so many of which are in memory together."""

_PARTS_AT_ONCE = 2
"""A large file is stored in parts of 50 MiB, so many of which are in memory together."""

_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")

_TRANSIENT_CODES = {
    *("SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests", "RequestLimitExceeded"),
    *("BandwidthLimitExceeded", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"),
    *("OperationAborted", "ConditionalRequestConflict"),
}
_REFUSING_CODES = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
    *("InvalidSecurity", "RequestTimeTooSkewed", "NotSignedUp"),
}


def filesystem(options: S3Options) -> Any:
    """Return the client for these options and the current environment; fsspec caches one for each."""
    further = {"default_block_size": _CHUNK_BYTES, "max_concurrency": _CHUNKS_AT_ONCE, **options.further}
    config = {
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "retries": _unless_set(
            {"AWS_RETRY_MODE": ("mode", "standard"), "AWS_MAX_ATTEMPTS": ("total_max_attempts", _ATTEMPTS)}
        ),
        **_checksums(options),
        **further.pop("config_kwargs", {}),
    }
    if options.endpoint_url is not None:
        further["endpoint_url"] = options.endpoint_url
    if options.profile is not None:
        further["profile"] = options.profile
    files = fsspec.filesystem(
        "s3",
        use_listings_cache=False,
        anon=options.anon,
        requester_pays=options.requester_pays,
        config_kwargs=config,
        **further,
    )
    files.retries = _ROUNDS
    return files


def put(
    uri: str, data: bytes, options: S3Options, mode: Literal["overwrite", "create"], content_type: str | None = None
) -> None:
    """Store an object in one request; from 100 MB on in parts, which become an object with the last one."""
    described = {} if content_type is None else {"ContentType": content_type}
    files = filesystem(options)
    limit = _WRITE_SECONDS + len(data) / _WRITE_BYTES_PER_SECOND
    sync(files.loop, files._pipe_file, uri, data, mode=mode, timeout=limit, **described)


def upload(path: str, uri: str, options: S3Options) -> None:
    """Store the content of a local file as `put` does, replacing what was there."""
    files = filesystem(options)
    limit = _WRITE_SECONDS + os.path.getsize(path) / _WRITE_BYTES_PER_SECOND
    at_once = options.further.get("max_concurrency", _PARTS_AT_ONCE)
    sync(files.loop, files._put_file, path, uri, timeout=limit, max_concurrency=at_once)


def pages(folder: str, first: str, last: str, options: S3Options) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield the objects directly in a folder, between two uris in the order of names, one request per page.

    A page is uri -> "type", "size" and "ETag". Names of folders count among the PAGE names of a page, but are left out.
    """
    for objects in _listed(folder, options, first[:-1], Delimiter="/"):
        yield {uri: {"type": "file", "size": found["Size"], "ETag": found["ETag"]} for uri, found in objects.items()}
        if max(objects, default="") >= last:
            return


def names_below(folder: str, options: S3Options) -> Iterator[str]:
    """Yield the uris of all objects below a folder, in the order of their names, one request per PAGE."""
    for objects in _listed(folder, options):
        yield from (uri for uri in objects if not uri.endswith("/"))  # consoles mark a folder by an empty object


def _listed(folder: str, options: S3Options, after: str = "", **asked: Any) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield the objects below a folder by uri, as S3 describes them, one request per page.

    Args:
        after: the beginning of a uri, which the first object follows in the order of names.
        asked: further parameters of the request.
    """
    files = filesystem(options)
    bucket, _, prefix = f"{folder.removeprefix('s3://')}/".partition("/")
    asked |= {"Bucket": bucket, "Prefix": prefix, "MaxKeys": PAGE}
    if before := after.removeprefix(f"s3://{bucket}/"):
        asked["StartAfter"] = before
    while True:
        answer = sync(files.loop, files._call_s3, "list_objects_v2", **asked)
        yield {f"s3://{bucket}/{found['Key']}": found for found in answer.get("Contents", ())}
        if not answer.get("IsTruncated"):
            return
        asked["ContinuationToken"] = answer["NextContinuationToken"]


def endpoint(options: S3Options) -> str | None:
    """Return the url of the store given by option or environment, None for AWS. Raises UsageError if it is no url."""
    if options.endpoint_url is not None:
        return options.endpoint_url
    for variable in _ENDPOINT_VARIABLES:
        if os.environ.get(variable):
            check_endpoint(os.environ[variable], variable)
            return os.environ[variable]
    return None


def check(uri: str, options: S3Options, side: str) -> bool:
    """Return whether the bucket of a uri exists, by listing one name.

    Args:
        side: "output-" or "", for the names of options in messages.

    Raises:
        UsageError: no answer within seconds, or not with these credentials and options.
    """
    place = endpoint(options) or "AWS"
    try:
        _ask(uri, options)
    except FileNotFoundError:
        return False
    except OSError as error:
        answered = answer(error)
        what = code_without_words(error) or error.strerror or str(error)
        if answered is None and isinstance(error, ConnectionError | TimeoutError):
            remedy = f"check --{side}s3-endpoint-url and the network"
            raise UsageError(f"cannot reach S3 at {place} for {uri}: {what}; {remedy}") from error
        if answered is None or answered[1] in _REFUSING_CODES:
            remedy = f"correct the AWS_* variables or choose a profile with --{side}s3-profile"
            raise UsageError(f"cannot use {uri} at {place}: {what}; {remedy}") from error
        # Denied, for example: reading may be allowed where listing is not. Later calls will tell.
    except (TypeError, ValueError) as error:
        raise UsageError(f"cannot use {uri}: {_one_line(str(error))}; correct --{side}storage-option") from error
    return True


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Turn exceptions of the libraries below into OSErrors; ConnectionError or TimeoutError if there was no answer.

    A traceback shows nothing of those, because the text of some holds the password of a proxy.
    """
    from aiohttp import ClientError
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    unanswered = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, ClientError)
    try:
        yield
    except boto.SSLError as error:  # a ConnectionError that waiting does not cure
        raise OSError(None, _sentence(error)) from None
    except (*unanswered, ResponseParserError) as error:
        raise ConnectionError(_sentence(error)) from None
    except boto.BotoCoreError as error:
        raise OSError(None, _sentence(error)) from None
    except TimeoutError as error:  # fsspec replaces the original one by one without a message
        told = error.__cause__ if isinstance(error.__cause__, TimeoutError) else error
        raise TimeoutError(_one_line(str(told)) or "no answer in time") from told.__cause__
    except OSError as error:
        error.args = tuple(_one_line(part) if isinstance(part, str) else part for part in error.args)
        if error.strerror:
            error.strerror = _one_line(error.strerror)
        raise


def answer(error: OSError) -> tuple[int, str] | None:
    """Return HTTP status and S3 code of the answer that caused this error; None if there was no answer."""
    response = getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return None
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), response.get("Error", {}).get("Code", "")


def code_without_words(error: OSError) -> str | None:
    """Return the S3 code of an answer without a message, as Ceph refuses; None for any other error."""
    told = getattr(error.__cause__, "response", {}).get("Error", {})
    return str(told.get("Code")) if told and not told.get("Message") else None


def is_transient(status: int, code: str) -> bool:
    """Return whether S3 may answer differently later: it is throttling, overloaded or failing internally."""
    return code in _TRANSIENT_CODES or status == 429 or (status >= 500 and status != 501)


def _ask(uri: str, options: S3Options) -> None:
    from botocore.exceptions import ParamValidationError

    bucket = uri.removeprefix("s3://").partition("/")[0]
    files = filesystem(options)
    with as_os_errors():
        try:
            sync(files.loop, files._call_s3, "list_objects_v2", Bucket=bucket, MaxKeys=1, timeout=_ANSWER_SECONDS)
        except ParamValidationError as error:  # not a valid name of a bucket
            raise FileNotFoundError(None, str(error)) from error


def _checksums(options: S3Options) -> dict[str, str]:
    """Disable the checksums that botocore adds to every request; not all stores other than AWS know them."""
    url = endpoint(options)
    if url is None or (urlsplit(url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return {}
    return _unless_set(
        {
            "AWS_REQUEST_CHECKSUM_CALCULATION": ("request_checksum_calculation", "when_required"),
            "AWS_RESPONSE_CHECKSUM_VALIDATION": ("response_checksum_validation", "when_required"),
        }
    )


def _unless_set(settings: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """Return the settings whose environment variable, which would take precedence, is not set."""
    return dict(setting for variable, setting in settings.items() if variable not in os.environ)


def _sentence(error: Exception) -> str:
    return _one_line(f"{type(error).__name__}: {error}")


def _one_line(text: str) -> str:
    return " ".join(without_secrets(text).split())
