"""Access to S3 for the input and for the output: endpoints, profiles and client settings, but never a secret.

These values are stored in run.json and sent to workers. Each machine takes the credentials from its own environment or
profile.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from .codec import DamagedError, from_plain
from .errors import UsageError

FURTHER = {
    "cache_regions": bool,
    "client_kwargs": dict,
    "config_kwargs": dict,
    "fixed_upload_size": bool,
    "max_concurrency": int,
    "s3_additional_kwargs": dict,
    "use_ssl": bool,
}
"""Arguments of `s3fs.S3FileSystem` that can be given as storage options, and their types."""

_HAVE_FLAGS = {
    "anon": "--s3-anon",
    "endpoint_url": "--s3-endpoint-url",
    "profile": "--s3-profile",
    "requester_pays": "--s3-requester-pays",
}

_SECRET_NAMES = {"auth", "key", "user", "username"}
_SECRET_PARTS = ("accesskey", "authorization", "credential", "customerkey", "passw", "privatekey", "secret", "token")
_NO_SECRETS = (
    "secrets are taken only from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile (--s3-profile)"
)


@dataclass(frozen=True)
class S3Options:
    """Access to S3 for one side. Raises UsageError for a secret or an unknown option."""

    endpoint_url: str | None = None
    """None for that of AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the profile, else AWS itself."""
    profile: str | None = None
    """A profile of the files in ~/.aws; None for AWS_PROFILE, the variables with credentials, or the machine's role."""
    anon: bool = False
    """Unsigned requests, for public buckets."""
    requester_pays: bool = False
    further: dict[str, Any] = field(default_factory=dict)
    """Values by the names of FURTHER."""

    def __post_init__(self) -> None:
        if self.endpoint_url is not None:
            check_endpoint(self.endpoint_url, "--s3-endpoint-url")
        for name, value in self.further.items():
            _check_further(name, value)

    def over(self, other: "S3Options") -> "S3Options":
        """Return these options, and the other's where these say nothing. A profile replaces unsigned reading."""
        anon = self.anon or (other.anon and self.profile is None)
        return S3Options(
            endpoint_url=self.endpoint_url or other.endpoint_url,
            profile=None if anon else self.profile or other.profile,
            anon=anon,
            requester_pays=self.requester_pays or other.requester_pays,
            further={**other.further, **self.further},
        )


@dataclass(frozen=True)
class StorageOptions:
    """The two sides of a run: it may read from a public bucket and write to a private one."""

    input: S3Options = field(default_factory=S3Options)
    """For the manifest, the images, a prior and references."""
    output: S3Options = field(default_factory=S3Options)
    """For the output and everything below it."""

    def over(self, other: "StorageOptions") -> "StorageOptions":
        """Return these options, and the other's where these say nothing."""
        return StorageOptions(self.input.over(other.input), self.output.over(other.output))

    def inherited(self) -> "StorageOptions":
        """Return these options, with the input's for the output where that says nothing, but never unsigned or paid."""
        return replace(self, output=self.output.over(replace(self.input, anon=False, requester_pays=False)))


NOTHING_GIVEN = StorageOptions()


def of_run(config: Mapping[str, Any]) -> StorageOptions:
    """Return how a run accessed S3, by the configuration in its run.json; the default if it is not recorded there."""
    try:
        return from_plain(StorageOptions, config.get("storage", {}))
    except DamagedError:
        return NOTHING_GIVEN


def with_flags(output: str, options: StorageOptions) -> str:
    """Return an output as another command is to be told of it: with the flags by which it is reached, for a shell."""
    words = [output, *(_of_output(options.output) if output.startswith("s3://") else ())]
    return " ".join(map(shlex.quote, words))


def _of_output(options: S3Options) -> Iterator[str]:
    if options.endpoint_url:
        yield f"--output-s3-endpoint-url={options.endpoint_url}"
    if options.profile:
        yield f"--output-s3-profile={options.profile}"
    for name, value in options.further.items():
        yield f"--output-storage-option={name}={json.dumps(value)}"


def parse_further(texts: Iterable[str]) -> dict[str, Any]:
    """Parse KEY=VALUE, the values as JSON where they are valid JSON: 8, true, {"region_name": "eu-west-1"}.

    Raises UsageError."""
    further = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not re.fullmatch(r"[\w-]{1,30}", name):  # the text is not repeated: it may be a secret
            raise UsageError("a storage option is not KEY=VALUE; write it like max_concurrency=4")
        further[name] = _value(value)
    return further


def check_endpoint(url: str, where: str) -> None:
    """Raise UsageError if a url is not http(s)://host[:port][/path], or holds a user name, password or query.

    Args:
        where: the option or variable that holds the url.
    """
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        plain = False
    if "@" in url or "?" in url:
        raise UsageError(f"{where}: the url holds more than a place; {_NO_SECRETS}")
    if not plain:
        raise UsageError(f"{where}: {url!r} is not a url; write http:// or https://, the host and maybe a port")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_further(name: str, value: Any) -> None:
    if name in _HAVE_FLAGS:
        raise UsageError(f"the storage option {name!r} has an option of its own; use {_HAVE_FLAGS[name]}")
    _refuse_secrets(name, value)
    if name not in FURTHER:
        raise UsageError(f"the storage option {name!r} is not known; use one of {', '.join(FURTHER)}")
    if type(value) is not FURTHER[name]:
        kinds = {bool: "true or false", int: "a whole number", dict: 'a JSON object such as {"name": "value"}'}
        raise UsageError(f"the storage option {name!r} must be {kinds[FURTHER[name]]}")


def _refuse_secrets(name: str, value: Any) -> None:
    """Messages give names, never values."""
    letters = re.sub(r"[^a-z]", "", name.lower())
    if letters in _SECRET_NAMES or any(part in letters for part in _SECRET_PARTS):
        raise UsageError(f"the storage option {name!r} means a secret, which run.json would keep; {_NO_SECRETS}")
    if letters == "endpointurl":
        raise UsageError(f"the storage option {name!r} has an option of its own; use {_HAVE_FLAGS['endpoint_url']}")
    if isinstance(value, dict):
        for inner, held in value.items():
            _refuse_secrets(inner, held)
    elif isinstance(value, list):
        for held in value:
            _refuse_secrets(name, held)
    elif isinstance(value, str) and re.search(r"[^/@\s]+:[^/@\s]*@", value):
        raise UsageError(f"the storage option {name!r} holds a user and password; {_NO_SECRETS}")
