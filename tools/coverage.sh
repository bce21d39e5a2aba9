#!/bin/sh
# Which lines of brainstorm/ and of csrc/ the tests run; needs the programs of .venv on the PATH.
# What runs in child processes counts for csrc/ alone, and kernels only for the instruction sets of
# this machine: all sets are made of the same lines.
set -e
build=$PWD/build/coverage
package=$build/package

cmake --preset coverage -DPython_EXECUTABLE="$(command -v python)" >/dev/null
cmake --build --preset coverage -j 2
rm -rf "$package"
mkdir "$package"
cp -r brainstorm "$package"
cmake --install "$build" --prefix "$package" >/dev/null

find "$build" -name '*.gcda' -delete
ctest --preset coverage
export COVERAGE_FILE="$build/lines" PYTHONPATH="$package"
# Tests limit the size of files in a child: all counters must be on the disk before, and what gcov
# says about it must not be taken for the child's own words.
(cd "$package" && python -c 'import brainstorm')
export GCOV_ERROR_FILE="$build/gcov.log"
coverage run --source="$package/brainstorm" "$(command -v pytest)" && passed=yes || passed=no

(cd "$package" && coverage report --show-missing --skip-covered)
# Threads that count at once may lose counts, even below 0, and some lines run billions of times;
# which lines have run stays right.
gcovr --root csrc --merge-lines --gcov-ignore-parse-errors=negative_hits.warn_once_per_file \
    --gcov-ignore-parse-errors=suspicious_hits.warn_once_per_file \
    --sort uncovered-number --txt - "$build"
[ $passed = yes ]
