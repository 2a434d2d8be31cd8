# (a) Idle polls.

# Loads a server: requests per second, its processor time per request, PostgreSQL's per request (µs).
# poll NAME PID PORT PATH [how the load is run].
poll() {
  local name=$1 server=$2 port=$3 path=$4 cpu pg out requests
  shift 4
  [ $# -gt 0 ] || set -- wrk -t2 -c64
  cpu=$(cpu_of "$server") pg=$(cpu_of_postgres)
  out=$("$@" --timeout 10s -d"${seconds}s" -H 'X-Terminal: t-0001' "http://127.0.0.1:$port$path")
  cpu=$(($(cpu_of "$server") - cpu)) pg=$(($(cpu_of_postgres) - pg))
  if grep -q 'Non-2xx\|Socket errors' <<<"$out"; then
    echo "$name: $out" >&2
    exit 1
  fi
  requests=$(awk '/ requests in /{print $1}' <<<"$out")
  note "$name" "$(awk -v out="$(awk '/Requests\/sec/{print $2}' <<<"$out")" -v n="$requests" -v c="$cpu" -v p="$pg" \
    'BEGIN {printf "%.0f %.3f %.3f", out, c / n, p / n}')"
}

bench_polls() {
  local sql_server sql_port i before idle
  echo "(a) idle polls: requests/s, µs of processor time per request in the server, in PostgreSQL" >&2
  start_gateway polls "$broker_raised" commission
  "$yardstick" load --database "$(url polls)" --rows 20000 --transaction 1000 >/dev/null
  sql polls "VACUUM ANALYZE"
  idle="$(path_of commission)?since=20000&uid=u7&size=100"
  start_bare "$idle"
  free_port
  sql_port=$port
  start sql "$yardstick" sql-per-poll --listen "127.0.0.1:$sql_port" --database "$(url polls)"
  sql_server=$pid
  await sql listens "$sql_port"
  same_answer "$idle" "$bare_port"
  same_answer "$idle" "$sql_port"
  before=$(poll_queries)
  for ((i = 0; i < rounds; i++)); do
    poll gateway "$gateway" "$public" "$idle"
    poll bare "$bare" "$bare_port" "$idle"
    poll sql "$sql_server" "$sql_port" "$idle"
  done
  note queries "$before $(poll_queries) $(metric '^changeover_polls_total\{.*answer="idle"')"
  end "$sql_server"
  end "$bare"
  idle_share
  end "$gateway"
  bench_beside_nchan "$idle"
}

# Bare axum that repeats the gateway's answer to a poll; its process id and port are in $bare and $bare_port.
start_bare() {
  free_port
  bare_port=$port
  start bare "${pinned[@]}" "$yardstick" bare-axum --listen "127.0.0.1:$bare_port" --like "http://127.0.0.1:$public$1"
  bare=$pid
  await bare listens "$bare_port"
}

# The gateway and a server at another port answer with the same bytes, but for the date.
same_answer() {
  diff <(answer "$public" "$1") <(answer "$2" "$1") >&2 || {
    echo "the yardstick answers otherwise than the gateway" >&2
    exit 1
  }
}
answer() (
  exec 3<>"/dev/tcp/127.0.0.1/$1"
  printf 'GET %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n' "$2" >&3
  grep -vi '^date:' <&3 | sort
)

# What the gateway and its database use while nobody polls, in percent of one core.
idle_share() {
  local cpu pg
  cpu=$(cpu_of "$gateway") pg=$(cpu_of_postgres)
  sleep 5
  cpu=$(($(cpu_of "$gateway") - cpu)) pg=$(($(cpu_of_postgres) - pg))
  note idle "$(awk -v c="$cpu" -v p="$pg" 'BEGIN {printf "%.1f %.1f", c / 50000, p / 50000}')"
}

# Each server has one core, and the load the other.
bench_beside_nchan() {
  local idle=$1 i cursor
  pinned=(taskset -c 0)
  run_gateway polls
  start_bare "$idle"
  start_nchan
  # One message is there and the client has it: what a client that is up to date asks.
  curl -sf -d changed "http://127.0.0.1:$nchan_port/publish" >/dev/null
  cursor=$(curl -sfD - -o /dev/null "http://127.0.0.1:$nchan_port$nchan_poll" | tr -d '\r')
  cursor=("$(sed -n 's/^Last-Modified: /If-Modified-Since: /p' <<<"$cursor")" "$(sed -n 's/^Etag: /If-None-Match: /pI' <<<"$cursor")")
  if [ "$(curl -so /dev/null -w '%{http_code}' -H "${cursor[0]}" -H "${cursor[1]}" "http://127.0.0.1:$nchan_port$nchan_poll")" != 304 ]; then
    echo "nchan does not say that there is nothing new" >&2
    exit 1
  fi
  for ((i = 0; i < rounds; i++)); do
    poll one_gateway "$gateway" "$public" "$idle" taskset -c 1 wrk -t1 -c64
    poll one_nchan "$nchan" "$nchan_port" "$nchan_poll" taskset -c 1 wrk -t1 -c64 -H "${cursor[0]}" -H "${cursor[1]}"
    poll one_bare "$bare" "$bare_port" "$idle" taskset -c 1 wrk -t1 -c64
  done
  pinned=()
  end "$nginx"
  end "$bare"
  end "$gateway"
}

nchan_poll=/poll
# nginx with one worker, whose process id is in $nchan.
start_nchan() {
  free_port
  nchan_port=$port
  cat >"$folder/nginx.conf" <<CONFIG
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
user $(id -un) $(id -gn);
worker_processes 1;
pid $folder/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:$nchan_port;
    location = $nchan_poll { nchan_subscriber interval-poll; nchan_channel_id idle; }
    location = /publish { nchan_publisher; nchan_channel_id idle; nchan_message_timeout 1h; }
  }
}
CONFIG
  start nginx "${pinned[@]}" nginx -p "$folder" -c "$folder/nginx.conf" -e stderr
  nginx=$pid
  await nginx listens "$nchan_port"
  nchan=$(cat "/proc/$nginx/task/$nginx/children" | awk '{print $1}')
}

# The median of what the first and the second named measurement used together, as a ratio.
whole_ratio() {
  paste -d ' ' <(awk '{print $2 + $3}' "$folder/$1.figures") <(awk '{print $2 + $3}' "$folder/$2.figures") | awk '{print $1 / $2}' | median
}

show_polls() {
  local cpu whole nchan_ratio before after polls
  cpu=$(ratio gateway 2 bare 2)
  whole=$(whole_ratio sql gateway)
  nchan_ratio=$(ratio one_gateway 1 one_nchan 1)
  read -r before after polls <"$folder/queries.figures"
  cat <<TABLE
### (a) Idle legacy poll

\`wrk\` with 2 threads and 64 kept connections, $seconds s each, in turns; medians of $rounds rounds.

| server | requests/s | processor time per request | of it PostgreSQL |
|---|---:|---:|---:|
| gateway | $(thousands "$(column gateway 1)") | $(round "$(awk '{print $2 + $3}' "$folder/gateway.figures" | median)" 1) µs | $(round "$(column gateway 3)" 1) µs |
| bare axum, the same bytes | $(thousands "$(column bare 1)") | $(round "$(column bare 2)" 1) µs | |
| a query per poll | $(thousands "$(column sql 1)") | $(round "$(awk '{print $2 + $3}' "$folder/sql.figures" | median)" 1) µs | $(round "$(column sql 3)" 1) µs |

The same with each server on one core and \`wrk\` with 1 thread on the other; nginx with one worker, and nchan's
\`interval-poll\` answers 304 without a body.

| server | requests/s | processor time per request |
|---|---:|---:|
| gateway | $(thousands "$(column one_gateway 1)") | $(round "$(column one_gateway 2)" 1) µs |
| nchan | $(thousands "$(column one_nchan 1)") | $(round "$(column one_nchan 2)" 1) µs |
| bare axum, the same bytes | $(thousands "$(column one_bare 1)") | $(round "$(column one_bare 2)" 1) µs |

| ratio | measured | aim | |
|---|---:|---:|---|
| processor time per poll, gateway's process : bare axum | $(round "$cpu" 2) | ≤ 1.2 | $(verdict "$cpu" "<=" 1.2) |
| the same, each on one core | $(round "$(ratio one_gateway 2 one_bare 2)" 2) | | |
| requests/s on one core, gateway : nchan | $(round "$nchan_ratio" 2) | ≥ 0.9 | $(verdict "$nchan_ratio" ">=" 0.9) |
| processor time per poll, query per poll : gateway, database included | $(round "$whole" 1) | ≥ 8 | $(verdict "$whole" ">=" 8) |
| requests/s, gateway : bare axum | $(round "$(ratio gateway 1 bare 1)" 2) | | |
| requests/s, gateway : query per poll | $(round "$(ratio gateway 1 sql 1)" 1) | | |

\`changeover_database_queries_total\` for the purposes \`poll\`, \`catchup\` and \`state\`: $before before and $after after $(thousands "$polls") idle polls.
While nobody polls, the gateway uses $(column idle 1) % of a core and its database $(column idle 2) %.

TABLE
}
