# (k) From an engineer's act to everybody who is to know of it.

flip_clients=5000

bench_flips() {
  local i
  echo "(k) flips: ms from the start of the command to $flip_clients subscribers of the retained message: p50, p99, last; the same of event streams" >&2
  start_gateway flips "$broker_raised" commission
  for ((i = 0; i < (rounds < 3 ? rounds : 3); i++)); do
    note flips "$("$yardstick" flip --broker "mqtt://127.0.0.1:$broker_raised" --prefix flips --module commission \
      --clients "$flip_clients" --public "http://127.0.0.1:$public" --private "http://127.0.0.1:$private" --changeover "$changeover")"
  done
  end "$gateway"
}

# flips_row LABEL FIRST_COLUMN
flips_row() {
  local p99
  p99=$(column flips "$(($2 + 1))")
  echo "| $1 | $(round "$(column flips "$2")" 0) ms | $(round "$p99" 0) ms | $(round "$(column flips "$(($2 + 2))")" 0) ms | ≤ 1,000 ms | $(verdict "$p99" "<=" 1000) |"
}

show_flips() {
  cat <<TABLE
### (k) A flip, until everybody knows

\`changeover module ramp\` tells everybody to push, or everybody to poll, twenty times in a run; from the start of that process to the message at each of
$(thousands "$flip_clients") subscribers of the module's retained message on Mosquitto, and to the event at each of $(thousands "$flip_clients") streams of \`/ofrep/v1/sse\`, all of them open at once in one other process; medians of $(wc -l <"$folder/flips.figures") runs.

| told | p50 | p99 | the last | aim for p99 | |
|---|---:|---:|---:|---:|---|
$(flips_row "retained message" 1)
$(flips_row "event stream" 4)

TABLE
}
