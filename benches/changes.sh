# (b) From committed rows to PUBACK.

bench_changes() {
  local i default_database raised_database=changes
  echo "(b) changes per second" >&2
  start_gateway "$raised_database" "$broker_raised" commission
  local raised=$gateway
  sql postgres "CREATE DATABASE raw TEMPLATE template0"
  "$changeover" migrate --config <(sed "s|/$raised_database\"|/raw\"|" "$folder/$raised_database.toml") >/dev/null
  for ((i = 0; i < rounds; i++)); do
    sql postgres CHECKPOINT
    note at_once "$("$yardstick" load --database "$(url "$raised_database")" --rows "$rows" --transaction "$rows")"
    sql postgres CHECKPOINT
    note beside "$("$yardstick" load --database "$(url "$raised_database")" --rows "$rows" --transaction 500)"
    sql postgres CHECKPOINT
    note move "$("$yardstick" raw-sql-move --database "$(url raw)" --rows "$rows")"
    sql postgres CHECKPOINT
    note move_state "$("$yardstick" raw-sql-move --database "$(url raw)" --rows "$rows" --state)"
    note mqtt "$("$yardstick" raw-mqtt --broker "mqtt://127.0.0.1:$broker_raised" --rows "$rows")"
  done
  end "$raised"
  default_database=changes_default
  start_gateway "$default_database" "$broker_default" commission
  for ((i = 0; i < rounds; i++)); do
    sql postgres CHECKPOINT
    note at_once_20 "$("$yardstick" load --database "$(url "$default_database")" --rows "$rows" --transaction "$rows")"
    note mqtt_20 "$("$yardstick" raw-mqtt --broker "mqtt://127.0.0.1:$broker_default" --rows "$rows")"
  done
  end "$gateway"
}

show_changes() {
  local rate
  rate=$(column at_once 1)
  cat <<TABLE
### (b) Changes per second, from committed outbox rows to PUBACK

$(thousands "$rows") rows with values of 200 bytes over 1,000 channels, state kept; until the stored cursor of the mirror
has passed the last one. Mosquitto with \`max_inflight_messages 1000\`, and with its default of 20; medians of $rounds rounds.

| what | changes/s | gateway : this |
|---|---:|---:|
| gateway, all rows committed at once | $(thousands "$rate") | |
| gateway, while a producer commits 500 at a time | $(thousands "$(column beside 1)") | |
| SQL alone: outbox to log, 2,000 rows a statement | $(thousands "$(column move 1)") | $(round "$(ratio at_once 1 move 1)" 2) |
| the same with the state table | $(thousands "$(column move_state 1)") | $(round "$(ratio at_once 1 move_state 1)" 2) |
| rumqttc alone, QoS 1 | $(thousands "$(column mqtt 1)") | $(round "$(ratio at_once 1 mqtt 1)" 2) |
| gateway, Mosquitto's default of 20 in flight | $(thousands "$(column at_once_20 1)") | |
| rumqttc alone, 20 in flight | $(thousands "$(column mqtt_20 1)") | $(round "$(ratio at_once_20 1 mqtt_20 1)" 2) |

Aim: at least 15,000 changes/s on two cores: $(verdict "$rate" ">=" 15000) (committed at once), $(verdict "$(column beside 1)" ">=" 15000) (beside its producer),
$(verdict "$(column at_once_20 1)" ">=" 15000) (Mosquitto as it comes).

TABLE
}
