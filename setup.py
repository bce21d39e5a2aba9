"""The other door to the build: ``python setup.py build_ext --inplace`` puts the engine beside the
package's sources."""

from scikit_build_core.setuptools.wrapper import setup
from setuptools import find_packages

setup(cmake_source_dir=".", packages=find_packages(include=["brainstorm*"]))
