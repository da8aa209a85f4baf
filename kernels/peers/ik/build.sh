#!/usr/bin/env bash
# TRITBENCH_IK=FOLDER kernels/peers/ik/build.sh [LIBRARY]
#
# Builds libtritbench-ik.so (or LIBRARY) against the ik_llama.cpp built, with shared libraries, in FOLDER/build.
# TRITBENCH_IK_VERSION says which version FOLDER is where it is no git checkout.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
library=${1:-$here/libtritbench-ik.so}
ik=$(cd "${TRITBENCH_IK:?is the folder of a built ik_llama.cpp}" && pwd)
for ggml in "$ik"/build/{ggml/src,bin,src}/libggml.so missing; do
    [ ! -e "$ggml" ] || break
done
if [ "$ggml" = missing ]; then
    echo "no libggml.so in $ik/build: build it first (kernels/peers/README.md)" >&2
    exit 1
fi

# A parent folder's repository must not lend its commit to a folder that is none.
version=${TRITBENCH_IK_VERSION:-}
if [ -z "$version" ] && [ -e "$ik/.git" ]; then
    version=$(git -C "$ik" describe --always --dirty --abbrev=12)
fi
version="ik_llama.cpp ${version:-of unknown version}, libggml.so sha256 $(sha256sum "$ggml" | cut -c1-12), MIT"

# The compiler as the library itself names it; its flags as they were configured.
compiler=$(readelf -p .comment "$ggml" | sed -n 's/^ *\[ *[0-9a-f]*\] *//p' | sort -u | paste -sd ';')
flags=$(sed -nE 's/^(CMAKE_BUILD_TYPE|CMAKE_CXX_FLAGS|CMAKE_CXX_FLAGS_RELEASE|GGML_NATIVE):[A-Z]*=(.+)/\1=\2/p' \
    "$ik/build/CMakeCache.txt" | paste -sd ' ')
case $flags in
*CMAKE_BUILD_TYPE=Release*) ;;
*) echo "warning: $ik/build is no Release build ($flags)" >&2 ;;
esac

# Only what is not timed is compiled here, and `prepare`, which copies: no instruction beyond the base set.
"${CC:-cc}" -std=gnu11 -O3 -Wall -Wextra -fPIC -shared -fvisibility=hidden \
    -I"$here/../../include" -isystem "$ik/ggml/include" -isystem "$ik/ggml/src/iqk" \
    "-DIK_ORIGIN=\"$version\"" "-DIK_COMPILER=\"$compiler, $flags\"" \
    -o "$library" "$here/shim.c" "$ggml" -Wl,-rpath,"$(dirname "$ggml")" -Wl,-z,defs
echo "$library"
