"""Addresses of servers and files of tokens."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.core.errors import ServerError
from CRLMSegmentationLib.segmentation.remote.address import DEFAULT_PORT, read_token, read_tokens, server_address

TOKEN = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://gpu.hospital.example:9000", "https://gpu.hospital.example:9000"),
        ("https://gpu.hospital.example/", f"https://gpu.hospital.example:{DEFAULT_PORT}"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("http://localhost", f"http://localhost:{DEFAULT_PORT}"),
        ("https://[2001:db8::1]:9000", "https://[2001:db8::1]:9000"),
    ],
)
def test_addresses(url, shown):
    assert str(server_address(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "gpu.hospital.example",
        "ftp://gpu",
        "https://",
        "https://gpu:port",
        "https://gpu:99999",
        "https://gpu/path",
        "https://user:secret@gpu",
        "https://gpu?token=1",
        "https://[::1",
        "",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ServerError, match="no address of a server"):
        server_address(url)


def test_nothing_is_sent_in_clear_over_the_network():
    with pytest.raises(ServerError, match="in clear"):
        server_address("http://gpu.hospital.example:8443")


def test_files_that_are_missing_are_told(tmp_path):
    with pytest.raises(ServerError, match="token"):
        server_address("https://gpu", tmp_path / "token")
    with pytest.raises(ServerError, match="CA certificate"):
        server_address("https://gpu", None, tmp_path / "ca.pem")


def test_tokens_have_names(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# rooms\nroom-1 {TOKEN}\n\n{TOKEN[::-1]}\n")
    assert read_tokens(path) == {TOKEN: "room-1", TOKEN[::-1]: "client-4"}
    with pytest.raises(ServerError, match="a client has one"):
        read_token(path)


@pytest.mark.parametrize(
    "text", ["", "# none", "short", f"a b {TOKEN}", f"room/1 {TOKEN}", f"room {TOKEN}é", f"a {TOKEN}\nb {TOKEN}"]
)
def test_files_of_tokens_that_cannot_be_used(tmp_path, text):
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ServerError, match="token"):
        read_tokens(path)


def test_a_token_stands_in_no_message(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"a b {TOKEN}")
    with pytest.raises(ServerError) as refused:
        read_tokens(path)
    assert TOKEN not in str(refused.value)
