# What tools/run and tools/test share: which Debian packages are needed, installing them, building. To be sourced.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=${LOOM_JOBS:-2}

# shellcheck disable=SC2034  # used by those who source this
build_packages=(gcc libc6-dev cmake ninja-build pkg-config
    libzmq3-dev libczmq-dev libmsgpack-dev libpng-dev zlib1g-dev libhdf5-dev libyaml-dev librandom123-dev libxxhash-dev
    libfreetype-dev fonts-dejavu-core libjansson-dev libwebsockets-dev)
# shellcheck disable=SC2034
test_packages=(libcmocka-dev g++ clang clang-format clang-tidy libclang-rt-14-dev llvm shellcheck hdf5-tools procps
    python3 python3-numpy python3-zmq python3-msgpack python3-h5py python3-pil ffmpeg
    python3-nbclient python3-ipykernel python3-matplotlib python3-tqdm # these four run the notebook
    chromium chromium-driver python3-selenium)                         # these three look at the live page
# shellcheck disable=SC2034
bench_packages=(python3 python3-numpy python3-h5py python3-matplotlib libopenblas0-pthread) # NumPy's own BLAS is slow
# shellcheck disable=SC2034
torch_packages=(python3-torch) # with what it needs 170 packages, 600 MB

# Say what is wrong and end. STATUS MESSAGE...
fail() {
    local status=$1
    shift
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit "$status"
}

# The packages of a list that are not installed, one a line. PACKAGE...
missing_packages() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

# Install what is missing of a list; does nothing, and needs no rights, if all is there. PACKAGE...
install_missing() {
    local -a missing become=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        fail 69 "this is no Debian: install the equivalents of these packages, then cmake --preset release:" "$@"
    fi
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail 69 "packages are missing; as root, run: apt-get install ${missing[*]}"
        become=(sudo)
    fi
    echo "Installing ${missing[*]}"
    if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || ! apt_install "${missing[@]}"; then
        "${become[@]}" apt-get -qq update
        apt_install "${missing[@]}" || fail 69 "the packages could not be installed: ${missing[*]}"
    fi
}

# PACKAGE...; uses `become` of its caller.
apt_install() {
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
}

# Configure and build a preset. PRESET [OPTION of cmake]...
build() {
    local preset=$1
    shift
    (cd "$root" && cmake --preset "$preset" "$@" -Wno-dev >"$(build_log "$preset")" 2>&1) ||
        { cat "$(build_log "$preset")" >&2 && fail 70 "configuring $preset failed"; }
    cmake --build "$root/build/$preset" -j "$jobs" || fail 70 "building $preset failed"
}

build_log() {
    mkdir -p "$root/build/$1"
    echo "$root/build/$1/configure.log"
}
