"""Addresses that a phone can open."""

from __future__ import annotations

import ipaddress

import pytest

from diffusion.ui.links import check_public_url, lan_address, public_address


def test_a_declared_address_wins() -> None:
    assert public_address("http://127.0.0.1:7860/", None, "https://music.example.org") == "https://music.example.org/"
    assert public_address("http://10.0.0.7:7860/", "0.0.0.0", "http://hall.lan/a/") == "http://hall.lan/a/"


@pytest.mark.parametrize("origin", ["http://10.0.0.7:7860/", "https://name.hf.space/?stage=1", "http://hall:80/sub/x"])
def test_what_a_browser_elsewhere_sees_does_for_others(origin: str) -> None:
    address = public_address(origin)
    assert address == origin.partition("?")[0].rstrip("/") + "/"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "0.0.0.0", "page.localhost"])
def test_this_machine_is_never_named(name: str) -> None:
    for host in (None, "127.0.0.1", "localhost", "::1"):
        assert public_address(f"http://{name}:7860/", host) is None
    assert public_address(f"http://{name}:7860/?stage=1", "192.168.3.4") == "http://192.168.3.4:7860/"
    everywhere = public_address(f"http://{name}:7860/", "0.0.0.0")
    assert everywhere == (lan_address() and f"http://{lan_address()}:7860/")


def test_the_local_network_is_not_this_machine() -> None:
    address = lan_address()
    assert address is None or not ipaddress.ip_address(address).is_loopback


@pytest.mark.parametrize(
    "url", ["ftp://a.b", "a.b", "http://", "http://localhost:1", "https://127.0.0.1", "http://a?b"]
)
def test_an_address_that_no_phone_can_open_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        check_public_url(url)


def test_nonsense_has_no_address() -> None:
    assert public_address("file:///tmp/page.html", "0.0.0.0") is None
