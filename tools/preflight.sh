#!/bin/sh
# Says in one line what the machine lacks: preflight.sh PYTHON
python=$1
fail() { echo "brainstorm: $1" >&2; exit 1; }

command -v "$python" >/dev/null || fail "there is no $python: install Python 3.10 or later (Debian: apt-get install python3)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is older than 3.10: name a later one, as in 'make test PYTHON=python3.12'"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python has no venv module (Debian: apt-get install python3-venv)"
command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
    fail "there is no C compiler (Debian: apt-get install gcc libc6-dev)"
header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
[ -f "$header" ] || fail "the headers of $python are missing (Debian: apt-get install python3-dev)"
