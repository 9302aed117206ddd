"""The commands about the warm process itself: server, doctor. They run in the caller's own process."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # JSON values

from rekall import __version__, client, places
from rekall.commands.room import Room
from rekall.commands.safety import doctor_secrets, open_to_others
from rekall.commands.tend import write_facts
from rekall.config import DEFAULT_MODEL, Config
from rekall.errors import ERROR, NOTHING_FOUND, RekallError
from rekall.language import _
from rekall.protocol import Request, Response
from rekall.render import plain


def server_(room: Room, request: Request, response: Response) -> None:
    """Say how the warm process is, stop it, or start it anew. (`server run` is the door's: it is the process.)"""
    base, env, action = room.base.path, request.env, request.options.action
    if action == "status":
        facts = status_of(base, request)
        if not facts["running"]:
            response.status = NOTHING_FOUND
        write_facts(response, facts, request.options.json)
        return
    was_there = client.stop(base, env)
    if action == "restart":
        client.start(base, env)
        response.note(_("started"))
    else:
        response.note(_("stopped") if was_there else _("no server ran"))


def status_of(base: Path, request: Request) -> dict[str, Any]:
    """Return what the server of `base` says of itself, or that none runs. Starts none."""
    answer = client.ask(base, ["server", "status", "--json"], request.cwd, request.env, request.terminal)
    if answer and answer.status == 0:
        facts: dict[str, Any] = json.loads(answer.output)
        return facts
    folder = places.socket_folder(base, request.env)
    # Whoever holds the lock and gives no answer is stuck.
    return {"running": False, "stuck": client.is_running(folder), "socket": str(folder / "s")}


def doctor_(room: Room, request: Request, response: Response) -> None:
    """Say what runs, where things are, what is wrong, and what to do about it; or which secrets are stored."""
    if request.options.secrets:
        doctor_secrets(room, request, response)
        return
    facts = {
        "rekall": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "client": _client(),
        **_server_facts(room.base.path, request),
        **_base_facts(room),
        **_model_facts(room),
        **_kernel_facts(),
        "config": str(room.config.path) + ("" if room.config.path.exists() else _(" (not there: the defaults hold)")),
    }
    wrong = list(_wrong(room, request, facts))
    if wrong:
        response.status = ERROR
    if request.options.json:
        response.json({**facts, "wrong": wrong})
        return
    write_facts(response, facts, False)
    for line in wrong:
        response.data(plain(_("wrong: {what}").format(what=line)))
    if not wrong:
        response.data(_("nothing is wrong"))


def _client() -> str:
    """Say what answers to the name `rekall`: the compiled client, or Python."""
    path = Path(sys.argv[0]).with_name("rekall")
    if not path.exists():
        found = shutil.which("rekall")
        if not found:
            return _("not on PATH")
        path = Path(found)
    with path.open("rb") as file:
        kind = "Python" if file.read(2) == b"#!" else "C"
    return f"{kind} ({path})"


def _server_facts(base: Path, request: Request) -> dict[str, Any]:
    facts = status_of(base, request)
    if not facts["running"]:
        state = "does not answer" if facts["stuck"] else "not running"
        return {"server": state, "socket": facts["socket"]}
    return {
        "server": f"running (pid {facts['pid']}, version {facts['version']}, {facts['requests']} requests)",
        "socket": facts["socket"],
        "model_state": facts["model_state"],
    }


def _base_facts(room: Room) -> dict[str, Any]:
    from rekall.db import library_facts

    facts: dict[str, Any] = {"base": f"{room.base.path} ({room.base.origin})", "sqlite": library_facts()}
    if not room.exists:
        return {**facts, "entries": _("none yet: the base is made by the first add")}
    try:
        database, model = room.reading(), room.config.text("embeddings.model")
        return {**facts, "entries": database.count(), "pending": database.count_pending(model)}
    except RekallError:
        return {**facts, "entries": "?"}


def _model_facts(room: Room) -> dict[str, Any]:
    return {"model": room.config.text("embeddings.model"), "backend": room.config.text("performance.vector_backend")}


def _kernel_facts() -> dict[str, Any]:
    from rekall.kernel import kernel_is_there, path_name

    return {"kernel": path_name(os.environ.get("REKALL_KERNEL")) if kernel_is_there() else _("not compiled: NumPy")}


def _wrong(room: Room, request: Request, facts: dict[str, Any]) -> Iterator[str]:
    """Yield what hinders, each with the next step."""
    folder = places.socket_folder(room.base.path, request.env)
    try:
        os.close(places.secure_folder(folder))
    except RekallError as error:
        yield str(error)
    try:
        Config.load(room.config.path)
    except RekallError as error:
        yield str(error)
    if facts["server"] == "does not answer":
        yield _("a server holds {path} and does not answer; run: rekall server stop").format(path=folder)
    try:
        if room.exists or room.base.path.is_symlink():
            room.reading()
    except RekallError as error:
        yield str(error)
    yield from open_to_others(room, request)
    if facts["model"] == DEFAULT_MODEL:
        from rekall.engine import missing_files

        for name in missing_files():
            yield _("the model's file {name} is missing; install rekall again").format(name=name)
