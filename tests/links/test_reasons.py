"""Errors of libraries and of the operating system become codes, which the page can translate."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import aiohttp
import pytest

from appliance.links.reasons import LinkProblem, of_error


def system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def wrapped(inner: BaseException) -> Exception:
    try:
        try:
            raise inner
        except BaseException as error:
            raise RuntimeError("the library's own words") from error
    except RuntimeError as error:
        return error


REFUSED = "Multiple exceptions: [Errno 111] Connect call failed (a, 80), [Errno 111] Connect call failed (b, 80)"


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (system(errno.ECONNREFUSED), LinkProblem("link_refused")),
        (OSError(REFUSED), LinkProblem("link_refused")),
        (system(errno.EHOSTUNREACH), LinkProblem("link_unreachable")),
        (system(errno.EPERM), LinkProblem("link_not_allowed")),
        (system(errno.ENOENT), LinkProblem("link_file", "No such file or directory")),
        (socket.gaierror(-2, "Name or service not known"), LinkProblem("link_name_unknown")),
        (TimeoutError(), LinkProblem("link_no_answer")),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), LinkProblem("link_tls")),
        (aiohttp.ClientPayloadError("odd"), LinkProblem("link_failed", "odd")),
    ],
)
def test_an_error_has_its_code_also_where_it_is_wrapped(error: Exception, problem: LinkProblem) -> None:
    assert of_error(error) == problem
    if problem.code != "link_failed":
        assert of_error(wrapped(error)) == problem


def test_the_detail_follows_the_sentence() -> None:
    assert str(LinkProblem("link_failed", "odd")) == "the connection failed (odd)"
    assert str(LinkProblem("link_closed")) == "the other side closed the connection"
