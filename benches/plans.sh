# The plans of a catch-up read on each database, for (f).

# Rows of the logs of SQLite and MariaDB.
sqlite_rows=100000 mariadb_rows=200000

# A statement as the source has it: statement FOLDER NAME.
statement() {
  awk -v name="const $2:" 'index($0, name) {on = 1; next} on {line = $0; last = sub(/";$/, "", line); sub(/ *\\$/, "", line); gsub(/\\"/, "\"", line); print line; if (last) exit}' "src/store/$1/changelog.rs"
}

# PostgreSQL's plan of a catch-up read, and what it did: explain NAME LIMIT. Connections are kept and statements prepared,
# so it is the plan for any values.
explain() {
  local log
  read -r log _ <"$folder/$1.size"
  sql "$1" "
    SET plan_cache_mode = force_generic_plan;
    PREPARE catch_up(text, text[], bigint, bigint, bigint) AS $(statement postgres READ_LOG);
    EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE catch_up('m1', '{*,$reader}', 0, $log, $(($2 + 1)))"
}
# The whole plan's blocks stand first.
blocks_read() {
  explain "$@" | awk -F '[ =]' '/Buffers:/ {for (i = 1; i < NF; i++) if ($i == "hit" || $i == "read") sum += $(i + 1); print sum; exit}'
}

plan_of_postgres() { explain "$(size_name "$log_rows" 1000 1)" 100; }

# SQLite is asked by its own shell, for each channel.
plan_of_sqlite() {
  local file=$folder/plan.db
  plan_config sqlite "sqlite://$file"
  sqlite3 "$file" "
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, occurred_at, sequenced_at)
    SELECT 'm1', value, 1, 'u' || (7 + value % 1000), 'order-' || value, 'upsert', '{}', 0, 0, 0 FROM generate_series(1, $sqlite_rows);
    ANALYZE" "EXPLAIN QUERY PLAN $(statement sqlite READ_LOG | sed "s/?1/'m1'/; s/?2/'$reader'/; s/?3/0/; s/?4/$sqlite_rows/; s/?5/101/")"
}

# On MariaDB the statement is put together at run time: a gateway is asked, and the server says what it was sent.
plan_of_mariadb() {
  local sent
  start_mariadb
  mariadb_sql "CREATE DATABASE plan"
  plan_config mariadb "mysql://root@127.0.0.1:$mariadb_port/plan"
  mariadb_sql "
    USE plan;
    INSERT INTO change_log (module, position, epoch, audience, entity_key, op, value, previous, occurred_at, sequenced_at)
    SELECT 'm1', seq, 1, IF(seq <= $oldest, '$reader', CONCAT('u', 7 + seq % 1000)), CONCAT('order-', seq), 'upsert', '{}', 0, now.micros, now.micros
    FROM seq_1_to_$mariadb_rows, (SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS INTEGER) AS micros) AS now;
    INSERT INTO module_head (module, head, sequenced_through) SELECT module, position, sequenced_at FROM change_log WHERE position = $mariadb_rows;
    ANALYZE TABLE change_log" >/dev/null
  run_gateway plan_mariadb
  mariadb_sql "SET GLOBAL log_output = 'TABLE', GLOBAL general_log = 1"
  curl -sf "http://127.0.0.1:$public$(path_of m1)?since=0&uid=$reader&size=100" >/dev/null
  mariadb_sql "SET GLOBAL general_log = 0"
  end "$gateway"
  sent=$(mariadb_sql "SELECT argument FROM mysql.general_log WHERE command_type = 'Execute' AND argument LIKE '%change_log_channel%' LIMIT 1")
  if [ -z "$sent" ]; then
    echo "a catch-up read did not reach MariaDB" >&2
    exit 1
  fi
  printf '```\n%s\n```\n\n' "$(fold -s -w 150 <<<"$sent" | sed 's/ *$//')"
  mariadb_sql --column-names "USE plan; ANALYZE $sent" | awk -F '\t' '
    NR == 1 {for (i = 1; i <= NF; i++) column[$i] = i}
    NR > 1 {$column["table"] = "`" $column["table"] "`"}
    {print "| " $column["id"] " | " $column["select_type"] " | " $column["table"] " | " $column["type"] " | " $column["key"] " | " $column["rows"] " | " $column["r_rows"] " | " $column["Extra"] " |"}
    NR == 1 {print "|---|---|---|---|---|---:|---:|---|"}'
  end "$mariadb"
}

# The configuration of a gateway with one module on another database: plan_config NAME URL, and its tables.
plan_config() {
  write_config "plan_$1" "$broker_default" m1
  sed -i "s|^url = \"postgres:.*|url = \"$2\"|" "$folder/plan_$1.toml"
  "$changeover" migrate --config "$folder/plan_$1.toml" >/dev/null
}
