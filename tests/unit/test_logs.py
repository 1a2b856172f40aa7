from __future__ import annotations

import json
import logging
import sys

import pytest

from app.logs import LineFormatter, Redactor


@pytest.mark.parametrize(
    "leak",
    [
        "ghu_test123456",
        "gho_test123456",
        "github_pat_test_123",
        "tid=0f1e;exp=1;sku=x:abcdef",
        "own-secret-key",
    ],
)
def test_secrets_are_masked_wherever_they_stand(leak: str) -> None:
    redact = Redactor(["own-secret-key"])
    for text in (leak, f"Bearer {leak}", f'{{"a": "{leak}"}}', f"GET /usage?api_key={leak}&x=1", f"x-api-key: {leak}"):
        assert leak not in redact(text)


def test_key_in_a_query_is_masked_whatever_it_is() -> None:
    assert Redactor()("GET /usage?api_key=abc&from=x") == "GET /usage?api_key=***&from=x"


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("copilot_bridge", logging.INFO, __file__, 1, message, None, None)
    made.__dict__.update(extra)
    return made


def test_json_line_holds_the_fields_and_stays_one_line() -> None:
    line = LineFormatter(as_json=True).format(record("request", fields={"status": 200, "model": "a\nb", "error": None}))
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["event"], parsed["status"], parsed["model"], parsed["level"]) == ("request", 200, "a\nb", "INFO")
    assert "error" not in parsed


def test_text_line_stays_one_line_whatever_a_client_sent() -> None:
    line = LineFormatter(as_json=False).format(record("request", fields={"model": "a\nb\x1b[31m"}))
    assert "\n" not in line
    assert "\x1b" not in line


def test_traceback_is_masked_too() -> None:
    try:
        raise ValueError("it was ghu_test_in_a_traceback")
    except ValueError:
        line = LineFormatter(as_json=True).format(record("failed", exc_info=sys.exc_info()))
    assert "ValueError" in line
    assert "ghu_test" not in line


@pytest.mark.parametrize("model", ["a key=default", 'a" key="default', "a\tkey=default", "key=default", ""])
def test_no_value_passes_for_a_field_of_its_own_in_a_text_line(model: str) -> None:
    line = LineFormatter(as_json=False).format(record("request", fields={"model": model, "status": 200}))
    assert line.endswith(f"request model={json.dumps(model)} status=200")


def test_a_text_line_has_objects_as_json() -> None:
    line = LineFormatter(as_json=False).format(record("request", fields={"stream": True, "usage": {"total_tokens": 3}}))
    assert line.endswith('request stream=true usage={"total_tokens": 3}')


def test_our_own_words_about_keys_are_left_alone() -> None:
    words = "Send the key as 'Authorization: Bearer <key>' or as 'x-api-key: <key>'."
    assert Redactor()(words) == words
    assert Redactor()("Bearer <key>x' Bearer <other>") == "Bearer <key>x' Bearer ***"
