"""A trace as something to run: the request for curl, for Python, or as a test of the shape of its answer.

The rule: what is recorded is data, whatever is in it. It is quoted, and never runs.
"""

from __future__ import annotations

import re
import shlex

from tailrace.tape import Exchange, Kind, Tape
from tailrace.traces.copied_pytest import as_test
from tailrace.traces.copied_python import as_python
from tailrace.traces.copied_request import CopiedRequest, Text, Variable, copied_request

FORMS = ("curl", "python", "test")

_ARGUMENT_BYTES = 100_000
"""A longer body is piped to curl: Linux takes no argument of 128 KiB."""

_IN_DOUBLE_QUOTES = re.compile(r"[\w .:,/=?&%+@-]*", re.ASCII)
_PASTED = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]*")
"""Text without control characters, which a terminal would obey when it is pasted."""


def copied(form: str, tape: Tape, exchange: Exchange, address: str) -> str:
    """The request in one of `FORMS`; `address` is the gateway's, such as `http://127.0.0.1:8080`."""
    match form:
        case "curl":
            return as_curl(tape, exchange, address)
        case "python":
            return as_python(tape, exchange, address)
        case "test":
            return as_test(tape, exchange, address)
    raise ValueError(f"form is {form!r}, expected one of {', '.join(FORMS)}")


def as_curl(tape: Tape, exchange: Exchange, address: str) -> str:
    """The request as a command for a POSIX shell."""
    request = copied_request(tape, exchange)
    url: Text = (address, *request.path)
    options = [*_flags(tape, request, url), _shell(url)]
    options += [f"-H {_header(name, value)}" for name, value in request.headers]
    before = ""
    if request.body:
        if not any(name.lower() == "content-type" for name, _ in request.headers):
            options.append("-H content-type:")  # else curl says that it is a form
        text = _as_text(request.body)
        if text is not None and len(request.body) <= _ARGUMENT_BYTES:
            options.append(f"--data-raw {shlex.quote(text)}")  # unlike --data, no @FILE
        else:
            before = f"{_printf(request.body, text)} |\n"
            options.append("--data-binary @-")
    return before + "curl " + " \\\n  ".join(options) + "\n"


def _flags(tape: Tape, request: CopiedRequest, url: Text) -> list[str]:
    whole = "".join(piece for piece in url if isinstance(piece, str))
    usual = "POST" if request.body else "GET"
    flags = []
    if tape.kind is Kind.STREAM:
        flags.append("-N")
    if request.method == "HEAD":
        flags.append("-I")
    elif request.method != usual:
        flags.append(f"-X {shlex.quote(request.method)}")
    if re.search(r"[\[\]{}]", whole):
        flags.append("-g")
    if "/." in whole:
        flags.append("--path-as-is")
    return [" ".join(flags)] if flags else []


def _header(name: str, value: Text) -> str:
    if not value:
        return shlex.quote(f"{name};")  # `name:` would take the field away
    return _shell((f"{name}: ", *value))


def _shell(text: Text) -> str:
    """A text as one word of a shell."""
    if not any(isinstance(piece, Variable) for piece in text):
        return shlex.quote("".join(piece for piece in text if isinstance(piece, str)))
    if all(isinstance(piece, Variable) or _IN_DOUBLE_QUOTES.fullmatch(piece) for piece in text):
        last = len(text) - 1
        return '"' + "".join(_expanded(piece, is_last=place == last) for place, piece in enumerate(text)) + '"'
    return "".join(f'"${piece.name}"' if isinstance(piece, Variable) else shlex.quote(piece) for piece in text)


def _expanded(piece: str | Variable, *, is_last: bool) -> str:
    if isinstance(piece, str):
        return piece
    return f"${piece.name}" if is_last else f"${{{piece.name}}}"


def _as_text(body: bytes) -> str | None:
    """A body that can stand in a command line; None for one that cannot."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if _PASTED.fullmatch(text) else None


def _printf(body: bytes, text: str | None) -> str:
    """A command of the shell itself, so of any length, that prints a body."""
    if text is not None:
        return f"printf %s {shlex.quote(text)}"
    plain = re.compile(rb"[^\\%'\x00-\x1f\x7f-\xff]")
    written = "".join(chr(byte) if plain.match(bytes([byte])) else f"\\{byte:03o}" for byte in body)
    if written.startswith("-"):  # which some shells take for an option
        written = f"\\{ord('-'):03o}{written[1:]}"
    return f"printf '{written}'"
