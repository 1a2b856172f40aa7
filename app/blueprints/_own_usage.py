"""What the ledger says to whom: this bridge's own sums, and how they stand beside GitHub's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from app.blueprints._endpoint import current_record
from app.errors import StoreError
from app.gateway import Gateway
from app.ledger import reconciliation, report
from app.schemas.usage import day_of


def own_usage(gateway: Gateway, summary: dict[str, Any], *, account: str, key: str | None) -> dict[str, Any]:
    """What ``/usage`` has beside GitHub's figures.

    ``{"bridge": {"today": {…}, "period": {"since", …}}, "reconciliation": {…} | null}``; both null, and
    ``ledger_trouble`` in words, while the database is away. summary: GitHub's figures of this account, see
    `summarize`. key: the bridge's sums of this key only.
    """
    since = reconciliation.period_of(day_of(str(summary["quota_reset_date"])[:10]), _today())
    own = own_sums(gateway, since, key=key)
    told = reconciliation.used_of(summary["quotas"]["premium_interactions"])
    if own["bridge"] is None or told is None:
        return own
    used, unit = told
    try:
        of_account = gateway.ledger.total(since.isoformat(), _today().isoformat(), account=account)
        booked = reconciliation.Booked.of(of_account, in_credits=unit == "credits")
        baseline = gateway.ledger.baseline(account, since.isoformat(), used_nano=used, booked_nano=booked.all)
    except StoreError as error:
        return _away(error)
    parts = reconciliation.reconcile(used, booked, baseline)
    return own | {"reconciliation": reconciliation.told(parts, unit=unit, since=since, baseline=baseline)}


def own_sums(gateway: Gateway, since: date, *, key: str | None = None) -> dict[str, Any]:
    """The same without reconciliation, which needs GitHub's figures. key: the sums of this key only."""
    gateway.books.flush(within_s=1.0)
    today = _today().isoformat()
    try:
        of_today = gateway.ledger.total(today, today, key=key)
        of_period = gateway.ledger.total(since.isoformat(), today, key=key)
    except StoreError as error:
        return _away(error)
    bridge = {"today": report.told(of_today), "period": {"since": since.isoformat(), **report.told(of_period)}}
    return {"bridge": bridge, "reconciliation": None}


def _away(error: StoreError) -> dict[str, Any]:
    return {"bridge": None, "reconciliation": None, "ledger_trouble": error.message}


def _today() -> date:
    return datetime.now(UTC).date()


def own_key() -> str | None:
    """The key whose calls its bearer may see; None: everybody's."""
    record = current_record()
    return record.key if record.admission is not None and not record.admission.is_admin else None


def own_account(gateway: Gateway) -> str | None:
    """The GitHub account whose figures the bearer of the key may see; None: of none, for it is not theirs."""
    bound = current_record().account
    return bound[0] if bound is not None else gateway.account()[0] if own_key() is None else None
