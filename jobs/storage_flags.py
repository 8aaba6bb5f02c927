"""Options for access to S3, the same for every command that reads or writes collections."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from pipeline.storage_options import S3Options, StorageOptions, check_endpoint, parse_further


@dataclass(frozen=True)
class StorageFlags:
    """For the input, and for the output where it differs."""

    panel: ClassVar = "Storage"

    s3_endpoint_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Use this S3 store instead of AWS.",
            show_default="AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL",
        ),
    ] = None
    s3_profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Use the credentials of this profile.", show_default="AWS_PROFILE"),
    ] = None
    s3_anon: Annotated[bool, typer.Option("--s3-anon", help="Read the input unsigned, from a public bucket.")] = False
    s3_requester_pays: Annotated[
        bool, typer.Option("--s3-requester-pays", help="Pay for reading the input, if its bucket requires it.")
    ] = False
    storage_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Pass this argument to s3fs. Write the value as JSON. Secrets are refused."
        ),
    ] = None
    output_s3_endpoint_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use this S3 store for the output.", show_default="--s3-endpoint-url"),
    ] = None
    output_s3_profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Use this profile for the output.", show_default="--s3-profile"),
    ] = None
    output_storage_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Pass this argument to s3fs for the output, in addition to or instead of the input's.",
        ),
    ] = None

    def options(self) -> StorageOptions:
        """Return the options; the output inherits those of the input, except unsigned and paid reading.

        Raises:
            UsageError: a value is a secret, or not accepted by s3fs.
        """
        if self.output_s3_endpoint_url is not None:
            check_endpoint(self.output_s3_endpoint_url, "--output-s3-endpoint-url")
        further = parse_further(self.storage_option or ())
        profile = None if self.s3_anon else self.s3_profile
        return StorageOptions(
            input=S3Options(self.s3_endpoint_url, profile, self.s3_anon, self.s3_requester_pays, further),
            output=S3Options(
                self.output_s3_endpoint_url,
                self.output_s3_profile or self.s3_profile,
                further=parse_further(self.output_storage_option or ()),
            ),
        ).inherited()
