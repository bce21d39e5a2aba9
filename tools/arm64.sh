#!/bin/sh
# The engine for arm64 on a machine of another kind: built by a cross compiler, run by qemu. First
# the C tests, then tests in Python, whose interpreter for arm64 is unpacked from Debian's packages.
# arm64.sh [ARGUMENT OF PYTEST]...
set -e
build=$PWD/build/arm64
apt=$build/apt root=$build/root site=$build/site package=$build/package
need() {
    command -v "$1" >/dev/null ||
        { echo "make check-arm64 needs $1 (Debian: apt-get install $2)" >&2; exit 1; }
}
need aarch64-linux-gnu-gcc 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross'
need qemu-aarch64 qemu-user

cmake --preset arm64 -DBS_PYTHON=OFF >/dev/null
cmake --build --preset arm64 -j 2
ctest --preset arm64

# ---- Python: all packages that it needs, as if nothing was installed ----

python=$root/usr/bin/python
if [ ! -x "$python" ]; then
    command -v apt-get >/dev/null || { echo 'no apt-get here: no tests in Python'; exit 0; }
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$root"
    : >"$apt/status"
    get() {
        apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
            -o APT::Sandbox::User=root -o Debug::NoLocking=1 \
            -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" "$@"
    }
    get update
    get install --download-only --no-install-recommends -y python3 libpython3-dev libstdc++6
    for deb in "$apt"/archives/*.deb; do dpkg -x "$deb" "$root"; done
    # Python.h asks for a header in a folder of this name, which a native compiler would find.
    for include in "$root"/usr/include/python3.*; do ln -sfn ../aarch64-linux-gnu "$include/"; done
    # A processor without SME: with it, OpenBLAS 0.3.34 errs in qemu 7.2, also on its own.
    printf '#!/bin/sh\nexec qemu-aarch64 -cpu cortex-a72 -L "%s" -0 "$0" "%s" "$@"\n' \
        "$root" "$(readlink -f "$root/usr/bin/python3")" >"$python"
    chmod +x "$python"
fi
version=$("$python" -c 'import sysconfig; print(sysconfig.get_python_version())')
[ -d "$site" ] || pip install -q --target "$site" --only-binary :all: --implementation cp \
    --python-version "$version" --platform manylinux_2_28_aarch64 \
    'numpy>=2' h5py tqdm pytest scipy-openblas32

export PYTHONPATH="$package:$site"
cmake --preset arm64 -DBS_PYTHON=ON -DPython_EXECUTABLE="$python" \
    -DPython_INCLUDE_DIR="$root/usr/include/python$version" \
    -DPython_NumPy_INCLUDE_DIR="$site/numpy/_core/include" >/dev/null
cmake --build --preset arm64 -j 2
rm -rf "$package"
mkdir "$package"
cp -r brainstorm "$package"
cmake --install "$build" --prefix "$package" >/dev/null

[ $# -gt 0 ] || set -- tests/test_operations.py tests/test_layer_laws.py tests/test_network.py
"$python" "$site/bin/pytest" -p no:cacheprovider "$@"
