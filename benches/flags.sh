# (j) Flags over OFREP.

# So many modules: those of a usual gateway, and many.
flag_modules=(10 200)
flags_path=/ofrep/v1/evaluate/flags
flags_body='{"context":{"targetingKey":"t-0001"}}'

# What wrk sends: flags_script NAME [If-None-Match]. With another client each time no answer was made before.
flags_script() {
  if [[ $1 == strangers_* ]]; then
    cat >"$folder/$1.lua" <<LUA
request = function()
  local body = '{"context":{"targetingKey":"t-' .. math.random(100000000) .. '"}}'
  return wrk.format("POST", nil, nil, body)
end
LUA
    return
  fi
  cat >"$folder/$1.lua" <<LUA
wrk.method = "POST"
wrk.body = '$flags_body'
wrk.headers["Content-Type"] = "application/json"
${2:+wrk.headers['If-None-Match'] = '$2'}
LUA
}

# The status of an answer, and its body's size: flags_answer PORT [If-None-Match].
flags_answer() {
  curl -so /dev/null -w '%{http_code} %{size_download}' -d "$flags_body" ${2:+-H "If-None-Match: $2"} "http://127.0.0.1:$1$flags_path"
}

# Bare axum that repeats the gateway's answer; its process id and port are in $bare and $bare_port.
start_bare_flags() {
  free_port
  bare_port=$port
  start bare-flags "$yardstick" bare-axum --listen "127.0.0.1:$bare_port" --like "http://127.0.0.1:$public$flags_path" \
    --post "$flags_body" ${1:+--if-none-match "$1"}
  bare=$pid
  await bare-flags listens "$bare_port"
  if [ "$(flags_answer "$bare_port" "$@")" != "$(flags_answer "$public" "$@")" ]; then
    echo "the yardstick answers otherwise than the gateway" >&2
    exit 1
  fi
}

# Loads the gateway and bare axum in turns: load_flags NAME STATUS [If-None-Match].
load_flags() {
  local name=$1 status=$2 i
  shift 2
  if [ "$(flags_answer "$public" "$@" | cut -d' ' -f1)" != "$status" ]; then
    echo "the gateway does not answer $status" >&2
    exit 1
  fi
  flags_script "$name" "$@"
  start_bare_flags "$@"
  for ((i = 0; i < rounds; i++)); do
    poll "${name}_gateway" "$gateway" "$public" "$flags_path" wrk -t2 -c64 -s "$folder/$name.lua"
    poll "${name}_bare" "$bare" "$bare_port" "$flags_path" wrk -t2 -c64 -s "$folder/$name.lua"
  done
  end "$bare"
}

bench_flags() {
  local n i tag ramp
  local -a modules
  echo "(j) flags: requests/s, µs of processor time per request in the server, in PostgreSQL; ns per flag, µs for 200" >&2
  for n in "${flag_modules[@]}"; do
    modules=()
    for ((i = 1; i <= n; i++)); do modules+=("m$i"); done
    start_gateway "flags_$n" "$broker_raised" "${modules[@]}"
    # One in ten is on its way.
    for ((i = 1; i <= n; i += 10)); do
      ramp="http://127.0.0.1:$private/admin/v1/modules/m$i/ramp"
      curl -sf -H "Authorization: Bearer $(cat "$CHANGEOVER_TOKEN_FILE")" -H 'Content-Type: application/json' -d '{"percent":50,"reason":"bench"}' "$ramp" >/dev/null
    done
    note "flags_bytes_$n" "$(flags_answer "$public" | cut -d' ' -f2)"
    load_flags "flags_$n" 200
    load_flags "strangers_flags_$n" 200
    tag=$(curl -sf -D - -o /dev/null -d "$flags_body" "http://127.0.0.1:$public$flags_path" | tr -d '\r' | sed -n 's/^etag: //pI')
    load_flags "held_flags_$n" 304 "$tag"
    end "$gateway"
  done
  CRITERION_HOME=$folder/criterion "$evaluations" --bench --noplot --quiet >&2
  note evaluations "$(estimate evaluations/1 1) $(estimate evaluations/200 1000)"
}

# What criterion estimates for one call, in units of so many ns: estimate BENCHMARK UNIT_NS.
estimate() {
  sed -nE 's/.*"median":\{[^}]*\},"point_estimate":([0-9.]+).*/\1/p' "$folder/criterion/$1/new/estimates.json" | awk -v unit="$2" '{printf "%.2f", $1 / unit}'
}

# flags_row NAME MODULES LABEL AIM
flags_row() {
  local rate
  rate=$(ratio "$1_gateway" 1 "$1_bare" 1)
  echo "| $2 | $3 | $(thousands "$(column "$1_gateway" 1)") | $(thousands "$(column "$1_bare" 1)") | $(round "$rate" 2) | ≥ $4 | $(verdict "$rate" ">=" "$4") | $(round "$(column "$1_gateway" 2)" 1) µs | $(round "$(column "$1_bare" 2)" 1) µs |"
}

show_flags() {
  local n
  cat <<TABLE
### (j) Flags over OFREP

\`POST /ofrep/v1/evaluate/flags\` of one client, whose answer is kept until something changes, and of another one each time; one module in ten at \`ramp\`, the others at \`mirror\`; \`wrk\` with 2 threads and 64 kept connections, $seconds s each, beside bare axum that
repeats the same bytes, in turns; medians of $rounds rounds.

| modules | answer | gateway, requests/s | bare axum | ratio | aim | | processor time, gateway | bare axum |
|---:|---|---:|---:|---:|---:|---|---:|---:|
$(for n in "${flag_modules[@]}"; do
    flags_row "flags_$n" "$n" "200, $(thousands "$(column "flags_bytes_$n" 1)") bytes" 0.5
    flags_row "strangers_flags_$n" "$n" "200, another client each time" 0.5
    flags_row "held_flags_$n" "$n" "304" 0.8
  done)

An evaluation by itself (criterion, medians), every module at \`ramp\` with half of the clients and another client each time: $(round "$(column evaluations 1)" 0) ns for one module, $(round "$(column evaluations 2)" 1) µs for 200.

TABLE
}
