#!/usr/bin/env bash
# ci/elsewhere.sh [TARGET...]: the program type-checks for systems that no machine here runs, without a warning: macOS on Apple's CPUs and Windows.
# Needs the pinned compiler's std for each (ci/target-std.sh), and dlltool for Windows; where they cannot be had, it says so and exits 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || set -- aarch64-apple-darwin x86_64-pc-windows-gnu
skipped=
for target in "$@"; do
    case $target in
        *-windows-gnu)
            if ! command -v x86_64-w64-mingw32-dlltool >/dev/null; then
                if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
                    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends binutils-mingw-w64-x86-64
                fi || true
            fi
            if ! command -v x86_64-w64-mingw32-dlltool >/dev/null; then
                echo "skipped: $target needs dlltool; install binutils-mingw-w64-x86-64 (Debian's name)" >&2
                skipped=3
                continue
            fi
            ;;
    esac
    code=0
    ci/target-std.sh "$target" check || code=$?
    case $code in
        0) ;;
        3) skipped=3 && continue ;;
        *) exit 1 ;;
    esac
    echo "--- $target"
    RUSTFLAGS="-D warnings" cargo check --quiet -p harness --target "$target"
done
[ -z "$skipped" ] || exit "$skipped"
echo "elsewhere: all passed"
