"""Qwen Code (``@qwen-code/qwen-code``): model providers in ``~/.qwen/settings.json``."""

from __future__ import annotations

from app.clients.record import KEY_VARIABLE, ConfigFile, Entries, Facts, Once, Setup, Words


def setup(facts: Facts) -> Setup:
    models = facts.models
    # For a name that is not in this list it takes the first of it, whatever that one costs.
    in_order = sorted(models.listed, key=lambda model: model.id != models.main.id)
    providers = [
        {
            "id": model.id,
            "name": f"Copilot · {model.name}",
            "baseUrl": facts.v1,
            "envKey": KEY_VARIABLE,
            **({"generationConfig": {"contextWindowSize": model.window}} if model.window else {}),
        }
        for model in in_order
    ]
    tree = {
        "modelProviders": {"openai": Entries(("id", "baseUrl"), tuple(providers))},
        "env": {KEY_VARIABLE: facts.key},
        "security": {"auth": {"selectedType": "openai"}},
        "model": {"name": models.main.id},
    }
    return Setup(
        name="qwen-code",
        title="Qwen Code",
        home_page="https://qwenlm.github.io/qwen-code-docs/",
        files=(ConfigFile(".qwen/settings.json", "json", tree),),
        run="qwen",
        once=Once("qwen", {KEY_VARIABLE: facts.key}, moved=("QWEN_HOME", ".qwen")),
        notes=(
            Words(
                f"A {KEY_VARIABLE} in your shell goes before the one in the file.",
                f"终端环境变量 {KEY_VARIABLE} 优先于文件中的值。",
            ),
        ),
    )
