"""Everything that can be configured, in one frozen object, read once.

Each field carries its environment variable, a help text and a parser; ``flask --app wsgi settings`` prints the table
and ``docs/configuration.md`` is generated from it. Nobody else reads the environment.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import parse_qsl, unquote, urlsplit

from dotenv import dotenv_values, load_dotenv

from app import github_hosts
from app.errors import Sentence, sentence_of
from app.masking import masked

DEFAULT_API_KEY = "github-copilot-openai-api-key"
"""The key that the original project ships with. Everybody knows it, so it counts for private callers only."""

SEALING_KEY_BYTES = 32

DEFAULT_MAPPING: Mapping[str, str] = {"gpt-o4-mini": "claude-opus-4.6", "gpt-4o-mini": "claude-opus-4.6"}


class SettingsError(ValueError):
    """A variable holds something unusable. One line: the variable, what is wrong, an example."""

    def __init__(self, variable: str, what: str) -> None:
        super().__init__(Sentence.joined(f"{variable}:", what))
        self.variable, self.what = variable, what


class Secret:
    """A string that does not show itself: ``str()`` and ``repr()`` are ``***``, ``reveal()`` is the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    @staticmethod
    def can_be_sent(value: object) -> TypeGuard[str]:
        """Whether it is one that can stand in a header."""
        return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


# ── parsers: text → value, or ValueError with the problem in words ──────────────────────────────────────────────────


def _text(raw: str) -> str:
    if "\n" in raw or "\r" in raw:
        raise ValueError(Sentence("has a line break"))
    return raw


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError(Sentence("is not a whole number from %(low)s to %(high)s", low=low, high=high)) from None
        if not low <= value <= high:
            raise ValueError(Sentence("is not between %(low)s and %(high)s", low=low, high=high))
        return value

    return parse


def _flag(raw: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if raw.lower() not in words:
        raise ValueError(Sentence("is neither true nor false"))
    return words[raw.lower()]


def _seconds(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        raise ValueError(Sentence("is not a number of seconds")) from None
    if not (math.isfinite(value) and value > 0):
        raise ValueError(Sentence("is not a positive number of seconds"))
    return value


def _seconds_or_never(raw: str) -> float:
    if raw.strip() == "0":
        return 0.0
    try:
        return _seconds(raw)
    except ValueError:
        raise ValueError(Sentence("is neither a positive number of seconds nor 0")) from None


def _amount(raw: str) -> float:
    try:
        return _seconds_or_never(raw)
    except ValueError:
        raise ValueError(Sentence("is neither a positive number nor 0")) from None


def _sealing_key(raw: str) -> Secret:
    try:
        key = base64.b64decode(raw, validate=True)
    except ValueError:
        key = b""
    if len(key) != SEALING_KEY_BYTES:
        raise ValueError(
            Sentence("is not %(count)s bytes in base64 (openssl rand -base64 %(count)s)", count=SEALING_KEY_BYTES)
        )
    return Secret(raw)


def parse_url(raw: str) -> str:
    """A base URL, without a slash at its end. Raises: ValueError with the problem in words."""
    try:
        parts = urlsplit(raw)
        _ = parts.port  # raises on a port that is no number
    except ValueError:
        raise ValueError(Sentence("is not a URL")) from None
    if any(char.isspace() for char in raw):
        raise ValueError(Sentence("is not a URL: it has a space in it"))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(Sentence("is not an http:// or https:// URL"))
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(Sentence("must have neither user name, query nor fragment"))
    return raw.rstrip("/")


def _redis_url(raw: str) -> Secret:
    if urlsplit(raw).scheme not in ("redis", "rediss", "unix"):
        raise ValueError(Sentence("is not a redis://, rediss:// or unix:// URL"))
    return Secret(raw)


def _database_url(raw: str) -> Secret:
    try:
        parts = urlsplit(raw)
        _ = parts.port
    except ValueError:
        raise ValueError(Sentence("is not a URL")) from None
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        raise ValueError(Sentence("is not a postgresql://user:password@host/database URL"))
    # A slip here would otherwise mean a connection that nobody checks, or that is not encrypted at all.
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name == "sslmode" and value not in _SSL_MODES:
            raise ValueError(Sentence("has an sslmode that is not one of %(allowed)s", allowed=", ".join(_SSL_MODES)))
        if name.lower().startswith("ssl") and name not in ("sslmode", "sslrootcert"):
            raise ValueError(
                Sentence(
                    "has an option for TLS that is not known here: only %(allowed)s are",
                    allowed="sslmode, sslrootcert",
                )
            )
    return Secret(raw)


_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def _choice(*allowed: str, fold: Callable[[str], str] = str.lower) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if fold(raw) not in allowed:
            raise ValueError(Sentence("is not one of %(allowed)s", allowed=", ".join(allowed)))
        return fold(raw)

    return parse


def _keys(raw: str) -> tuple[Secret, ...]:
    keys = [part.strip() for part in raw.split(",")]
    for key in filter(None, keys):
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError(Sentence("has a key with a space or a character that no HTTP header can carry"))
    return tuple(Secret(key) for key in dict.fromkeys(filter(None, keys)))


def _origins(raw: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in raw.split(",") if part.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if origin == "*":
            raise ValueError(Sentence("names no origin ('*' would let any web page in); list the origins"))
        if not parts.scheme or not parts.netloc or parts.path or parts.query or "@" in origin:
            raise ValueError(Sentence("holds %(origin)s, which is not an origin", origin=repr(origin)))
    return origins


def _json(raw: str) -> Any:
    try:
        value = json.loads(raw)
        json.dumps(value, ensure_ascii=False).encode()  # half a character could be written nowhere, on no page either
    except (ValueError, RecursionError):
        raise ValueError(Sentence("is not JSON")) from None
    return value


def _mapping(raw: str) -> Mapping[str, str]:
    value = _json(raw)
    if not isinstance(value, dict) or not all(isinstance(v, str) and v and k for k, v in value.items()):
        raise ValueError(Sentence("is not a JSON object of model names"))
    return dict(value)


_OF_PRICES = ("input", "cached_input", "cache_write", "output")


def _prices(raw: str) -> Mapping[str, Mapping[str, float]]:
    value = _json(raw)
    if not isinstance(value, dict) or not all(isinstance(prices, dict) for prices in value.values()):
        raise ValueError(Sentence("is not a JSON object of models, each with an object of prices"))
    for name, prices in value.items():
        if unknown := sorted(set(prices) - set(_OF_PRICES)):
            raise ValueError(
                Sentence(
                    "has %(word)s for %(name)s; there are %(known)s",
                    word=repr(unknown[0]),
                    name=repr(name),
                    known=", ".join(_OF_PRICES),
                )
            )
        if not {"input", "output"} <= set(prices):
            raise ValueError(Sentence("needs input and output for %(name)s", name=repr(name)))
        for price in prices.values():
            if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < 10**9:
                raise ValueError(
                    Sentence(
                        "has a price for %(name)s that is no number of credits per million tokens", name=repr(name)
                    )
                )
    return {name.lower(): prices for name, prices in value.items()}


def _token(raw: str) -> Secret:
    if not raw.isascii() or not raw.isprintable() or " " in raw:
        raise ValueError(Sentence("is not a token (it has a space or an unprintable character)"))
    return Secret(raw)


def _path(raw: str) -> Path:
    return Path(raw).expanduser()


def _editor_config_dir(env: Mapping[str, str]) -> Path:
    """Where editors keep Copilot's sign-in (contract §1.8)."""
    if sys.platform == "win32" and env.get("LOCALAPPDATA"):
        return Path(env["LOCALAPPDATA"]) / "github-copilot"
    return Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or "~").expanduser() / ".config") / "github-copilot"


def _github_host(env: Mapping[str, str]) -> str:
    """The GitHub that the other variables name, if they name a tenant: then nothing may go to the public one."""
    urls = (env.get(name, "").strip() for name in ("GITHUB_BASE_URL", "GITHUB_API_BASE_URL"))
    return next(filter(None, map(_tenant_of, urls)), github_hosts.PUBLIC)


def _tenant_of(url: str) -> str | None:
    try:
        return github_hosts.tenant_of(url)
    except ValueError:
        return None


def _of_host(address: Callable[[str], str]) -> Callable[[Mapping[str, str]], str]:
    """The default of an address: that of GITHUB_HOST."""

    def derive(env: Mapping[str, str]) -> str:
        raw = env.get("GITHUB_HOST", "").strip()
        try:
            return address(github_hosts.parse_host(raw) if raw else _github_host(env))
        except ValueError:  # told as the fault of GITHUB_HOST itself
            return address(github_hosts.PUBLIC)

    return derive


# ── fields ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def setting(
    env: str,
    default: Any,
    parse: Callable[[str], Any],
    help: str,
    example: str,
    *,
    empty_is_a_value: bool = False,
) -> Any:
    """Declare one variable. A callable default is given the environment. An empty variable counts as unset, unless
    ``empty_is_a_value`` (compose files pass empty strings for what is not set)."""
    metadata = {
        "env": env,
        "default": default,
        "parse": parse,
        "help": help,
        "example": example,
        "empty_is_a_value": empty_is_a_value,
    }
    make = (lambda: default({})) if callable(default) else (lambda: default)
    return dataclasses.field(default_factory=make, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The effective configuration. Units are in the names: ``_s`` seconds, ``_bytes`` bytes."""

    host: str = setting("HOST", "0.0.0.0", _text, "address to listen on", "HOST=127.0.0.1")
    port: int = setting("PORT", 8000, _whole(1, 65535), "port to listen on", "PORT=8000")
    web_concurrency: int = setting(
        "WEB_CONCURRENCY", 2, _whole(1, 64), "number of worker processes", "WEB_CONCURRENCY=2"
    )
    worker_connections: int = setting(
        "WORKER_CONNECTIONS",
        4000,
        _whole(10, 100_000),
        "connections one worker holds at the same time (streams and idle keep-alives)",
        "WORKER_CONNECTIONS=4000",
    )
    connections_per_address: int = setting(
        "CONNECTIONS_PER_ADDRESS",
        512,
        _whole(0, 100_000),
        "connections that one worker holds for one address, if no proxy is in front (TRUSTED_PROXIES=0); 0: no limit",
        "CONNECTIONS_PER_ADDRESS=512",
    )
    graceful_timeout_s: int = setting(
        "GRACEFUL_TIMEOUT_S",
        30,
        _whole(1, 3600),
        "how long a stopping worker lets running answers finish",
        "GRACEFUL_TIMEOUT_S=30",
    )

    api_keys: tuple[Secret, ...] = setting(
        "API_KEY",
        (Secret(DEFAULT_API_KEY),),
        _keys,
        "key that clients must send; several separated by commas; empty = no key (private callers only)",
        "API_KEY=a-long-random-string",
        empty_is_a_value=True,
    )
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS",
        (),
        _origins,
        "web origins that may call /v1/* from a page, separated by commas",
        "CORS_ORIGINS=https://chat.example.com",
    )
    trusted_proxies: int = setting(
        "TRUSTED_PROXIES",
        0,
        _whole(0, 9),
        "how many reverse proxies in front set X-Forwarded-For/-Proto/-Host (1 behind the nginx of deploy/)",
        "TRUSTED_PROXIES=1",
    )

    model_mapping: Mapping[str, str] = setting(
        "MODEL_MAPPING",
        DEFAULT_MAPPING,
        _mapping,
        "JSON object of model names to rename; replaces the default completely",
        'MODEL_MAPPING={"gpt-4": "gpt-4.1"}',
    )

    model_prices: Mapping[str, Mapping[str, float]] = setting(
        "MODEL_PRICES",
        {},
        _prices,
        "JSON object of prices to estimate by, in credits per million tokens (input, output; cached_input, "
        "cache_write), for models whose list entry has none; otherwise GitHub's list of 2026-08 serves",
        'MODEL_PRICES={"gpt-5-mini": {"input": 25, "cached_input": 2.5, "output": 200}}',
    )

    gh_copilot_token: Secret | None = setting(
        "GH_COPILOT_TOKEN",
        None,
        _token,
        "GitHub token to use instead of a sign-in",
        "GH_COPILOT_TOKEN=ghu_…",
    )
    github_app_id: str | None = setting(
        "GITHUB_APP_ID",
        None,
        _text,
        "id (or client id) of a GitHub App to sign in as, in place of a person",
        "GITHUB_APP_ID=123456",
    )
    github_app_installation_id: int | None = setting(
        "GITHUB_APP_INSTALLATION_ID",
        None,
        _whole(1, 2**63 - 1),
        "number of the App's installation in the organization that is billed",
        "GITHUB_APP_INSTALLATION_ID=12345678",
    )
    github_app_key_file: Path | None = setting(
        "GITHUB_APP_PRIVATE_KEY_FILE",
        None,
        _path,
        "file with the App's private key (.pem)",
        "GITHUB_APP_PRIVATE_KEY_FILE=/run/secrets/github-app.pem",
    )
    github_app_repository_id: int | None = setting(
        "GITHUB_APP_REPOSITORY_ID",
        None,
        _whole(1, 2**63 - 1),
        "number of any repository of the installation; only for Apps that have Copilot Requests as a permission for "
        "repositories, not for the organization",
        "GITHUB_APP_REPOSITORY_ID=123456789",
    )
    data_dir: Path = setting("DATA_DIR", Path("data"), _path, "folder for sign-in and state", "DATA_DIR=./data")
    redis_url: Secret | None = setting(
        "REDIS_URL",
        None,
        _redis_url,
        "Redis for shared state, for several hosts; otherwise SQLite in DATA_DIR",
        "REDIS_URL=redis://localhost:6379/0",
    )
    database_url: Secret | None = setting(
        "DATABASE_URL",
        None,
        _database_url,
        "PostgreSQL for keys, ledger and stored responses, for several hosts; otherwise SQLite in DATA_DIR",
        "DATABASE_URL=postgresql://bridge:password@localhost/bridge?sslmode=verify-full",
    )
    database_timeout_s: float = setting(
        "DATABASE_TIMEOUT_S",
        3.0,
        _seconds,
        "how long a call waits for one answer of the database (or for another program that locks bridge.db) before it "
        "counts as away, and calls go on without it",
        "DATABASE_TIMEOUT_S=3",
    )
    editor_config_dir: Path = setting(
        "COPILOT_CONFIG_DIR",
        _editor_config_dir,
        _path,
        "folder in which editors keep their Copilot sign-in (hosts.json, apps.json)",
        "COPILOT_CONFIG_DIR=~/.config/github-copilot",
    )

    github_host: str = setting(
        "GITHUB_HOST",
        _github_host,
        github_hosts.parse_host,
        "the GitHub to use; all addresses follow from it, of a tenant of GitHub Enterprise as well as of a server",
        "GITHUB_HOST=tenant.ghe.com",
    )
    github_base_url: str = setting(
        "GITHUB_BASE_URL",
        _of_host(github_hosts.web_url),
        parse_url,
        "GitHub's web host, for the sign-in; goes before the one of GITHUB_HOST",
        "GITHUB_BASE_URL=https://tenant.ghe.com",
    )
    github_api_base_url: str = setting(
        "GITHUB_API_BASE_URL",
        _of_host(github_hosts.api_url),
        parse_url,
        "GitHub's REST host, for tokens and usage; goes before the one of GITHUB_HOST",
        "GITHUB_API_BASE_URL=https://api.tenant.ghe.com",
    )
    copilot_api_base_url: str | None = setting(
        "COPILOT_API_BASE_URL",
        None,
        parse_url,
        "Copilot's API host; wins over the one that GitHub names for the account",
        "COPILOT_API_BASE_URL=https://api.githubcopilot.com",
    )

    copilot_mcp_url: str | None = setting(
        "COPILOT_MCP_URL",
        None,
        parse_url,
        "Copilot's MCP endpoint, which searches the web; by default /mcp at Copilot's host",
        "COPILOT_MCP_URL=https://api.githubcopilot.com/mcp",
    )

    github_client_id: str = setting(
        "GITHUB_CLIENT_ID",
        "Iv1.b507a08c87ecfe98",
        _text,
        "client id of the device sign-in",
        "GITHUB_CLIENT_ID=Iv1.b507a08c87ecfe98",
    )
    editor_version: str = setting(
        "EDITOR_VERSION", "vscode/1.121.0", _text, "Editor-Version header", "EDITOR_VERSION=vscode/1.121.0"
    )
    editor_plugin_version: str = setting(
        "EDITOR_PLUGIN_VERSION",
        "copilot-chat/0.49.0",
        _text,
        "Editor-Plugin-Version header",
        "EDITOR_PLUGIN_VERSION=copilot-chat/0.49.0",
    )
    copilot_user_agent: str = setting(
        "COPILOT_USER_AGENT",
        "GitHubCopilotChat/0.49.0",
        _text,
        "User-Agent header",
        "COPILOT_USER_AGENT=GitHubCopilotChat/0.49.0",
    )
    copilot_integration_id: str | None = setting(
        "COPILOT_INTEGRATION_ID",
        None,
        _text,
        "Copilot-Integration-Id header; unset: vscode-chat with an exchanged token, copilot-developer-cli with a "
        "GitHub token that is used as it is",
        "COPILOT_INTEGRATION_ID=vscode-chat",
    )
    copilot_intent: str = setting(
        "COPILOT_INTENT",
        "conversation-panel",
        _text,
        "OpenAI-Intent and X-Interaction-Type headers of a conversation",
        "COPILOT_INTENT=conversation-agent",
    )
    copilot_api_version: str = setting(
        "COPILOT_API_VERSION",
        "2026-06-01",
        _text,
        "X-GitHub-Api-Version header on Copilot's API",
        "COPILOT_API_VERSION=2026-06-01",
    )
    github_api_version: str = setting(
        "GITHUB_API_VERSION",
        "2025-04-01",
        _text,
        "X-GitHub-Api-Version header on GitHub's REST API",
        "GITHUB_API_VERSION=2025-04-01",
    )

    upstream_connect_timeout_s: float = setting(
        "UPSTREAM_CONNECT_TIMEOUT_S", 10.0, _seconds, "time to reach Copilot", "UPSTREAM_CONNECT_TIMEOUT_S=10"
    )
    upstream_idle_timeout_s: float = setting(
        "UPSTREAM_IDLE_TIMEOUT_S",
        600.0,
        _seconds,
        "longest silence of Copilot (long reasoning can be silent for minutes)",
        "UPSTREAM_IDLE_TIMEOUT_S=600",
    )
    upstream_answer_timeout_s: float = setting(
        "UPSTREAM_ANSWER_TIMEOUT_S",
        3600.0,
        _seconds,
        "longest that one streamed answer of Copilot may go on, whatever comes meanwhile",
        "UPSTREAM_ANSWER_TIMEOUT_S=3600",
    )
    keep_alive_s: float = setting(
        "KEEP_ALIVE_S",
        10.0,
        _seconds,
        "the longest that a streaming client hears nothing while Copilot is silent",
        "KEEP_ALIVE_S=10",
    )
    upstream_retries: int = setting(
        "UPSTREAM_RETRIES",
        1,
        _whole(0, 5),
        "further attempts after a connect error, 408, 500, 502 or 504, before anything reached the client",
        "UPSTREAM_RETRIES=1",
    )
    max_upstream_calls: int = setting(
        "MAX_UPSTREAM_CALLS",
        0,
        _whole(0, 100_000),
        "calls to Copilot at a time, of one account and over all workers; further ones wait in a queue that is fair "
        "over keys. 0: any number",
        "MAX_UPSTREAM_CALLS=8",
    )
    max_waiting_calls: int = setting(
        "MAX_WAITING_CALLS",
        200,
        _whole(0, 2000),
        "how many calls of an account may wait for a place at a time; the next is told that the bridge is overloaded",
        "MAX_WAITING_CALLS=200",
    )
    longest_wait_s: float = setting(
        "LONGEST_WAIT_S",
        60.0,
        _seconds,
        "how long a call waits for a place at most",
        "LONGEST_WAIT_S=60",
    )
    upstream_interval_ms: int = setting(
        "UPSTREAM_INTERVAL_MS",
        0,
        _whole(0, 60_000),
        "milliseconds from the beginning of one call to Copilot to that of the next, of one account and over all "
        "workers",
        "UPSTREAM_INTERVAL_MS=250",
    )
    longest_limit_s: float = setting(
        "LONGEST_LIMIT_S",
        3600.0,
        _seconds_or_never,
        "when Copilot limits calls and says until when, nothing is sent for what it limits before that, or for so long "
        "at most; then one call finds out. 0: every call does",
        "LONGEST_LIMIT_S=3600",
    )
    runaway_repeats: int = setting(
        "RUNAWAY_REPEATS",
        0,
        _whole(0, 10_000),
        "how often the same request may come in one conversation without a turn of the person between, before it is "
        "held with an error; 0: any number",
        "RUNAWAY_REPEATS=20",
    )
    runaway_credits: float = setting(
        "RUNAWAY_CREDITS",
        0.0,
        _amount,
        "AI credits that one conversation may cost before it is held with an error, until its person goes on; 0: any "
        "number",
        "RUNAWAY_CREDITS=50",
    )
    answer_probes: bool = setting(
        "ANSWER_PROBES",
        False,
        _flag,
        'answer "are you there" probes (max_tokens of 1 and one or two words) here, without a request to Copilot',
        "ANSWER_PROBES=true",
    )
    web_search_model: str = setting(
        "WEB_SEARCH_MODEL",
        "",
        _text,
        "who runs the web searches of clients whose model has none, e.g. of Claude Code. Empty: Copilot's own search "
        "(its MCP endpoint); a model that has web search at Copilot's /responses; or off, and clients are told so",
        "WEB_SEARCH_MODEL=gpt-5.4",
    )
    auto_tier: str = setting(
        "AUTO_TIER",
        "",
        _choice("efficiency", "balance", "intelligence", "fast"),
        "what Copilot looks for when it picks the model of a conversation (model `auto`): efficiency, balance, "
        "intelligence or fast. Empty: Copilot's own default",
        "AUTO_TIER=balance",
    )
    warm_up: bool = setting(
        "WARM_UP",
        True,
        _flag,
        "fetch token and model list when a worker starts, so that /readyz turns 200 without a first request",
        "WARM_UP=false",
    )
    github_timeout_s: float = setting(
        "GITHUB_TIMEOUT_S", 15.0, _seconds, "time for one call to GitHub", "GITHUB_TIMEOUT_S=15"
    )
    catalog_ttl_s: float = setting(
        "CATALOG_TTL_S", 600.0, _seconds, "age at which the model list is fetched anew", "CATALOG_TTL_S=600"
    )
    refusals_ttl_s: float = setting(
        "REFUSALS_TTL_S",
        24 * 3600.0,
        _seconds,
        "how long a field or beta that Copilot refused for a model is left out for that model, before it is tried anew",
        "REFUSALS_TTL_S=3600",
    )
    stored_responses_ttl_s: float = setting(
        "STORED_RESPONSES_TTL_S",
        24 * 3600.0,
        _seconds_or_never,
        "how long an answer of /v1/responses is stored, encrypted, for requests that go on from it "
        "(`previous_response_id`, `item_reference`), after the last that did; 0: nothing is stored",
        "STORED_RESPONSES_TTL_S=0",
    )
    stored_response_max_bytes: int = setting(
        "STORED_RESPONSE_MAX_BYTES",
        8 * 1024 * 1024,
        _whole(1024, 1024**3),
        "largest answer that is stored, with the input that came with its request; a larger one is told as not stored",
        "STORED_RESPONSE_MAX_BYTES=8388608",
    )
    stored_responses_total_bytes: int = setting(
        "STORED_RESPONSES_TOTAL_BYTES",
        1024**3,
        _whole(1024, 1024**5),
        "all stored answers together; beyond it the oldest go",
        "STORED_RESPONSES_TOTAL_BYTES=1073741824",
    )
    stored_responses_key: Secret | None = setting(
        "STORED_RESPONSES_KEY",
        None,
        _sealing_key,
        "key that encrypts stored answers, 32 bytes in base64, the same on all hosts that share a database; otherwise "
        "stored-responses.key in DATA_DIR, which is made when it is missing",
        "STORED_RESPONSES_KEY=<openssl rand -base64 32>",
    )
    account_tokens_key: Secret | None = setting(
        "ACCOUNT_TOKENS_KEY",
        None,
        _sealing_key,
        "key that encrypts the GitHub sign-ins of keys with an account of their own, 32 bytes in base64, the same on "
        "all hosts that share a database; otherwise account-tokens.key in DATA_DIR, which is made when it is missing",
        "ACCOUNT_TOKENS_KEY=<openssl rand -base64 32>",
    )
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES",
        32 * 1024 * 1024,
        _whole(1024, 1024**3),
        "largest request body",
        "MAX_BODY_BYTES=33554432",
    )
    memory_budget_bytes: int = setting(
        "MEMORY_BUDGET_BYTES",
        128 * 1024 * 1024,
        _whole(1024 * 1024, 1024**4),
        "bodies, images and answers that one worker holds at a time, but for the first MiB of each request; it needs "
        "some three times as much memory",
        "MEMORY_BUDGET_BYTES=134217728",
    )
    image_max_bytes: int = setting(
        "IMAGE_MAX_BYTES",
        10 * 1024 * 1024,
        _whole(1024, 1024**3),
        "largest image fetched for an image URL",
        "IMAGE_MAX_BYTES=10485760",
    )
    image_timeout_s: float = setting(
        "IMAGE_TIMEOUT_S", 15.0, _seconds, "time to fetch the images of one request", "IMAGE_TIMEOUT_S=15"
    )

    ledger_queue: int = setting(
        "LEDGER_QUEUE",
        10_000,
        _whole(100, 1_000_000),
        "calls that one worker keeps unwritten while the database is away; what comes then is not booked, but counted",
        "LEDGER_QUEUE=10000",
    )
    ledger_calls_days: int = setting(
        "LEDGER_CALLS_DAYS",
        30,
        _whole(0, 3660),
        "how many days single calls stay in the ledger; 0: only the sums of each day are kept",
        "LEDGER_CALLS_DAYS=30",
    )
    ledger_sums_days: int = setting(
        "LEDGER_SUMS_DAYS",
        400,
        _whole(31, 36_600),
        "how many days the sums of a day stay in the ledger",
        "LEDGER_SUMS_DAYS=400",
    )
    metrics_access: str = setting(
        "METRICS_ACCESS",
        "admin",
        _choice("admin", "anybody", "off"),
        "who may read /metrics: admin (a key that may do everything, or a caller on this machine without a proxy in "
        "between), anybody, or off",
        "METRICS_ACCESS=admin",
    )
    otel_traces_exporter: str = setting(
        "OTEL_TRACES_EXPORTER",
        "none",
        _choice("none", "otlp", "console"),
        "where traces of calls go, by OpenTelemetry (`pip install copilot-bridge-server[otel]`): none, otlp (by HTTP) "
        "or console; all else is told by OpenTelemetry's own variables",
        "OTEL_TRACES_EXPORTER=otlp",
    )

    log_level: str = setting(
        "LOG_LEVEL",
        "INFO",
        _choice("DEBUG", "INFO", "WARNING", "ERROR", fold=str.upper),
        "least level that is logged",
        "LOG_LEVEL=INFO",
    )
    log_format: str = setting(
        "LOG_FORMAT",
        "auto",
        _choice("auto", "json", "text"),
        "json, text, or auto (text on a terminal)",
        "LOG_FORMAT=json",
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read and check all variables.

        Raises: SettingsError for the first bad one.
        """
        values = {field.name: _read(field, env) for field in dataclasses.fields(cls)}
        if fault := _missing_of_app(env):
            raise fault
        return cls(**values)

    @classmethod
    def load(cls, folder: Path | None = None) -> Settings:
        """Read the process environment, completed by the env file (the environment wins).

        The file is ``.env`` in the working directory, or what ENV_FILE names. It goes into the process environment,
        because requests reads the proxy and CA variables from there.
        Raises: SettingsError, also if there is such a file that cannot be read.
        """
        if path := _env_path(folder):
            load_dotenv(path, override=False)
        return cls.from_env(os.environ)

    @property
    def searches_the_web(self) -> bool:
        """Whether searches are run for models that have none, by whomever."""
        return self.web_search_model.lower() != "off"

    @property
    def copilot_default_url(self) -> str | None:
        """Copilot's API where GitHub names none with the token; None where there is nothing to derive it from."""
        if self.copilot_api_base_url:
            return self.copilot_api_base_url
        host = self._real_github_host()
        return github_hosts.copilot_url(host) if host else None

    def is_copilot_address(self, url: str) -> bool:
        """Whether an address that GitHub named for Copilot is one of its own (contract §11.2)."""
        own = (self.github_base_url, self.github_api_base_url)
        return github_hosts.is_copilot_address(url, host=self._real_github_host() or self.github_host, own=own)

    def _real_github_host(self) -> str | None:
        """The GitHub behind the addresses in use; None if they lead somewhere of one's own, without TLS."""
        named = (f"https://{self.github_host}", self.github_base_url, self.github_api_base_url)
        if tenant := next(filter(None, map(_tenant_of, named)), None):
            return tenant
        if not self.github_api_base_url.startswith("https:"):
            return None
        return self.github_host if self.github_host != github_hosts.PUBLIC else urlsplit(self.github_base_url).netloc

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for the log filter."""
        found = [*self.api_keys, self.gh_copilot_token, self.redis_url, self.database_url]
        found += [self.stored_responses_key, self.account_tokens_key]
        in_url = urlsplit(self.database_url.reveal()).password if self.database_url else None
        return (*(secret.reveal() for secret in found if secret), *((unquote(in_url),) if in_url else ()))


NEED_A_RESTART: tuple[str, ...] = ("HOST", "PORT")
"""What changes with a restart only; all else when the service reads its settings anew (HUP)."""

VARIABLES: frozenset[str] = frozenset({"ENV_FILE", *(field.metadata["env"] for field in dataclasses.fields(Settings))})
"""All variables that the service reads for itself."""


def use_folders(*, config: Path, data: Path, env_file: Path | None) -> None:
    """For a command that may be called anywhere: where settings and state are, unless the environment says otherwise.

    config: the folder whose ``env`` is the env file; ``.env`` in the working directory belongs to somebody else there.
    env_file: one that was asked for. data: the folder for state.
    """
    if env_file is not None:
        os.environ["ENV_FILE"] = str(env_file.absolute())
    elif not os.environ.get("ENV_FILE", "").strip():
        usual = config / "env"
        os.environ["ENV_FILE"] = str(usual) if usual.is_file() else os.devnull
    in_file = dotenv_values(Path(os.environ["ENV_FILE"]).expanduser())
    if not (os.environ.get("DATA_DIR") or in_file.get("DATA_DIR") or "").strip():
        os.environ["DATA_DIR"] = str(data)


DEMO_ENV_FILE = "COPILOT_BRIDGE_DEMO_ENV_FILE"
"""The variable by which ``demo`` tells its service where commands find the demo's settings."""


def demo_env_file() -> Path | None:
    """The env file of the demo whose service this process is; None outside of a demo."""
    named = os.environ.get(DEMO_ENV_FILE)
    return Path(named) if named else None


def override(changes: Mapping[str, str]) -> None:
    """Set variables for this process, before everything else that sets them."""
    os.environ.update(changes)


def environment_for(changes: Mapping[str, str], *, without: Collection[str] = ()) -> dict[str, str]:
    """The environment for a program that is started from here: our own without some of it, and with the changes."""
    return {name: value for name, value in os.environ.items() if name not in without} | dict(changes)


def variable_of_proxy(scheme: str) -> str:
    """The variable that names the proxy for URLs of this scheme, as requests reads it."""
    names = [spelling for name in (f"{scheme}_proxy", "all_proxy") for spelling in (name, name.upper())]
    return next((name for name in names if os.environ.get(name)), f"{scheme.upper()}_PROXY")


def variable_of_bundle(path: bool | str) -> str | None:
    """The variable that names this CA bundle, as requests reads it; None: it is not from a variable."""
    return next((name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name) == path), None)


def faults(env: Mapping[str, str] | None = None) -> list[SettingsError]:
    """Everything that is wrong with the variables, where reading them ends at the first. None: the environment."""
    found = []
    for field in dataclasses.fields(Settings):
        try:
            _read(field, os.environ if env is None else env)
        except SettingsError as error:
            found.append(error)
    fault = _missing_of_app(os.environ if env is None else env)
    return [*found, fault] if fault else found


_OF_APP = ("GITHUB_APP_ID", "GITHUB_APP_INSTALLATION_ID", "GITHUB_APP_PRIVATE_KEY_FILE")


def _missing_of_app(env: Mapping[str, str]) -> SettingsError | None:
    """A GitHub App that is named by halves."""
    there = [name for name in (*_OF_APP, "GITHUB_APP_REPOSITORY_ID") if env.get(name, "").strip()]
    missing = [name for name in _OF_APP if name not in there]
    if not there or not missing:
        return None
    what = Sentence(
        "is not set, and %(other)s is of no use without it; set all of %(names)s",
        other=there[0],
        names=", ".join(_OF_APP),
    )
    return SettingsError(missing[0], what)


@dataclass(frozen=True)
class EnvFile:
    """The env file in use. names: what it sets, in its order. overridden: those that the environment sets otherwise."""

    path: Path
    names: tuple[str, ...]
    overridden: tuple[str, ...]


def env_file(folder: Path | None = None) -> EnvFile | None:
    """Look at the env file, after `Settings.load`; None if there is none that can be read."""
    try:
        path = _env_path(folder)
    except SettingsError:
        return None
    if path is None or not path.is_file():
        return None
    values = {name: value for name, value in dotenv_values(path).items() if value is not None}
    overridden = (name for name, value in values.items() if os.environ.get(name, value) != value)
    return EnvFile(path, tuple(values), tuple(overridden))


def _env_path(folder: Path | None) -> Path | None:
    """The env file to read, None if there is none. Raises: SettingsError for one that cannot be read."""
    named = os.environ.get("ENV_FILE", "").strip()
    path = Path(named).expanduser() if named else (folder or Path.cwd()) / ".env"
    if not named and not path.is_file():
        return None
    try:
        path.read_bytes()
    except OSError as problem:
        what = Sentence("%(file)s cannot be read by this user (%(why)s)", file=path, why=problem.strerror)
        if named:
            raise SettingsError("ENV_FILE", Sentence("%(what)s; the service's user needs to", what=what)) from None
        raise SettingsError(".env", what) from None
    return path


class Environment:
    """The environment of a running service, which can be read again: the env file may have changed, the rest cannot."""

    def __init__(self) -> None:
        self._from_file: frozenset[str] = frozenset()
        self._before = dict(os.environ)

    def load(self) -> Settings:
        """Read the settings anew. Raises: SettingsError, and everything is as it was."""
        self._before = dict(os.environ)
        for name in self._from_file:
            os.environ.pop(name, None)
        own = frozenset(os.environ)
        try:
            if self._from_file and _env_path(None) is None:
                raise SettingsError(
                    ".env",
                    Sentence("it was there at the start and is gone; with it goes the key, so nothing is read"),
                )
            settings = Settings.load()
        except SettingsError:
            self.go_back()
            raise
        self._from_file = frozenset(os.environ) - own
        # An empty one is as good as none for us, but not for gunicorn, which has some of the same names.
        for name in _MAY_BE_EMPTY:
            if not os.environ.get(name, "").strip():
                os.environ.pop(name, None)
        return settings

    def go_back(self) -> None:
        """Be as before the last `load`."""
        os.environ.clear()
        os.environ.update(self._before)


_MAY_BE_EMPTY = ("WEB_CONCURRENCY", "PORT", "FORWARDED_ALLOW_IPS", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET")


def differences(before: Settings, after: Settings) -> list[str]:
    """The variables whose values differ."""
    return [
        field.metadata["env"]
        for field in dataclasses.fields(Settings)
        if getattr(before, field.name) != getattr(after, field.name)
    ]


def terminal_locale() -> str:
    """What the terminal of a command speaks, e.g. ``zh_CN.UTF-8``: the first that is set, as POSIX has it."""
    return next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")


def has_sockets_of_systemd() -> bool:
    """Whether this process was given its listening sockets (systemd's protocol for socket units)."""
    return os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS", "0") != "0"


def _read(field: dataclasses.Field[Any], env: Mapping[str, str]) -> Any:
    meta = field.metadata
    raw = env.get(meta["env"])
    if raw is not None:
        raw = raw.strip()
    if raw is None or (raw == "" and not meta["empty_is_a_value"]):
        return meta["default"](env) if callable(meta["default"]) else meta["default"]
    try:
        return meta["parse"](raw)
    except ValueError as problem:
        # An @ may stand behind a password.
        is_private = _is_secret(field) or "@" in raw
        shown = Sentence("its value") if is_private else repr(raw if len(raw) <= 60 else raw[:57] + "…")
        said = sentence_of(problem)
        if is_private and raw in said:
            said = Sentence("cannot be used")
        elif masked(said) != said:
            said = masked(said)
        what = Sentence(
            "%(value)s %(problem)s; example: %(example)s", value=shown, problem=said, example=meta["example"]
        )
        raise SettingsError(meta["env"], what) from None


def _is_secret(field: dataclasses.Field[Any]) -> bool:
    return "Secret" in str(field.type)


@dataclass(frozen=True)
class SettingRow:
    """One line of the settings table: variable, value (secrets masked), default, help.

    is_set: whether something else than the default is in force. is_secret: whether it is one, and never shown.
    """

    env: str
    value: str
    default: str
    help: str
    is_set: bool
    is_secret: bool


def rows(settings: Settings) -> list[SettingRow]:
    """The settings as a table, for the command line and the docs."""
    table = []
    # Some defaults follow from others.
    here = {**os.environ, "GITHUB_HOST": settings.github_host}
    for field in dataclasses.fields(settings):
        meta, value = field.metadata, getattr(settings, field.name)
        default = meta["default"]({}) if callable(meta["default"]) else meta["default"]
        usual = meta["default"](here) if callable(meta["default"]) else default
        default = "~/.config/github-copilot" if isinstance(default, Path) and default.is_absolute() else default
        shown = _show(default, reveal_default=True)
        # Where a text may be anything, it may be what belongs elsewhere.
        told = masked(_show(value))
        table.append(SettingRow(meta["env"], told, shown, meta["help"], value != usual, _is_secret(field)))
    return table


def _show(value: object, *, reveal_default: bool = False) -> str:
    if value is None or value in ((), ""):
        return "–"
    if isinstance(value, tuple):
        return ", ".join(_show(item, reveal_default=reveal_default) for item in value)
    if isinstance(value, Secret):
        # The well-known default is no secret, and that it is in use is what the reader must see.
        return DEFAULT_API_KEY if value.reveal() == DEFAULT_API_KEY else "***"
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
