"""What the HTTP/1.1 client writes: addresses and headers, and those that it refuses to write."""

import pytest

from gateway_async.http1 import Origin, head

TARGETS = {
    "http://a.example": ("a.example", 80, False, "/", "a.example"),
    "https://a.example": ("a.example", 443, True, "/", "a.example"),
    "https://a.example:8443/v1": ("a.example", 8443, True, "/v1", "a.example:8443"),
    "HTTPS://A.Example/V1": ("a.example", 443, True, "/V1", "A.Example"),
    "http://a.example?x=1": ("a.example", 80, False, "/?x=1", "a.example"),
    "http://a.example/v1/?x=1&y=a+b%20c&z='": (
        "a.example",
        80,
        False,
        "/v1/?x=1&y=a+b%20c&z=%27",
        "a.example",
    ),
    "http://a.example/v1?next=/a?b": ("a.example", 80, False, "/v1?next=/a?b", "a.example"),
    "http://a.example/v1#part": ("a.example", 80, False, "/v1", "a.example"),
    "http://a.example//double//": ("a.example", 80, False, "//double//", "a.example"),
    "http://a.example/a b/é/%2F/{x}": ("a.example", 80, False, "/a%20b/%C3%A9/%2F/%7Bx%7D", "a.example"),
    "http://a.example/models/me:generate;v=1": (
        "a.example",
        80,
        False,
        "/models/me:generate;v=1",
        "a.example",
    ),
    "http://a.example/a\r\nX-Evil: 1": ("a.example", 80, False, "/aX-Evil:%201", "a.example"),
    "http://a.example/a\x00b\x7f": ("a.example", 80, False, "/a%00b%7F", "a.example"),
    "http://bücher.example:8080/": ("bücher.example", 8080, False, "/", "xn--bcher-kva.example:8080"),
    "http://127.0.0.1:9/": ("127.0.0.1", 9, False, "/", "127.0.0.1:9"),
    "http://[::1]:9/": ("::1", 9, False, "/", "[::1]:9"),
    "https://[2001:db8::1]/": ("2001:db8::1", 443, True, "/", "[2001:db8::1]"),
}
"""Addresses: host, port, TLS, what is asked for, and the `Host` header."""


def lines(text: bytes) -> list[str]:
    """The lines of a request's head; the last waits for the length."""
    *first, last = text.decode("latin-1").split("\r\n")
    assert last == "Content-Length: "
    return first


@pytest.mark.parametrize("url", TARGETS)
def test_an_address_becomes_a_host_and_a_target(url: str) -> None:
    """What has no place in a request line is quoted, and what is quoted already stays as it is."""
    host, port, tls, target, shown = TARGETS[url]

    origin, text = head("POST", url, ())

    assert origin == Origin(host, port, tls)
    assert lines(text)[:2] == [f"POST {target} HTTP/1.1", f"Host: {shown}"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example/v1",
        "//a.example/v1",
        "ftp://a.example/",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://:80/",
        "http://a.example:port/",
        "http://a.example:99999/",
        "http://a.example:-1/",
        "http://[::1/",
        "http://[nonsense]/",
        "http://a b.example/",
        "http://a.example\x00.evil/",
        "http://a.example\\.evil/",
        "http://a.example<x>/",
        'http://a".example/',
        "http://bücher..example/",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Before anything is sent to anybody."""
    with pytest.raises(ValueError, match=r"\w"):
        head("POST", url, ())


def test_headers_stand_as_they_were_given() -> None:
    """In their order, behind our own, and a caller's own takes the place of ours."""
    _, text = head(
        "GET",
        "http://a.example/",
        (("Authorization", "Bearer é"), ("accept", "text/plain"), ("x-tab", "a\tb")),
    )

    assert lines(text) == [
        "GET / HTTP/1.1",
        "Host: a.example",
        "accept: text/plain",
        "Accept-Encoding: identity",
        "User-Agent: ai-gateway-sdk",
        "Authorization: Bearer é",
        "x-tab: a\tb",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "X Y",
        "X:",
        "X\r\nY",
        "X\n",
        "Ü",
        "X\0",
        "Host",
        "content-length",
        "Transfer-Encoding",
        "Connection",
    ],
)
def test_a_name_that_would_change_the_request_is_refused(name: str) -> None:
    """Whoever may name a header must not be able to say where the request ends, or add another one."""
    with pytest.raises(ValueError, match="no header that a request to a provider may have"):
        head("POST", "http://a.example/", ((name, "1"),))


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b", "a\x0bb", "a\x7fb", "sk-“quoted”", "\ud800"]
)
def test_a_value_that_no_header_can_carry_is_refused_without_showing_it(value: str) -> None:
    """It may be a key; the header's name says enough."""
    with pytest.raises(ValueError, match="the header X-Key holds") as refused:
        head("POST", "http://a.example/", (("X-Key", value),))
    assert value not in str(refused.value)


def test_a_name_and_a_password_in_an_address_are_sent_as_such() -> None:
    """And never as a part of the host; an authorization that is given counts for more."""
    url = "http://me:p%40ss@a.example/"

    origin, text = head("POST", url, ())
    assert origin.host == "a.example"
    assert "Host: a.example" in lines(text)
    assert "Authorization: Basic bWU6cEBzcw==" in lines(text)

    _, text = head("POST", url, (("authorization", "Bearer key"),))
    assert [line for line in lines(text) if line.lower().startswith("authorization")] == [
        "authorization: Bearer key"
    ]
