"""What others wrote is masked and cut in one place; what is in our own words passes."""

from __future__ import annotations

import copy
import logging

import pytest

from app.converters.codec import ClientCodec
from app.converters.registry import CLIENTS, UPSTREAMS
from app.errors import GatewayError, InvalidRequestError, Sentence, UpstreamStatusError
from app.logs import LineFormatter
from app.masking import _SECRETS, LONGEST, clean, masked
from app.settings import Settings, SettingsError
from tests.support.rows import rows

SECRET = "hunter2-SECRET"
QUOTED = [
    f"bad credentials Bearer tid={SECRET};exp=9;x:mac here",
    f"token ghu_{SECRET.replace('-', '_')} is revoked",
    f"github_pat_11{SECRET.replace('-', '_')}",
    f"see https://user:{SECRET}@proxy.test:3128/x",
    f"redis://:{SECRET}@redis.test/0 refused",
    f"https://{SECRET}@ghe.test",
    f"GET /v1/models?api_key={SECRET}&x=1",
    f"x-api-key: {SECRET}",
]


@pytest.mark.parametrize("text", QUOTED)
def test_a_secret_that_is_quoted_never_becomes_part_of_an_error(text: str) -> None:
    for error in (GatewayError(text), UpstreamStatusError(Sentence("It said: %(text)s", text=text))):
        error.message += " " + text
        told = copy.copy(error)
        told.message = text
        for where in (error.message, str(error), told.message):
            assert "SECRET" not in where
            assert "***" in where


@rows()
@pytest.mark.parametrize("text", QUOTED)
@pytest.mark.parametrize("client", CLIENTS.values(), ids=list(CLIENTS))
def test_no_upstream_can_have_a_secret_told_in_any_dialect(client: ClientCodec, text: str) -> None:
    bodies = [
        f'{{"type":"error","error":{{"type":"invalid_request_error","message":"{text}"}}}}',
        f'{{"message":"{text}"}}',
        f'{{"error":{{"message":"{text}","code":"invalid_request_body"}}}}',
        f'{{"error":"{text}"}}',
        text,
        f"<html><title>{text}</title></html>",
    ]
    for upstream in UPSTREAMS.values():
        for status in (400, 401, 403, 429, 500):
            for body in bodies:
                error = upstream.decode_error(status, {}, body.encode())
                assert "SECRET" not in str(client.encode_error(error, "id")), (upstream.name, status, body)


@pytest.mark.parametrize("text", QUOTED)
def test_no_log_line_holds_it_either(text: str) -> None:
    record = logging.LogRecord("copilot_bridge", logging.INFO, "x", 1, text, None, None)
    record.fields = {"why": text}
    for as_json in (True, False):
        assert "SECRET" not in LineFormatter(as_json=as_json).format(record)


def test_a_message_has_an_end() -> None:
    for text in ("a" * 3_000_000, "://" * 1_000_000, "tid=" * 1_000_000, "Bearer " * 500_000):
        assert len(clean(text)) <= LONGEST + 1
    assert "SECRET" not in clean("x" * (LONGEST - 10) + " Bearer tid=SECRET;" + "y" * 10_000)


def test_our_own_words_pass_and_can_still_be_translated() -> None:
    sentence = Sentence("%(place)s: HTTPS_PROXY=http://user:password@host:port, Bearer <key>", place="here")
    assert InvalidRequestError(sentence).message is sentence
    for text in ("redis://[user:password@]host:port/database", "mail a@b.test", "https://github.com/@me", "a: //b@c"):
        assert masked(text) == text


@rows()
@pytest.mark.parametrize(
    "variable", ["GITHUB_BASE_URL", "GITHUB_API_BASE_URL", "COPILOT_API_BASE_URL", "REDIS_URL", "CORS_ORIGINS", "PORT"]
)
@pytest.mark.parametrize(
    "value",
    [
        f"https://user:{SECRET}@x.test",
        f"ftp://user:{SECRET}@x.test",
        f"https//user:{SECRET}@x.test/" + "a" * 80,
        f"https://user:{SECRET}" + "a" * 60 + "@x.test",
        f"https://user:{SECRET}@x.test:port",
        f"user:{SECRET}@x.test",
    ],
)
def test_a_password_in_a_setting_is_not_quoted_when_it_is_refused(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings.from_env({variable: value})
    assert "SECRET" not in str(told.value)
    assert variable in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "high ghx_abc1",
        "ghs_abcd and gho_",
        "github_pat_1",
        "x tid=1;exp=2 y",
        "atid=1",
        "?api_key=1&b=2",
        "Bearer abc, bearer <key>",
        "x-api-key: abc",
        "http://user:pass@proxy:80/",
        "http://proxy:80/",
        "x-api-key: <key>",
        "nothing of this kind, and a high number",
        "",
    ],
)
def test_what_looks_like_a_token_is_found_as_by_a_search_for_all_of_them(text: str) -> None:
    assert masked(text) == _SECRETS.sub("***", text)


def test_words_that_hold_the_beginning_of_a_token_stay() -> None:
    text = "Function call is missing a thought_signature; height_pixels, weight_decay, right_margin, insight_level_2"
    assert masked(text) == text


@pytest.mark.parametrize("kind", ["ghp", "gho", "ghu", "ghs", "ghr"])
@pytest.mark.parametrize("before", ["", " ", '"', "_", "7", "\\n", "x"])
def test_a_token_is_found_whatever_stands_before_it(kind: str, before: str) -> None:
    assert masked(f"{before}{kind}_{SECRET.replace('-', '_')}") == f"{before}***"
