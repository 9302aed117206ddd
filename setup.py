"""What pyproject.toml cannot say about the build: what is compiled, and what takes its place where nothing can be.

The kernel: where there is no compiler, or it fails, the installation goes on without it and NumPy searches
(`optional`). No -march: the kernel looks at the CPU when it runs. -ffp-contract=off keeps the scalar path's
sums as written.

The command `rekall`: an executable among the scripts, so that pip puts it into the environment's bin like any
script. Where it cannot be compiled a Python script has its name and does the same, only slower.
"""

import os
import re
import runpy
import sys
import sysconfig
from pathlib import Path

if sys.platform == "win32":
    sys.exit("rekall needs Linux or macOS: on Windows install it inside WSL (docs/platforms.md)")


# isort: split
from Cython.Build import cythonize
from setuptools import Extension, setup

# isort: split
# setuptools brings these along, also where Python itself has them no more, and must be imported first.
from distutils.ccompiler import new_compiler
from distutils.command.build_scripts import build_scripts
from distutils.errors import CCompilerError, DistutilsError
from distutils.sysconfig import customize_compiler

CLIENT = [f"ext/{name}.c" for name in ("client", "init", "complete", "fzf", "hello", "talk", "place", "start", "tty")]

# pip writes the interpreter's path into a first line that is exactly this.
PYTHON_SCRIPT = """#!python
import sys

from rekall.cli import main

sys.exit(main())
"""


class build_command(build_scripts):
    """Put `rekall` among the scripts; distutils would take the executable for Python text."""

    def get_source_files(self):
        return [*CLIENT, "ext/client.h", "ext/embed.py", "ext/grammar.py", "ext/manpage.py"]

    def run(self):
        self.mkpath(self.build_dir)
        command = Path(self.build_dir, "rekall")
        command.unlink(missing_ok=True)
        try:
            self._link(command)
        except (CCompilerError, DistutilsError, OSError) as error:
            self.warn(f"the command rekall is not compiled ({error}); a slower Python script takes its place")
            command.write_text(PYTHON_SCRIPT)
        command.chmod(0o755)

    def _link(self, command):
        compiler = new_compiler()
        customize_compiler(compiler)
        build = os.path.join(self.get_finalized_command("build").build_temp, "command")
        scripts, fzf, grammar = (
            os.path.join(build, f"{name}.h") for name in ("shell_scripts", "fzf_script", "grammar_table")
        )
        embed = runpy.run_path("ext/embed.py")
        embed["write"](scripts)
        embed["write_fzf"](fzf)
        runpy.run_path("ext/grammar.py")["write"](grammar)
        version = re.search(r'^__version__ = "(.+)"$', Path("rekall/__init__.py").read_text(), re.MULTILINE)[1]
        objects = compiler.compile(
            CLIENT,
            output_dir=build,
            macros=[("REKALL_VERSION", f'"{version}"')],
            include_dirs=[build],
            depends=["ext/client.h", scripts, fzf, grammar],
            extra_postargs=["-std=c11", "-O2"],
        )
        strip = ["-s"] if sys.platform == "linux" else []
        compiler.link_executable(objects, command.name, output_dir=str(command.parent), extra_postargs=strip)


# One binary for every Python from 3.11 on; a free-threaded one has no stable ABI, and gets a binary of its own.
is_stable = not sysconfig.get_config_var("Py_GIL_DISABLED")
flags = ["-O3", "-ffp-contract=off", *os.environ.get("REKALL_CFLAGS", "").split()]
kernel = Extension(
    "rekall._topk",
    ["ext/_topk.pyx", "ext/topk.c"],
    include_dirs=["ext"],
    depends=["ext/topk.h"],
    extra_compile_args=flags,
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if is_stable else [],
    py_limited_api=is_stable,
)
extensions = cythonize([kernel], build_dir="build/cython")
for extension in extensions:
    extension.optional = True  # cythonize does not pass it on
setup(
    ext_modules=extensions,
    data_files=runpy.run_path("ext/manpage.py")["write"]("build/man"),
    scripts=CLIENT,  # build_command decides what they become
    cmdclass={"build_scripts": build_command},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if is_stable else {},
)
