"""`tailrace up`: start the server."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailrace.cli.options import config_option, load

if TYPE_CHECKING:
    from tailrace.app.config import Config

OPEN_PAGE = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.stdin.read()))"
"""Run by a process of its own: what a browser prints is not our output, and Ctrl-C here does not end it. It is not told
the address, which has a token, in an argument: those of a process can be seen by every user of the machine."""


@click.command()
@config_option
@click.option("--host", help="The address to listen on (server.host).")
@click.option("--port", type=click.IntRange(0, 65535), help="The port (server.port); 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1), help="How many processes serve it (server.workers).")
@click.option("--open", "opens_page", is_flag=True, help="Open the web UI in a browser.")
@click.option("--verbose", is_flag=True, help="Log the local model's messages, too.")
def up(
    config_path: Path | None, host: str | None, port: int | None, workers: int | None, opens_page: bool, verbose: bool
) -> None:
    """Start the gateway and whatever else is configured, until Ctrl-C.

    On the first Ctrl-C, streams that are under way may finish (server.grace_s); a second one ends at once.
    """
    from tailrace.app.serving import log_to_stderr, serve  # noqa: PLC0415 - loads the web framework
    from tailrace.app.workers import serve_with_workers  # noqa: PLC0415

    log_to_stderr(is_verbose=verbose)
    config = load(config_path)
    given = {
        name: value
        for name, value in (("host", host), ("port", port), ("workers", workers))
        if value is not None
    }  # fmt: skip
    config = config.model_copy(update={"server": config.server.model_copy(update=given)})

    def started(host: str, port: int) -> None:
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        page = f"{address}/?token={_token(config)}"
        _say_where(address, page, config)
        if opens_page:
            threading.Thread(target=_open_page, args=(page,), name="tailrace-browser", daemon=True).start()

    if config.server.workers > 1:
        serve_with_workers(config, started, is_verbose=verbose)
    else:
        serve(config, started)


def _token(config: Config) -> str:
    """The one that the server has made, or found, when it began."""
    from tailrace.app.access import token_at, token_path  # noqa: PLC0415
    from tailrace.gateway.keys import keys_path  # noqa: PLC0415

    return token_at(token_path(keys_path(config.gateway.keys_file, config.library.url)))


def _say_where(address: str, page: str, config: Config) -> None:
    from tailrace.app.guard import is_loopback  # noqa: PLC0415

    reach = " Only this machine can reach it." if is_loopback(config.server.host) else ""
    model = next((model for upstream in config.upstream for model in upstream.models), "MODEL")
    click.echo(
        f"""
Tailrace is running.{reach}

  web UI    {page}
  gateway   {address}/v1            (any OpenAI client: base_url)
  API       {address}/openapi.json
  health    {address}/readyz
  tapes     {config.library.url}

Try:

  curl -N {address}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Why do rivers bend?"}}]}}'

and then look at it in the web UI, or, in another terminal: tailrace trace list
""",
        err=True,
    )


def _open_page(address: str) -> None:
    """In a thread of its own: a browser may come back only when it is closed."""
    done = subprocess.run(  # noqa: S603 - our own interpreter, and no shell
        [sys.executable, "-P", "-c", OPEN_PAGE],
        input=address.encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        click.echo(f"No browser could be opened; the web UI is at {address}", err=True)
