"""http checks against real sockets: what passes, what fails, and in which words."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from farmd.core.supervision_events import Probed
from farmd.supervision.schema import Check
from tests.supervision.attending import within
from tests.supervision.probing import Serve, answering, server, silent, tried

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;name=value\r\nlo\r\n0\r\n\r\n"


def asked(serve: Serve, path: str = "/", scheme: str = "http", tls: ssl.SSLContext | None = None, **of: Any) -> Probed:
    """The result of one check of this server."""

    async def scenario() -> Probed:
        async with server(serve, tls=tls) as target:
            check = Check("c", http=f"{scheme}://{of.pop('at', target)}{path}".replace("PORT", target[10:]), **of)
            return await tried(check)

    return within(scenario)


@pytest.mark.parametrize(
    ("answer", "options", "text"),
    [
        (PLAIN, {}, "status 200"),
        (PLAIN, {"text": "hello"}, "status 200"),
        (CHUNKED, {"text": "hello"}, "status 200"),
        (OK + b"\r\nhello", {"text": "ell"}, "status 200"),
        (b"HTTP/1.0 204 No Content\r\n\r\n", {"status": "204"}, "status 204"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n", {}, "status 302"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN, {}, "status 200"),
        (b"HTTP/1.1 401 \r\n\r\n", {"status": "200,401"}, "status 401"),
        (OK + b"\r\n" + b"x" * 65531 + b"hello", {"text": "hello"}, "status 200"),
        (OK + "\r\ngrüß Gott".encode(), {"text": "grüß"}, "status 200"),
    ],
)
def test_an_answer_as_wanted_passes(answer: bytes, options: dict[str, Any], text: str) -> None:
    result = asked(answering(answer), **options)
    assert (result.passed, result.text) == (True, text)


@pytest.mark.parametrize(
    ("answer", "options", "text"),
    [
        (b"HTTP/1.1 500 Oh no\r\n\r\n", {}, "status 500, wanted 200-399"),
        (PLAIN, {"status": "204,300-399"}, "status 200, wanted 204,300-399"),
        (PLAIN, {"text": "Hello"}, "the text 'Hello' is not in the answer"),
        (CHUNKED, {"text": "helxlo"}, "the text 'helxlo' is not in the answer"),
        (OK + b"\r\n" + b"x" * 65532 + b"hello", {"text": "hello"}, "the text 'hello' is not in the answer"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nfffc\r\n" + b"x" * 65532 + b"\r\n5\r\nhello\r\n", {"text": "hello"},
         "the text 'hello' is not in the answer"),
        (OK + b"Content-Length: 4\r\n\r\nhello", {"text": "hello"}, "the text 'hello' is not in the answer"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello", {"text": "hello"},
         "the text 'hello' is not in the answer"),
        (b"", {}, "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", {}, "the answer is not HTTP"),
        (b"220 mail.example.com\r\n", {}, "the answer is not HTTP"),
        (b"HTTP/1.1 20 OK\r\n\r\n", {}, "the answer is not HTTP"),
        (OK + b"X: " + b"y" * 200_000, {}, "the answer's header is longer than 64 KiB"),
    ],
)  # fmt: skip
def test_another_answer_fails_in_a_few_words(answer: bytes, options: dict[str, Any], text: str) -> None:
    result = asked(answering(answer), **options)
    assert (result.passed, result.text) == (False, text)


def test_silence_is_limited() -> None:
    result = asked(silent, timeout_s=0.2)
    assert (result.passed, result.text) == (False, "no answer within 0.2 s")
    assert 200 <= result.took_ms < 5000


def test_an_answer_in_drops_is_limited() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert asked(drip, timeout_s=0.3).text == "no answer within 0.3 s"


def test_an_answer_without_end_is_limited() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    assert asked(flood, text="hello", timeout_s=10).text == "the text 'hello' is not in the answer"


def test_nobody_listens() -> None:
    result = asked(silent, at="127.0.0.1:1")
    assert (result.passed, result.text) == (False, "connection refused")


def test_a_name_that_is_none() -> None:
    result = asked(silent, at="nowhere.invalid", timeout_s=30)
    assert not result.passed
    assert result.text.startswith("the name cannot be resolved: ")


@pytest.mark.parametrize(
    ("path", "host", "line", "header"),
    [
        ("/status?deep=1", "", b"GET /status?deep=1 HTTP/1.1", b"Host: localhost:PORT"),
        ("", "", b"GET / HTTP/1.1", b"Host: localhost:PORT"),
        ("/", "www.example.com", b"GET / HTTP/1.1", b"Host: www.example.com"),
    ],
)
def test_the_request(path: str, host: str, line: bytes, header: bytes) -> None:
    seen = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = str(writer.get_extra_info("sockname")[1]).encode()
        seen.extend((await reader.readuntil(b"\r\n\r\n")).replace(port, b"PORT").split(b"\r\n"))
        writer.write(PLAIN)

    assert asked(serve, path, at="localhost:PORT", host=host).passed
    assert seen[0] == line
    assert {header, b"User-Agent: farmd", b"Connection: close"} <= set(seen)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for www.example.com that nobody has signed but itself, and its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    options = ["-subj", "/CN=www.example.com", "-addext", "subjectAltName=DNS:www.example.com", "-keyout", str(path)]
    subprocess.run([*command.split(), *options, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def tls(certificate: Path) -> tuple[ssl.SSLContext, list[str | None]]:
    """A server's context, and the names that clients have asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names: list[str | None] = []
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    return context, names


def test_a_certificate_that_nobody_vouches_for(certificate: Path) -> None:
    context, _ = tls(certificate)
    result = asked(answering(PLAIN), scheme="https", tls=context)
    assert (result.passed, result.text) == (False, "the certificate is not valid: self-signed certificate")


def test_a_certificate_need_not_be_valid(certificate: Path) -> None:
    context, names = tls(certificate)
    assert asked(answering(PLAIN), scheme="https", tls=context, verify=False, text="hello").passed
    assert names == [None]  # an address is no server name (RFC 6066)


def test_the_host_is_the_name_that_tls_asks_for(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    context, names = tls(certificate)
    assert asked(answering(PLAIN), scheme="https", tls=context, host="www.example.com:8443").passed
    assert names == ["www.example.com"]
    result = asked(answering(PLAIN), scheme="https", tls=context, host="other.example.com")
    assert result.text.startswith("the certificate is not valid: Hostname mismatch")


def test_a_server_that_speaks_no_tls() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 plain.example.com\r\n")
        await reader.read()

    assert asked(greet, scheme="https").text == "TLS: wrong version number"
