"""The commands that look after things: index, stats, config, init, help."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any  # JSON values

from rekall.commands.room import Room
from rekall.config import SETTINGS, Config, parsed, setting_named, write_setting
from rekall.errors import ERROR, RekallError, UsageError
from rekall.language import _
from rekall.manual import help_text
from rekall.memory import process_memory
from rekall.protocol import Request, Response
from rekall.render import plain
from rekall.shellinit import script, vim_script

if TYPE_CHECKING:
    from rekall.verify import Finding


def index_(room: Room, request: Request, response: Response) -> None:
    """Rebuild, report on or verify the words and the vectors."""
    action = {"rebuild": _rebuild, "status": _status, "verify": _verify}[request.options.action]
    action(room, request, response)


def _rebuild(room: Room, request: Request, response: Response) -> None:
    from rekall.commands.move import embed_all
    from rekall.verify import rebuild

    if room.exists:
        rebuild(room.writing(), room.config.text("embeddings.model"), reads_again=request.options.embed)
        if request.options.embed:
            room.service.embed_anew()
            embed_all(room, request, response)
    _status(room, request, response)


def _index_facts(room: Room) -> dict[str, Any]:
    from rekall.verify import vec_state

    database, model = room.reading(), room.config.text("embeddings.model")
    return {
        "entries": database.count(),
        "vectors": database.count_vectors(model),
        "pending": database.count_pending(model),
        "model": model,
        "embeddings_vec": vec_state(database),
        "fingerprints": database.count_fingerprints(),
        "fingerprints_pending": database.count_unread(),
        "backend": room.config.text("performance.vector_backend"),
        "revision": database.revision(),
        "base": str(room.base.path),
    }


def _status(room: Room, request: Request, response: Response) -> None:
    write_facts(response, _index_facts(room), request.options.json)


def write_facts(response: Response, facts: dict[str, Any], as_json: bool) -> None:
    """Write facts as one JSON object, or a line each."""
    if as_json:
        response.json(facts)
        return
    width = max(map(len, facts)) + 1
    for name, value in facts.items():
        text = ", ".join(f"{key} {count}" for key, count in value.items()) if isinstance(value, dict) else value
        response.data(plain(f"{name + ':':<{width}} {text}").rstrip())


def _verify(room: Room, request: Request, response: Response) -> None:
    findings, facts = _findings(room)
    if findings and request.options.repair:
        _repair(room, request, response, findings)
        findings, facts = _findings(room)
    if findings:
        response.status = ERROR
    if request.options.json:
        named = [{"check": finding.check, "detail": finding.detail} for finding in findings]
        names = ("entries", "vectors", "pending", "fingerprints", "fingerprints_pending", "embeddings_vec")
        counts = {name: facts.get(name) for name in names}
        response.json({"in_step": not findings, "findings": named, **counts})
        return
    for finding in findings:
        response.data(plain(f"{finding.check}: {finding.detail}"))
    if not findings:
        response.data(
            _("in step: {entries} entries, {vectors} vectors, {pending} waiting to be embedded").format(**facts)
        )


def _findings(room: Room) -> tuple[list[Finding], dict[str, Any]]:
    """Return what is wrong with the base, and its facts as far as they can be read."""
    from rekall.base_file import way_back
    from rekall.verify import Finding, verify, verify_copy

    try:
        database = room.reading()
        findings = verify_copy(room.base.path) if database.is_read_only else verify(database)
        if any(finding.check == "file" for finding in findings):
            findings.append(Finding("file", way_back(room.base.path)))
        return findings, _index_facts(room)
    except Exception as error:  # a damaged file may fail anywhere; that is a finding
        if isinstance(error, RekallError) and "busy" in str(error.__cause__ or "").lower() + str(error):
            raise
        back = way_back(room.base.path)
        said = " ".join(str(error).split())
        return [Finding("file", said), *([] if back in said else [Finding("file", back)])], {}


def _repair(room: Room, request: Request, response: Response, findings: list[Finding]) -> None:
    from rekall.repair import repair

    for finding in findings:
        response.note(f"{finding.check}: {finding.detail}")
    room.let_go()
    done = repair(room.base.path, room.config.text("embeddings.model"))
    if done.backup:
        response.note(_("a backup was made first: {path}").format(path=done.backup))
    if done.aside:
        note = _("{count} entries could be read and were saved; the damaged base was set aside: {path}")
        response.note(note.format(count=done.saved, path=done.aside))
    room.rotate_backups()


def stats_(room: Room, request: Request, response: Response) -> None:
    """Say what is in the base, or with --memory what is held in memory. Loads no model."""
    if request.options.memory:
        facts = _memory_facts(room)
        if request.options.json:
            response.json(facts)
        else:
            write_facts(response, _memory_for_people(facts), as_json=False)
        return
    database = room.reading()
    facts = _index_facts(room)
    facts.update(
        bytes=room.base.path.stat().st_size if room.exists else 0,
        types=database.counts_by("type"),
        statuses=database.counts_by("status"),
        projects=database.counts_by("project"),
        tags=dict(list(database.counts_by("tag").items())[:20]),
        links=database.count_links(),
    )
    write_facts(response, facts, request.options.json)


def _memory_facts(room: Room) -> dict[str, Any]:
    """Return what this process, the model's and the vectors take. Sizes in bytes. Loads nothing."""
    household = room.household
    models, resident = household.models_if_any, household.resident_if_any
    index = resident.stats() if resident else {}
    worker = models.model.pid if models and models.model else None
    return {
        "server": f"running (pid {os.getpid()})" if household.is_warm else "not running",
        **{f"process_{name}": size for name, size in process_memory().items()},
        **{f"worker_{name}": size for name, size in (process_memory(worker) if worker else {}).items()},
        "vectors": index.get("bytes", 0),
        "copies": index.get("copies_bytes", 0),
        "vectors_stored": room.reading().vector_bytes(room.config.text("embeddings.model")),
        "cached_vectors": len(household.cache),
        "cache_max_size": int(room.config.number("performance.cache_max_size")),
        "model": room.config.text("embeddings.model"),
        "model_state": models.state if models else "not loaded",
        "model_unused_seconds": round(models.idle_seconds, 1) if models and models.is_loaded else None,
        "model_idle_timeout_minutes": room.config.number("performance.model_idle_timeout_minutes"),
    }


def _memory_for_people(facts: dict[str, Any]) -> dict[str, str]:
    """Return the same as a few lines to read, in MB."""
    states = {"loaded": _("loaded"), "loading": _("loading"), "not loaded": _("not loaded")}
    model = f"{facts['model']}, {states[facts['model_state']]}"
    if facts["model_unused_seconds"] is not None:
        model += _(", last used {seconds:.0f} s ago").format(seconds=facts["model_unused_seconds"])
    vectors = _("{held} in memory, {copies} of small copies, {stored} in the base").format(
        held=_megabytes(facts["vectors"]),
        copies=_megabytes(facts["copies"]),
        stored=_megabytes(facts["vectors_stored"]),
    )
    return {
        _("server"): facts["server"] if facts["server"] != "not running" else _("not running"),
        _("this process"): _sizes(facts, "process"),
        _("model"): model,
        **({_("its process"): _sizes(facts, "worker")} if "worker_rss" in facts else {}),
        _("it goes after"): _("{minutes:g} minutes without a question").format(
            minutes=facts["model_idle_timeout_minutes"]
        ),
        _("vectors"): vectors,
        _("cache"): _("{held} of {most} query vectors").format(
            held=facts["cached_vectors"], most=facts["cache_max_size"]
        ),
    }


def _sizes(facts: dict[str, Any], process: str) -> str:
    """Return what a process holds; PSS shares out what several have in common."""
    names = (("pss", "PSS"), ("rss", "RSS"), ("peak", _("at most")))
    return ", ".join(
        f"{word} {_megabytes(facts[key])}" for name, word in names if (key := f"{process}_{name}") in facts
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def config_(room: Room, request: Request, response: Response) -> None:
    """Read and change settings."""
    options, config = request.options, room.config
    if options.action == "path":
        response.data(str(config.path))
    elif options.action == "list":
        for setting in SETTINGS:
            response.data(f"{setting.key} = {_shown(config, setting.key)}")
    elif options.key is None or (options.action == "set" and options.value is None):
        raise UsageError(_("write: rekall config get KEY, or rekall config set KEY VALUE"))
    elif options.action == "get":
        response.data(_shown(config, setting_named(options.key).key))
    else:
        setting = setting_named(options.key)
        write_setting(config.path, setting, parsed(setting, options.value))


def _shown(config: Config, key: str) -> str:
    value = config[key]
    return f"{value:g}" if isinstance(value, float) else str(value)


def init_(room: Room, request: Request, response: Response) -> None:
    """Print what a shell or Vim runs when it starts."""
    options = request.options
    given = {
        "REKALL_KEY": options.key,
        "REKALL_NO_BIND": "1" if options.no_bind else None,
        "REKALL_NO_COMPLETION": "1" if options.no_completion else None,
    }
    variables = {name: value for name, value in given.items() if value is not None}
    if options.shell == "vim" and variables:
        raise UsageError(_("--key, --no-bind and --no-completion are for shells; write: rekall init vim"))
    if not (options.key or "").isascii():
        raise UsageError(_("the key {key!r} is not ASCII; write it as alt-k or ctrl-g").format(key=options.key))
    response.raw(vim_script() if options.shell == "vim" else script(options.shell, variables))


def help_(room: Room, request: Request, response: Response) -> None:
    """Explain a command or a topic, or list them all."""
    response.data(help_text(request.options.topic, request.terminal.width, request.terminal.colour))
