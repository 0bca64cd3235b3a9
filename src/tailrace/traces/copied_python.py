"""The request of a trace as a Python program: with the SDK of its API, or else with the standard library."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.llm.codec import Object, load_object
from tailrace.tape import Exchange, Tape
from tailrace.traces.copied_request import CopiedRequest, Text, Variable, copied_request, key_variable

_LINE_CHARACTERS = 100
"""A value that is longer in one line has a line for each of its parts."""
_NESTED = 60
"""Python reads no code that nests much deeper."""


@dataclass(frozen=True, slots=True)
class SdkCall:
    """How an SDK asks an API. `path` is what it adds to its base address."""

    package: str
    client: str
    method: str
    path: str
    required: frozenset[str]
    known: frozenset[str]
    """The fields of the body that its method takes; any other goes along as `extra_body`."""
    own_headers: frozenset[str]
    """Those that the SDK sets itself."""
    stream: str
    """Lines that print what a stream says."""
    whole: str
    """What is printed of an answer in one piece."""


_OPENAI_HEADERS = frozenset({"accept", "api-key", "authorization", "content-type"})

SDK_CALLS = {
    "openai-chat": SdkCall(
        "openai",
        "OpenAI",
        "chat.completions",
        "/chat/completions",
        frozenset({"model", "messages"}),
        frozenset({
            "audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "messages",
            "metadata", "modalities", "model", "n", "parallel_tool_calls", "prediction", "presence_penalty",
            "reasoning_effort", "response_format", "seed", "service_tier", "stop", "store", "stream", "stream_options",
            "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user",
        }),
        _OPENAI_HEADERS,
        "for choice in chunk.choices:\n    print(choice.delta.content or \"\", end=\"\", flush=True)",
        "answer.choices[0].message.content",
    ),
    "openai-completions": SdkCall(
        "openai",
        "OpenAI",
        "completions",
        "/completions",
        frozenset({"model", "prompt"}),
        frozenset({
            "best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "model", "n",
            "presence_penalty", "prompt", "seed", "stop", "stream", "stream_options", "suffix", "temperature", "top_p",
            "user",
        }),
        _OPENAI_HEADERS,
        "for choice in chunk.choices:\n    print(choice.text, end=\"\", flush=True)",
        "answer.choices[0].text",
    ),
    "openai-responses": SdkCall(
        "openai",
        "OpenAI",
        "responses",
        "/responses",
        frozenset({"model", "input"}),
        frozenset({
            "include", "input", "instructions", "max_output_tokens", "metadata", "model", "parallel_tool_calls",
            "previous_response_id", "reasoning", "service_tier", "store", "stream", "temperature", "text",
            "tool_choice", "tools", "top_p", "truncation", "user",
        }),
        _OPENAI_HEADERS,
        "if chunk.type == \"response.output_text.delta\":\n    print(chunk.delta, end=\"\", flush=True)",
        "answer.output_text",
    ),
    "anthropic-messages": SdkCall(
        "anthropic",
        "Anthropic",
        "messages",
        "/v1/messages",
        frozenset({"model", "max_tokens", "messages"}),
        frozenset({
            "max_tokens", "messages", "metadata", "model", "service_tier", "stop_sequences", "stream", "system",
            "thinking", "tool_choice", "tools",
        }),
        frozenset({"accept", "anthropic-version", "authorization", "content-type", "x-api-key"}),
        "if chunk.type == \"content_block_delta\" and chunk.delta.type == \"text_delta\":\n"
        "    print(chunk.delta.text, end=\"\", flush=True)",
        "\"\".join(block.text for block in answer.content if block.type == \"text\")",
    ),
}  # fmt: skip


def as_python(tape: Tape, exchange: Exchange, address: str) -> str:
    """A program that asks again and prints the answer."""
    request = copied_request(tape, exchange)
    found = sdk_call(tape, request)
    if found is None:
        return _with_urllib(request, address)
    call, fields = found
    arguments = [f"{name}={literal(value, 1)}" for name, value in fields.items() if name in call.known]
    arguments += extras(call, request, fields)
    base_url = address + str(request.path[0]).removesuffix(call.path)
    key = python_text((Variable(key_variable(tape.dialect)),)) if request.has_key else literal("none")
    lines = ["import os", ""] if "os.environ" in "".join((key, *arguments)) else []
    lines += [
        f"from {call.package} import {call.client}",
        "",
        f"client = {call.client}(base_url={literal(base_url)}, api_key={key})",
        f"answer = client.{call.method}.create(",
        *(f"    {argument}," for argument in arguments),
        ")",
    ]
    if fields.get("stream"):
        lines += ["for chunk in answer:", *(f"    {line}" for line in call.stream.split("\n")), "print()"]
    else:
        lines.append(f"print({call.whole})")
    return "\n".join(lines) + "\n"


def sdk_call(tape: Tape, request: CopiedRequest) -> tuple[SdkCall, Object] | None:
    """How an SDK makes this request, and its body; None when none can make it."""
    call, fields = SDK_CALLS.get(tape.dialect), _fields(request)
    if call is None or fields is None or not call.required <= set(fields):
        return None
    is_path = len(request.path) == 1 and str(request.path[0]).endswith(call.path)
    return (call, fields) if is_path and request.method == "POST" else None


def extras(call: SdkCall, request: CopiedRequest, fields: Object) -> list[str]:
    """The arguments of an SDK's call for what its method has no parameter for."""
    unknown = {name: value for name, value in fields.items() if name not in call.known}
    headers = {name: value for name, value in request.headers if name.lower() not in call.own_headers}
    found = []
    if headers:
        shown = ", ".join(f"{literal(name)}: {python_text(value)}" for name, value in headers.items())
        found.append(f"extra_headers={{{shown}}}")
    if unknown:
        found.append(f"extra_body={literal(unknown, 1)}")
    return found


def literal(value: object, depth: int = 0) -> str:
    """A JSON value as Python writes it, `depth` times indented after its first line."""
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if not isinstance(value, dict | list) or not value:
        return repr(value)
    if isinstance(value, dict):
        parts = [f"{literal(name)}: {literal(item, depth + 1)}" for name, item in value.items()]
        opening, closing = "{", "}"
    else:
        parts = [literal(item, depth + 1) for item in value]
        opening, closing = "[", "]"
    line = opening + ", ".join(parts) + closing
    if "\n" not in line and len(line) + 4 * depth <= _LINE_CHARACTERS:
        return line
    inner = "    " * (depth + 1)
    return "\n".join([opening, *(f"{inner}{part}," for part in parts), "    " * depth + closing])


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def python_text(text: Text) -> str:
    """A text as an expression of Python."""
    pieces = [f"os.environ[{literal(piece.name)}]" if isinstance(piece, Variable) else literal(piece) for piece in text]
    return " + ".join(pieces) or '""'


def _with_urllib(request: CopiedRequest, address: str) -> str:
    fields = _fields(request)
    headers = "".join(f"        {literal(name)}: {python_text(value)},\n" for name, value in request.headers)
    arguments = [python_text((address + str(request.path[0]), *request.path[1:])), f"method={literal(request.method)}"]
    if headers:
        arguments.append(f"headers={{\n{headers}    }}")
    if request.body:
        data = repr(request.body) if fields is None else f"json.dumps({literal(fields, 1)}).encode()"
        arguments.append(f"data={data}")
    code = "".join(f"    {argument},\n" for argument in arguments)
    modules = ["json"] if fields is not None else []
    modules += ["os"] if "os.environ[" in code else []
    return (
        "".join(f"import {module}\n" for module in (*modules, "sys", "urllib.request"))
        + f"\nrequest = urllib.request.Request(\n{code})\n"
        + "with urllib.request.urlopen(request) as answer:\n"
        + "    while data := answer.read1():\n"
        + "        sys.stdout.buffer.write(data)\n"
        + "        sys.stdout.buffer.flush()\n"
    )


def _fields(request: CopiedRequest) -> Object | None:
    """The body as an object that can be written as Python, which nests no deeper than this."""
    fields, level = load_object(request.body), 0
    values: list[object] = [fields]
    while values and level <= _NESTED:
        inside = [
            value.values() if isinstance(value, dict) else value for value in values if isinstance(value, dict | list)
        ]
        values, level = [item for each in inside for item in each], level + 1
    return None if values else fields
