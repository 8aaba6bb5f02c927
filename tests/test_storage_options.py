"""Options of S3 on the command line: where they arrive, and that no secret does."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import jobs.progress
from pipeline import run
from pipeline.driver.run import Summary
from pipeline.errors import UsageError
from pipeline.storage_options import S3Options, StorageOptions, check_endpoint, parse_further

from .fixture_types import Srpipe

SECRET = "wJalrXUtnFEMI"

SECRETS = {
    "key": (f"key={SECRET}",),
    "secret": (f"secret={SECRET}",),
    "token": (f"token={SECRET}",),
    "password": (f"password={SECRET}",),
    "username": (f"username={SECRET}",),
    "aws_session_token": (f"aws_session_token={SECRET}",),
    "Secret-Key": (f"Secret-Key={SECRET}",),
    "aws_secret_access_key": (f'client_kwargs={{"aws_secret_access_key": "{SECRET}"}}',),
    "aws_access_key_id": (f'client_kwargs={{"aws_access_key_id": "{SECRET}"}}',),
    "SSECustomerKey": (f's3_additional_kwargs={{"SSECustomerKey": "{SECRET}"}}',),
    "https": (f'config_kwargs={{"proxies": {{"https": "http://me:{SECRET}@proxy:3128"}}}}',),
    "list": (f'config_kwargs={{"list": ["me:{SECRET}@proxy"]}}',),
}


@pytest.mark.parametrize("flag", ["--storage-option", "--output-storage-option"])
@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_refused(srpipe: Srpipe, tmp_path: Path, flag: str, name: str) -> None:
    """An option that means a secret, at any depth: exit 2, a sentence with its name and the remedy, not its value."""
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    code, out, err = srpipe("run", "m.csv", flag, *SECRETS[name])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert repr(name) in err
    assert "only from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile" in err
    assert SECRET not in err
    assert [path.name for path in tmp_path.iterdir()] == ["m.csv"]


REFUSED = {
    "anon=true": "use --s3-anon",
    "endpoint_url=http://x": "use --s3-endpoint-url",
    "profile=x": "use --s3-profile",
    "requester_pays=true": "use --s3-requester-pays",
    'client_kwargs={"endpoint_url": "http://x"}': "use --s3-endpoint-url",
    "turbo=1": "'turbo' is not known; use one of cache_regions, client_kwargs,",
    "max_concurrency=many": "'max_concurrency' must be a whole number",
    "max_concurrency=true": "'max_concurrency' must be a whole number",
    "use_ssl=1": "'use_ssl' must be true or false",
    "client_kwargs=eu-west-1": "'client_kwargs' must be a JSON object",
    SECRET: "not KEY=VALUE; write it like max_concurrency=4",
    f'{{"secret": "{SECRET}", "token": "IQ=="}}': "not KEY=VALUE; write it like max_concurrency=4",
}


@pytest.mark.parametrize("option", REFUSED)
def test_odd_options_are_refused(srpipe: Srpipe, option: str) -> None:
    """What is not known, not of its type or has a flag of its own is refused with the remedy."""
    for flag in ("--storage-option", "--output-storage-option"):
        code, out, err = srpipe("eval", "out", flag, option)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert REFUSED[option] in err
        assert SECRET not in err


@pytest.mark.parametrize(
    "url", [f"http://me:{SECRET}@host", f"https://{SECRET}@host:9000", f"http://host/?X-Amz-Signature={SECRET}"]
)
def test_an_endpoint_with_a_secret_is_refused(url: str) -> None:
    """User, password or a signed query in an endpoint is a secret; the sentence does not repeat it."""
    with pytest.raises(UsageError, match=r"--s3-endpoint-url: .* only from the environment") as caught:
        S3Options(endpoint_url=url)
    assert SECRET not in str(caught.value)


def test_a_wrong_endpoint_of_the_output_is_named(srpipe: Srpipe) -> None:
    """By its own option."""
    code, _, err = srpipe("eval", "out", "--output-s3-endpoint-url", "minio:9000")
    assert (code, "--output-s3-endpoint-url: 'minio:9000' is not a url" in err) == (2, True)


@pytest.mark.parametrize("url", ["localhost:9000", "ftp://host", "http://", "http://host:port", "http://[", ""])
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    """An endpoint is a http or https url; the sentence names the option or variable that holds it."""
    with pytest.raises(UsageError, match=r"AWS_ENDPOINT_URL: .* is not a url; write http:// or https://"):
        check_endpoint(url, "AWS_ENDPOINT_URL")


@pytest.mark.parametrize("url", ["http://localhost:9000", "https://s3.example.org/base", "http://[::1]:80"])
def test_an_endpoint_is_a_url(url: str) -> None:
    """Port, path and numeric addresses are as good as a name."""
    assert S3Options(endpoint_url=url).endpoint_url == url


def test_harmless_names_that_sound_like_secrets() -> None:
    """The id of a key that S3 encrypts with is no secret, nor is an address with an @ of its own."""
    further = parse_further(['s3_additional_kwargs={"SSEKMSKeyId": "arn:aws:kms:eu:1:key/2", "ACL": "a@b"}'])
    assert S3Options(further=further).further["s3_additional_kwargs"]["ACL"] == "a@b"


def test_values_are_json_where_they_can_be() -> None:
    """Numbers, truth and objects are what they look like, anything else is text, and = may occur in it."""
    given = ["a=8", "b=true", 'c={"region_name": "eu-west-1"}', "d=eu-west-1", "e=x=y", "f="]
    expected = {"a": 8, "b": True, "c": {"region_name": "eu-west-1"}, "d": "eu-west-1", "e": "x=y", "f": ""}
    assert parse_further(given) == expected


A, B = "http://a:1", "http://b:2"

SIDES: dict[tuple[str, ...], tuple[dict[str, Any], dict[str, Any]]] = {
    (): ({}, {}),
    ("--s3-endpoint-url", A): ({"endpoint_url": A}, {"endpoint_url": A}),
    ("--s3-endpoint-url", A, "--output-s3-endpoint-url", B): ({"endpoint_url": A}, {"endpoint_url": B}),
    ("--output-s3-endpoint-url", B): ({}, {"endpoint_url": B}),
    ("--s3-profile", "p"): ({"profile": "p"}, {"profile": "p"}),
    ("--s3-profile", "p", "--output-s3-profile", "q"): ({"profile": "p"}, {"profile": "q"}),
    ("--s3-anon",): ({"anon": True}, {}),
    ("--s3-anon", "--s3-profile", "p"): ({"anon": True}, {"profile": "p"}),
    ("--s3-requester-pays",): ({"requester_pays": True}, {}),
    ("--storage-option", "use_ssl=false", "--storage-option", "max_concurrency=3"): (
        {"further": {"use_ssl": False, "max_concurrency": 3}},
        {"further": {"use_ssl": False, "max_concurrency": 3}},
    ),
    ("--storage-option", "max_concurrency=3", "--output-storage-option", "max_concurrency=4"): (
        {"further": {"max_concurrency": 3}},
        {"further": {"max_concurrency": 4}},
    ),
}


@pytest.mark.parametrize("options", SIDES, ids=" ".join)
def test_what_is_for_the_input_and_what_for_the_output(
    srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Options hold for both sides unless the output has its own; unsigned and paid reading is the input's alone."""
    seen = []

    def run(config: Any, *_: object) -> Summary:
        seen.append(config.storage)
        return Summary("id", config.output, 0, 0, 0, 0, 0, 0, 0.0)

    monkeypatch.setattr(jobs.progress, "run_with_progress", run)
    assert srpipe("run", "m.csv", *options)[0] == 0
    for side, changes in zip(("input", "output"), SIDES[options], strict=True):
        assert asdict(seen[0])[side] == asdict(S3Options()) | changes


COMMANDS = {
    "eval": (("s3://b/out",), "s3://b/out"),
    "report": (("s3://b/out",), "s3://b/out"),
    "retry": (("s3://b/out",), "s3://b/out"),
    "watch": (("s3://b/out",), "s3://b/out"),
    "prior": (("nothing", "--output", "s3://b/out/p", "--max-images", "1"), "s3://b/out"),
    "plan": (("s3://b/m.csv", "--output", "s3://b/out"), "s3://b/out"),
    "compare": (("s3://b/m.csv", "--output", "s3://b/out", "--methods", "bicubic"), "s3://b/out"),
    "kernel": (("s3://b/m.csv",), None),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_other_commands_take_them_too(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """All reach S3 by the same options, and their results by the output's."""
    used = []

    def use(*options: object) -> None:
        used.append(options)
        raise UsageError("enough is seen")

    monkeypatch.setattr("pipeline.storage.use", use)
    arguments, output = COMMANDS[command]
    assert srpipe(command, *arguments, "--s3-endpoint-url", A, "--output-s3-profile", "q")[0] == 2
    assert used == [(StorageOptions(S3Options(A), S3Options(A, "q")), output)]


@pytest.mark.parametrize(
    ("given", "of_the_run", "both"),
    [
        (S3Options(), S3Options(A, anon=True), S3Options(A, anon=True)),
        (S3Options(B), S3Options(A, "q", requester_pays=True), S3Options(B, "q", requester_pays=True)),
        (S3Options(profile="p"), S3Options(A, anon=True), S3Options(A, "p")),
        (S3Options(anon=True), S3Options(A, "q"), S3Options(A, anon=True)),
        (
            S3Options(further={"use_ssl": False}),
            S3Options(further={"use_ssl": True, "max_concurrency": 2}),
            S3Options(further={"use_ssl": False, "max_concurrency": 2}),
        ),
    ],
)
def test_what_is_given_goes_over_what_a_run_had(given: S3Options, of_the_run: S3Options, both: S3Options) -> None:
    """Side by side; and only where something is given."""
    assert StorageOptions(given, S3Options()).over(StorageOptions(of_the_run, given)) == StorageOptions(both, given)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (S3Options(), S3Options(A, "p", further={"use_ssl": False})),
        (S3Options(B, "q"), S3Options(B, "q", further={"use_ssl": False})),
        (S3Options(further={"use_ssl": True}), S3Options(A, "p", further={"use_ssl": True})),
    ],
)
def test_from_python_the_output_is_where_the_input_is(
    output: S3Options, expected: S3Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on the command line, where it says nothing else; but the right to pay for what is read is no other one."""
    used: list[object] = []
    monkeypatch.setattr("pipeline.running.run_config", lambda config, _: used.append(config.storage))
    given = S3Options(A, "p", requester_pays=True, further={"use_ssl": False})
    run("s3://in/m.csv", "s3://out/x4", storage_options=StorageOptions(given, output))
    assert used == [StorageOptions(given, expected)]
