"""Hubs, mirrors and proxies that answer with anything: a sentence that helps, and no try for ever."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from santajupyter.engine import hub as hub_module
from santajupyter.engine.locate import locate
from santajupyter.engine.model import ModelUnavailable

from ..checkpoint import make_checkpoint
from ..engine.test_loading import nothing, use
from ..hub import COMMIT, Answers, hub_with
from ..limits import no_file_above

LOGIN = b"<html>Log in, please</html>"


@pytest.fixture(autouse=True)
def own_session() -> Iterator[None]:
    """The library keeps one client, which has read the environment."""
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


def said(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a user reads where the model can't be had."""
    use(endpoint, tmp_path, monkeypatch)
    with pytest.raises(ModelUnavailable) as caught:
        locate("me/tiny", "", nothing)
    told = str(caught.value)
    assert told.isprintable() and len(told) < 700
    return told.replace(endpoint, "HUB")


def redirect(place: str) -> tuple[int, dict[str, str], bytes]:
    return 302, {"Location": place}, b""


NO_HUB = "HUB doesn't answer as a hub does: is it a proxy's page that comes? HF_ENDPOINT names the hub"


@pytest.mark.parametrize(
    ("instead", "sentence"),
    [
        ({"/api/models": (401, {}, b"")}, "401 Unauthorized"),
        ({"/api/models": (403, {}, b"")}, "403 Forbidden"),
        ({"/api/models": (404, {}, b"")}, "404 Not Found"),
        ({"/api/models": (429, {}, b"")}, "429 Too Many Requests"),
        ({"/api/models": (500, {}, b"")}, "500 Internal Server Error"),
        ({"model.safetensors": (403, {}, LOGIN)}, "403 Forbidden"),
        ({"/": (200, {"Content-Type": "text/html"}, LOGIN)}, NO_HUB),
        ({"/tree/": (200, {"Content-Type": "text/html"}, LOGIN)}, NO_HUB),
        # Of these each process of the model died, six in a row.
        ({"/api/models": (200, {}, b"[1]")}, NO_HUB),
        ({"/api/models": (200, {}, b'{"id": "me/tiny"}')}, NO_HUB),
        ({"/tree/": (200, {}, b'[{"type": "file"}]')}, NO_HUB),
        ({"/tree/": (200, {}, b"[" * 100_000)}, NO_HUB),
        ({"/tree/": (200, {}, b"[]")}, "its hub repository has no config.json"),
        ({"/api/models": redirect("/api/models/me/tiny")}, "redirects"),
        ({"model.safetensors": redirect("/me/tiny/resolve/main/model.safetensors")}, "redirects"),
    ],
)
def test_what_is_no_model(
    instead: Answers, sentence: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_with(tiny, instead=instead) as endpoint:
        assert sentence in said(endpoint, tmp_path, monkeypatch)


def test_no_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    told = said(endpoint, tmp_path, monkeypatch)
    assert told == "it can't be downloaded from the hub: HUB can't be reached"


def test_one_that_has_too_much_to_do(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would try again for longer than anybody waits; that it wasn't answered was not true."""
    monkeypatch.setattr(hub_module, "LIMIT", 5)
    instead: Answers = {"model.safetensors": (503, {}, LOGIN)}
    with hub_with(tiny, instead=instead) as endpoint:
        told = said(endpoint, tmp_path, monkeypatch)
        instead.clear()  # so that what still tries is done soon
        for thread in threading.enumerate():
            if thread.name == hub_module.THREAD:
                thread.join(100)
    assert "the hub has only said 503 Service Unavailable within 5 s" in told


@pytest.mark.parametrize("left_out", [["ETag"], ["X-Repo-Commit"], ["ETag", "X-Repo-Commit"]])
def test_a_mirror_without_the_hub_s_headers(
    left_out: list[str], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_with(tiny, headers=dict.fromkeys(left_out, "")) as endpoint:
        told = said(endpoint, tmp_path, monkeypatch)
    assert "HUB leaves out headers that a hub sends (ETag, X-Repo-Commit), or a proxy does;" in told
    assert "give its folder as SantaApp.model" in told


@pytest.mark.parametrize("etag", ['"{name}-1"', 'W/"{name}-1"'])
def test_a_mirror_whose_etags_are_no_checksums(
    etag: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_with(tiny, headers={"ETag": etag}) as endpoint:
        use(endpoint, tmp_path, monkeypatch)
        folder = locate("me/tiny", "", nothing)
    assert folder.name == COMMIT
    assert (folder / "model.safetensors").read_bytes() == (tiny / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"X-Linked-Size": "10"}, "was damaged; it is deleted: try again"),
        ({"X-Linked-Size": str(10**15)}, "GB are free (HF_HOME moves it)"),
    ],
)
def test_a_hub_that_lies_about_sizes(
    headers: dict[str, str], sentence: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub_with(tiny, headers=headers) as endpoint:
        assert sentence in said(endpoint, tmp_path, monkeypatch)
    assert not list(tmp_path.rglob("*.part"))


def test_a_disk_that_gets_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is is kept, and the rest fetched once there is room."""
    model, cache = make_checkpoint(tmp_path / "model", n_embd=64), tmp_path / "own"
    ranges: list[str] = []
    with hub_with(model, ranges=ranges) as endpoint:
        with no_file_above(200_000):
            told = said(endpoint, cache, monkeypatch)
        assert f"there is no room for it in {cache / 'cache'}: " in told
        assert "(HF_HOME moves it); what has come of it is kept" in told
        locate("me/tiny", "", nothing)
    assert ranges[-1] == "bytes=200000-"


def test_behind_tls_inspection(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what helps, and that does."""
    monkeypatch.setattr(socketserver.BaseServer, "handle_error", lambda *_: None)  # it prints a traceback
    certificate = self_signed(tmp_path / "certificate.pem")
    with hub_with(tiny, certificate=certificate) as endpoint:
        told = said(endpoint, tmp_path, monkeypatch)
        assert "the hub's certificate isn't trusted (self" in told
        assert "set SSL_CERT_FILE to a file of the certificates to trust" in told
        monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(certificate))
        huggingface_hub.close_session()
        assert locate("me/tiny", "", nothing)


def self_signed(path: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Inspection")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
