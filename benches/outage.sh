# (i) Catching up after the broker was away.

outage_rows=${BENCH_OUTAGE_ROWS:-1000000}

numbered() { [ "$(sql outage "SELECT coalesce(max(head), 0) FROM module_head")" -ge "$1" ]; }
mirrored() { [ "$(sql outage "SELECT coalesce(min(position), 0) FROM mirror_cursor")" -ge "$1" ]; }
seconds_since() { awk -v from="$1" -v to="$(date +%s.%N)" 'BEGIN {printf "%.2f", to - from}'; }

# Waits until a condition holds; the largest resident memory meanwhile is in $peak.
peak_until() {
  local now
  peak=0
  until "$@"; do
    now=$(resident_kb "$gateway")
    [ "$now" -le "$peak" ] || peak=$now
    sleep 0.1
  done
}

bench_outage() {
  local own begun resting
  echo "(i) outage: seconds to catch up; kB resident before, while the broker is away, while catching up" >&2
  start_mosquitto outage "max_inflight_messages 1000"
  own=$pid
  start_gateway outage "$broker" commission
  "$yardstick" load --database "$(url outage)" --rows 20000 --transaction 500 >/dev/null
  resting=$(resident_kb "$gateway")
  end "$own"
  sql outage "INSERT INTO outbox (module, audience, entity_key, value)
    SELECT 'commission', 'u' || (i % 5000), 'order-' || i, '{\"note\":\"' || repeat('x', 180) || '\"}' FROM generate_series(1, $outage_rows) AS i" &
  peak_until numbered $((20000 + outage_rows))
  wait $!
  away=$peak
  start mosquitto-outage "$(command -v mosquitto || echo /usr/sbin/mosquitto)" -c "$folder/mosquitto-outage.conf"
  own=$pid
  begun=$(date +%s.%N)
  peak_until mirrored $((20000 + outage_rows))
  note outage "$(seconds_since "$begun") $resting $away $peak"
  end "$gateway"
  end "$own"
}

show_outage() {
  local seconds
  seconds=$(column outage 1)
  cat <<TABLE
### (i) Catching up after the broker was away

Mosquitto is ended, $(thousands "$outage_rows") rows are committed at once and numbered, Mosquitto comes back; until the stored cursor has passed the last
one. The first part of them has left the memory of the gateway and is read from PostgreSQL.

| | |
|---|---:|
| changes a second, the pauses of the reconnect included | $(thousands "$(awk -v n="$outage_rows" -v s="$seconds" 'BEGIN {print n / s}')") |
| resident memory before | $(round "$(awk '{print $2 / 1024}' "$folder/outage.figures" | median)" 0) MB |
| most while the broker was away | $(round "$(awk '{print $3 / 1024}' "$folder/outage.figures" | median)" 0) MB |
| most while catching up | $(round "$(awk '{print $4 / 1024}' "$folder/outage.figures" | median)" 0) MB |

TABLE
}
