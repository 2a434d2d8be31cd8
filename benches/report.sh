# Writing what was measured into docs/PERFORMANCE.md. Read by scripts/bench.

report=docs/PERFORMANCE.md

# Below each part, because parts may come from different runs.
show_machine() {
  local commit changed=""
  commit=$(git rev-parse --short=12 HEAD)
  git diff --quiet HEAD -- src benches scripts Cargo.lock Cargo.toml migrations || changed=" with uncommitted changes"
  cat <<MACHINE
*Commit \`$commit\`$changed, $(date -u +%Y-%m-%d), \`scripts/bench\` with $rounds rounds and $seconds s of load; $(nproc) cores of $(awk -F ': ' '/^model name/{print $2; exit}' /proc/cpuinfo), Linux $(uname -r), PostgreSQL
$postgres_version as it comes, Mosquitto $(mosquitto_version), $(rustc --version | cut -d' ' -f1,2). Load average at the start $load.*

MACHINE
}
mosquitto_version() { "$(command -v mosquitto || echo /usr/sbin/mosquitto)" -h 2>/dev/null | awk 'NR == 1 {print $3}'; }

# Replaces a section's part of the report, which stands between two marks.
write_report() {
  local begin="<!-- begin of what scripts/bench $1 writes -->" end="<!-- end of what scripts/bench $1 writes -->"
  awk -v begin="$begin" -v end="$end" -v part="$2" '
    $0 == begin {print; print ""; while ((getline line <part) > 0) print line; skip = 1}
    $0 == end {skip = 0}
    !skip' "$report" >"$folder/report.md"
  if ! grep -qF -- "$end" "$folder/report.md"; then
    echo "$report lacks the marks between which the figures of $1 go" >&2
    exit 1
  fi
  cat "$folder/report.md" >"$report"
}
