"""The child process that serves a local model: `python -m tailrace.gateway.local_model`, started by `local.py`.

It reads its settings as one JSON line from standard input, answers with one JSON line (`{"address": ...}` or
`{"error": ...}`), and lives until standard input ends. The kernel closes that pipe however the parent dies, so
no model outlives its gateway.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import NoReturn


def main() -> NoReturn:
    """Serves until the parent is gone."""
    options = json.loads(sys.stdin.readline())
    answers = os.dup(1)
    os.dup2(2, 1)  # the engine may print; standard output is for the answer
    threading.Thread(target=_end_with_parent, name="tailrace-parent-watch", daemon=True).start()
    try:
        server = _serve(options)
    except Exception as error:
        os.write(answers, json.dumps({"error": str(error) or type(error).__name__}).encode() + b"\n")
        os._exit(1)
    os.write(answers, json.dumps({"address": server}).encode() + b"\n")
    threading.Event().wait()
    raise AssertionError("unreachable")


def _serve(options: dict[str, str | int]) -> str:
    import xllamacpp  # noqa: PLC0415 - only this process has it loaded

    params = xllamacpp.CommonParams()
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [options["key"]]
    params.model.path = options["model_path"]
    params.model_alias = {options["alias"]}
    params.n_ctx = options["context_tokens"]
    params.n_parallel = options["parallel"]
    params.cpuparams.n_threads = options["threads"]
    params.ui = False
    params.embedding = False
    _keep.append(server := xllamacpp.Server(params))
    return str(server.listening_address)


_keep: list[object] = []


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
