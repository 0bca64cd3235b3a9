"""`tailrace up`: start the server."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailrace.cli.options import config_option, load

if TYPE_CHECKING:
    from tailrace.app.config import Config


@click.command()
@config_option
@click.option("--host", help="The address to listen on (server.host).")
@click.option("--port", type=click.IntRange(0, 65535), help="The port (server.port); 0 takes a free one.")
@click.option("--verbose", is_flag=True, help="Log the local model's messages, too.")
def up(config_path: Path | None, host: str | None, port: int | None, verbose: bool) -> None:
    """Start the gateway and whatever else is configured, until Ctrl-C.

    On the first Ctrl-C, streams that are under way may finish (server.grace_s); a second one ends at once.
    """
    from tailrace.app.serving import serve  # noqa: PLC0415 - loads the web framework

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if verbose:
        logging.getLogger("tailrace").setLevel(logging.DEBUG)
    config = load(config_path)
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    config = config.model_copy(update={"server": config.server.model_copy(update=given)})
    serve(config, started=lambda host, port: _say_where(host, port, config))


def _say_where(host: str, port: int, config: Config) -> None:
    model = next((model for upstream in config.upstream for model in upstream.models), "MODEL")
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(
        f"""
Tailrace is running. Only this machine can reach it.

  gateway   {address}/v1            (any OpenAI client: base_url)
  API       {address}/openapi.json
  health    {address}/readyz
  tapes     {config.library.url}

Try:

  curl -N {address}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Why do rivers bend?"}}]}}'

and then, in another terminal: tailrace trace list
""",
        err=True,
    )
