# Figures: one file of lines per measurement, medians and ratios made from them. Read by scripts/bench.

median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
# Columns of the file of one measurement: column NAME N.
column() { awk -v n="$2" '{print $n}' "$folder/$1.figures" | median; }
# The median of the ratios of two columns, round by round: ratio NAME N NAME N.
ratio() {
  paste -d ' ' <(awk -v n="$2" '{print $n}' "$folder/$1.figures") <(awk -v n="$4" '{print $n}' "$folder/$3.figures") |
    awk '{print $1 / $2}' | median
}
# A measurement that failed inside of its own $( ) ends the run here: an empty figure reads as a good one.
note() {
  local name=$1
  shift
  if [ -z "$*" ]; then
    echo "$name was not measured" >&2
    exit 1
  fi
  echo "$*" >>"$folder/$name.figures"
  printf '  %-14s %s\n' "$name" "$*" >&2
}
round() { printf "%.${2:-0}f" "$1"; }
thousands() { round "$1" 0 | sed -E ':a; s/([0-9])([0-9]{3})($|,)/\1,\2\3/; ta'; }
verdict() { awk -v a="$1" -v op="$2" -v b="$3" 'BEGIN {print ((op == "<=" ? a <= b : a >= b) ? "met" : "**missed**")}'; }

# Microseconds of processor time, user and system, that a process has used.
cpu_of() { awk -v hz="$(getconf CLK_TCK)" '{sub(/^.*\) /, ""); printf "%d", ($12 + $13) * 1000000 / hz}' "/proc/$1/stat"; }
# The same of all of PostgreSQL: the first process, those that live, and those that have ended.
# (Somebody else's process may end while it is looked at.)
cpu_of_postgres() {
  { cat /proc/[0-9]*/stat 2>/dev/null || true; } | awk -v p="$postgres" -v hz="$(getconf CLK_TCK)" '
    {pid = $1; sub(/^.*\) /, "")}
    pid == p {t += $12 + $13 + $14 + $15}
    $2 == p {t += $12 + $13}
    END {printf "%d", t * 1000000 / hz}'
}
