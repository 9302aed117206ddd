"""What pyproject.toml cannot say about the build will stand here: the kernel and the client are compiled."""

from setuptools import setup

setup()
