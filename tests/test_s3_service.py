"""What S3 may answer, or not: each refusal of a start is one sentence, soon; and what is worth another try is known."""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import s3fs
from botocore.exceptions import ClientError
from s3fs.errors import translate_boto_error

from pipeline import storage
from pipeline.errors import UsageError
from pipeline.manifest.manifest import read_manifest
from pipeline.storage import s3
from pipeline.storage_options import S3Options, StorageOptions

from .fixture_types import Srpipe

EMPTY = b"<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"


class Store:
    """An S3 server that answers as a test tells it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers, these by lower-case names."""
        self.refusals: dict[str, tuple[int, str]] = {}
        """Status and code by method; other methods succeed."""
        self.patience = -1
        """Refusals that are left, if not for ever."""
        self.body = EMPTY
        self.missing = 0
        """Bytes of the body that are announced and not sent."""
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                store.asked.append((self.command, self.path, headers))
                status, code = store.refusals.get(self.command, (200, ""))
                if store.patience == 0:
                    status = 200
                store.patience -= status != 200
                error = f"<Error><Code>{code}</Code><Message>{code} was said\nby the test</Message></Error>"
                body = store.body if status == 200 else error.encode()
                self.close_connection = bool(store.missing)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + store.missing))
                self.send_header("ETag", '"1"')
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else body)

            do_PUT = do_DELETE = do_HEAD = do_POST = do_GET  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials, and nothing else that AWS reads."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def store(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:  # noqa: ARG001
    """A store that the environment leads to; one attempt, so that its refusals are heard at once."""
    store = Store()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.endpoint)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    yield store
    store.server.shutdown()
    store.server.server_close()


@pytest.fixture
def table(tmp_path: Path, make_png: Callable[..., Any]) -> Path:
    """A manifest here of one image here."""
    make_png(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    return tmp_path / "m.csv"


def refused(answer: tuple[int, str, str], *words: str) -> None:
    """Exit 2 and one line with all the words."""
    code, out, err = answer
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert all(word in err for word in words), err


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (400, "ExpiredToken"), (403, "RequestTimeTooSkewed")],
)
def test_wrong_credentials(srpipe: Srpipe, store: Store, table: Path, status: int, code: str) -> None:
    """Credentials that S3 does not take are told for the manifest, for the images and for the output, at once."""
    store.refusals = {"GET": (status, code)}
    words = (f"{code} was said by the test", store.endpoint, "correct the AWS_* variables or choose a profile")
    refused(srpipe("run", "s3://b/m.csv"), "s3://b/m.csv", *words, "--s3-profile")
    assert len(store.asked) == 1
    refused(srpipe("run", str(table), "-o", "s3://b/out"), "s3://b/out", *words, "--output-s3-profile")
    table.write_text("uri\ns3://b/a.png\n")
    refused(srpipe("run", str(table)), "s3://b/a.png", *words, "--s3-profile")
    assert not (table.parent / "m-x4").exists()


@pytest.mark.usefixtures("environment")
def test_an_unknown_profile(srpipe: Srpipe, table: Path) -> None:
    """A profile that no file knows is told with its name."""
    given = ("--output-s3-profile", "nobody", "-o", "s3://b/out")
    refused(srpipe("run", str(table), *given), "s3://b/out", "nobody", "--output-s3-profile")


def test_nothing_may_be_listed(srpipe: Srpipe, store: Store) -> None:
    """A manifest that may not be read is told as that; only the one question of the start was asked before."""
    store.refusals = {"GET": (403, "AccessDenied"), "HEAD": (403, "")}
    refused(srpipe("run", "s3://b/m.csv"), "cannot read the manifest s3://b/m.csv", "AccessDenied was said", "access")


def test_a_read_only_output(srpipe: Srpipe, store: Store, table: Path) -> None:
    """An output that nothing can be put into is refused before any work."""
    store.refusals = {"PUT": (403, "AccessDenied"), "HEAD": (404, "")}
    answer = srpipe("run", str(table), "-o", "s3://b/out", "--existing", "resume")
    refused(answer, "cannot write to the output s3://b/out", "AccessDenied was said", "--output")
    assert [path.rpartition("/")[2][:7] for method, path, _ in store.asked if method == "PUT"] == [".probe-"]


@pytest.mark.usefixtures("environment")
@pytest.mark.timeout(60)
def test_nobody_listens(srpipe: Srpipe, table: Path) -> None:
    """An endpoint where nothing is: refused within seconds, as input and as output."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    refused(
        srpipe("run", "s3://b/m.csv", "--s3-endpoint-url", endpoint),
        *(f"cannot reach S3 at {endpoint} for s3://b/m.csv", "check --s3-endpoint-url and the network"),
    )
    assert time.monotonic() - started < 40
    refused(
        srpipe("run", str(table), "-o", "s3://b/out", "--output-s3-endpoint-url", endpoint),
        *(f"cannot reach S3 at {endpoint} for s3://b/out", "check --output-s3-endpoint-url"),
    )


@pytest.mark.usefixtures("environment")
@pytest.mark.timeout(30)
def test_somebody_listens_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the question and never answers is given up after the seconds of a first question."""
    monkeypatch.setattr(s3, "_ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        storage.use(StorageOptions(S3Options(f"http://127.0.0.1:{silent.getsockname()[1]}", anon=True)), None)
        with pytest.raises(UsageError, match=r"cannot reach S3 at http.* for s3://b/m.csv: no answer in time; check"):
            read_manifest("s3://b/m.csv")


def test_what_answers_is_no_s3(srpipe: Srpipe, store: Store) -> None:
    """A web page where S3 should be is a sentence too."""
    store.body = b"<html><p>Welcome!</html>"
    refused(srpipe("run", "s3://b/m.csv"), "cannot read the manifest s3://b/m.csv")


@pytest.mark.parametrize("option", ['config_kwargs={"turbo": 1}', 'client_kwargs={"turbo": 1}', "max_concurrency=0"])
@pytest.mark.usefixtures("store")
def test_what_the_client_does_not_take(srpipe: Srpipe, option: str) -> None:
    """An option that only botocore can tell is none is told before anything else."""
    refused(srpipe("run", "s3://b/m.csv", "--storage-option", option), "s3://b/m.csv", "--storage-option")


@pytest.mark.usefixtures("environment")
def test_an_endpoint_of_the_environment_is_checked(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with a secret in its url is refused as the option is, and not repeated."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:hunter2@host")
    answer = srpipe("run", "s3://b/m.csv")
    refused(answer, "AWS_ENDPOINT_URL: the url holds more than a place")
    assert "hunter2" not in answer[2]


def test_requester_pays(store: Store) -> None:
    """Whoever says so pays: for listings and reads of the input, and not for the output."""
    storage.use(StorageOptions(S3Options(requester_pays=True)), "s3://b/out")
    for uri in ("s3://b/in/a", "s3://b/out/a"):
        store.asked.clear()
        storage.find(uri)
        storage.read(uri)
        payers = {headers.get("x-amz-request-payer") for _, _, headers in store.asked}
        assert payers == {"requester" if "in" in uri else None}


def test_unsigned(store: Store) -> None:
    """Public buckets are read without a signature, although there are credentials; the output is signed."""
    storage.use(StorageOptions(S3Options(anon=True)), "s3://b/out")
    for uri in ("s3://b/outer/a", "s3://b/out/a", "s3://b/out"):
        store.asked.clear()
        storage.find(uri)
        signed = {"authorization" in headers for _, _, headers in store.asked}
        assert signed == {"outer" not in uri}


def checksums(options: S3Options) -> tuple[str, str]:
    client = s3.filesystem(options)
    client.connect()
    config = client.s3.meta.config
    return config.request_checksum_calculation, config.response_checksum_validation


@pytest.mark.usefixtures("environment")
def test_checksums_where_they_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores other than AWS get checksums only where S3 requires them, unless the environment says otherwise."""
    required, supported = ("when_required",) * 2, ("when_supported",) * 2
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert checksums(S3Options()) == supported
    assert checksums(S3Options("https://s3.eu-west-1.amazonaws.com")) == supported
    assert checksums(S3Options("http://127.0.0.1:1")) == required
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        with monkeypatch.context() as changed:
            changed.setenv(variable, "http://127.0.0.1:2")
            s3fs.S3FileSystem.clear_instance_cache()
            assert checksums(S3Options()) == required
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    assert checksums(S3Options("http://127.0.0.1:3")) == ("when_supported", "when_required")


def test_a_put_without_a_checksum_of_its_own(store: Store) -> None:
    """What the settings are for: the bytes of a put go out plain, not in chunks with a trailer."""
    storage.write("s3://b/x", b"data")
    ((_, _, headers),) = store.asked
    assert headers["content-length"] == "4"
    assert not [name for name in headers if "checksum" in name or "trailer" in name]


def test_an_overloaded_store_is_asked_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 SlowDown is waited for; a refusal is not asked twice."""
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    store.refusals, store.patience = {"PUT": (503, "SlowDown")}, 2
    storage.write("s3://b/x", b"")
    assert len(store.asked) == 3
    store.asked.clear()
    store.refusals, store.patience = {"PUT": (403, "AccessDenied")}, -1
    with pytest.raises(PermissionError):
        storage.write("s3://b/x", b"")
    assert len(store.asked) == 1


ANSWERS = {
    **dict.fromkeys(
        [(503, "SlowDown"), (503, "ServiceUnavailable"), (500, "InternalError"), (502, "BadGateway")], True
    ),
    **dict.fromkeys([(429, "TooManyRequests"), (400, "RequestTimeout"), (400, "IncompleteBody")], True),
    **dict.fromkeys([(409, "OperationAborted"), (409, "ConditionalRequestConflict"), (504, "504")], True),
    **dict.fromkeys([(403, "AccessDenied"), (404, "NoSuchKey"), (404, "NoSuchBucket"), (400, "InvalidRequest")], False),
    **dict.fromkeys([(501, "NotImplemented"), (412, "PreconditionFailed"), (400, "QuotaExceeded")], False),
}


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_transient_answers(store: Store, answer: tuple[int, str]) -> None:
    """Of what S3 answers, overload and failures inside may pass; a refusal stays one."""
    store.refusals = {"PUT": answer}
    with pytest.raises(OSError, match=r".") as caught:
        storage.write("s3://b/x", b"")
    assert s3.answer(caught.value) == answer
    assert storage.is_transient(caught.value) is ANSWERS[answer]


@pytest.mark.timeout(60)
def test_transient_silence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer at all, or one that breaks off or does not come, may pass; missing credentials will not."""
    store.missing = 9
    with pytest.raises(ConnectionError, match="ClientPayloadError") as caught:
        storage.read("s3://b/x")
    assert storage.is_transient(caught.value)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        further = {"config_kwargs": {"read_timeout": 0.5}}
        options = S3Options(f"http://127.0.0.1:{silent.getsockname()[1]}", further=further)
        storage.use(StorageOptions(options), None)
        with pytest.raises(ConnectionError, match=r'ReadTimeoutError: .*"http://127.0.0.1:\d+/b/x"') as caught:
            storage.read("s3://b/x")
        assert storage.is_transient(caught.value)
        monkeypatch.setattr(s3, "_WRITE_SECONDS", 1)
        with pytest.raises(TimeoutError, match="no answer in time") as caught:
            storage.write("s3://b/x", b"data")
        assert storage.is_transient(caught.value)
    storage.use(StorageOptions(), None)
    store.server.shutdown()
    store.server.server_close()
    with pytest.raises(ConnectionError, match="EndpointConnectionError") as caught:
        storage.write("s3://b/x", b"")
    assert storage.is_transient(caught.value)
    storage.use(StorageOptions(S3Options(profile="nobody")), None)
    with pytest.raises(OSError, match="ProfileNotFound") as caught:
        storage.write("s3://b/x", b"")
    assert not storage.is_transient(caught.value)


LOCAL = {
    **dict.fromkeys(["EAGAIN", "EIO", "ETIMEDOUT", "ESTALE", "ECONNRESET", "EPIPE", "EHOSTUNREACH"], True),
    **dict.fromkeys(["ENOENT", "EACCES", "EPERM", "ENOSPC", "EROFS", "EDQUOT", "EEXIST", "ENAMETOOLONG"], False),
}


@pytest.mark.parametrize("name", LOCAL)
def test_transient_errors_of_a_disk(name: str) -> None:
    """A network disk that hangs may come back; a full or forbidden one will not by itself."""
    assert storage.is_transient(OSError(getattr(errno, name), os.strerror(getattr(errno, name)))) is LOCAL[name]
    assert storage.is_transient(TimeoutError())
    assert not storage.is_transient(OSError(None, "something"))


def test_errors_tell_no_secrets() -> None:
    """Urls in messages, of S3 or of a library, lose user, password and query; what went wrong stays."""
    said = "no\n  https://me:hunter2@host:9/b/k?X-Amz-Signature=hunter2&a=b, s3://b/what?.png"
    error = ClientError({"Error": {"Code": "AccessDenied", "Message": said}}, "PutObject")
    for raised in (translate_boto_error(error), OSError(errno.EIO, said), ConnectionResetError(said)):
        with pytest.raises(OSError, match="no") as caught, s3.as_os_errors():
            raise raised
        assert storage.reason(caught.value).endswith("no https://host:9/b/k s3://b/what?.png")
        assert type(caught.value) is type(raised)
