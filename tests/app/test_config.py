"""The configuration: what is read, what overrides what, and how a mistake is answered."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tailrace.app.config import Config, load_config, variables
from tailrace.errors import ConfigError, LibraryError
from tailrace.gateway.settings import (
    AnthropicUpstreamSettings,
    HttpUpstreamSettings,
    LocalUpstreamSettings,
    OpenAIUpstreamSettings,
    StraicoUpstreamSettings,
)
from tailrace.llm import Price
from tailrace.tape import Filter, Head, Kind, Outcome

UPSTREAM = '[[upstream]]\nname = "a"\nkind = "openai"\nbase_url = "http://a/v1"\n'


ANTHROPIC = '[[upstream]]\nname = "a"\nkind = "anthropic"\n'
STRAICO = '[[upstream]]\nname = "a"\nkind = "straico"\n'
ROUTE = '[[route]]\nmodel = "smart"\ntargets = ["{}"]\n'
PRICE = '[[price]]\nmodel = "gpt-*"\ninput_per_million = 2\n'


Write = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Writes a configuration file and gives its path."""

    def write(text: str) -> Path:
        file = tmp_path / "tailrace.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def mistake(file: Path | None, **environ: str) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        load_config(file, environ)
    assert "\n" not in str(error.value)
    assert error.value.hint
    assert "\n" not in error.value.hint
    return error.value


def test_nothing_configured_is_a_local_model_on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    config = load_config(None, {})

    assert (config.server.host, config.server.port) == ("127.0.0.1", 8080)
    assert config.upstream == (LocalUpstreamSettings(name="local", kind="local"),)


def test_a_file_is_read(written: Write) -> None:
    config = load_config(written(f"server.port = 9\n[gateway.deadlines]\nidle_s = 1.5\n{UPSTREAM}"), {})

    assert config.server.port == 9
    assert config.gateway.deadlines.idle_s == 1.5
    assert config.upstream == (OpenAIUpstreamSettings(name="a", kind="openai", base_url="http://a/v1"),)


def test_the_file_is_the_one_that_was_named_then_the_variables_then_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, port in (("tailrace.toml", 1), ("two.toml", 2), ("three.toml", 3)):
        Path(name).write_text(f"server.port = {port}", encoding="utf-8")

    assert load_config(None, {}).server.port == 1
    assert load_config(None, {"TAILRACE_CONFIG": "two.toml"}).server.port == 2
    assert load_config(Path("three.toml"), {"TAILRACE_CONFIG": "two.toml"}).server.port == 3


def test_a_variable_overrides_the_file(written: Write) -> None:
    file = written("server = { port = 1, host = 'localhost' }")
    environ = {"TAILRACE_SERVER_PORT": "2", "TAILRACE_GATEWAY_DEADLINES_IDLE_S": "0.5", "OTHER": "x"}

    config = load_config(file, environ)

    assert (config.server.port, config.server.host) == (2, "localhost")
    assert config.gateway.deadlines.idle_s == 0.5


def test_a_list_in_a_variable_is_json(written: Write) -> None:
    config = load_config(written(""), {"TAILRACE_SERVER_ALLOWED_HOSTS": '["a:1", "b:2"]'})

    assert config.server.allowed_hosts == ("a:1", "b:2")


def test_every_setting_has_its_variable() -> None:
    assert variables()["TAILRACE_LIBRARY_URL"] == ("library", "url")
    assert variables()["TAILRACE_GATEWAY_DEADLINES_CONNECT_S"] == ("gateway", "deadlines", "connect_s")
    assert not [name for name in variables() if any(table in name for table in ("UPSTREAM", "ROUTE", "PRICE"))]
    assert variables()["TAILRACE_GATEWAY_BREAKER_OPEN_S"] == ("gateway", "breaker", "open_s")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///tapes.db", "sqlite:///{folder}/tapes.db"),
        ("sqlite:////var/tapes.db", "sqlite:////var/tapes.db"),
        ("sqlite:///~/tapes.db", "sqlite:///~/tapes.db"),
    ],
)
def test_a_relative_library_is_beside_the_file(written: Write, url: str, expected: str) -> None:
    file = written(f'library.url = "{url}"')

    assert load_config(file, {}).library.url == expected.format(folder=file.parent)


def test_a_relative_model_is_beside_the_file(written: Write) -> None:
    file = written('[[upstream]]\nname = "l"\nkind = "local"\nmodel_path = "m.gguf"\n')

    (upstream,) = load_config(file, {}).upstream

    assert isinstance(upstream, LocalUpstreamSettings)
    assert upstream.model_path == file.parent / "m.gguf"


def test_keys_are_relative_to_the_file_too(written: Write) -> None:
    file = written('gateway.keys_file = "state/keys.json"')

    assert load_config(file, {}).gateway.keys_file == file.parent / "state/keys.json"
    assert load_config(written('gateway.keys_file = "/etc/keys.json"'), {}).gateway.keys_file == Path("/etc/keys.json")
    assert load_config(written(""), {}).gateway.keys_file is None


def test_routes_lead_to_upstreams_and_models_that_may_have_slashes(written: Write) -> None:
    (route,) = load_config(written(ROUTE.format("a/org/model") + UPSTREAM), {}).route

    assert (route.model, route.targets) == ("smart", ("a/org/model",))


@pytest.mark.parametrize(
    ("text", "environ", "days"),
    [("", {}, 30), ("retain_days = 0", {}, 0), ("retain_days = 1", {"TAILRACE_LIBRARY_RETAIN_DAYS": "7"}, 7)],
)
def test_traces_are_kept_for_a_month_unless_it_is_said(
    written: Write, text: str, environ: dict[str, str], days: int
) -> None:
    assert load_config(written(f"[library]\n{text}"), environ).library.retain_days == days


def test_the_library_is_opened_with_all_that_is_configured(written: Write, tmp_path: Path) -> None:
    config = load_config(written('[library]\nurl = "sqlite:///tapes.db"\nredact_headers = ["x-mine"]'), {})
    said = b'{"messages":[{"role":"user","content":"Hello"}]}'

    with config.open_library() as library:
        recording = library.create(
            Head("POST", "/", None, "openai-chat", Kind.NORMAL, request_headers=(("x-mine", "a"),), request_body=said)
        )
        recording.close(Outcome.STOPPED)
    with config.open_library() as library:
        library.index_all()
        (tape,) = library.list(Filter.where(text="hello")).tapes
        assert tape.prompt == "Hello"
        assert library.exchange(tape.id).request_headers == (("x-mine", "[redacted]"),)
    with config.open_library(read_only=True) as library:
        assert library.list().tapes == (tape,)
        with pytest.raises(LibraryError, match="reading only"):
            library.delete([tape.id])


def test_prices_are_what_summaries_are_made_with(written: Write) -> None:
    config = load_config(
        written(
            PRICE + "output_per_million = 8\n[[price]]\nmodel = '*'\n"
            "input_per_million = 1\noutput_per_million = 1\ncached_input_per_million = 0\n"
        ),
        {},
    )

    summariser = config.summariser()

    assert isinstance(summariser, partial)
    assert summariser.keywords["prices"] == [("gpt-*", Price(2, 8, None)), ("*", Price(1, 1, 0))]


@pytest.mark.parametrize(
    ("text", "kind", "url"),
    [
        ('kind = "anthropic"', AnthropicUpstreamSettings, "https://api.anthropic.com/v1"),
        ('kind = "straico"\nunknown_fields = "reject"', StraicoUpstreamSettings, "https://api.straico.com"),
    ],
)
def test_an_upstream_that_is_one_service_needs_no_address(
    written: Write, text: str, kind: type[HttpUpstreamSettings], url: str
) -> None:
    (upstream,) = load_config(written(f'[[upstream]]\nname = "a"\n{text}\n'), {}).upstream

    assert isinstance(upstream, kind)
    assert upstream.base_url == url


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[sever]\n", "there is no key sever", "did you mean server? allowed are "),
        ("[server]\nprot = 1\n", "there is no key server.prot", "did you mean port? allowed are "),
        ("[gateway.deadlines]\nidle = 1\n", "there is no key gateway.deadlines.idle", "did you mean idle_s? "),
        (UPSTREAM + "base_ulr = 1\n", "there is no key upstream.0.base_ulr", "did you mean base_url? allowed are "),
        ("[server]\nport = 70000\n", "server.port = 70000: ", "see docs/reference/configuration.md"),
        ('[server]\nport = "x"\n', "server.port = 'x': ", "see docs/reference/configuration.md"),
        ("[gateway.deadlines]\nidle_s = 0\n", "gateway.deadlines.idle_s = 0: ", "see docs/"),
        ('[library]\nredact = "none"\n', "library.redact = 'none': ", "see docs/"),
        ('[[upstream]]\nname = "a"\nkind = "openai"\n', "upstream.0.base_url is missing", "see docs/"),
        ('[[upstream]]\nname = "a"\nkind = "other"\n', "upstream.0.kind is missing or unknown", "allowed are "),
        ('[[upstream]]\nname = "a"\n', "upstream.0.kind is missing or unknown", "allowed are "),
        ('[[upstream]]\nname = "A b"\nkind = "local"\n', "upstream.0.name = 'A b': ", "see docs/"),
        (UPSTREAM + UPSTREAM, "two upstreams are named 'a'", "see docs/"),
        ("upstream = []\n", "upstream = []: ", "see docs/"),
        ("upstream = 7\n", "upstream = 7: ", "see docs/"),
        ("server = 7\n", "server = 7: ", "see docs/"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_the_key_the_file_and_what_is_allowed(
    written: Write,
    text: str,
    message: str,
    hint: str,
) -> None:
    file = written(text)

    error = mistake(file)

    assert str(error).startswith(f"{file}: ")
    assert message in str(error)
    assert (error.hint or "").startswith(hint)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (ANTHROPIC + 'base_url = "x"\n', "upstream.0.base_url = 'x': expected an http", "see docs/"),
        (ANTHROPIC + 'unknown_fields = "drop"\n', "there is no key upstream.0.unknown_fields", "allowed are "),
        (STRAICO + 'unknown_fields = "x"\n', "upstream.0.unknown_fields = 'x': ", "see docs/"),
        (
            STRAICO + 'unkown_fields = "x"\n',
            "there is no key upstream.0.unkown_fields",
            "did you mean unknown_fields? ",
        ),
        (UPSTREAM + 'streaming = "fake"\n', "upstream.0.streaming = 'fake': Input should be 'auto', 'nat", "see docs/"),
        (UPSTREAM + 'model_streaming = { "o1*" = "fake" }\n', "upstream.0.model_streaming.o1* = 'fake': ", "see docs/"),
        ("[gateway.pace]\nwords_per_s = 0\n", "gateway.pace.words_per_s = 0: ", "see docs/"),
        ("[gateway.retry]\nattempt = 2\n", "there is no key gateway.retry.attempt", "did you mean attempts? "),
        ("[gateway.breaker]\nfailures = 0\n", "gateway.breaker.failures = 0: ", "see docs/"),
        (
            UPSTREAM + ROUTE.format("a/b") + "modle = 1\n",
            "no key route.0.modle",
            "did you mean model? allowed are model, ",
        ),
        (UPSTREAM + '[[route]]\nmodel = "m"\n', "route.0.targets is missing", "see docs/"),
        (UPSTREAM + '[[route]]\nmodel = "m"\ntargets = []\n', "route.0.targets = []: ", "see docs/"),
        (UPSTREAM + 2 * ROUTE.format("a/b"), "two routes are for the model 'smart'", "see docs/"),
        ("route = 7\n", "route = 7: ", "see docs/"),
        (PRICE + "output_per_milion = 1\n", "no key price.0.output_per_milion", "did you mean output_per_million? "),
        (PRICE, "price.0.output_per_million is missing", "see docs/"),
        (PRICE + "output_per_million = -1\n", "price.0.output_per_million = -1: ", "see docs/"),
    ],
)
def test_so_is_a_mistake_about_upstreams_routes_and_prices(written: Write, text: str, message: str, hint: str) -> None:
    file = written(text)

    error = mistake(file)

    assert str(error).startswith(f"{file}: ")
    assert message in str(error)
    assert (error.hint or "").startswith(hint)


@pytest.mark.parametrize("target", ["b/x", "a", "a/", "/x", "A/x"])
def test_a_route_that_leads_nowhere_is_answered_with_where_it_could_lead(written: Write, target: str) -> None:
    error = mistake(written(ROUTE.format(target) + UPSTREAM))

    assert str(error).endswith(
        f"/tailrace.toml: route 'smart' has the target {target!r}, expected the name of an upstream, a slash and a "
        "model; the upstreams are a"
    )


@pytest.mark.parametrize("text", ["server = {", "a b", "\x00"])
def test_what_is_not_toml_is_said_with_the_place(written: Write, text: str) -> None:
    file = written(text)

    assert str(mistake(file)).startswith(f"{file} is not TOML: ")


def test_what_is_not_utf_8_is_not_toml(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xff\xfe")

    assert str(mistake(file)).startswith(f"{file} is not TOML: ")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"

    assert str(mistake(file)) == f"cannot read the configuration {file}: No such file or directory"
    assert str(mistake(None, TAILRACE_CONFIG=str(file))).startswith("cannot read the configuration ")
    assert str(mistake(tmp_path)) == f"cannot read the configuration {tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        ("SERVER_PROT", "1", "the variable {} sets nothing", "did you mean TAILRACE_SERVER_PORT? "),
        ("UPSTREAM", "x", "the variable {} sets nothing", ""),
        ("SERVER_PORT", "x", "{}: server.port = 'x': ", "see docs/"),
        ("SERVER_ALLOWED_HOSTS", "a:1", "{}: server.allowed_hosts = 'a:1': ", "see docs/"),
        ("SERVER_ALLOWED_HOSTS", "[a]", "{} = '[a]' is not a list in JSON: ", 'write ["a", "b"]'),
    ],
)
def test_a_mistake_in_a_variable_is_answered_with_its_name(
    written: Write,
    name: str,
    value: str,
    message: str,
    hint: str,
) -> None:
    error = mistake(written(""), **{f"TAILRACE_{name}": value})

    assert str(error).startswith(message.format(f"TAILRACE_{name}"))
    assert (error.hint or "").startswith(hint)


def test_a_variable_cannot_reach_into_what_is_no_table(written: Write) -> None:
    error = mistake(written("server = 7"), TAILRACE_SERVER_PORT="1")

    assert str(error) == "TAILRACE_SERVER_PORT cannot be set: server is not a table in the configuration file"


@pytest.mark.parametrize(
    ("table", "header", "field"),
    [
        ({}, "authorization", "api_key"),
        ({"redact_headers": ["X-Mine"]}, "x-mine", "api_key"),
    ],
)
def test_a_redactor_leaves_out_what_is_configured(table: dict[str, object], header: str, field: str) -> None:
    redactor = Config.model_validate({"library": table}).library.redactor()

    assert "secret-value" not in str(redactor.headers(((header, "secret-value"),)))


def test_redaction_can_be_off() -> None:
    redactor = Config.model_validate({"library": {"redact": "off"}}).library.redactor()

    assert redactor.headers((("authorization", "secret-value"),)) == (("authorization", "secret-value"),)
