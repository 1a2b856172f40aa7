"""Cline (CLI ``cline``, editor extension): its one OpenAI-compatible provider."""

from __future__ import annotations

from app.clients.record import ConfigFile, Facts, IfAbsent, Once, Setup, Words

_PROVIDER = "openai-compatible"


def setup(facts: Facts) -> Setup:
    model = facts.models.main
    tree = {
        "version": IfAbsent(1),
        "lastUsedProvider": _PROVIDER,
        "modes": IfAbsent({}),
        "providers": {
            _PROVIDER: {
                "settings": {
                    "provider": _PROVIDER,
                    "apiKey": facts.key,
                    "model": model.id,
                    "baseUrl": facts.v1,
                },
                "updatedAt": IfAbsent("2026-01-01T00:00:00.000Z"),
                "tokenSource": "manual",
            }
        },
    }
    return Setup(
        name="cline",
        title="Cline",
        home_page="https://docs.cline.bot",
        files=(ConfigFile(".cline/data/settings/providers.json", "json", tree),),
        steps=(
            Words(
                "In the editor: Cline's settings → API Provider “OpenAI Compatible”.",
                "在编辑器中：Cline 设置 → API Provider 选择“OpenAI Compatible”。",
            ),
            Words(f"Base URL: {facts.v1}", f"Base URL：{facts.v1}"),
            Words(f"API Key: {facts.key}", f"API Key：{facts.key}"),
            Words(f"Model ID: {model.id}", f"Model ID：{model.id}"),
        ),
        run="cline",
        once=Once("cline", moved=("CLINE_DATA_DIR", ".cline/data")),
        notes=(
            Words(
                "The file is for Cline's command line; the editor extension keeps its own settings, hence the steps. "
                "Cline has room for one OpenAI-compatible service: a former one is replaced (and is in the backup).",
                "该文件供 Cline 命令行使用；编辑器扩展自行保存设置，请按步骤填写。"
                "Cline 只能保存一个 OpenAI 兼容服务：原有的会被替换（备份中仍保留）。",
            ),
        ),
    )
