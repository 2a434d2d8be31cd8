# (h) One change for 5,000 subscribers.

subscribers=5000

bench_broadcast() {
  local i
  echo "(h) broadcast: ms from the first of $subscribers subscribers to the last: gateway, rumqttc" >&2
  start_gateway broadcast "$broker_raised" commission
  for ((i = 0; i < (rounds < 3 ? rounds : 3); i++)); do
    note broadcast "$("$yardstick" broadcast --broker "mqtt://127.0.0.1:$broker_raised" --subscribers "$subscribers" \
      --topic broadcast/c/commission/_all --ingest "http://127.0.0.1:$private/v1/modules/commission/changes")"
  done
  end "$gateway"
}

show_broadcast() {
  cat <<TABLE
### (h) One change for $(thousands "$subscribers") subscribers

Each on its own connection to Mosquitto at QoS 1; from the first subscriber that has the change to the last; the gateway's changes and the same bytes
published by rumqttc in turn, nine of each in a run; medians of $(wc -l <"$folder/broadcast.figures") runs.

| published by | first to last |
|---|---:|
| the gateway, with its verifier | $(round "$(column broadcast 1)" 0) ms |
| rumqttc | $(round "$(column broadcast 2)" 0) ms |

Aim: at most 1.1 times as long: $(round "$(ratio broadcast 1 broadcast 2)" 2), $(verdict "$(ratio broadcast 1 broadcast 2)" "<=" 1.1).

TABLE
}
