# (m) Polls of callers that are known, and the storm when all of them come back.

callers=5000
# What is remembered of so many is weighed.
callers_weighed=100000
# `open_long` are open ones whose requests are as long as those of rs256.
callers_kinds=(open hs256 forward open_long rs256)

# What wrk sends: each request is another caller's, for its own audience: callers_script NAME TOKENS.
callers_script() {
  cat >"$folder/$1.lua" <<LUA
local tokens, n = {}, 0
for token in io.lines("$2") do tokens[#tokens + 1] = token end
-- Threads begin at different callers.
local turn = 0
setup = function(thread) thread:set("first", turn * math.floor(#tokens / 2)); turn = turn + 1 end
init = function() n = first end
request = function()
  n = n % #tokens + 1
  local caller = "u" .. (n - 1)
  return wrk.format("GET", "$(path_of commission)?since=20000&size=100&uid=" .. caller, {
    ["Authorization"] = "Bearer " .. tokens[n], ["X-Session"] = caller, ["X-Terminal"] = caller,
  })
end
LUA
}

# The lines of the configuration by which callers of a kind are known.
callers_config() {
  case $1 in
    hs256) printf '%s\n' '[[auth.callers]]' 'kind = "jwt"' 'algorithm = "HS256"' "secret_file = \"$folder/hs256.secret\"" 'audiences = ["{sub}"]' ;;
    rs256) printf '%s\n' '[[auth.callers]]' 'kind = "jwt"' 'algorithm = "RS256"' "public_key_file = \"$folder/rs256.pub\"" 'audiences = ["{sub}"]' ;;
    forward) printf '%s\n' '[[auth.callers]]' 'kind = "forward"' "check_url = \"http://127.0.0.1:$check_port/check\"" 'shows = [{ in = "header", name = "X-Session" }]' 'audiences = ["{sub}"]' 'ttl = "1h"' ;;
  esac
}

# The legacy back end that knows the credentials: nginx, which says whose each is.
start_check() {
  free_port
  check_port=$port
  mkdir -p "$folder/check"
  cat >"$folder/check.conf" <<CONFIG
daemon off;
user $(id -un) $(id -gn);
worker_processes 1;
pid $folder/check.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:$check_port;
    location = /check { default_type application/json; return 200 '{"sub":"\$http_x_session"}'; }
  }
}
CONFIG
  start check nginx -p "$folder/check" -c "$folder/check.conf" -e stderr
  check=$pid
  await check listens "$check_port"
}

bench_callers() {
  local kind i
  local -A server=() port_of=()
  echo "(m) known callers: requests/s, µs of processor time per request in the server, in PostgreSQL; bytes per verdict; the storm" >&2
  head -c 32 /dev/urandom | base64 -w0 >"$folder/hs256.secret"
  openssl genrsa -out "$folder/rs256.key" 2048 2>/dev/null
  openssl rsa -in "$folder/rs256.key" -pubout -out "$folder/rs256.pub" 2>/dev/null
  "$yardstick" tokens --callers "$callers" --rsa-key-file "$folder/rs256.key" >"$folder/rs256.tokens"
  "$yardstick" tokens --callers "$callers" --secret-file "$folder/hs256.secret" >"$folder/hs256.tokens"
  start_check
  for kind in "${callers_kinds[@]}"; do
    case $kind in
      rs256 | open_long) callers_script "callers_$kind" "$folder/rs256.tokens" ;;
      *) callers_script "callers_$kind" "$folder/hs256.tokens" ;;
    esac
    more=$(callers_config "$kind")
    start_gateway "callers_$kind" "$broker_raised" commission
    server[$kind]=$gateway port_of[$kind]=$public
    # The first request of each.
    "$yardstick" load --database "$(url "callers_$kind")" --rows 20000 --transaction 1000 >/dev/null
    wrk -t2 -c64 -d3s -s "$folder/callers_$kind.lua" "http://127.0.0.1:$public" >/dev/null
  done
  more=
  for ((i = 0; i < rounds; i++)); do
    for kind in "${callers_kinds[@]}"; do
      poll "callers_$kind" "${server[$kind]}" "${port_of[$kind]}" / wrk -t2 -c64 -s "$folder/callers_$kind.lua"
    done
  done
  for kind in "${callers_kinds[@]}"; do end "${server[$kind]}"; done
  end "$check"
  weigh_verdicts
  bench_storm
}

# What a gateway grows by, per caller, without a census, which remembers clients too.
weigh_verdicts() {
  local before
  "$yardstick" tokens --callers "$callers_weighed" --secret-file "$folder/hs256.secret" >"$folder/weighed.tokens"
  callers_script callers_weighed "$folder/weighed.tokens"
  more="$(callers_config hs256)
[census]
enabled = false"
  CHANGEOVER__AUTH__MAX_VERDICTS=$((3 * callers_weighed)) start_gateway callers_weighed "$broker_raised" commission
  "$yardstick" load --database "$(url callers_weighed)" --rows 20000 --transaction 1000 >/dev/null
  # What connections and the first answers take is there already.
  wrk -t2 -c64 -d3s "http://127.0.0.1:$public$(path_of commission)" >/dev/null
  before=$(resident_kb "$gateway")
  wrk -t2 -c64 -d10s -s "$folder/callers_weighed.lua" "http://127.0.0.1:$public" >/dev/null
  await callers_weighed remembers "$callers_weighed"
  note callers_weight "$((($(resident_kb "$gateway") - before) * 1024 / callers_weighed))"
  end "$gateway"
  more=
}

remembers() { [ "$(metric '^changeover_verdicts\{kind="caller"\}')" -ge "$1" ]; }

bench_storm() {
  local i
  # As if the broker asked: nothing connects to it but the gateway.
  more="credentials = \"signed\"
$(callers_config hs256)
[broker_hooks]
secret = \"of-the-benchmark\""
  start_gateway callers_storm "$broker_raised" commission orders
  for ((i = 0; i < (rounds < 3 ? rounds : 3); i++)); do
    note storm "$("$yardstick" storm --public "127.0.0.1:$public" --private "127.0.0.1:$private" --hooks /broker/of-the-benchmark \
      --tokens "$folder/hs256.tokens" --poll "$(path_of commission)?since=0&uid=u0")"
  done
  end "$gateway"
  more=
}

# callers_row KIND LABEL [the open ones beside which it stands]
callers_row() {
  local rate shown="| | | |"
  if [ $# -gt 2 ]; then
    rate=$(ratio "callers_$1" 1 "callers_$3" 1)
    shown="| $(round "$rate" 2) | ≥ 0.9 | $(verdict "$rate" ">=" 0.9) |"
  fi
  echo "| $2 | $(thousands "$(column "callers_$1" 1)") | $(round "$(column "callers_$1" 2)" 1) µs $shown"
}

show_callers() {
  local took
  took=$(column storm 1)
  cat <<TABLE
### (m) Known callers

Idle polls of $(thousands "$callers") callers, another one each time; after the first request of each. Open ones send the same headers as those beside which they stand. \`wrk\` with 2 threads and 64 kept connections, $seconds s each, in turns; medians of $rounds rounds.

| callers | requests/s | processor time per request | of the open ones with the same headers | aim | |
|---|---:|---:|---:|---:|---|
$(callers_row open open)
$(callers_row hs256 "JWT, HS256" open)
$(callers_row forward "the legacy back end's own" open)
$(callers_row open_long "open, with longer tokens")
$(callers_row rs256 "JWT, RS256" open_long)

A caller that was recognized takes $(thousands "$(column callers_weight 1)") bytes ($(thousands "$callers_weighed") of them).

**The storm**: $(thousands "$callers") clients at once ask for their sessions, and for each of them the broker asks who it is and about each of its topics, on connections of their own; 1,000 polls a second go on. Medians of $(wc -l <"$folder/storm.figures") runs.

| | measured | aim | |
|---|---:|---:|---|
| until the last client is in | $(round "$took" 2) s | < 10 s | $(verdict "$took" "<=" 10) |
| a client, p50 and p99 | $(round "$(column storm 3)" 0) and $(round "$(column storm 4)" 0) ms | | |
| a poll before the storm, p50, p99 and the longest | $(round "$(column storm 5)" 2), $(round "$(column storm 6)" 1) and $(round "$(column storm 7)" 1) ms | | |
| a poll in the storm | $(round "$(column storm 8)" 2), $(round "$(column storm 9)" 1) and $(round "$(column storm 10)" 1) ms | | |

TABLE
}
