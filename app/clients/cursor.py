"""Cursor: set by hand, and only for bridges that the internet can reach."""

from __future__ import annotations

from app.clients.record import Facts, Setup, Words


def setup(facts: Facts) -> Setup:
    names = ", ".join(model.id for model in facts.models.listed)
    return Setup(
        name="cursor",
        title="Cursor",
        home_page="https://docs.cursor.com",
        steps=(
            Words(
                "Open Cursor Settings → Models → API Keys.",
                "打开 Cursor Settings → Models → API Keys。",
            ),
            Words(f"OpenAI API Key: {facts.key}", f"OpenAI API Key：{facts.key}"),
            Words(f"Override OpenAI Base URL: {facts.v1}", f"Override OpenAI Base URL：{facts.v1}"),
            Words(
                f"Add the models you want by these names: {names}",
                f"按以下名称添加需要的模型：{names}",
            ),
            Words(
                "Switch on the key, then choose one of these models in the chat.",
                "启用该密钥，然后在聊天中选择上述模型。",
            ),
        ),
        notes=(
            Words(
                "Cursor calls from its own servers, not from your machine. The bridge must be reachable at a public "
                "https:// address and must have an API_KEY of your own; localhost and the default key cannot work.",
                "Cursor 从它自己的服务器发起请求，而不是从你的电脑。因此需要公网 https:// 地址和自己设置的 API_KEY；"
                "localhost 和默认密钥都无法使用。",
            ),
            Words(
                "Cursor's own features (Tab, apply) do not use your key, and Cursor decides by the name where a model "
                "goes: if a Claude name does not reach the bridge, give it another one with MODEL_MAPPING.",
                "Cursor 自带的功能（Tab、应用修改）不使用你的密钥，并且 Cursor 按名称决定模型的去向："
                "如果某个 Claude 名称没有发到本服务，可用 MODEL_MAPPING 起一个别名。",
            ),
        ),
    )
