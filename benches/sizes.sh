# (f) Cost against size.

# Whose channel is read, and how many rows of it stand at a log's beginning and end.
reader=u7 oldest=1100 newest=10
# Changes of a module in memory (tail.changes): fewer than the smallest log has behind those of the reader's
# beginning, so that a catch-up read asks the database in every case.
tail_changes=5000
# Rows in each module's log where modules are counted, and the most where audiences are.
module_log=10000 audience_log=1000000

# Databases that have been filled: a size that stands in two tables is measured once.
sizes=()

# The name of a size, which is its database's too: size_name ROWS AUDIENCES MODULES.
size_name() { echo "size_$1_$2_$3"; }

# Chooses the sizes up to the largest log.
choose_sizes() {
  local n
  if [ "$log_rows" -lt "$module_log" ]; then
    echo "BENCH_LOG_ROWS must be at least $module_log" >&2
    exit 64
  fi
  [ "$audience_log" -le "$log_rows" ] || audience_log=$log_rows
  audience_sizes=(1) log_sizes=() module_sizes=(1 10 50 200)
  for n in 1000 100000 1000000; do [ "$n" -gt "$audience_log" ] || audience_sizes+=("$n"); done
  for n in 10000 1000000; do [ "$n" -ge "$log_rows" ] || log_sizes+=("$n"); done
  log_sizes+=("$log_rows")
}

# What can be said of the primary keys and indexes of the log and the state: one statement for each.
index_statements() {
  local tables="('change_log'::regclass, 'entity_state'::regclass)"
  sql "$1" "
    SELECT $2 FROM pg_constraint WHERE contype = 'p' AND conrelid IN $tables
    UNION ALL SELECT $3 FROM pg_index WHERE NOT indisprimary AND indrelid IN $tables"
}

# Fills a database: fill NAME ROWS AUDIENCES MODULES, the modules m1, m2, … with a log of so many rows each.
# The indexes are made when the rows are there, as the migrations have them: that takes a third of the time.
fill() {
  local name=$1 log=$2 audiences=$3 modules=$4 drop make
  drop=$(index_statements "$name" "format('ALTER TABLE %s DROP CONSTRAINT %I;', conrelid::regclass, conname)" \
    "format('DROP INDEX %s;', indexrelid::regclass)")
  make=$(index_statements "$name" "format('ALTER TABLE %s ADD CONSTRAINT %I %s;', conrelid::regclass, conname, pg_get_constraintdef(oid))" \
    "pg_get_indexdef(indexrelid) || ';'")
  sql "$name" "
    SET maintenance_work_mem = '512MB';
    $drop
    DO \$\$ BEGIN FOR m IN 1..$modules LOOP
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, occurred_at, sequenced_at)
    SELECT 'm' || m, i, 1, CASE WHEN known THEN '$reader' ELSE 'u' || (7 + i % $audiences) END, 'order-' || i, 'upsert',
           CASE WHEN known
                THEN '{\"order\":' || i || ',\"state\":\"settled\",\"amount\":\"1034.50\",\"note\":\"' || repeat('x', 140) || '\"}'
                ELSE '{\"order\":' || i || '}' END,
           0, now.micros - ($log - i) * 10000, now.micros - ($log - i) * 10000
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros) AS now,
         (SELECT i, i <= $oldest OR i > $log - $newest AS known FROM generate_series(1, $log::bigint) AS i) AS row;
    END LOOP; END \$\$;
    INSERT INTO entity_state (module, audience, entity_key, op, position, value, sequenced_at)
    SELECT module, audience, entity_key, op, position, value, sequenced_at FROM change_log WHERE position > $log - $audiences;
    INSERT INTO module_head (module, head, sequenced_through)
    SELECT module, position, sequenced_at FROM change_log WHERE position = $log;
    $make"
  sql "$name" "VACUUM ANALYZE"
}

# Fills the database of a size unless it is there.
prepare() {
  local name modules=() i begun=$SECONDS
  name=$(size_name "$@")
  case " ${sizes[*]} " in *" $name "*) return ;; esac
  sizes+=("$name")
  sql postgres "CREATE DATABASE $name"
  for ((i = 1; i <= $3; i++)); do modules+=("m$i"); done
  write_config "$name" "$broker_default" "${modules[@]}"
  printf '[tail]\nchanges = %s\n' "$tail_changes" >>"$folder/$name.toml"
  "$changeover" migrate --config "$folder/$name.toml" >/dev/null
  fill "$name" "$@"
  # What wrk asks: any module, for any of the audiences and for the reader.
  ask "$1" "$2" "$3" >"$folder/${name}_idle.lua"
  ask $(($1 - newest)) 1 "$3" >"$folder/${name}_ten.lua"
  echo "$* $public $private" >"$folder/$name.size"
  echo "  filled ${name#size_} in $((SECONDS - begun)) s" >&2
}
ask() {
  cat <<LUA
request = function()
  return wrk.format("GET", string.format("$(path_of m%d)?since=$1&uid=u%d&size=100", math.random($3), 6 + math.random($2)))
end
LUA
}

# Measures a size once; a line of idle µs, page µs, then for catch-up reads of 10, 100 and 1,000 rows ms,
# µs of the gateway and µs of PostgreSQL each; resident MB; seconds of the start; percent of a core that the gateway
# and PostgreSQL use while nobody polls.
measure() {
  local name=$1 log modules line before begun rest
  read -r log _ modules public private <"$folder/$name.size"
  begun=$EPOCHREALTIME
  run_gateway "$name"
  # The last one: nothing may depend on where a module stands.
  module=m$modules
  await "$name" has_ten "$(path_of "$module")?since=$((log - newest))&uid=$reader&size=100"
  begun=$(awk -v from="$begun" -v to="$EPOCHREALTIME" 'BEGIN {printf "%.1f", to - from}')
  settle "$name"
  rest=$(share_at_rest)
  before=$(poll_queries)
  poll "${name}_idle" "$gateway" "$public" "" wrk -t2 -c64 -s "$folder/${name}_idle.lua"
  poll "${name}_ten" "$gateway" "$public" "" wrk -t2 -c64 -s "$folder/${name}_ten.lua"
  if [ "$(poll_queries)" != "$before" ]; then
    echo "polls from memory asked the database" >&2
    exit 1
  fi
  line="$(last "${name}_idle" 2) $(last "${name}_ten" 2) $(catch_up 10) $(catch_up 100) $(catch_up 1000)"
  note "$name" "$line $(($(resident_kb "$gateway") / 1024)) $begun $rest"
  end "$gateway"
}
has_ten() { [ "$(curl -sf "http://127.0.0.1:$public$1" | grep -o '"id":' | wc -l)" = "$newest" ]; }
last() { awk -v n="$2" 'END {print $n}' "$folder/$1.figures"; }

# Waits until gateway and PostgreSQL have done what follows a start.
settle() {
  local i used
  for ((i = 0; i < 60; i++)); do
    used=$(used_by_both)
    sleep 0.5
    [ $(($(used_by_both) - used)) -ge 40000 ] || return 0
  done
  echo "  $1 has not come to rest" >&2
}
used_by_both() { echo $(($(cpu_of "$gateway") + $(cpu_of_postgres))); }
share_at_rest() {
  local cpu pg
  cpu=$(cpu_of "$gateway") pg=$(cpu_of_postgres)
  sleep 2
  awk -v c=$(($(cpu_of "$gateway") - cpu)) -v p=$(($(cpu_of_postgres) - pg)) 'BEGIN {printf "%.1f %.1f", c / 20000, p / 20000}'
}

# A catch-up read of N rows from the beginning of the log by one client: milliseconds, and µs of
# processor time in the gateway and in PostgreSQL.
catch_up() {
  local limit=$1 path out cpu pg requests queries
  path="$(path_of "$module")?since=0&uid=$reader&size=$limit"
  if [ "$(curl -sf "http://127.0.0.1:$public$path" | grep -o '"id":' | wc -l)" != "$limit" ]; then
    echo "not $limit changes" >&2
    exit 1
  fi
  queries=$(poll_queries) cpu=$(cpu_of "$gateway") pg=$(cpu_of_postgres)
  out=$(wrk -t1 -c1 -d1s "http://127.0.0.1:$public$path")
  cpu=$(($(cpu_of "$gateway") - cpu)) pg=$(($(cpu_of_postgres) - pg))
  requests=$(awk '/ requests in /{print $1}' <<<"$out")
  if grep -q 'Non-2xx\|Socket errors' <<<"$out" || [ $(($(poll_queries) - queries)) -lt "$requests" ]; then
    echo "not every catch-up read asked the database: $out" >&2
    exit 1
  fi
  awk -v n="$requests" -v c="$cpu" -v p="$pg" -v rate="$(awk '/Requests\/sec/{print $2}' <<<"$out")" \
    'BEGIN {printf "%.2f %.0f %.0f", 1000 / rate, c / n, p / n}'
}

size_rounds=$((rounds < 3 ? rounds : 3)) size_seconds=$((seconds < 2 ? seconds : 2))

bench_sizes() {
  # What `poll` takes.
  local seconds=$size_seconds n i name
  choose_sizes
  echo "(f) sizes: idle µs; ten µs; catch-up of 10, 100, 1,000: ms, gateway µs, PostgreSQL µs each; resident MB; start s; at rest % of a core gateway and PostgreSQL" >&2
  for n in "${audience_sizes[@]}"; do prepare "$audience_log" "$n" 1; done
  for n in "${log_sizes[@]}"; do prepare "$n" 1000 1; done
  for n in "${module_sizes[@]}"; do prepare "$module_log" 1000 "$n"; done
  # Else PostgreSQL writes all that while polls are measured.
  sql postgres CHECKPOINT
  for ((i = 0; i < size_rounds; i++)); do
    for name in "${sizes[@]}"; do measure "$name"; done
  done
  for name in "${sizes[@]}"; do
    note "${name}_blocks" "$(blocks_read "$name" 10) $(blocks_read "$name" 100) $(blocks_read "$name" 1000)"
  done
  plan_of_postgres >"$folder/postgres.plan"
  plan_of_sqlite >"$folder/sqlite.plan"
  plan_of_mariadb >"$folder/mariadb.plan"
  for name in "${sizes[@]}"; do sql postgres "DROP DATABASE $name"; done
}

# size_row LABEL ROWS AUDIENCES MODULES
size_row() {
  local name n row
  name=$(size_name "${@:2}")
  row="| $(thousands "$1") | $(round "$(column "$name" 1)" 1) µs | $(round "$(column "$name" 2)" 1) µs |"
  for n in 3 6 9; do row+=" $(round "$(column "$name" "$n")" 2) ms |"; done
  row+=" $(sed 's| | / |g' "$folder/${name}_blocks.figures") | $(round "$(column "$name" 12)" 0) MB | $(round "$(column "$name" 13)" 1) s |"
  echo "$row $(round "$(column "$name" 14)" 1) + $(round "$(column "$name" 15)" 1) % |"
}
# The last row: the largest size to the smallest, both of the same round.
growth_row() {
  local n row="| largest : smallest |"
  for n in 1 2 3 6 9; do row+=" $(round "$(ratio "$2" "$n" "$1" "$n")" 2) |"; done
  echo "$row | | | |"
}
size_head() {
  echo "| $1 | idle poll | ten from memory | catch-up of 10 | of 100 | of 1,000 | blocks | resident | start | at rest |"
  echo "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
}
# How far apart the rounds of one size are, at most: the noise.
spread() {
  local name
  for name in "${sizes[@]}"; do
    awk -v n="$1" 'NR == 1 || $n < min {min = $n} $n > max {max = $n} END {print max / min}' "$folder/$name.figures"
  done | sort -g | tail -1
}

show_sizes() {
  local n most_audiences=${audience_sizes[-1]}
  cat <<TABLE
### (f) Cost against size

Idle polls for any of the audiences and of any of the modules, at random, and polls for the ten changes at a log's end, of any module: processor time of the gateway per poll
by \`wrk\` with 2 threads and 64 kept connections, $size_seconds s each; no poll of these caused an SQL statement. Catch-up reads from the beginning of a log, by one client that asks again and
again for 1 s: time from request to answer, and the blocks of 8 kB that PostgreSQL looks at for 10 / 100 / 1,000 rows. All of them asked the database: \`tail.changes\` is $(thousands "$tail_changes") here, because with 10,000
as it comes memory would hold the smallest logs whole. Start: until a poll is answered from memory. At rest: what gateway and PostgreSQL use of a core while
nobody polls. The sizes take turns, each with its own gateway and database, which is filled by SQL; medians of $size_rounds rounds.
The same size differed from round to round by a factor of up to $(round "$(spread 1)" 2) (idle), $(round "$(spread 2)" 2) (ten), $(round "$(spread 3)" 2), $(round "$(spread 6)" 2) and $(round "$(spread 9)" 2) (catch-up): what is below that is noise.

A log of $(thousands "$audience_log") rows for so many audiences:

$(size_head audiences)
$(for n in "${audience_sizes[@]}"; do size_row "$n" "$audience_log" "$n" 1; done)
$(growth_row "$(size_name "$audience_log" 1 1)" "$(size_name "$audience_log" "$most_audiences" 1)")

A log of so many rows for 1,000 audiences:

$(size_head rows)
$(for n in "${log_sizes[@]}"; do size_row "$n" "$n" 1000 1; done)
$(growth_row "$(size_name "${log_sizes[0]}" 1000 1)" "$(size_name "$log_rows" 1000 1)")

So many modules with $(thousands "$module_log") rows each for 1,000 audiences:

$(size_head modules)
$(for n in "${module_sizes[@]}"; do size_row "$n" "$module_log" 1000 "$n"; done)
$(growth_row "$(size_name "$module_log" 1000 1)" "$(size_name "$module_log" 1000 "${module_sizes[-1]}")")

The plan of a catch-up read for two audiences, limit 100, on PostgreSQL with $(thousands "$log_rows") rows:

\`\`\`
$(cat "$folder/postgres.plan")
\`\`\`

On SQLite, where it is one statement for each audience, with $(thousands "$sqlite_rows") rows:

\`\`\`
$(cat "$folder/sqlite.plan")
\`\`\`

On MariaDB $mariadb_version as it comes, with $(thousands "$mariadb_rows") rows: the statement as a gateway sent it, and what \`ANALYZE\` says of it. \`rows\` is an estimate that does not know the limit, \`r_rows\` what was read:

$(cat "$folder/mariadb.plan")

TABLE
}
