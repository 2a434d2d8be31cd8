# (c) From commit to subscriber.

# Each round begins with an empty database: latency NAME ROWS_PER_SECOND ROWS_PER_TRANSACTION CONNECTIONS
latency() {
  local i
  for ((i = 0; i < (rounds < 3 ? rounds : 3); i++)); do
    start_gateway "$1_$i" "$broker_raised" commission
    note "$1" "$("$yardstick" latency --database "$(url "$1_$i")" --broker "mqtt://127.0.0.1:$broker_raised" \
      --filter "$1_$i/c/commission/+" --seconds "$latency_seconds" --per-second "$2" --together "$3" --connections "$4" --first 1)"
    end "$gateway"
  done
}

bench_latency() {
  echo "(c) latency: rows/s; ms from the commit p50 p99 max; ms from before the insert p50 p99" >&2
  latency latency 1000 1 8
  latency latency_10000 10000 10 8
}

show_latency() {
  cat <<TABLE
### (c) From commit to subscriber

One subscriber of all channels, $latency_seconds s over 8 connections; medians of $(wc -l <"$folder/latency.figures") rounds. At 1,000 rows a second each row is a
transaction of its own, at 10,000 each ten are one. Rounds begin with an empty database.

| rows a second | from | p50 | p99 | largest |
|---:|---|---:|---:|---:|
| 1,000 | the moment when the producer's COMMIT returned | $(round "$(column latency 2)" 1) ms | $(round "$(column latency 3)" 1) ms | $(round "$(column latency 4)" 1) ms |
| | before the producer sent its INSERT | $(round "$(column latency 5)" 1) ms | $(round "$(column latency 6)" 1) ms | |
| 10,000 | the moment when the producer's COMMIT returned | $(round "$(column latency_10000 2)" 1) ms | $(round "$(column latency_10000 3)" 1) ms | $(round "$(column latency_10000 4)" 1) ms |
| | before the producer sent its INSERT | $(round "$(column latency_10000 5)" 1) ms | $(round "$(column latency_10000 6)" 1) ms | |

Aims: at 1,000 p50 ≤ 3 ms: $(verdict "$(column latency 2)" "<=" 3), p99 ≤ 15 ms: $(verdict "$(column latency 3)" "<=" 15); at 10,000 p99 ≤ 50 ms: $(verdict "$(column latency_10000 3)" "<=" 50).

TABLE
}
