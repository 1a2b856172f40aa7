"""``configure CLIENT``: prints a client's settings, or merges them into its files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, get_args

import click
from flask.cli import with_appcontext

from app.cli.around import base_url
from app.cli.command import argument, command, option
from app.cli.words import failure, misused, say, unusable
from app.clients.files.merge import MergeError, render
from app.clients.files.shell import SHELLS
from app.clients.files.write import Written, apply, plan, take_back
from app.clients.models import Selection, select
from app.clients.record import KEY_VARIABLE, Facts, Platform, Setup
from app.clients.registry import CLIENTS, MOVED_BY, files_of
from app.clients.text import NO_KEY, PLACEHOLDER, Language, as_text, shell_lines
from app.commands import own_command
from app.errors import GatewayError, Sentence, SignInRequiredError
from app.gateway import Gateway, current_gateway
from app.settings import DEFAULT_API_KEY
from app.terminal import in_words, is_chinese


class Places(NamedTuple):
    """Where files go: the home folder, and folders below it that are elsewhere."""

    home: Path
    moved: Mapping[str, Path]


def moved_by(command: Callable[..., None]) -> Callable[..., None]:
    """Read the variables with which people move a client's folder."""
    for variable in MOVED_BY:
        name = f"--{variable.lower().replace('_', '-')}"
        command = option(name, envvar=variable, hidden=True, type=click.Path(path_type=Path))(command)
    return command


@command()
@argument("client", required=False, metavar="[CLIENT]")
@option("--write", is_flag=True, help="Merge the settings into the client's files, with a backup of each.")
@option("--undo", is_flag=True, help="Put back what was there before the last --write.")
@option("--url", callback=base_url, help="The bridge as the client reaches it.  [default: http://localhost:PORT]")
@option("--model", help="The model to begin with, instead of the one chosen from your list.")
@option("--small-model", help="The model for titles and other small things.")
@option("--shell", type=click.Choice(SHELLS), help="Print shell variables alone, to evaluate or to keep.")
@option("--show-key", is_flag=True, help="Print the real API key instead of a placeholder.")
@option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="The home folder that --write writes below.  [default: your own]",
)
@moved_by
@option(
    "--language",
    type=click.Choice(["en", "zh"]),
    help="Language of the explanations.",
)
@with_appcontext
def configure(
    client: str | None,
    write: bool,
    undo: bool,
    url: str | None,
    model: str | None,
    small_model: str | None,
    shell: str | None,
    show_key: bool,
    home: Path | None,
    language: Language | None,
    **moved: Path | None,
) -> None:
    """Set up a client for this bridge. Without CLIENT: list them."""
    if client is None:
        command = own_command("configure CLIENT [--write]")
        say(Sentence("Which client? %(command)s, where CLIENT is one of:\n", command=command))
        click.echo("\n".join(f"  {name}" for name in CLIENTS))
        return
    if client not in CLIENTS:
        raise no_such_client(client, CLIENTS)
    if write + undo + bool(shell) > 1:
        raise misused(Sentence("--write, --undo and --shell are different things: choose one of them."))
    language = language or ("zh" if is_chinese() else "en")
    if undo:
        _undo(client, places_of(home, moved), language)
        return
    gateway = current_gateway()
    try:
        models = _models(gateway, model, small_model)
        shown = _facts(gateway, models, url, show_key=show_key)
        if shell:
            _print_exports(CLIENTS[client](shown), shell)
        elif write:
            _write(client, _facts(gateway, models, url, show_key=True), shown, places_of(home, moved), language)
        else:
            click.echo(as_text(CLIENTS[client](shown), language), nl=False)
    except SignInRequiredError as error:
        where = Sentence(
            "The sign-in was looked for in %(folder)s (DATA_DIR). If your bridge keeps it elsewhere (it runs in "
            "Docker, as make demo, or on another machine), open its page /setup instead.",
            folder=gateway.settings.data_dir,
        )
        raise failure(Sentence.joined(sign_in_first(error), where, by="\n")) from error
    except GatewayError as error:
        raise failure(error) from error


def no_such_client(name: str, there: Iterable[str]) -> click.BadParameter:
    """What ends a command that was given the name of none. there: those that there are."""
    what = Sentence("no such client: %(name)s. There are: %(names)s.", name=repr(name), names=", ".join(there))
    return unusable(what, "CLIENT")


def sign_in_first(error: SignInRequiredError) -> Sentence:
    """The error, and how to mend it in the terminal."""
    return Sentence("%(error)s From here: %(command)s", error=error.message, command=own_command("login"))


def places_of(home: Path | None, moved: Mapping[str, Path | None]) -> Places:
    """A home folder that was asked for is meant as a whole: the variables are of one's own."""
    if home is not None:
        return Places(home, {})
    own = {folder: place for variable, folder in MOVED_BY.items() if (place := moved[variable.lower()]) is not None}
    return Places(Path.home(), own)


def facts_for(gateway: Gateway, url: str, model: str | None, small_model: str | None) -> Facts:
    """Everything for a setup, the key included. Raises: GatewayError, e.g. if nobody is signed in."""
    return _facts(gateway, _models(gateway, model, small_model), url, show_key=True)


def _facts(gateway: Gateway, models: Selection, url: str | None, *, show_key: bool) -> Facts:
    address = url or f"http://localhost:{gateway.settings.port}"
    return Facts(address, _key(gateway, show=show_key), models, _platform())


def _key(gateway: Gateway, *, show: bool) -> str:
    """What stands for the key. The well-known default is no secret."""
    keys = gateway.settings.api_keys
    if not keys:
        return NO_KEY
    first = keys[0].reveal()
    return first if show or first == DEFAULT_API_KEY else PLACEHOLDER


def _models(gateway: Gateway, main: str | None, small: str | None) -> Selection:
    catalogue = gateway.catalog.models()
    mapping = gateway.mapping.all()
    return select(catalogue, main=mapping.get(main or "", main), small=mapping.get(small or "", small))


def _platform() -> Platform:
    return next((name for name in get_args(Platform) if sys.platform == name), "linux")


def _print_exports(setup: Setup, shell: str) -> None:
    if setup.exports is None:
        raise failure(
            Sentence("%(client)s takes no shell variables. Leave out --shell to see what it takes.", client=setup.title)
        )
    # To be evaluated: the variable that the key is read from must not be overwritten by a placeholder.
    told = {name: value for name, value in setup.exports.items() if (name, value) != (KEY_VARIABLE, PLACEHOLDER)}
    if lines := shell_lines(replace(setup, exports=told), shell):
        click.echo(lines)
    if PLACEHOLDER in setup.exports.values():
        say(
            Sentence(
                "The key is read from %(variable)s, which you set yourself; --show-key prints it instead.",
                variable=KEY_VARIABLE,
            ),
            to_stderr=True,
        )


def _write(client: str, facts: Facts, shown: Facts, places: Places, language: Language) -> None:
    """shown: the same with the key hidden, for what is printed when a file cannot be changed."""
    zh = language == "zh"
    setup = CLIENTS[client](facts)
    if not setup.files:
        raise click.ClickException(
            f"{setup.title} 没有可写入的配置文件；去掉 --write 查看如何设置。"
            if zh
            else f"{setup.title} keeps its settings itself: there is no file to write. Leave out --write to see how."
        )
    try:
        written = apply(plan(setup.files, *places), now=datetime.now())
    except MergeError as error:
        by_hand = (error.details or {}).get("by_hand")
        texts = [render(file) for file in CLIENTS[client](shown).files if file.path == by_hand]
        raise click.ClickException("\n\n".join([in_words(error), *texts])) from error
    for item in written:
        click.echo(_report(item, zh=zh))
    if setup.run:
        click.echo(("\n现在运行：" if zh else "\nNow run: ") + setup.run)
    for note in setup.notes:
        click.echo(note.zh if zh else note.en)


def _undo(client: str, places: Places, language: Language) -> None:
    zh = language == "zh"
    files = files_of(client, _platform())
    if not files:
        raise misused(Sentence("--write writes nothing for %(client)s, so there is nothing to undo.", client=client))
    try:
        undone = take_back(files, *places, now=datetime.now())
    except MergeError as error:
        raise failure(error) from error
    for item in undone:
        if item.backup is not None:
            click.echo(f"{item.path}: " + (f"已恢复自 {item.backup}" if zh else f"restored from {item.backup}"))
            click.echo(("  撤销前的内容：" if zh else "  what it was until now: ") + str(item.kept))
        elif item.removed:
            click.echo(f"{item.path}: " + ("是新建的，已移除" if zh else "was new, and is removed"))
            if item.kept is not None:
                click.echo(("  撤销前的内容：" if zh else "  what it was until now: ") + str(item.kept))
        else:
            click.echo(f"{item.path}: " + ("没有备份，未改动。" if zh else "has no backup, nothing to undo."))


def _report(item: Written, *, zh: bool) -> str:
    change = item.change
    if change.after is None:
        return f"{change.path}: " + ("已是最新，未改动。" if zh else "is right already, nothing changed.")
    lines = [f"{change.path}: " + (("已更新" if zh else "updated") if item.backup else ("已创建" if zh else "created"))]
    lines += [f"  + {name}" for name in change.added]
    lines += [f"  ~ {name}" for name in change.changed]
    if item.backup:
        lines.append(("  备份：" if zh else "  former content: ") + str(item.backup))
    if change.readable:
        lines.append(
            f"  注意：其他用户可以读取此文件，其中有你的密钥。可运行：chmod 600 {change.path}"
            if zh
            else f"  Others on this machine can read this file, and it holds your key: chmod 600 {change.path}"
        )
    return "\n".join(lines)
