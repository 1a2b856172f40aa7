"""Who we are to GitHub: the sign-in, the plan and what it has left, the Copilot token."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from typing import Any

from app.auth.copilot_token import ACCOUNT_INFORMATION, CopilotTokens, explain_refusal
from app.auth.github import GitHub, expect_object
from app.auth.github_app import read_key
from app.auth.github_token import GitHubToken, GitHubTokens
from app.commands import own_command
from app.converters.listings.usage import summarize
from app.doctor.finding import Finding, note, ok, problem
from app.errors import GatewayError
from app.governor.limits import Closed
from app.settings import Settings

_USELESS = {
    "ghp": "a classic personal access token, which Copilot does not accept",
    "ghr": "a refresh token, which is good for nothing here",
}
_LITTLE_PERCENT = 10
_SOURCES = {
    "environment": "GH_COPILOT_TOKEN",
    "app": "the GitHub App of GITHUB_APP_ID",
    "bridge": "the bridge's own sign-in",
    "editor": "the sign-in of an editor on this machine",
}


def how_to_sign_in(settings: Settings) -> str:
    return (
        f"Open http://localhost:{settings.port}/auth/device while the bridge runs, or sign in from here:\n"
        f"    {own_command('login')}"
    )


def check_sign_in(tokens: GitHubTokens, settings: Settings) -> Iterator[Finding]:
    """Where the GitHub token comes from, and whether it is of a kind that can work (contract §1.7). Calls nobody."""
    token = tokens.current()
    if token is None:
        yield problem("GitHub token", "Nobody is signed in.", how_to_sign_in(settings))
        return
    where = f"from {_SOURCES[token.source]}" + (f", of {token.user}" if token.user else "")
    if token.kind in _USELESS:
        yield problem(
            "GitHub token",
            f"The one {where} is {_USELESS[token.kind]}.",
            "Take it out, and sign in instead. " + how_to_sign_in(settings),
        )
    elif token.source == "app":
        yield from _check_app(settings)
    elif token.kind == "ghs":
        yield note(
            "GitHub token",
            f"{where}: an installation token, which ends after an hour.",
            "To have the bridge make them, sign in as the App: docs/operating.md.",
        )
    elif token.kind == "github_pat":
        yield note(
            "GitHub token",
            f"{where}: a fine-grained personal access token, which is used directly.",
            "It works only with the account permission “Copilot Requests”.",
        )
    else:
        yield ok("GitHub token", where)


def _check_app(settings: Settings) -> Iterator[Finding]:
    """The files of the App; what GitHub says of it, the Copilot token tells."""
    app = f"{settings.github_app_id}, installation {settings.github_app_installation_id}"
    file = settings.github_app_key_file
    if file is None:
        return
    try:
        read_key(file)
    except GatewayError as error:
        yield problem("GitHub App", error.message)
        return
    if os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o004:
        yield note("GitHub App", f"Everybody on this machine can read {file}.", f"Close it:\n    chmod 600 {file}")
    yield ok("GitHub App", f"{app}; its key can be read")


def check_plan(github: GitHub, token: GitHubToken, settings: Settings) -> Iterator[Finding]:
    """Ask GitHub for plan and quotas, which also tells whether it still accepts the token (contract §3)."""
    if token.kind == "ghs":
        yield ok("plan", "none of a person: GitHub bills the organization in which the App is installed")
        return
    try:
        answer = github.account(token.secret)
        if answer.status == 404:
            # No Copilot there, or a token that may not ask; the exchange tells which (contract §3.7).
            yield note("plan", "GitHub tells this token nothing about a plan; see “Copilot token”.")
            return
        if answer.status == 200:
            summary = summarize(expect_object(answer, ACCOUNT_INFORMATION))
        else:
            raise explain_refusal(answer, token, what=ACCOUNT_INFORMATION)
    except GatewayError as error:
        yield problem("plan", error.message, how_to_sign_in(settings) if error.code == "sign_in_required" else "")
        return
    login = summary["raw"].get("login")
    who = f"{login}, " if isinstance(login, str) and login else ""
    if summary["chat_enabled"]:
        yield ok("plan", f"{who}{summary['copilot_plan']}")
    else:
        yield problem(
            "plan",
            f"{who}{summary['copilot_plan']}: chat is switched off for this account.",
            "Enable it at https://github.com/settings/copilot; in an organisation, ask its administrator.",
        )
    yield from _quotas(summary)


def _quotas(summary: dict[str, Any]) -> Iterator[Finding]:
    reset = f" Reset: {summary['quota_reset_date']}." if summary["quota_reset_date"] else ""
    snapshots = summary["raw"].get("quota_snapshots")
    for key, name, effect in (
        ("premium_interactions", "premium requests", "Models that cost premium requests are refused (429) until then."),
        ("chat", "chat requests", "Every model is refused (429) until then."),
    ):
        quota = summary["quotas"][key]
        if not quota["available"]:
            continue
        if quota.get("unit") == "credits":
            name = "AI credits"
        spent = f"; {quota['credits_used']:g} credits used" if "credits_used" in quota else ""
        if quota.get("pool_empty"):
            yield problem(
                name,
                f"The pool that this seat draws on is used up{spent}.{reset} Billed calls are refused until then.",
                "Whoever manages the organisation's Copilot can raise its budget.",
            )
            continue
        if quota["unlimited"]:
            yield ok(name, f"unlimited{spent}")
            continue
        left = f"{quota['remaining']} of {quota['entitlement']} left{spent}"
        snapshot = snapshots.get(key) if isinstance(snapshots, dict) else None
        if quota["remaining"] > 0 and not quota.get("exhausted"):
            status = note if quota["percent_remaining"] < _LITTLE_PERCENT else ok
            yield status(name, f"{left}.{reset}")
        elif isinstance(snapshot, dict) and snapshot.get("overage_permitted"):
            cap = f", {quota['overage_entitlement']:g} at most" if "overage_entitlement" in quota else ""
            yield note(
                name, f"{left}; further ones are billed to the account{cap}.{reset}", "See /usage for the numbers."
            )
        elif not quota["entitlement"]:
            yield note(name, "This plan includes none.")
        else:
            yield problem(
                name,
                f"{left}.{reset} {effect}",
                "Until then, use models that cost none (see “models” below), or allow paid requests at "
                "https://github.com/settings/billing.",
            )


def check_limits(closed: Iterable[Closed]) -> Iterator[Finding]:
    """For what Copilot said to wait, so that the service sends nothing (docs/limits.md). Calls nobody."""
    for one in closed:
        told = one.told
        yield note(
            "limits",
            f"GitHub Copilot limits {one.words} until {told['until']}. The bridge asks again at "
            f"{told['asked_again_at']}.",
            "Use other models, or have it asked at once:\n    " + own_command("learned limits --forget"),
        )


def check_copilot_token(tokens: CopilotTokens, settings: Settings) -> Iterator[Finding]:
    """Exchange the GitHub token, or take the one that the service has: exchanges are to be rare (contract §2.6)."""
    try:
        token = tokens.current()
    except GatewayError as error:
        advice = how_to_sign_in(settings) if error.code == "sign_in_required" else ""
        yield problem("Copilot token", error.message, advice)
        return
    if token.direct and token.kind == "ghs":
        yield ok("Copilot token", "not needed: this GitHub takes installation tokens as they are")
        return
    if token.direct:
        yield ok("Copilot token", "not needed: GitHub does not exchange this kind, and it is used as it is")
        return
    minutes = max(0, round((token.obtained_at + token.lifetime_s - time.time()) / 60))
    yield ok("Copilot token", f"there, for another {minutes} minutes; it is renewed by itself")
