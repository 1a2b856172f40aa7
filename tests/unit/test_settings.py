from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import DEFAULT_API_KEY, Secret, Settings, SettingsError, rows


def test_original_names_keep_their_defaults() -> None:
    settings = Settings.from_env({})
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)
    assert [key.reveal() for key in settings.api_keys] == [DEFAULT_API_KEY]
    assert settings.model_mapping == {"gpt-o4-mini": "claude-opus-4.6", "gpt-4o-mini": "claude-opus-4.6"}
    assert settings.gh_copilot_token is None


def test_model_mapping_replaces_the_default_completely() -> None:
    assert Settings.from_env({"MODEL_MAPPING": '{"a": "b"}'}).model_mapping == {"a": "b"}
    assert Settings.from_env({"MODEL_MAPPING": "{}"}).model_mapping == {}
    prices = Settings.from_env({"MODEL_PRICES": '{"GPT-9": {"input": 1, "output": 2.5}}'}).model_prices
    assert prices == {"gpt-9": {"input": 1, "output": 2.5}}


def test_several_keys_and_no_key() -> None:
    assert [key.reveal() for key in Settings.from_env({"API_KEY": "one, two,one"}).api_keys] == ["one", "two"]
    assert Settings.from_env({"API_KEY": ""}).api_keys == ()


def test_empty_variable_counts_as_unset() -> None:
    assert Settings.from_env({"PORT": "", "GH_COPILOT_TOKEN": " "}) == Settings.from_env({})


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PORT", "http", "is not a whole number from 1 to 65535"),
        ("PORT", "0", "is not between 1 and 65535"),
        ("API_KEY", "two words", "has a key with a space"),
        ("MODEL_MAPPING", "gpt-4=gpt-4.1", "is not JSON"),
        ("MODEL_PRICES", "gpt-4=3", "is not JSON"),
        ("MODEL_PRICES", '["gpt-4"]', "is not a JSON object of models"),
        ("MODEL_PRICES", '{"gpt-4": 3}', "is not a JSON object of models"),
        ("MODEL_PRICES", '{"gpt-4": {"input": 3}}', "needs input and output for 'gpt-4'"),
        ("MODEL_PRICES", '{"gpt-4": {"input": 3, "output": 4, "inptu": 5}}', "has 'inptu' for 'gpt-4'"),
        ("MODEL_PRICES", '{"gpt-4": {"input": -3, "output": 4}}', "that is no number of credits"),
        ("MODEL_PRICES", '{"gpt-4": {"input": true, "output": 4}}', "that is no number of credits"),
        ("MODEL_PRICES", '{"gpt-4": {"input": NaN, "output": 4}}', "that is no number of credits"),
        ("MODEL_MAPPING", '{"gpt-4": "\\ud800"}', "is not JSON"),
        ("MODEL_MAPPING", "[" * 100_000, "is not JSON"),
        ("MODEL_PRICES", '{"\\ud800": {}}', "is not JSON"),
        ("MODEL_MAPPING", '["gpt-4"]', "is not a JSON object of model names"),
        ("MODEL_MAPPING", '{"gpt-4": 4}', "is not a JSON object of model names"),
        ("GITHUB_BASE_URL", "github.com", "is not an http:// or https:// URL"),
        ("GITHUB_BASE_URL", "https://git hub.com", "is not a URL"),
        ("COPILOT_API_BASE_URL", "https://user@host", "must have neither user name, query nor fragment"),
        ("REDIS_URL", "http://localhost", "is not a redis://"),
        ("DATABASE_URL", "mysql://db/bridge", "is not a postgresql://"),
        ("DATABASE_URL", "postgresql://db/bridge?sslmode=verify_full", "has an sslmode that is not one of disable,"),
        ("DATABASE_URL", "postgresql://db/bridge?sslmode=", "has an sslmode that is not one of disable,"),
        ("DATABASE_URL", "postgresql://db/bridge?sslMode=verify-full", "has an option for TLS that is not known"),
        ("DATABASE_URL", "postgresql://db/bridge?ssl=true", "has an option for TLS that is not known"),
        ("DATABASE_URL", "postgresql://db/bridge?sslcert=client.pem", "has an option for TLS that is not known"),
        ("UPSTREAM_IDLE_TIMEOUT_S", "-1", "is not a positive number of seconds"),
        ("UPSTREAM_IDLE_TIMEOUT_S", "nan", "is not a positive number of seconds"),
        ("LOG_LEVEL", "LOUD", "is not one of DEBUG, INFO, WARNING, ERROR"),
        ("CORS_ORIGINS", "*", "names no origin"),
        ("CORS_ORIGINS", "https://a.example/path", "which is not an origin"),
        ("GH_COPILOT_TOKEN", "ghu_test with space", "is not a token"),
        ("COPILOT_USER_AGENT", "a\nb", "has a line break"),
    ],
)
def test_bad_value_is_told_in_one_line_with_an_example(variable: str, value: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({variable: value})
    message = str(caught.value)
    assert message.startswith(f"{variable}: ")
    assert problem in message
    assert f"example: {variable}=" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "options",
    [
        "",
        *(f"?sslmode={mode}" for mode in ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
        "?sslmode=verify-full&sslrootcert=ca.pem",
        "?sslmode=require&channel_binding=require&application_name=x",
    ],
)
def test_a_database_url_as_providers_give_it_is_taken(options: str) -> None:
    url = "postgresql://bridge:pw@db/bridge" + options
    found = Settings.from_env({"DATABASE_URL": url}).database_url
    assert found is not None
    assert found.reveal() == url


@pytest.mark.parametrize("variable", ["API_KEY", "GH_COPILOT_TOKEN", "REDIS_URL"])
def test_bad_secret_is_not_repeated_in_the_message(variable: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({variable: "ghu_test_mistyped secret"})
    assert "ghu_test" not in str(caught.value)


def test_secrets_do_not_show_themselves() -> None:
    settings = Settings.from_env(
        {"API_KEY": "own-key", "GH_COPILOT_TOKEN": "ghu_test_x", "REDIS_URL": "redis://:pw@h/0"}
    )
    table = "\n".join(f"{row.env} {row.value}" for row in rows(settings))
    for text in (repr(settings), str(settings), table, f"{Secret('own-key')}"):
        assert "own-key" not in text
        assert "ghu_test_x" not in text
        assert "pw@h" not in text
    assert settings.secrets == ("own-key", "ghu_test_x", "redis://:pw@h/0")


def test_dotenv_completes_the_environment_but_does_not_override_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PORT=1234\nHOST=10.0.0.1\n")
    monkeypatch.setenv("HOST", "10.0.0.2")
    monkeypatch.delenv("PORT", raising=False)
    settings = Settings.load(tmp_path)
    monkeypatch.delenv("PORT", raising=False)  # load_dotenv put it there
    assert (settings.host, settings.port) == ("10.0.0.2", 1234)


def test_editors_folder_follows_the_system(tmp_path: Path) -> None:
    assert Settings.from_env({"XDG_CONFIG_HOME": "/x"}).editor_config_dir == Path("/x/github-copilot")
    assert Settings.from_env({"HOME": "/home/me"}).editor_config_dir == Path("/home/me/.config/github-copilot")
