# (f) Cost against size, and the plans of a catch-up read.

# Whose channel is read, and how many rows of it stand at the log's beginning and end.
reader=u7 oldest=1100 newest=10

# A log of ROWS over AUDIENCES in each of MODULES: fill NAME ROWS AUDIENCES MODULE….
fill() {
  local name=$1 log=$2 audiences=$3 module
  shift 3
  "$changeover" migrate --config "$folder/$name.toml" >/dev/null
  for module in "$@"; do
    sql "$name" "
      INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, occurred_at, sequenced_at)
      SELECT '$module', i, 1, CASE WHEN i <= $oldest OR i > $log - $newest THEN '$reader' ELSE 'u' || (7 + i % $audiences) END,
             'order-' || i, 'upsert',
             CASE WHEN i <= $oldest OR i > $log - $newest
                  THEN '{\"order\":' || i || ',\"state\":\"settled\",\"amount\":\"1034.50\",\"note\":\"' || repeat('x', 140) || '\"}'
                  ELSE '{\"order\":' || i || '}' END,
             0, now.micros, now.micros
      FROM generate_series(1, $log::bigint) AS i,
           (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros) AS now;
      INSERT INTO module_head (module, head, sequenced_through) VALUES ('$module', $log, 0);
      INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at)
      SELECT module, audience, entity_key, op, position, value, sequenced_at FROM change_log
      WHERE module = '$module' AND position > $log - $audiences"
  done
  sql "$name" "VACUUM ANALYZE"
  sql postgres CHECKPOINT
}

# A catch-up read of N rows from the beginning of the log by one client: milliseconds, and µs of
# processor time in the gateway and in PostgreSQL.
catch_up() {
  local limit=$1 path out
  path="$(path_of "$module")?since=0&uid=$reader&size=$limit"
  if [ "$(curl -sf "http://127.0.0.1:$public$path" | grep -o '"id":' | wc -l)" != "$limit" ]; then
    echo "not $limit changes" >&2
    exit 1
  fi
  local cpu pg requests
  cpu=$(cpu_of "$gateway") pg=$(cpu_of_postgres)
  out=$(wrk -t1 -c1 -d2s "http://127.0.0.1:$public$path")
  cpu=$(($(cpu_of "$gateway") - cpu)) pg=$(($(cpu_of_postgres) - pg))
  requests=$(awk '/ requests in /{print $1}' <<<"$out")
  awk -v n="$requests" -v c="$cpu" -v p="$pg" -v rate="$(awk '/Requests\/sec/{print $2}' <<<"$out")" \
    'BEGIN {printf "%.2f %.0f %.0f", 1000 / rate, c / n, p / n}'
}

# size NAME ROWS AUDIENCES MODULES: measures one size and leaves NAME.figures with a line of
# idle µs, page µs, ms of a catch-up read of 10, 100 and 1,000 rows, their PostgreSQL µs, resident MB.
size() {
  local name=$1 log=$2 audiences=$3 count=$4 modules=() i module before line
  for ((i = 1; i <= count; i++)); do modules+=("m$i"); done
  sql postgres "CREATE DATABASE $name"
  write_config "$name" "" "${modules[@]}"
  fill "$name" "$log" "$audiences" "${modules[@]}"
  run_gateway "$name"
  # The last one: nothing may depend on where a module stands.
  module=m$count
  local head=$log idle ten
  idle="$(path_of "$module")?since=$head&uid=$reader&size=100"
  ten="$(path_of "$module")?since=$((head - newest))&uid=$reader&size=100"
  await "$name" has_ten "$ten"
  before=$(poll_queries)
  for ((i = 0; i < (rounds < 3 ? rounds : 3); i++)); do
    poll "idle_$name" "$gateway" "$public" "$idle"
    poll "ten_$name" "$gateway" "$public" "$ten"
  done
  if [ "$(poll_queries)" != "$before" ]; then
    echo "polls from memory asked the database" >&2
    exit 1
  fi
  line="$(column "idle_$name" 2) $(column "ten_$name" 2) $(catch_up 10) $(catch_up 100) $(catch_up 1000) $(($(resident_kb "$gateway") / 1024))"
  note "$name" "$line"
  end "$gateway"
  [ "$name" = "$plans_of" ] || sql postgres "DROP DATABASE $name"
}
has_ten() { [ "$(curl -sf "http://127.0.0.1:$public$1" | grep -o '"id":' | wc -l)" = "$newest" ]; }

audience_sizes=(1 1000 100000 1000000)
module_sizes=(1 10 50 200)
log_sizes=(10000 1000000)
[ "$log_rows" -le 1000000 ] || log_sizes+=("$log_rows")
plans_of=log_1000000

bench_sizes() {
  local n
  echo "(f) sizes: idle µs; ten µs; catch-up of 10, 100, 1,000: ms, gateway µs, PostgreSQL µs each; resident MB" >&2
  for n in "${audience_sizes[@]}"; do size "audiences_$n" 1000000 "$n" 1; done
  for n in "${log_sizes[@]}"; do size "log_$n" "$n" 1000 1; done
  for n in "${module_sizes[@]}"; do size "modules_$n" 10000 1000 "$n"; done
  plan_of_postgres >"$folder/postgres.plan"
  plan_of_sqlite >"$folder/sqlite.plan"
}

# A statement as the source has it: statement FILE NAME.
statement() {
  awk -v name="const $2:" 'index($0, name) {on = 1; next} on {line = $0; last = sub(/";$/, "", line); sub(/ *\\$/, "", line); gsub(/\\"/, "\"", line); print line; if (last) exit}' "src/store/$1/changelog.rs"
}

plan_of_postgres() {
  sql "$plans_of" "
    PREPARE catch_up(text, text[], bigint, bigint, bigint) AS $(statement postgres READ_LOG);
    EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE catch_up('m1', '{*,$reader}', 0, 1000000, 101)"
}

# SQLite is asked by its own shell, for each channel.
plan_of_sqlite() {
  local file=$folder/plan.db
  sed -e "s|^url = .*|url = \"sqlite://$file\"|" "$folder/$plans_of.toml" >"$folder/plan.toml"
  "$changeover" migrate --config "$folder/plan.toml" >/dev/null
  sqlite3 "$file" "
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, occurred_at, sequenced_at)
    SELECT 'm1', value, 1, 'u' || (7 + value % 1000), 'order-' || value, 'upsert', '{}', 0, 0, 0 FROM generate_series(1, 100000);
    ANALYZE" "EXPLAIN QUERY PLAN $(statement sqlite READ_LOG | sed "s/?1/'m1'/; s/?2/'$reader'/; s/?3/0/; s/?4/100000/; s/?5/101/")"
}

size_rows() {
  local kind=$1 n name
  for n in "${@:2}"; do
    name=${kind}_$n
    echo "| $(thousands "$n") | $(round "$(column "$name" 1)" 1) µs | $(round "$(column "$name" 2)" 1) µs | $(column "$name" 3) ms | $(column "$name" 6) ms | $(column "$name" 9) ms | $(column "$name" 12) MB |"
  done
}
size_head() {
  echo "| $1 | idle poll | ten from memory | catch-up of 10 | of 100 | of 1,000 | resident |"
  echo "|---:|---:|---:|---:|---:|---:|---:|"
}

show_sizes() {
  cat <<TABLE
### (f) Cost against size

Processor time of the gateway per poll that memory answers, by \`wrk\` as in (a), $seconds s each, $((rounds < 3 ? rounds : 3)) rounds; the time of a catch-up
read from the beginning of the log, by one client that asks again and again. The rows are written by SQL, the polls ask for one channel with 1,100 rows at
the beginning of the log and 10 at its end. No poll from memory caused an SQL statement.

A log of 1,000,000 rows for so many audiences:

$(size_head audiences)
$(size_rows audiences "${audience_sizes[@]}")

A log of so many rows for 1,000 audiences:

$(size_head rows)
$(size_rows log "${log_sizes[@]}")

So many modules with 10,000 rows each, of which the last is polled:

$(size_head modules)
$(size_rows modules "${module_sizes[@]}")

The plan of a catch-up read for two audiences, limit 100, on PostgreSQL with 1,000,000 rows:

\`\`\`
$(cat "$folder/postgres.plan")
\`\`\`

On SQLite, where it is one statement for each audience:

\`\`\`
$(cat "$folder/sqlite.plan")
\`\`\`

The plan of MariaDB stands below, under "What MariaDB does for a catch-up read".

TABLE
}
