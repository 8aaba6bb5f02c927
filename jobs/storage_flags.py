"""The options that say how S3 is reached, the same for every command that reads or writes collections."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from pipeline.storage_options import S3Options, StorageOptions, parse_further

_TAKEN = "storage"
"""The parameter of a command that receives them."""


def with_storage_flags(command: Callable[..., int]) -> Callable[..., int]:
    """A command with a parameter `storage: StorageOptions`, as one that Typer sees with the flags instead of it."""
    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != _TAKEN]
    flags = inspect.signature(_storage_options).parameters

    @wraps(command)
    def with_flags(**values: Any) -> int:
        given = {name: values.pop(name) for name in flags}
        return command(**values, **{_TAKEN: _storage_options(**given)})

    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *flags.values())]
    with_flags.__signature__ = signature.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    return with_flags


def _storage_options(
    s3_endpoint_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="S3 store other than AWS. [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL]"),
    ] = None,
    s3_profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Profile with the credentials. [default: AWS_PROFILE]")
    ] = None,
    s3_anon: Annotated[bool, typer.Option("--s3-anon", help="Read the input unsigned: a public bucket.")] = False,
    s3_requester_pays: Annotated[
        bool, typer.Option("--s3-requester-pays", help="Pay for reading the input, where its bucket asks for it.")
    ] = False,
    storage_option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Argument of s3fs, the value as JSON; no secrets.")
    ] = None,
    output_s3_endpoint_url: Annotated[
        str | None, typer.Option(metavar="URL", help="For the output. [default: --s3-endpoint-url]")
    ] = None,
    output_s3_profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="For the output. [default: --s3-profile]")
    ] = None,
    output_storage_option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="For the output, beside or instead of the other's.")
    ] = None,
) -> StorageOptions:
    """What is not given for the output is as for the input, unsigned and paid reading excepted."""
    further = parse_further(storage_option or ())
    return StorageOptions(
        input=S3Options(s3_endpoint_url, None if s3_anon else s3_profile, s3_anon, s3_requester_pays, further),
        output=S3Options(
            output_s3_endpoint_url or s3_endpoint_url,
            output_s3_profile or s3_profile,
            further={**further, **parse_further(output_storage_option or ())},
        ),
    )
