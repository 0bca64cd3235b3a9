"""`tailrace sim`: stand-ins for services, each a server of its own on this machine."""

from __future__ import annotations

import logging
import os
import socket

import click

from tailrace.errors import ConfigError
from tailrace.sim.straico_shapes import FAULTS

_HOST = "127.0.0.1"


@click.group()
def sim() -> None:
    """Stand in for a service that is not at hand. Only this machine can reach it."""


@sim.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8090,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option("--key", help="The only key that is accepted. Default: any, but there has to be one.")
@click.option(
    "--latency",
    "latency_s",
    type=click.FloatRange(0, 3600),
    default=0.5,
    show_default=True,
    help="Seconds before an answer begins.",
)
@click.option(
    "--word-latency",
    "word_latency_s",
    type=click.FloatRange(0, 60),
    default=0.01,
    show_default=True,
    help="Seconds for each word of it.",
)
@click.option("--fault", type=click.Choice(FAULTS), help="What goes wrong with every completion.")
@click.option("--stream", "streams", is_flag=True, help="Stream chat completions when asked to.")
@click.option("--strict", "is_strict", is_flag=True, help="Refuse requests with unknown fields.")
def straico(
    port: int,
    key: str | None,
    latency_s: float,
    word_latency_s: float,
    fault: str | None,
    streams: bool,
    is_strict: bool,
) -> None:
    """Answer like Straico's API until Ctrl-C, with text that quotes the request.

    The model sim/echo answers; sim/reasoner thinks first; sim/envelope answers in an envelope; sim/error-KIND goes
    wrong as --fault KIND does.
    """
    from tailrace.sim.serving import serve  # noqa: PLC0415 - loads the web server
    from tailrace.sim.straico import Straico  # noqa: PLC0415

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    application = Straico(
        key=key,
        latency_s=latency_s,
        word_latency_s=word_latency_s,
        fault=fault,
        streams=streams,
        is_strict=is_strict,
    )
    with _listener(port) as listener:
        address = f"http://{_HOST}:{listener.getsockname()[1]}"
        serve(application, listener, started=lambda: _say_where(address))


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {_HOST}:{port}: {os.strerror(error.errno or 0)}",
            hint="another program may be using the port; `--port` chooses a different one, 0 a free one",
        ) from error


def _say_where(address: str) -> None:
    click.echo(
        f"""
A stand-in for Straico answers at {address}. In tailrace.toml, it is an upstream:

  [[upstream]]
  name = "straico"
  kind = "straico"
  base_url = "{address}"

Try:

  curl {address}/v2/chat/completions -H 'Authorization: Bearer any' \\
    -d '{{"model": "sim/echo", "messages": [{{"role": "user", "content": "Why do rivers bend?"}}]}}'
""",
        err=True,
    )
