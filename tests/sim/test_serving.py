"""A stand-in on a socket: when it says that it has started, and how it ends."""

from __future__ import annotations

import logging
import signal
import socket

import pytest

from support.client import Client
from support.simulator import running
from tailrace.sim.serving import Message, Receive, Send, Server, is_unexpected, serve


async def hello(scope: Message, receive: Receive, send: Send) -> None:
    fields = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"hi"})


async def silent(scope: Message, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def cut(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"h", "more_body": True})


def test_it_answers_as_soon_as_it_says_so() -> None:
    with running(hello) as port:
        client = Client(port)
        assert client.request("GET", "/").read_all() == b"hi"
        client.close()


def test_a_client_that_waits_for_ever_is_cut_off_at_the_end() -> None:
    with running(silent) as port:
        client = Client(port)
        client.send(client.request_bytes("GET", "/"))
    with client, pytest.raises(ConnectionResetError):
        client.answer()


def test_an_answer_that_is_cut_on_purpose_ends_its_connection_and_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(is_unexpected)
    try:
        with running(cut) as port, Client(port) as client:
            answer = client.request("GET", "/")
            assert (answer.read_all(), answer.ended) == (b"h", False)
    finally:
        logger.removeFilter(is_unexpected)
    assert "without completing" not in caplog.text


@pytest.mark.parametrize(("sent", "interrupts"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_signal_ends_it_and_only_ctrl_c_is_an_interruption(sent: signal.Signals, interrupts: bool) -> None:
    """In this thread, which is where signals arrive."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if interrupts:
            with pytest.raises(KeyboardInterrupt):
                serve(hello, listener, started=lambda: signal.raise_signal(sent))
        else:
            serve(hello, listener, started=lambda: signal.raise_signal(sent))
    logging.getLogger("uvicorn.error").removeFilter(is_unexpected)


def test_a_server_that_was_told_to_end_was_not_interrupted() -> None:
    assert not Server(hello, lambda: None).was_interrupted
