# shellcheck shell=bash
# Shared by the programs in scripts/. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv="$root/.venv"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "$(basename "$0"): $*"
  exit 1
}

# Runs a command and shows its output only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    die "this command failed: $*"
  fi
  rm -f "$log"
}

# Where an nvcc of version 13.0 or later is, or nothing: older ones lack what the kernels use.
find_nvcc() {
  local candidate major
  for candidate in "${CUDACXX:-}" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      major=$("$candidate" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
      if [ "${major:-0}" -ge 13 ]; then
        printf '%s\n' "$candidate"
        return
      fi
    fi
  done
}

# The preset that this machine can build in full: `emulated` with nvcc, else `cpu`.
choose_preset() {
  if [ -n "${VELUM_PRESET:-}" ]; then
    case "$VELUM_PRESET" in
      cpu | cpu-asan | cuda | emulated) printf '%s\n' "$VELUM_PRESET" ;;
      *) die "VELUM_PRESET=$VELUM_PRESET: expected cpu, cpu-asan, cuda or emulated" ;;
    esac
  elif [ -n "$(find_nvcc)" ]; then
    printf 'emulated\n'
  else
    printf 'cpu\n'
  fi
}

# As many compilers as cores, but no more than memory allows: a torch source needs about 2 GiB.
choose_jobs() {
  local cores gib
  cores=$(nproc)
  gib=$(awk '/^MemAvailable/ {print int($2 / 1048576 / 2)}' /proc/meminfo 2>/dev/null || echo "$cores")
  [ "$gib" -ge 1 ] || gib=1
  printf '%s\n' "$((cores < gib ? cores : gib))"
}

# Configures if needed and builds the chosen preset; arguments go to cmake --build.
build() {
  local preset nvcc
  preset=$(choose_preset)
  nvcc=$(find_nvcc)
  [ -z "$nvcc" ] || export CUDACXX="$nvcc"
  export PATH="$venv/bin:$PATH"
  (
    cd "$root"
    if ! cmake --preset "$preset" >"$root/build/configure-$preset.log" 2>&1; then
      cat "$root/build/configure-$preset.log" >&2
      die "cmake could not configure the preset '$preset'"
    fi
    cmake --build --preset "$preset" --parallel "${jobs:-$(choose_jobs)}" "$@"
  )
}
