"""The page /docs: every endpoint for people, in their language."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from app.schemas.document import OPERATIONS


@pytest.mark.parametrize(("language", "words"), [("en", "The model mapping"), ("zh-CN", "模型映射")])
def test_page_lists_every_endpoint(client: FlaskClient, language: str, words: str) -> None:
    page = client.get("/docs", headers={"Accept": "text/html", "Accept-Language": language})
    assert page.status_code == 200
    assert all(f"<code>{it.path}</code>" in page.text for it in OPERATIONS)
    assert words in page.text


def test_page_tells_the_address_it_was_asked_at(client: FlaskClient) -> None:
    page = client.get("/docs", base_url="https://bridge.test/under")
    assert "https://bridge.test/under/openapi.json" in page.text
    assert 'href="/under/openapi.json"' in page.text
