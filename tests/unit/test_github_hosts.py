"""One setting gives every address, and none of a tenant's leads to the public Copilot."""

from __future__ import annotations

import pytest

from app import github_hosts
from app.settings import Settings, SettingsError

TENANT = {
    "github_base_url": "https://tenant.ghe.com",
    "github_api_base_url": "https://api.tenant.ghe.com",
    "copilot_default_url": "https://copilot-api.tenant.ghe.com",
}
SERVER = {
    "github_base_url": "https://github.example.com",
    "github_api_base_url": "https://github.example.com/api/v3",
    "copilot_default_url": "https://api.enterprise.githubcopilot.com",
}
PUBLIC = {
    "github_base_url": "https://github.com",
    "github_api_base_url": "https://api.github.com",
    "copilot_default_url": "https://api.githubcopilot.com",
}
MINE = "https://copilot.example.com"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, PUBLIC),
        ({"GITHUB_HOST": "github.com"}, PUBLIC),
        ({"GITHUB_HOST": "tenant.ghe.com"}, TENANT),
        ({"GITHUB_HOST": " https://Tenant.GHE.com/ "}, TENANT),
        ({"GITHUB_BASE_URL": "https://tenant.ghe.com"}, TENANT),
        ({"GITHUB_API_BASE_URL": "https://api.tenant.ghe.com"}, TENANT),
        ({"GITHUB_HOST": "github.example.com"}, SERVER),
        ({"GITHUB_HOST": "tenant.ghe.com", "COPILOT_API_BASE_URL": MINE}, TENANT | {"copilot_default_url": MINE}),
        (
            {"GITHUB_HOST": "tenant.ghe.com", "GITHUB_API_BASE_URL": "https://github.example.com/api/v3"},
            TENANT | {"github_api_base_url": "https://github.example.com/api/v3"},
        ),
        # What is set wins, but Copilot stays the tenant's.
        (
            {"GITHUB_HOST": "tenant.ghe.com", "GITHUB_BASE_URL": "https://github.com"},
            TENANT | {"github_base_url": "https://github.com"},
        ),
        (
            {"GITHUB_BASE_URL": "http://127.0.0.1:1", "GITHUB_API_BASE_URL": "http://127.0.0.1:2"},
            {
                "github_base_url": "http://127.0.0.1:1",
                "github_api_base_url": "http://127.0.0.1:2",
                "copilot_default_url": None,
            },
        ),
    ],
)
def test_one_setting_gives_every_address_and_each_can_be_set(env: dict[str, str], expected: dict[str, str]) -> None:
    settings = Settings.from_env(env)
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    "raw",
    ["http://tenant.ghe.com", "tenant.ghe.com/path", "me@tenant.ghe.com", "a b", "tenant:x", "api.tenant.ghe.com"],
)
def test_what_is_no_host_is_refused_by_its_name(raw: str) -> None:
    with pytest.raises(SettingsError, match="GITHUB_HOST"):
        Settings.from_env({"GITHUB_HOST": raw})


LOOK_ALIKES = [
    "http://api.githubcopilot.com",
    "https://evilgithubcopilot.com",
    "https://api.githubcopilot.com.evil.test",
    "https://api.githubcopilot.com:8443",
    "https://user:pw@api.githubcopilot.com",
    "https://user@api.githubcopilot.com",
    "https://api.githubcopilot.com@evil.test",
    "https://140.82.112.22",
    "https://[::1]",
    "https://127.0.0.1",
    "https://localhost",
    "https://api.githubcopilot.com?x=1",
    "https://evil.test#.githubcopilot.com",
    "https://copilot-api.tenant.ghe.com.evil.test",
    "https://copilot-api.other.ghe.com",
    "ftp://api.githubcopilot.com",
    "https://",
    "https://api.githubcopilot.com:port",
]


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("github.com", ["https://api.githubcopilot.com", "https://api.business.githubcopilot.com:443/"]),
        ("tenant.ghe.com", ["https://copilot-api.tenant.ghe.com", "https://tenant.ghe.com"]),
        ("github.example.com", ["https://api.enterprise.githubcopilot.com", "https://copilot.github.example.com"]),
    ],
)
def test_address_that_github_names_for_copilot_has_to_be_its_own(host: str, good: list[str]) -> None:
    settings = Settings.from_env({"GITHUB_HOST": host})
    assert [url for url in good if not settings.is_copilot_address(url)] == []
    assert [url for url in LOOK_ALIKES if settings.is_copilot_address(url)] == []


def test_tenants_prompts_never_go_to_the_public_copilot() -> None:
    settings = Settings.from_env({"GITHUB_HOST": "tenant.ghe.com"})
    assert not settings.is_copilot_address("https://api.githubcopilot.com")
    assert not settings.is_copilot_address("https://api.enterprise.githubcopilot.com")


def test_github_without_tls_on_this_machine_may_name_its_own_ports_and_nobody_else() -> None:
    settings = Settings.from_env({"GITHUB_BASE_URL": "http://127.0.0.1:1", "GITHUB_API_BASE_URL": "http://127.0.0.1:2"})
    assert settings.is_copilot_address("http://127.0.0.1:3")
    assert settings.is_copilot_address("http://localhost:3")
    assert not settings.is_copilot_address("http://evil.test")
    assert not settings.is_copilot_address("http://api.githubcopilot.com")


@pytest.mark.parametrize(
    ("copilot", "mcp"),
    [
        ("https://api.githubcopilot.com", "https://api.githubcopilot.com/mcp"),
        ("https://api.individual.githubcopilot.com", "https://api.githubcopilot.com/mcp"),
        ("https://api.business.githubcopilot.com", "https://api.githubcopilot.com/mcp"),
        ("https://copilot-api.tenant.ghe.com", "https://copilot-api.tenant.ghe.com/mcp"),
        ("https://githubcopilot.com.evil.test", "https://githubcopilot.com.evil.test/mcp"),
        ("http://127.0.0.1:8003", "http://127.0.0.1:8003/mcp"),
    ],
)
def test_the_mcp_endpoint_stands_at_the_host_that_plans_share(copilot: str, mcp: str) -> None:
    assert github_hosts.mcp_url(copilot) == mcp
