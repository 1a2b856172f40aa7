"""The SDKs: a few lines of code each, and the variables that set them up without code."""

from __future__ import annotations

import json

from app.clients.record import KEY_VARIABLE, Facts, Setup, Snippet, Words

_FROM_ENVIRONMENT = Words(
    f"The code reads the key from {KEY_VARIABLE}, so that it does not end up in your repository.",
    f"代码从环境变量 {KEY_VARIABLE} 读取密钥，避免密钥进入代码仓库。",
)


def _text(value: str) -> str:
    """A string of Python's and of JavaScript's, whatever is in it."""
    return json.dumps(value, ensure_ascii=False)


def openai_python(facts: Facts) -> Setup:
    code = f"""\
import os

from openai import OpenAI

client = OpenAI(base_url={_text(facts.v1)}, api_key=os.environ["{KEY_VARIABLE}"])

answer = client.chat.completions.create(
    model={_text(facts.models.chat.id)},
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(answer.choices[0].message.content)
"""
    langchain = f"""\
import os

from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model={_text(facts.models.chat.id)},
    base_url={_text(facts.v1)},
    api_key=os.environ["{KEY_VARIABLE}"],
)
print(model.invoke("Say hello.").content)
"""
    litellm = f"""\
import os

import litellm

answer = litellm.completion(
    model={_text(f"openai/{facts.models.chat.id}")},
    api_base={_text(facts.v1)},
    api_key=os.environ["{KEY_VARIABLE}"],
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(answer.choices[0].message.content)
"""
    return Setup(
        name="openai-python",
        title="OpenAI SDK · Python",
        home_page="https://github.com/openai/openai-python",
        exports={KEY_VARIABLE: facts.key, "OPENAI_BASE_URL": facts.v1, "OPENAI_API_KEY": facts.key},
        snippets=(
            Snippet(Words("OpenAI", "OpenAI"), code),
            Snippet(Words("LangChain (langchain-openai)", "LangChain(langchain-openai)"), langchain),
            Snippet(Words("LiteLLM", "LiteLLM"), litellm),
        ),
        notes=(_FROM_ENVIRONMENT, _variables("OPENAI_BASE_URL", "OPENAI_API_KEY", "OpenAI()")),
    )


def openai_node(facts: Facts) -> Setup:
    code = f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_text(facts.v1)}, apiKey: process.env.{KEY_VARIABLE} }});

const answer = await client.chat.completions.create({{
  model: {_text(facts.models.chat.id)},
  messages: [{{ role: "user", content: "Say hello." }}],
}});
console.log(answer.choices[0].message.content);
"""
    ai_sdk = f"""\
import {{ createOpenAICompatible }} from "@ai-sdk/openai-compatible";
import {{ generateText }} from "ai";

const copilot = createOpenAICompatible({{
  name: "copilot-bridge",
  baseURL: {_text(facts.v1)},
  apiKey: process.env.{KEY_VARIABLE},
  includeUsage: true,
  supportsStructuredOutputs: true,
}});

const {{ text }} = await generateText({{ model: copilot({_text(facts.models.chat.id)}), prompt: "Say hello." }});
console.log(text);
"""
    return Setup(
        name="openai-node",
        title="OpenAI SDK · Node",
        home_page="https://github.com/openai/openai-node",
        exports={KEY_VARIABLE: facts.key, "OPENAI_BASE_URL": facts.v1, "OPENAI_API_KEY": facts.key},
        snippets=(
            Snippet(Words("OpenAI", "OpenAI"), code),
            Snippet(Words("Vercel AI SDK", "Vercel AI SDK"), ai_sdk),
        ),
        notes=(_FROM_ENVIRONMENT, _variables("OPENAI_BASE_URL", "OPENAI_API_KEY", "new OpenAI()")),
    )


def anthropic_python(facts: Facts) -> Setup:
    code = f"""\
import os

from anthropic import Anthropic

client = Anthropic(base_url={_text(facts.url)}, api_key=os.environ["{KEY_VARIABLE}"])

answer = client.messages.create(
    model={_text(facts.models.main.id)},
    max_tokens=1024,
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print("".join(block.text for block in answer.content if block.type == "text"))
"""
    return Setup(
        name="anthropic-python",
        title="Anthropic SDK · Python",
        home_page="https://github.com/anthropics/anthropic-sdk-python",
        exports={KEY_VARIABLE: facts.key, "ANTHROPIC_BASE_URL": facts.url, "ANTHROPIC_API_KEY": facts.key},
        snippets=(Snippet(Words("Anthropic", "Anthropic"), code),),
        notes=(_FROM_ENVIRONMENT, _variables("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "Anthropic()")),
    )


def anthropic_node(facts: Facts) -> Setup:
    code = f"""\
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({{ baseURL: {_text(facts.url)}, apiKey: process.env.{KEY_VARIABLE} }});

const answer = await client.messages.create({{
  model: {_text(facts.models.main.id)},
  max_tokens: 1024,
  messages: [{{ role: "user", content: "Say hello." }}],
}});
for (const block of answer.content) if (block.type === "text") console.log(block.text);
"""
    return Setup(
        name="anthropic-node",
        title="Anthropic SDK · Node",
        home_page="https://github.com/anthropics/anthropic-sdk-typescript",
        exports={KEY_VARIABLE: facts.key, "ANTHROPIC_BASE_URL": facts.url, "ANTHROPIC_API_KEY": facts.key},
        snippets=(Snippet(Words("Anthropic", "Anthropic"), code),),
        notes=(_FROM_ENVIRONMENT, _variables("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "new Anthropic()")),
    )


def _variables(base: str, key: str, call: str) -> Words:
    return Words(
        f"With {base} and {key} exported, {call} alone is enough: no code has to change.",
        f"导出 {base} 和 {key} 之后，只写 {call} 即可，无需修改代码。",
    )
