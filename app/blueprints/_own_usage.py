"""What the ledger says to whom: this bridge's own sums, and how they stand beside GitHub's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from app.blueprints._endpoint import current_record
from app.errors import StoreError
from app.gateway import Gateway
from app.ledger import reconciliation, report
from app.schemas.usage import day_of


def own_usage(
    gateway: Gateway, summary: dict[str, Any], *, account: str, key: str | None, is_own: bool = False
) -> dict[str, Any]:
    """What ``/usage`` has beside GitHub's figures.

    ``{"bridge": {"today": {…}, "period": {"since", …}}, "reconciliation": {…} | null}``; both null, and
    ``ledger_trouble`` in words, while the database is away. summary: GitHub's figures, see `summarize`. key: the sums
    of this key only, which says nothing about the account: then nothing is reconciled. is_own: unless it is the key's.
    """
    gateway.books.flush(within_s=1.0)
    today = datetime.now(UTC).date()
    since = reconciliation.period_of(day_of(str(summary["quota_reset_date"])[:10]), today)
    ledger = gateway.ledger
    try:
        of_today = ledger.total(today.isoformat(), today.isoformat(), key=key)
        of_period = ledger.total(since.isoformat(), today.isoformat(), key=key)
        bridge = {
            "today": report.told(of_today),
            "period": {"since": since.isoformat(), **report.told(of_period)},
        }
        found = None
        told = reconciliation.used_of(summary["quotas"]["premium_interactions"]) if key is None or is_own else None
        if told is not None:
            used, unit = told
            of_account = ledger.total(since.isoformat(), today.isoformat(), account=account)
            booked = reconciliation.Booked.of(of_account, in_credits=unit == "credits")
            baseline = ledger.baseline(account, since.isoformat(), used_nano=used, booked_nano=booked.all)
            parts = reconciliation.reconcile(used, booked, baseline)
            found = reconciliation.told(parts, unit=unit, since=since, baseline=baseline)
    except StoreError as error:
        return {"bridge": None, "reconciliation": None, "ledger_trouble": error.message}
    return {"bridge": bridge, "reconciliation": found}


def own_key() -> str | None:
    """The key whose calls its bearer may see; None: everybody's."""
    record = current_record()
    return record.key if record.admission is not None and not record.admission.is_admin else None
