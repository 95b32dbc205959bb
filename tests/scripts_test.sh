#!/usr/bin/env bash
# The programs in scripts/: help, refused arguments, and what a system other than Debian 12 is told.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
  echo "scripts_test: $*" >&2
  exit 1
}

for script in setup test demo lint gpu-check gpu-reports fuzz roofline sass-report; do
  "$root/scripts/$script" --help >"$scratch/help" || fail "$script --help failed"
  grep -q "^usage: scripts/$script" "$scratch/help" || fail "$script --help shows no usage"
done

for script in setup demo lint gpu-check gpu-reports fuzz roofline sass-report; do
  if "$root/scripts/$script" --no-such-argument >"$scratch/out" 2>&1; then
    fail "$script accepted an unknown argument"
  fi
  grep -q -e "--no-such-argument" "$scratch/out" || fail "$script does not name the unknown argument"
done
if "$root/scripts/setup" --jobs none >"$scratch/out" 2>&1; then fail "setup accepted --jobs none"; fi
grep -q -e "--jobs none" "$scratch/out" || fail "setup does not name the bad value"

# The demo fails when the model has learnt too little for its budget.
learnt() { # accuracy, epsilon
  printf '{"epsilon": 2.99, "test_accuracy": %s}\n' "$1" >"$scratch/report.json"
  python3 "$root/scripts/lib/check_accuracy.py" "$scratch/report.json" "$2" >"$scratch/out" 2>&1
}
learnt 90.4 3 || fail "the demo's own accuracy is refused"
learnt 80.0 1 || fail "an accuracy at a small epsilon is judged"
for broken in 87.99 10.0 NaN; do
  if learnt "$broken" 3; then fail "a test accuracy of $broken % looks like success"; fi
  grep -q "expected at least 88 %" "$scratch/out" || fail "not said: $(cat "$scratch/out")"
done

# Another system: nothing is installed, and every need that is missing is listed in plain words. The
# compiler is made to find nothing, so all that is probed with it is missing.
printf 'ID=otherlinux\nVERSION_ID=1\n' >"$scratch/os-release"
if VELUM_OS_RELEASE="$scratch/os-release" CXX=/bin/false "$root/scripts/setup" >"$scratch/out" 2>&1; then
  fail "setup went on without a compiler"
fi
for need in "C++20 compiler" Highway oneTBB "SQLite 3.37" GoogleTest "Google Benchmark" CLI11 nlohmann-json; do
  grep -q -e "^  - .*$need" "$scratch/out" ||
    fail "the list of needs does not name '$need': $(cat "$scratch/out")"
done
if grep -qiE 'traceback|command not found|fatal error' "$scratch/out"; then
  fail "a stack of failures instead of a list: $(cat "$scratch/out")"
fi
echo "scripts_test: passed"
