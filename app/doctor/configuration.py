"""The settings: what is in force, where it comes from, and what does not go together. Calls nobody."""

from __future__ import annotations

import difflib
import ipaddress
import os
import platform
import re
import stat
from collections.abc import Iterator
from importlib import metadata

from app import github_hosts
from app.doctor.finding import Finding, note, ok, problem
from app.settings import DEFAULT_API_KEY, EnvFile, Settings, SettingsError, rows
from app.version import VERSION

_NEW_KEY = 'Make one with:\n    python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
# What requests and Compose read from the same file.
_OTHERS = re.compile(
    r"(?i:https?_proxy|all_proxy|no_proxy)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SSL_CERT_\w+|TZ|LANG|COMPOSE_\w+|PYTHON\w*"
)
_SHORT_KEY = 16
_USUAL_IMAGES_BYTES = 4 * 1024 * 1024


def check_faults(faults: list[SettingsError]) -> Iterator[Finding]:
    """When the settings cannot be read at all: each variable that is wrong."""
    for fault in faults:
        name, _, words = str(fault).partition(": ")
        yield problem(name, words, "Mend it in .env, or where the environment of the service is set.")


def check_start(trouble: str) -> Iterator[Finding]:
    """When the service cannot be built although each variable by itself is right."""
    yield problem("start", trouble, "The bridge cannot start until this is mended.")


def check_settings(settings: Settings, file: EnvFile | None) -> Iterator[Finding]:
    yield from _file(settings, file)
    yield from _keys(settings)
    yield from _combinations(settings)
    yield from _runtime(settings)


def _file(settings: Settings, file: EnvFile | None) -> Iterator[Finding]:
    table = rows(settings)
    changed = [row.env for row in table if row.value != os.path.expanduser(row.default)]
    where = f"read from {file.path} and the environment" if file else "read from the environment; no .env file here"
    yield ok("settings", f"{where}; changed: {', '.join(changed) or 'none'}")
    if file is None:
        return
    known = [row.env for row in table]
    for name in file.names:
        if name not in known and not _OTHERS.fullmatch(name):
            close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)
            meant = f"Did you mean {close[0]}?" if close else "docs/configuration.md lists them all."
            yield note("unknown variable", f"{name} in {file.path.name} is no setting of the bridge.", meant)
    if file.overridden:
        yield note(
            "overridden",
            f"The environment sets {', '.join(file.overridden)} otherwise than {file.path.name}, and wins.",
            "Unset it in the environment if the file shall count.",
        )
    holds_secrets = {"API_KEY", "GH_COPILOT_TOKEN", "REDIS_URL"} & set(file.names)
    if os.name == "posix" and holds_secrets and stat.S_IMODE(file.path.stat().st_mode) & 0o044:
        yield note(
            "file mode",
            f"Other users of this machine can read {file.path}, which holds secrets.",
            "Close it:\n    chmod 600 .env",
        )


def _keys(settings: Settings) -> Iterator[Finding]:
    keys = [key.reveal() for key in settings.api_keys]
    local = is_loopback(settings.host)
    reach = "only this machine reaches it" if local else f"HOST={settings.host} listens to the network"
    advice = "" if local else f"Set an API_KEY of your own before others can reach the port. {_NEW_KEY}"
    if not keys:
        status = ok if local else note
        yield status("API key", f"none is needed (API_KEY is empty), by private callers only; {reach}.", advice)
        return
    if DEFAULT_API_KEY in keys:
        status = ok if local else note
        yield status("API key", f"the well-known default, which counts for private callers only; {reach}.", advice)
        if settings.trusted_proxies:
            yield problem(
                "API key and proxy",
                "TRUSTED_PROXIES is set, but callers from outside are refused with the default key (403).",
                f"Set an API_KEY of your own. {_NEW_KEY}",
            )
    elif any(len(key) < _SHORT_KEY for key in keys):
        yield note("API key", f"one is shorter than {_SHORT_KEY} characters and could be guessed.", _NEW_KEY)
    else:
        yield ok("API key", f"{len(keys)} of your own" if len(keys) > 1 else "one of your own")


def _combinations(settings: Settings) -> Iterator[Finding]:
    web, api = f"https://{github_hosts.PUBLIC}", github_hosts.api_url(github_hosts.PUBLIC)
    if (settings.github_base_url == web) != (settings.github_api_base_url == api):
        yield problem(
            "GitHub hosts",
            f"GITHUB_BASE_URL={settings.github_base_url}, but GITHUB_API_BASE_URL={settings.github_api_base_url}.",
            "They belong together: set GITHUB_HOST in place of both, e.g. GITHUB_HOST=tenant.ghe.com.",
        )
    elif settings.github_base_url != web:
        yield ok("GitHub hosts", f"{settings.github_base_url}, {settings.github_api_base_url}")
    if settings.gh_copilot_token and settings.github_app_id:
        yield note(
            "sign-in",
            "Both GH_COPILOT_TOKEN and GITHUB_APP_ID are set; the token goes first.",
            "Unset GH_COPILOT_TOKEN to sign in as the GitHub App.",
        )
    if settings.copilot_api_base_url:
        yield note(
            "Copilot host",
            f"COPILOT_API_BASE_URL={settings.copilot_api_base_url} replaces the one that GitHub names for the account.",
            "Unset it unless you need it: a host of another plan answers 421.",
        )
    if settings.max_body_bytes < _USUAL_IMAGES_BYTES:
        yield note(
            "MAX_BODY_BYTES",
            f"{settings.max_body_bytes} bytes is little: images travel inside the request.",
            "The default is 33554432 (32 MiB).",
        )


def _runtime(settings: Settings) -> Iterator[Finding]:
    versions = [f"copilot-bridge {VERSION}", f"Python {platform.python_version()}"]
    for package in ("gunicorn", "gevent", "flask", "requests"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield problem(
                "packages",
                f"{package} is not installed.",
                "Install what is needed:\n    pip install -r requirements.txt",
            )
    yield ok("programs", ", ".join(versions))
    cores = os.cpu_count() or 1
    told = f"{settings.web_concurrency} of gunicorn's gevent kind, on {cores} CPU cores"
    if (files := _open_files()) is not None:
        # A request holds two sockets, the client's and Copilot's; some files are the process's own.
        at_once = min(settings.worker_connections, max(0, files - 64) // 2)
        told += f"; each can serve about {at_once} streams at once"
        if at_once < _FEW_STREAMS:
            yield note(
                "open files",
                f"The limit of {files} open files leaves room for {at_once} streams in each worker.",
                "Raise it: ulimit -n 8192, or LimitNOFILE=8192 in the systemd unit.",
            )
    if settings.web_concurrency > 2 * cores:
        yield note("workers", f"{told}.", f"More workers than cores bring nothing: WEB_CONCURRENCY={cores}.")
    else:
        yield ok("workers", told)


_FEW_STREAMS = 100


def _open_files() -> int | None:
    """The limit for this process, which the service started from the same shell would have; None where unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft > 0 else None


def is_loopback(host: str) -> bool:
    """Whether an address to listen on, or the host of a URL, is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
