"""Fuzz what rekall takes in: `python tests/fuzz/run.py --inputs 1000000`, or one target by name.

With atheris (installed by `make fuzz` where it can be) inputs are grown by what they reach; without it, they are mutations of the
seeds, the same in every run. Each target runs in a process of its own. Whatever makes one raise is printed, kept in
build/fuzz, and makes the run fail; mended, it becomes a seed in targets.py.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
FOUND = Path("build", "fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="all, if none is named")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets together")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--how", choices=("atheris", "mutations"), default=_best())
    options = parser.parse_args()
    FOUND.mkdir(parents=True, exist_ok=True)
    if options.inside:
        run = _with_atheris if options.how == "atheris" else _with_mutations
        run(options.inside, options.inputs)
        return 0
    return _all(options.targets, options.inputs, options.how)


def _best() -> str:
    try:
        import atheris  # noqa: F401
    except ImportError:
        return "mutations"
    return "atheris"


def _all(names: list[str], inputs: int, how: str) -> int:
    from targets import TARGETS

    chosen = {name: TARGETS[name] for name in names or TARGETS}
    shares = sum(target.share for target in chosen.values())
    failed, done = [], 0
    print(f"{'target':<12}{'inputs':>10}{'seconds':>10}  {how}")
    for name, target in chosen.items():
        count, start = max(1, inputs * target.share // shares), time.monotonic()
        command = [sys.executable, __file__, "--inside", name, "--inputs", str(count), "--how", how]
        ran = subprocess.run(command, capture_output=True, text=True)
        print(
            f"{name:<12}{count:>10}{time.monotonic() - start:>10.0f}  {'ok' if not ran.returncode else 'FAILED'}",
            flush=True,
        )
        done += count
        if ran.returncode:
            failed.append(name)
            print(re.sub(r"(?m)^(#\d|INFO:|NEW|\s*NEW_FUNC).*\n", "", ran.stdout + ran.stderr)[-4000:])
    print(f"{'in all':<12}{done:>10}{'':>10}  {', '.join(failed) or 'no crash'}")
    return 1 if failed else 0


def _with_mutations(name: str, inputs: int) -> None:
    from mutate import mutated
    from targets import TARGETS

    seeds = TARGETS[name].seeds()
    for number in range(-len(seeds), inputs):
        data = seeds[number] if number < 0 else mutated(seeds, number)
        try:
            TARGETS[name].run(data)
        except BaseException:
            path = FOUND / f"{name}-{number}"
            path.write_bytes(data)
            traceback.print_exc()
            print(f"kept: {path}", file=sys.stderr)
            sys.exit(1)


def _with_atheris(name: str, inputs: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["rekall"]):
        from targets import TARGETS
    target = TARGETS[name]
    with TemporaryDirectory() as corpus:
        seeds = target.seeds()
        for number, seed in enumerate(seeds):
            Path(corpus, f"seed{number}").write_bytes(seed)
        longest = max(4096, *map(len, seeds))
        flags = [
            f"-runs={inputs}",
            f"-max_len={longest}",
            "-seed=1",
            "-timeout=60",
            f"-artifact_prefix={FOUND}/{name}-",
        ]
        atheris.Setup([sys.argv[0], *flags, corpus], target.run)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
