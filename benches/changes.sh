# (b) From committed rows to PUBACK.

# How long another transaction keeps a snapshot open.
snapshot_seconds=${BENCH_SNAPSHOT_SECONDS:-300}

load_of() { "$yardstick" load --database "$1" --rows "$rows" --transaction "${2:-$rows}"; }

bench_changes() {
  local i raised
  echo "(b) changes per second" >&2
  start_gateway changes "$broker_raised" commission
  raised=$gateway
  sql postgres "CREATE DATABASE raw TEMPLATE template0"
  "$changeover" migrate --config <(sed "s|/changes\"|/raw\"|" "$folder/changes.toml") >/dev/null
  for ((i = 0; i < rounds; i++)); do
    sql postgres CHECKPOINT
    note at_once "$(load_of "$(url changes)")"
    sql postgres CHECKPOINT
    note beside "$(load_of "$(url changes)" 500)"
    sql postgres CHECKPOINT
    note move "$("$yardstick" raw-sql-move --database "$(url raw)" --rows "$rows")"
    sql postgres CHECKPOINT
    note move_state "$("$yardstick" raw-sql-move --database "$(url raw)" --rows "$rows" --state)"
    note mqtt "$("$yardstick" raw-mqtt --broker "mqtt://127.0.0.1:$broker_raised" --rows "$rows")"
  done
  bench_snapshot
  end "$raised"
  bench_variants
}

# The same gateway while somebody keeps a snapshot open: dead rows stay, and every look at the outbox walks over them.
bench_snapshot() {
  local holder
  start snapshot "$psql" -X -q -h 127.0.0.1 -p "$postgres_port" -U changeover -d changes \
    -c "BEGIN ISOLATION LEVEL REPEATABLE READ" -c "SELECT count(*) FROM outbox" -c "SELECT pg_sleep($snapshot_seconds)"
  holder=$pid
  while [ -n "$(jobs -rp | grep -x "$holder")" ]; do
    note in_snapshot "$(load_of "$(url changes)" 500)"
  done
  end "$holder"
}

bench_variants() {
  local i
  more=$'[verifier]\nenabled = false'
  start_gateway unverified "$broker_raised" commission
  more=
  for ((i = 0; i < rounds; i++)); do
    sql postgres CHECKPOINT
    note unverified "$(load_of "$(url unverified)")"
  done
  end "$gateway"
  start_gateway changes_default "$broker_default" commission
  for ((i = 0; i < rounds; i++)); do
    sql postgres CHECKPOINT
    note at_once_20 "$(load_of "$(url changes_default)")"
    note mqtt_20 "$("$yardstick" raw-mqtt --broker "mqtt://127.0.0.1:$broker_default" --rows "$rows")"
  done
  end "$gateway"
  database=sqlite://$folder/changes.db
  write_config sqlite embedded commission
  run_gateway sqlite
  for ((i = 0; i < rounds; i++)); do
    note sqlite "$(load_of "$database")"
  done
  end "$gateway"
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
| gateway, a snapshot open for $snapshot_seconds s, slowest of its loads of 500 at a time | $(thousands "$(sort -g "$folder/in_snapshot.figures" | head -1)") | |
| gateway, Mosquitto's default of 20 in flight | $(thousands "$(column at_once_20 1)") | |
| rumqttc alone, 20 in flight | $(thousands "$(column mqtt_20 1)") | $(round "$(ratio at_once_20 1 mqtt_20 1)" 2) |
| gateway on SQLite with the embedded broker | $(thousands "$(column sqlite 1)") | |

Aims: at least 25,000 changes/s on two cores: $(verdict "$rate" ">=" 25000) (committed at once), $(verdict "$(column beside 1)" ">=" 25000) (beside its producer); at least half
of the slower of SQL with its state table and rumqttc: $(verdict "$slower" ">=" 0.5); SQLite with the embedded broker 1.5 times as many as PostgreSQL: $(verdict "$(column sqlite 1)" ">=" "$(awk -v r="$rate" 'BEGIN {print r * 1.5}')");
with the snapshot open at least 1 : 1.5 of before, which was $(thousands "$(column beside 1)"): $(verdict "$(sort -g "$folder/in_snapshot.figures" | head -1)" ">=" "$(awk -v r="$(column beside 1)" 'BEGIN {print r / 1.5}')").

TABLE
}
