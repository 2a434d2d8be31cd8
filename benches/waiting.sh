# (g) Ten thousand polls that wait.

waiting_polls=10000

bench_waiting() {
  local i
  echo "(g) waiting polls: kB resident before, bytes per connection, per waiting poll; ms to tell half and all" >&2
  for ((i = 0; i < (rounds < 3 ? rounds : 3); i++)); do
    start_gateway "waiting_$i" "$broker_raised" commission
    note waiting "$("$yardstick" waiting --address "127.0.0.1:$public" --metrics "http://127.0.0.1:$private/metrics" \
      --pid "$gateway" --database "$(url "waiting_$i")" --module commission --count "$waiting_polls")"
    end "$gateway"
  done
}

show_waiting() {
  cat <<TABLE
### (g) $(thousands "$waiting_polls") waiting polls

Each on its own connection and for its own channel, until a change for everyone is committed; resident memory of the gateway's process; medians of $(wc -l <"$folder/waiting.figures") runs.

| | |
|---|---:|
| the process before | $(round "$(awk '{print $1 / 1024}' "$folder/waiting.figures" | median)" 0) MB |
| a connection that has been answered once | $(round "$(awk '{print $2 / 1024}' "$folder/waiting.figures" | median)" 1) kB |
| more while its poll waits | $(round "$(awk '{print $3 / 1024}' "$folder/waiting.figures" | median)" 1) kB |
| from before the change's INSERT until half have heard it | $(column waiting 4) ms |
| until all have | $(column waiting 5) ms |

TABLE
}
