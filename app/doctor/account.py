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
from app.errors import GatewayError, Sentence
from app.governor.limits import Closed
from app.settings import Settings

_USELESS = {
    "ghp": Sentence("a classic personal access token, which Copilot does not accept"),
    "ghr": Sentence("a refresh token, which is good for nothing here"),
}
_LITTLE_PERCENT = 10
_SOURCES = {
    "environment": "GH_COPILOT_TOKEN",
    "app": Sentence("the GitHub App of GITHUB_APP_ID"),
    "bridge": Sentence("the bridge's own sign-in"),
    "editor": Sentence("the sign-in of an editor on this machine"),
}


def how_to_sign_in(settings: Settings) -> Sentence:
    return Sentence(
        "Open http://localhost:%(port)s/auth/device while the bridge runs, or sign in from here:\n    %(command)s",
        port=settings.port,
        command=own_command("login"),
    )


def check_sign_in(tokens: GitHubTokens, settings: Settings) -> Iterator[Finding]:
    """Where the GitHub token comes from, and whether it is of a kind that can work (contract §1.7). Calls nobody."""
    token = tokens.current()
    if token is None:
        yield problem(Sentence("GitHub token"), Sentence("Nobody is signed in."), how_to_sign_in(settings))
        return
    where = (
        Sentence("from %(source)s, of %(user)s", source=_SOURCES[token.source], user=token.user)
        if token.user
        else Sentence("from %(source)s", source=_SOURCES[token.source])
    )
    if token.kind in _USELESS:
        yield problem(
            Sentence("GitHub token"),
            Sentence("The one %(where)s is %(kind)s.", where=where, kind=_USELESS[token.kind]),
            Sentence.joined(Sentence("Take it out, and sign in instead."), how_to_sign_in(settings)),
        )
    elif token.source == "app":
        yield from _check_app(settings)
    elif token.kind == "ghs":
        yield note(
            Sentence("GitHub token"),
            Sentence("%(where)s: an installation token, which ends after an hour.", where=where),
            Sentence("To have the bridge make them, sign in as the App: docs/operating.md."),
        )
    elif token.kind == "github_pat":
        yield note(
            Sentence("GitHub token"),
            Sentence("%(where)s: a fine-grained personal access token, which is used directly.", where=where),
            Sentence("It works only with the account permission “Copilot Requests”."),
        )
    else:
        yield ok(Sentence("GitHub token"), where)


def _check_app(settings: Settings) -> Iterator[Finding]:
    """The files of the App; what GitHub says of it, the Copilot token tells."""
    file = settings.github_app_key_file
    if file is None:
        return
    try:
        read_key(file)
    except GatewayError as error:
        yield problem("GitHub App", error.message)
        return
    if os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o004:
        yield note(
            "GitHub App",
            Sentence("Everybody on this machine can read %(file)s.", file=file),
            Sentence("Close it:\n    chmod 600 %(file)s", file=file),
        )
    yield ok(
        "GitHub App",
        Sentence(
            "%(app)s, installation %(installation)s; its key can be read",
            app=settings.github_app_id,
            installation=settings.github_app_installation_id,
        ),
    )


def check_plan(github: GitHub, token: GitHubToken, settings: Settings) -> Iterator[Finding]:
    """Ask GitHub for plan and quotas, which also tells whether it still accepts the token (contract §3)."""
    if token.kind == "ghs":
        yield ok(
            Sentence("plan"), Sentence("none of a person: GitHub bills the organization in which the App is installed")
        )
        return
    try:
        answer = github.account(token.secret)
        if answer.status == 404:
            # No Copilot there, or a token that may not ask; the exchange tells which (contract §3.7).
            yield note(Sentence("plan"), Sentence("GitHub tells this token nothing about a plan; see “Copilot token”."))
            return
        if answer.status == 200:
            summary = summarize(expect_object(answer, ACCOUNT_INFORMATION))
        else:
            raise explain_refusal(answer, token, what=ACCOUNT_INFORMATION)
    except GatewayError as error:
        yield problem(
            Sentence("plan"), error.message, how_to_sign_in(settings) if error.code == "sign_in_required" else ""
        )
        return
    login = summary["raw"].get("login")
    who = f"{login}, " if isinstance(login, str) and login else ""
    if summary["chat_enabled"]:
        yield ok(Sentence("plan"), f"{who}{summary['copilot_plan']}")
    else:
        yield problem(
            Sentence("plan"),
            Sentence(
                "%(who)s%(copilot_plan)s: chat is switched off for this account.",
                who=who,
                copilot_plan=summary["copilot_plan"],
            ),
            Sentence("Enable it at https://github.com/settings/copilot; in an organisation, ask its administrator."),
        )
    yield from _quotas(summary)


def _quotas(summary: dict[str, Any]) -> Iterator[Finding]:
    date = summary["quota_reset_date"]
    reset = Sentence(" Reset: %(date)s.", date=date) if date else ""
    snapshots = summary["raw"].get("quota_snapshots")
    for key, name, effect in (
        (
            "premium_interactions",
            Sentence("premium requests"),
            Sentence("Models that cost premium requests are refused (429) until then."),
        ),
        ("chat", Sentence("chat requests"), Sentence("Every model is refused (429) until then.")),
    ):
        quota = summary["quotas"][key]
        if not quota["available"]:
            continue
        if quota.get("unit") == "credits":
            name = Sentence("AI credits")
        spent = (
            Sentence("; %(number)s credits used", number=f"{quota['credits_used']:g}")
            if "credits_used" in quota
            else ""
        )
        if quota.get("pool_empty"):
            yield problem(
                name,
                Sentence(
                    "The pool that this seat draws on is used up%(spent)s.%(reset)s Billed calls are refused until "
                    "then.",
                    spent=spent,
                    reset=reset,
                ),
                Sentence("Whoever manages the organisation's Copilot can raise its budget."),
            )
            continue
        if quota["unlimited"]:
            yield ok(name, Sentence("unlimited%(spent)s", spent=spent))
            continue
        left = Sentence(
            "%(remaining)s of %(all)s left%(spent)s",
            remaining=quota["remaining"],
            all=quota["entitlement"],
            spent=spent,
        )
        snapshot = snapshots.get(key) if isinstance(snapshots, dict) else None
        if quota["remaining"] > 0 and not quota.get("exhausted"):
            status = note if quota["percent_remaining"] < _LITTLE_PERCENT else ok
            yield status(name, Sentence("%(left)s.%(reset)s", left=left, reset=reset))
        elif isinstance(snapshot, dict) and snapshot.get("overage_permitted"):
            most = quota.get("overage_entitlement")
            cap = Sentence(", %(number)s at most", number=f"{most:g}") if most is not None else ""
            yield note(
                name,
                Sentence(
                    "%(left)s; further ones are billed to the account%(cap)s.%(reset)s", left=left, cap=cap, reset=reset
                ),
                Sentence("See /usage for the numbers."),
            )
        elif not quota["entitlement"]:
            yield note(name, Sentence("This plan includes none."))
        else:
            yield problem(
                name,
                Sentence("%(left)s.%(reset)s %(effect)s", left=left, reset=reset, effect=effect),
                Sentence(
                    "Until then, use models that cost none (see “models” below), or allow paid requests at "
                    "https://github.com/settings/billing."
                ),
            )


def check_limits(closed: Iterable[Closed]) -> Iterator[Finding]:
    """For what Copilot said to wait, so that the service sends nothing (docs/limits.md). Calls nobody."""
    for one in closed:
        told = one.told
        yield note(
            Sentence("limits"),
            Sentence(
                "GitHub Copilot limits %(words)s until %(until)s. The bridge asks again at %(asked_again_at)s.",
                words=one.words,
                until=told["until"],
                asked_again_at=told["asked_again_at"],
            ),
            Sentence(
                "Use other models, or have it asked at once:\n    %(command)s",
                command=own_command("learned limits --forget"),
            ),
        )


def check_copilot_token(tokens: CopilotTokens, settings: Settings) -> Iterator[Finding]:
    """Exchange the GitHub token, or take the one that the service has: exchanges are to be rare (contract §2.6)."""
    try:
        token = tokens.current()
    except GatewayError as error:
        advice = how_to_sign_in(settings) if error.code == "sign_in_required" else ""
        yield problem(Sentence("Copilot token"), error.message, advice)
        return
    if token.direct and token.kind == "ghs":
        yield ok(Sentence("Copilot token"), Sentence("not needed: this GitHub takes installation tokens as they are"))
        return
    if token.direct:
        yield ok(
            Sentence("Copilot token"),
            Sentence("not needed: GitHub does not exchange this kind, and it is used as it is"),
        )
        return
    minutes = max(0, round((token.obtained_at + token.lifetime_s - time.time()) / 60))
    yield ok(
        Sentence("Copilot token"),
        Sentence("there, for another %(minutes)s minutes; it is renewed by itself", minutes=minutes),
    )
