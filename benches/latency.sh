# (c) From commit to subscriber.

bench_latency() {
  echo "(c) latency: rows/s; ms from the commit p50 p99 max; ms from before the insert p50 p99" >&2
  start_gateway latency "$broker_raised" commission
  local first=1 i
  for ((i = 0; i < (rounds < 3 ? rounds : 3); i++)); do
    note latency "$("$yardstick" latency --database "$(url latency)" --broker "mqtt://127.0.0.1:$broker_raised" \
      --filter "latency/c/commission/+" --seconds "$latency_seconds" --first "$first")"
    first=$((first + 1000 * latency_seconds))
  done
  end "$gateway"
}

show_latency() {
  cat <<TABLE
### (c) From commit to subscriber at 1,000 changes a second

One row per transaction over 8 connections, $latency_seconds s, one subscriber of all channels; medians of $(wc -l <"$folder/latency.figures") rounds.

| from | p50 | p99 | largest |
|---|---:|---:|---:|
| the moment when the producer's COMMIT returned | $(round "$(column latency 2)" 1) ms | $(round "$(column latency 3)" 1) ms | $(round "$(column latency 4)" 1) ms |
| before the producer sent its INSERT | $(round "$(column latency 5)" 1) ms | $(round "$(column latency 6)" 1) ms | |

Aim: p50 ≤ 5 ms: $(verdict "$(column latency 2)" "<=" 5); p99 ≤ 25 ms: $(verdict "$(column latency 3)" "<=" 25).

TABLE
}
