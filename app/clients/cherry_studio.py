"""Cherry Studio: a link that imports the provider, or the same by hand."""

from __future__ import annotations

import base64
import json
import re

from app.clients.record import PROVIDER, Facts, Setup, Words

_LINKABLE = re.compile(r"[^'()]*")


def setup(facts: Facts) -> Setup:
    return Setup(
        name="cherry-studio",
        title="Cherry Studio",
        home_page="https://www.cherry-ai.com",
        link=import_link(facts) if _LINKABLE.fullmatch(facts.url + facts.key) else None,
        steps=(
            Words(
                "Settings → Model Provider → Add; name it copilot-bridge, provider type “OpenAI”.",
                "设置 → 模型服务 → 添加；名称填 copilot-bridge，提供商类型选“OpenAI”。",
            ),
            Words(f"API Key: {facts.key}", f"API 密钥：{facts.key}"),
            Words(f"API Host: {facts.url}", f"API 地址：{facts.url}"),
            Words(
                "Press Manage to load the model list, add the ones you want, and switch the provider on.",
                "点击“管理”加载模型列表，添加需要的模型，然后打开右上角的开关。",
            ),
        ),
        notes=(
            Words(
                f"Good to begin with: {facts.models.chat.id}, {facts.models.main.id}.",
                f"建议从这些模型开始：{facts.models.chat.id}、{facts.models.main.id}。",
            ),
        ),
    )


def import_link(facts: Facts) -> str:
    """Cherry Studio's own import address (its ``providersImport.ts``, v1).

    It puts ``+`` and ``/`` of Base64 back from ``_`` and ``-`` (the reverse of the URL-safe alphabet), and drops
    brackets and turns apostrophes into quotes after decoding, so none of these may be in the values.
    """
    provider = {"id": PROVIDER, "baseUrl": facts.url, "apiKey": facts.key, "name": PROVIDER, "type": "openai"}
    data = base64.b64encode(json.dumps(provider).encode()).decode()
    return f"cherrystudio://providers/api-keys?v=1&data={data.translate(str.maketrans('+/', '_-')).rstrip('=')}"
