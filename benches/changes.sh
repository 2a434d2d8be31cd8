# (b) From committed rows to PUBACK.

# How long another transaction keeps a snapshot open.
snapshot_seconds=${BENCH_SNAPSHOT_SECONDS:-300}

load_of() { "$yardstick" load --database "$1" --rows "$rows" --transaction "${2:-$rows}"; }

# Rounds begin with an empty database, on both sides of a ratio: `held_through` tells what a full one costs.
bench_changes() {
  local i
  echo "(b) changes per second" >&2
  sql postgres "CREATE DATABASE raw TEMPLATE template0"
  for ((i = 0; i < rounds; i++)); do
    start_gateway "changes_$i" "$broker_raised" commission
    "$changeover" migrate --config <(sed "s|/changes_$i\"|/raw\"|" "$folder/changes_$i.toml") >/dev/null
    sql postgres CHECKPOINT
    note at_once "$(load_of "$(url "changes_$i")")"
    sql postgres CHECKPOINT
    note beside "$(load_of "$(url "changes_$i")" 500)"
    end "$gateway"
    sql postgres CHECKPOINT
    note move "$("$yardstick" raw-sql-move --database "$(url raw)" --rows "$rows")"
    sql postgres CHECKPOINT
    note move_state "$("$yardstick" raw-sql-move --database "$(url raw)" --rows "$rows" --state)"
    note mqtt "$("$yardstick" raw-mqtt --broker "mqtt://127.0.0.1:$broker_raised" --rows "$rows")"
  done
  bench_snapshot
  bench_variants
}

# Loads of 500 rows a transaction for $snapshot_seconds, in a database that grows, and then the latency, without and with
# somebody who keeps a snapshot open all the while: dead rows stay then, and every look at the whole outbox walks over them.
bench_snapshot() {
  held_through calm
  sql postgres "DROP DATABASE calm"
  held_through snapshot
}

held_through() {
  local holder='' until=$((SECONDS + snapshot_seconds))
  start_gateway "$1" "$broker_raised" commission
  if [ "$1" = snapshot ]; then
    start holder "$psql" -X -q -h 127.0.0.1 -p "$postgres_port" -U changeover -d "$1" \
      -c "BEGIN ISOLATION LEVEL REPEATABLE READ" -c "SELECT count(*) FROM outbox" -c "SELECT pg_sleep(86400)"
    holder=$pid
  fi
  while [ "$SECONDS" -lt "$until" ]; do
    note "$1" "$(load_of "$(url "$1")" 500)"
  done
  note "latency_$1" "$("$yardstick" latency --database "$(url "$1")" --broker "mqtt://127.0.0.1:$broker_raised" \
    --filter "$1/c/commission/+" --seconds "$latency_seconds" --per-second 1000 --together 1 --connections 8 --first 1000000000)"
  end "$gateway"
  [ -z "$holder" ] || end "$holder"
}

bench_variants() {
  local i
  more=$'[verifier]\nenabled = false'
  for ((i = 0; i < rounds; i++)); do
    start_gateway "unverified_$i" "$broker_raised" commission
    sql postgres CHECKPOINT
    note unverified "$(load_of "$(url "unverified_$i")")"
    end "$gateway"
  done
  more=
  for ((i = 0; i < rounds; i++)); do
    start_gateway "default_$i" "$broker_default" commission
    sql postgres CHECKPOINT
    note at_once_20 "$(load_of "$(url "default_$i")")"
    note mqtt_20 "$("$yardstick" raw-mqtt --broker "mqtt://127.0.0.1:$broker_default" --rows "$rows")"
    end "$gateway"
  done
  for ((i = 0; i < rounds; i++)); do
    database=sqlite://$folder/changes_$i.db
    write_config sqlite embedded commission
    run_gateway sqlite
    note sqlite "$(load_of "$database")"
    end "$gateway"
  done
  database=
}

show_changes() {
  local rate slower
  rate=$(column at_once 1)
  slower=$(printf '%s\n' "$(ratio at_once 1 move_state 1)" "$(ratio at_once 1 mqtt 1)" | sort -g | tail -1)
  cat <<TABLE
### (b) Changes per second, from committed outbox rows to PUBACK

$(thousands "$rows") rows with values of 200 bytes over 5,000 channels, state kept; until the stored cursor of the mirror
has passed the last one. PostgreSQL, and Mosquitto with \`max_inflight_messages 1000\` if nothing else is said; the verifier reads
everything back, as it does by default; medians of $rounds rounds.

| what | changes/s | gateway : this |
|---|---:|---:|
| gateway, all rows committed at once | $(thousands "$rate") | |
| gateway, while a producer commits 500 at a time | $(thousands "$(column beside 1)") | |
| SQL alone: outbox to log, 2,000 rows a statement | $(thousands "$(column move 1)") | $(round "$(ratio at_once 1 move 1)" 2) |
| the same with the state table | $(thousands "$(column move_state 1)") | $(round "$(ratio at_once 1 move_state 1)" 2) |
| rumqttc alone, QoS 1 | $(thousands "$(column mqtt 1)") | $(round "$(ratio at_once 1 mqtt 1)" 2) |
| gateway without its verifier | $(thousands "$(column unverified 1)") | |
| gateway, Mosquitto's default of 20 in flight | $(thousands "$(column at_once_20 1)") | |
| rumqttc alone, 20 in flight | $(thousands "$(column mqtt_20 1)") | $(round "$(ratio at_once_20 1 mqtt_20 1)" 2) |
| gateway on SQLite with the embedded broker | $(thousands "$(column sqlite 1)") | |

Rounds begin with an empty database. For $snapshot_seconds s, load after load of 500 rows a transaction into one that grows, then the latency as in (c):

| | loads | first | last | p50 | p99 |
|---|---:|---:|---:|---:|---:|
| nobody else | $(wc -l <"$folder/calm.figures") | $(thousands "$(head -1 "$folder/calm.figures")") | $(thousands "$(tail -3 "$folder/calm.figures" | median)") | $(round "$(column latency_calm 2)" 1) ms | $(round "$(column latency_calm 3)" 1) ms |
| a snapshot kept open all the while | $(wc -l <"$folder/snapshot.figures") | $(thousands "$(head -1 "$folder/snapshot.figures")") | $(thousands "$(tail -3 "$folder/snapshot.figures" | median)") | $(round "$(column latency_snapshot 2)" 1) ms | $(round "$(column latency_snapshot 3)" 1) ms |

Aims: at least 25,000 changes/s on two cores: $(verdict "$rate" ">=" 25000) (committed at once), $(verdict "$(column beside 1)" ">=" 25000) (beside its producer); at least half
of the slower of SQL with its state table and rumqttc: $(verdict "$slower" ">=" 0.5); SQLite with the embedded broker 1.5 times as many as PostgreSQL: $(verdict "$(column sqlite 1)" ">=" "$(awk -v r="$rate" 'BEGIN {print r * 1.5}')");
with the snapshot open the last loads at least 1 : 1.5 of those without (the median of three): $(verdict "$(awk -v r="$(tail -3 "$folder/snapshot.figures" | median)" 'BEGIN {print r * 1.5}')" ">=" "$(tail -3 "$folder/calm.figures" | median)"), and
the median latency at most 1.5 times: $(verdict "$(column latency_snapshot 2)" "<=" "$(awk -v l="$(column latency_calm 2)" 'BEGIN {print l * 1.5}')").

TABLE
}
