#!/usr/bin/env bash
# Builds the program as a Python wheel, statically linked, and tries it as a user would: in a fresh virtual environment, without Rust, in an
# empty folder.   bash ci/wheel.sh [DIST]       (DIST: where the wheel goes, by default dist)
#
# Needs python3 with venv and pip, and rustup for the target's std (x86_64-unknown-linux-musl, or aarch64's on such a machine). The wheel runs on
# any Linux of that architecture, with glibc or musl: nothing is loaded at run time, so --kernel-library is refused in it (exit 5).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p "${1:-dist}"
dist=$(cd "${1:-dist}" && pwd)
target=$(uname -m)-unknown-linux-musl
[ -d "$(rustc --print target-libdir --target "$target")" ] || rustup target add "$target"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/build"
"$scratch/build/bin/pip" install --quiet 'maturin>=1.16,<2'

# Built by cargo first: its manual pages go into the wheel, which maturin makes of the same build.
program=$(bash ci/program.sh --locked --release --target "$target")
if LC_ALL=C ldd "$program" 2>&1 | grep '=>' >&2; then
    echo "$program is not linked statically" >&2
    exit 1
fi
built=${program%/"$target"/release/*}

# The package as maturin finds it, with a data folder beside it: manual pages and completions where systems look for them.
mkdir "$scratch/package"
cp README.md LICENSE-* rust-toolchain.toml "$scratch/package"
sed "s|^manifest-path = \"|&$PWD/|" pyproject.toml >"$scratch/package/pyproject.toml"
echo 'data = "tritbench.data"' >>"$scratch/package/pyproject.toml"
share=$scratch/package/tritbench.data/data/share
mkdir -p "$share"/{man/man1,bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
"$program" man "$share/man/man1"
"$program" completions bash >"$share/bash-completion/completions/tritbench"
"$program" completions zsh >"$share/zsh/site-functions/_tritbench"
"$program" completions fish >"$share/fish/vendor_completions.d/tritbench.fish"

rm -f "$dist"/tritbench-*.whl
(cd "$scratch/package" && CARGO_TARGET_DIR=$built "$scratch/build/bin/maturin" build --release --target "$target" \
    --compatibility manylinux_2_17 musllinux_1_2 --auditwheel check --out "$dist")
wheel=$(echo "$dist"/tritbench-*.whl)
case $wheel in
    *manylinux_2_17*musllinux_1_2*) ;;
    *) echo "$wheel has not both tags" >&2; exit 1 ;;
esac
ls -l "$wheel"

echo "as a user: no Rust on PATH, an empty folder, nothing of this checkout"
python3 -m venv "$scratch/user"
"$scratch/user/bin/pip" install --quiet --no-index "$wheel"
mkdir "$scratch/empty"
user() { (cd "$scratch/empty" && env -i HOME="$scratch/empty" PATH="$scratch/user/bin:/usr/bin:/bin" "$@"); }
if user sh -c 'command -v cargo rustc'; then
    echo "Rust is on PATH" >&2
    exit 1
fi
user tritbench --version
user tritbench compare --quick
user sh -c 'tritbench receipt verify tritbench-runs/*'
user sh -c 'tritbench report tritbench-runs && test -f tritbench-runs/index.html'
[ -f "$scratch/user/share/man/man1/tritbench-compare.1" ] || { echo "the wheel has no manual pages" >&2; exit 1; }
echo "one line installs, one runs, one verifies: $wheel"
