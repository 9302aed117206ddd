"""What pyproject.toml cannot say about the build: the kernel is compiled where there is a compiler.

Where there is none, or it fails, the installation goes on without it and NumPy searches (`optional`).
No -march: the kernel looks at the CPU when it runs. -ffp-contract=off keeps the scalar path's sums as written.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["-O3", "-ffp-contract=off", *os.environ.get("REKALL_CFLAGS", "").split()]
kernel = Extension(
    "rekall._topk",
    ["ext/_topk.pyx", "ext/topk.c"],
    include_dirs=["ext"],
    depends=["ext/topk.h"],
    extra_compile_args=flags,
    optional=True,
)
setup(ext_modules=cythonize([kernel], build_dir="build/cython"))
