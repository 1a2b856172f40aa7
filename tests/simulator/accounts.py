"""The planted GitHub accounts: who may do what, on which plan, with which quotas (contract §2, §3, §10.5)."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Quota:
    entitlement: float = 0
    remaining: float = 0
    unlimited: bool = False
    overage_permitted: bool = False
    overage_count: float = 0.0

    def take(self, units: float) -> None:
        if self.unlimited or not units:
            return
        if self.overage_permitted and self.remaining < units:
            self.overage_count = round(self.overage_count + units - max(self.remaining, 0), 4)
            self.remaining = min(self.remaining, 0)
            return
        self.remaining = round(self.remaining - units, 4)

    @property
    def exhausted(self) -> bool:
        return not self.unlimited and not self.overage_permitted and self.remaining <= 0

    @property
    def percent(self) -> float:
        if self.unlimited:
            return 100.0
        return round(100.0 * self.remaining / self.entitlement, 3) if self.entitlement else 0.0


@dataclass
class Account:
    """``kind``: ok, no_copilot, subscription_ended, revoked, rate_limited, direct, pat_nopermission, installation or
    installation_without (the permission).

    ``plan`` uses the vocabulary of ``billing.restricted_to`` (plus "free"); ``shape`` picks the body of the user info.
    """

    token: str
    login: str = "octocat"
    kind: str = "ok"
    plan: str = "pro"
    shape: str = "paid"
    sku: str = "monthly_subscriber_quota"
    copilot_plan: str = "individual"
    host: str = "capi"
    premium: Quota = field(default_factory=lambda: Quota(300, 300))
    chat: Quota = field(default_factory=lambda: Quota(unlimited=True))
    completions: Quota = field(default_factory=lambda: Quota(unlimited=True))
    #: billed in AI credits; of a seat on its organization's pool, whether that is "full" or "empty"
    in_credits: bool = False
    pool: str | None = None
    credits_used: float = 0.0

    @property
    def free(self) -> bool:
        return self.plan == "free"

    def describe(self) -> dict[str, Any]:
        return asdict(self)


def apply(account: Account, changes: dict[str, Any]) -> None:
    """Change an account the way the control API describes it (quotas are merged, the rest is set)."""
    for name, value in changes.items():
        if not hasattr(account, name) or name in ("free",):
            raise ValueError(f"unknown account field: {name}")
        if name in ("premium", "chat", "completions"):
            quota = getattr(account, name)
            for key, number in value.items():
                if key not in Quota.__dataclass_fields__:
                    raise ValueError(f"unknown quota field: {key}")
                setattr(quota, key, number)
        else:
            setattr(account, name, value)


def planted() -> dict[str, Account]:
    """Everybody who exists when the simulator starts. The tokens are obviously not real ones."""
    free: dict[str, Any] = {"plan": "free", "sku": "free_limited_copilot"}
    people = [
        Account("ghu_test_individual"),
        Account(
            "ghu_test_business",
            login="hubot",
            plan="business",
            sku="copilot_for_business_seat_quota",
            copilot_plan="business",
            host="capi_business",
            shape="business",
        ),
        Account(
            "ghu_test_free_old",
            login="free-old",
            shape="free_old",
            premium=Quota(),
            chat=Quota(500, 470),
            completions=Quota(4000, 3900),
            **free,
        ),
        Account(
            "ghu_test_free_new",
            login="free-new",
            shape="free_new",
            premium=Quota(),
            chat=Quota(200, 200),
            completions=Quota(2000, 1950),
            **free,
        ),
        Account("ghu_test_exhausted", login="exhausted", premium=Quota(300, 0)),
        Account("ghu_test_negative", login="negative", premium=Quota(300, -1)),
        Account("ghu_test_unlimited", login="unlimited", premium=Quota(unlimited=True)),
        Account("ghu_test_no_copilot", login="no-copilot", kind="no_copilot"),
        Account("ghu_test_subscription_ended", login="ended", kind="subscription_ended"),
        Account("ghu_test_revoked", login="revoked", kind="revoked"),
        Account("ghu_test_rate_limited", login="limited", kind="rate_limited"),
        Account("gho_test_direct", login="direct", kind="direct"),
        Account("ghu_test_credits", login="credits", shape="usage", premium=Quota(1500, 1500), in_credits=True),
        *(
            Account(
                f"ghu_test_pool_{pool}",
                login=f"pool-{pool}",
                plan="business",
                sku="copilot_for_business_seat_quota",
                copilot_plan="business",
                host="capi_business",
                shape="usage",
                premium=Quota(unlimited=True),
                in_credits=True,
                pool=pool,
            )
            for pool in ("full", "empty")
        ),
        Account("ghs_test_actions", login="acme-inc", kind="installation", plan="business"),
        Account("github_pat_test_direct", login="direct-pat", kind="direct"),
        Account("github_pat_test_nopermission", login="pat-without", kind="pat_nopermission"),
    ]
    return {person.token: person for person in people}
