#!/usr/bin/env bash
# ci/gpu.sh: kernels and texts of a GPU on Mesa's software Vulkan (lavapipe): every kernel against the oracle, shaders with and without checks and
# without dot products, windows, planted faults, the built-in model's known answers; what is never timed is refused. Needs no card, measures nothing.
# Debian's mesa-vulkan-drivers and libvulkan1 are installed where apt-get and root allow it; else it says so and exits 3.
set -euo pipefail
cd "$(dirname "$0")/.."

drivers() { ls /usr/share/vulkan/icd.d/lvp_icd.*.json 2>/dev/null | head -n 1; }
if [ -z "$(drivers)" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends mesa-vulkan-drivers libvulkan1
    else
        echo "skipped: no software Vulkan here; install mesa-vulkan-drivers and libvulkan1 (Debian's names)" >&2
        exit 3
    fi
fi
VK_DRIVER_FILES=$(drivers)
# Mesa's layer that picks a device looks for a display, and says so on stderr when there is none.
export VK_DRIVER_FILES NODEVICE_SELECT=1 TRITBENCH_NEEDS_GPU=1

# With the whole workspace selected, and an example, which asks for dev-dependencies, only the program is built again where its tests were.
gpu=(--workspace --features harness/gpu)
tests_of() { # FOLDER NAME FILTER...: runs a package's own tests where cargo runs them
    local folder=$1 tests
    tests=$(bash ci/built.sh "$2-[0-9a-f]*" test --no-run "${gpu[@]}" --lib)
    shift 2
    (cd "$folder" && "$tests" "$@")
}
tests_of kernels/gpu kernels_gpu
tests_of harness harness gpu::
cargo test "${gpu[@]}" --test program gpu

program=$(bash ci/built.sh tritbench build "${gpu[@]}" --bin tritbench --example bits)
"$program" list devices
"$program" verify --device gpu

fails() { # CODE WHAT ARGUMENTS...: ends with this code and one line
    local code=0 want=$1 what=$2
    shift 2
    "$@" >/dev/null 2>"$said" || code=$?
    if [ "$code" != "$want" ] || [ "$(grep -c '^error: ' "$said")" != 1 ]; then
        echo "$what: exit $code, not $want:" >&2
        cat "$said" >&2
        exit 1
    fi
    grep '^error: ' "$said"
}
said=$(mktemp)
trap 'rm -f "$said"' EXIT
for command in compare micro limits; do
    fails 5 "a software adapter is timed by $command" "$program" "$command" --device gpu
done
fails 5 "a machine without an adapter" env VK_DRIVER_FILES=/none "$program" verify --device gpu
fails 2 "a number that no adapter has" "$program" verify --device gpu:7

if cargo tree -p harness --prefix none | grep -qE '^(wgpu|naga|kernels-gpu) '; then
    echo "a build without the feature has wgpu in its tree" >&2
    exit 1
fi
echo "gpu: all passed"
