#!/usr/bin/env bash
# TRITBENCH_LITESPARK=FOLDER kernels/peers/litespark/build.sh [LIBRARY]
#
# Compiles the kernels of the litespark-inference source package unpacked in FOLDER, and the shim, into
# libtritbench-litespark.so (or LIBRARY). CXX=clang++ makes them up to 7 times as fast as g++ does.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
library=${1:-$here/libtritbench-litespark.so}
package=$(cd "${TRITBENCH_LITESPARK:?is the folder of an unpacked litespark-inference}" && pwd)
sources=$package/litespark_inference/kernels/x86_64
cxx=${CXX:-c++}

# The flags of its own setup.py, but for OpenMP: tritbench shares out the rows itself.
avx2="-O3 -std=c++17 -mavx2 -mfma"
avx512="-O3 -std=c++17 -mavx512f -mavx512bw -mavx512dq -mavx512vnni -mavx512vbmi -mfma"
version=$(sed -n 's/^Version: //p' "$package/PKG-INFO")
compiler=$("$cxx" --version | head -n 1)

objects=$(mktemp -d)
trap 'rm -r "$objects"' EXIT
"$cxx" $avx2 -w -fPIC -c -o "$objects/avx2.o" "$sources/matmul_lut_avx2_extern_c.cpp"
"$cxx" $avx512 -w -fPIC -c -o "$objects/avx512.o" "$sources/matmul_lut_avx512_extern_c.cpp"
"$cxx" -std=c++17 -O3 -Wall -Wextra -fPIC -c -I"$here/../../include" \
    "-DLITESPARK_ORIGIN=\"litespark-inference $version, Apache-2.0\"" "-DLITESPARK_COMPILER=\"$compiler\"" \
    "-DLITESPARK_AVX2_FLAGS=\"$avx2\"" "-DLITESPARK_AVX512_FLAGS=\"$avx512\"" -o "$objects/shim.o" "$here/shim.cpp"
# Their functions ask to be exported; the list of what is overrules them.
echo '{ global: tb_kernels; local: *; };' >"$objects/exports"
"$cxx" -shared -Wl,-z,defs -Wl,--version-script="$objects/exports" -o "$library" "$objects"/*.o
echo "$library"
