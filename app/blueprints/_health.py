"""Is something wrong, and what to do about it: what can be told without calling anybody. ``flask doctor`` calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from app.blueprints._account import Account
from app.commands import own_command
from app.converters.neutral.notices import notices_of
from app.errors import Sentence, StoreError, UpstreamError
from app.gateway import Gateway
from app.ledger.spending import Spent
from app.routing import find_model

_MOST_SKEW_S: Final = 60.0
_FEW_CALLS: Final = 10
_MANY_FAILED: Final = 0.2
_SOON: Final = 0.8


@dataclass(frozen=True, slots=True)
class Finding:
    """As the doctor's, who is not at hand in a worker: one thing that was looked at, and what to do about it."""

    status: Literal["problem", "note", "ok"]
    title: str
    what: str
    advice: str = ""


def findings(gateway: Gateway, account: Account, today: Spent, trouble: StoreError | None = None) -> list[Finding]:
    """What is wrong first, then what is worth knowing, then what is fine.

    today: what was called. trouble: why that could not be read.
    """
    order = ("problem", "note", "ok")
    found = [
        *_sign_in(gateway, account),
        *_allowance(account),
        *_clock(account),
        *_models(gateway),
        *_state(gateway, trouble),
        *_calls(today),
        *_key(gateway),
    ]
    return sorted(found, key=lambda it: order.index(it.status))


def _sign_in(gateway: Gateway, account: Account) -> Iterator[Finding]:
    title = Sentence("GitHub account")
    if account.linked is None or not gateway.copilot_tokens.is_signed_in():
        yield _problem(
            title,
            Sentence("Nobody is signed in, or GitHub no longer accepts the sign-in."),
            Sentence("Sign in on the sign-in page."),
        )
    elif account.trouble is not None:
        is_passing = isinstance(account.trouble, UpstreamError)
        yield (_note if is_passing else _problem)(title, account.trouble.message)
    else:
        yield _ok(title, Sentence("Signed in, and GitHub answers."))


def _allowance(account: Account) -> Iterator[Finding]:
    quotas = (account.usage or {}).get("quotas", {})
    quota = quotas.get("premium_interactions", {})
    title = Sentence("Allowance")
    if quota.get("pool_empty"):
        yield _problem(
            title,
            Sentence("The pool that this seat draws on is used up: calls that cost something are refused."),
            Sentence("Ask the administrator of the organisation, or use models without cost."),
        )
    elif _is_used_up(account, "premium_interactions"):
        yield _problem(
            title,
            Sentence("It is used up: calls that cost something are refused."),
            Sentence("Wait until it starts anew, allow more at https://github.com/settings/billing, or use models "
                     "without cost."),
        )  # fmt: skip
    elif quota.get("available") and not quota.get("unlimited") and quota.get("percent_used", 0) >= _SOON * 100:
        yield _note(title, Sentence("%(percent)s %% of it are used.", percent=round(quota["percent_used"])))
    if _is_used_up(account, "chat") and not quotas["chat"].get("pool_empty"):
        yield _problem(
            title,
            Sentence("The chat requests of this plan are used up: every call is refused."),
            Sentence("Wait until they start anew, or choose another plan at https://github.com/settings/billing."),
        )


def _is_used_up(account: Account, key: str) -> bool:
    """Whether nothing is left of it, and no more is billed to the account either."""
    usage = account.usage or {}
    quota = usage.get("quotas", {}).get(key, {})
    if not quota.get("available") or quota["unlimited"]:
        return False
    snapshots = usage["raw"].get("quota_snapshots")
    snapshot = snapshots.get(key) if isinstance(snapshots, dict) else None
    may_have_more = isinstance(snapshot, dict) and bool(snapshot.get("overage_permitted"))
    is_spent = bool(quota["entitlement"]) and quota["remaining"] <= 0 and not may_have_more
    return is_spent or bool(quota.get("exhausted"))


def _clock(account: Account) -> Iterator[Finding]:
    skew_s = account.skew_s
    if skew_s is None or abs(skew_s) <= _MOST_SKEW_S:
        return
    words = (
        Sentence("It is %(seconds)s s behind GitHub’s.", seconds=round(skew_s))
        if skew_s > 0
        else Sentence("It is %(seconds)s s ahead of GitHub’s.", seconds=round(-skew_s))
    )
    yield _problem(Sentence("Clock"), words, Sentence("Set this machine’s clock by NTP: tokens are refused otherwise."))


def _models(gateway: Gateway) -> Iterator[Finding]:
    models, title = gateway.catalog.known(), Sentence("Models")
    if not models:
        yield _note(
            title,
            Sentence("The model list has not been fetched yet."),
            Sentence("The first call fetches it. If calls fail, their errors say why."),
        )
        return
    going = sorted({name for notice, names in notices_of(it.raw for it in models).items() for name in names})
    if going:
        yield _note(
            title,
            Sentence("Copilot warns of these: %(names)s", names=_some(going)),
            Sentence("What it says stands at the top of this page. Choose others before they go."),
        )
    lost = [name for name, target in gateway.mapping.all().items() if find_model(target, models) is None]
    if lost:
        yield _problem(
            Sentence("Mapping"),
            Sentence("These names lead to models that the account does not have: %(names)s", names=_some(lost)),
            Sentence("Change them on the page Mapping."),
        )
    if not going:
        yield _ok(title, Sentence("The account has %(count)s.", count=len(models)))


def _state(gateway: Gateway, trouble: StoreError | None) -> Iterator[Finding]:
    title = Sentence("Store and database")
    troubles = [it for it in (gateway.store.trouble(), gateway.database.trouble() or trouble) if it is not None]
    for it in troubles:
        yield _problem(title, it.message)
    dropped, waiting = gateway.books.tally.dropped, gateway.books.waiting
    if dropped:
        yield _problem(
            title,
            Sentence(
                "Calls that are missing in the ledger, because the database could not be written: %(count)s.",
                count=dropped,
            ),
            Sentence("Look into the log for the reason."),
        )
    if not troubles and not dropped:
        yield _ok(title, Sentence("Store and database answer. Calls that wait to be booked: %(count)s.", count=waiting))


def _calls(today: Spent) -> Iterator[Finding]:
    share = today.failed_share
    if share is None:
        return
    words = Sentence("%(failed)s of %(calls)s calls failed today.", failed=today.failed_calls, calls=today.calls)
    if today.calls >= _FEW_CALLS and share >= _MANY_FAILED:
        yield _problem(Sentence("Calls"), words, Sentence("The page Requests tells what went wrong with each."))
    else:
        yield _ok(Sentence("Calls"), words)


def _key(gateway: Gateway) -> Iterator[Finding]:
    if (warning := gateway.keys.warning) is not None:
        yield _note(Sentence("API key"), warning)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def doctor_command() -> str:
    """What to type to have everything looked at."""
    return own_command("doctor")


def _problem(title: str, what: str, advice: str = "") -> Finding:
    return Finding("problem", title, what, advice)


def _note(title: str, what: str, advice: str = "") -> Finding:
    return Finding("note", title, what, advice)


def _ok(title: str, what: str) -> Finding:
    return Finding("ok", title, what)
