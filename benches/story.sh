# (e) The story: what polls cost before the gateway, and after.

story_modules=(m1 m2 m3 m4 m5)
story_clients=5000

# A fleet polls a server while a producer commits: story NAME PID PORT [interval in ms].
story() {
  local name=$1 server=$2 port=$3 interval=${4:-1000} producer before after cpu pg out modules connections
  modules=$(IFS=,; echo "${story_modules[*]}")
  start producer "$yardstick" produce --database "$(url story)" --modules "$modules" --seconds $((story_seconds + 30)) --channels "$story_clients"
  producer=$pid
  before=$(statements) cpu=$(cpu_of "$server") pg=$(cpu_of_postgres)
  local begun=$EPOCHREALTIME
  out=$("$yardstick" clients --address "127.0.0.1:$port" --clients "$story_clients" --modules "$modules" \
    --interval-ms "$interval" --seconds "$story_seconds")
  connections=$(sql postgres "SELECT count(*) FROM pg_stat_activity WHERE datname = 'story'")
  after=$(statements) cpu=$(($(cpu_of "$server") - cpu)) pg=$(($(cpu_of_postgres) - pg))
  end "$producer"
  # Of the connections one is the producer's.
  note "$name" "$out $(awk -v n=$((after - before)) -v from="$begun" -v to="$EPOCHREALTIME" -v c="$cpu" -v p="$pg" \
    'BEGIN {s = to - from; printf "%.0f %.0f %.0f", n / s, c / s / 10000, p / s / 10000}') $((connections - 1)) $(($(resident_kb "$server") / 1024))"
}
# Transactions of all clients of the database, and a statement outside a transaction is one.
statements() {
  # A session tells its statistics a second after its last statement at the latest.
  sleep 1.1
  sql postgres "SELECT xact_commit FROM pg_stat_database WHERE datname = 'story'"
}

bench_story() {
  local sql_server sql_port
  echo "(e) the story: polls/s due, answered, with changes; ms from due p50 p99 max, from sent p50 p99; statements/s, % of a core server and PostgreSQL, connections, MB" >&2
  start_gateway story "$broker_raised" "${story_modules[@]}"
  story story_gateway "$gateway" "$public"
  note story_queries "$(poll_queries)"
  free_port
  sql_port=$port
  start sql "$yardstick" sql-per-poll --listen "127.0.0.1:$sql_port" --database "$(url story)"
  sql_server=$pid
  await sql listens "$sql_port"
  story story_sql "$sql_server" "$sql_port"
  story story_slower "$sql_server" "$sql_port" 5000
  end "$sql_server"
  end "$gateway"
}

story_row() {
  local n row="| $1 |"
  for n in 1 2; do row+=" $(thousands "$(column "$2" $n)") |"; done
  for n in 4 5; do row+=" $(column "$2" $n) ms |"; done
  echo "$row $(thousands "$(column "$2" 9)") | $(column "$2" 12) | $(column "$2" 10) % | $(column "$2" 11) % | $(column "$2" 13) MB |"
}

show_story() {
  cat <<TABLE
### (e) The story: $(thousands "$story_clients") clients, ${#story_modules[@]} modules, one poll a second of each

$(thousands "$story_clients") kept connections for $story_seconds s, every poll at its own fixed moment; 100 changes a second, each for one client; the load is on the same
machine. p50 and p99 count from the moment when a poll was due, and hold the load's own timer of 1 ms. Statements are PostgreSQL's transactions, the producer's 100 a
second and the gateway's own work included, which goes on while the query per poll is measured; resident memory is the server's.

| server | polls/s due | answered | p50 | p99 | statements/s | connections | server's processor | PostgreSQL's | resident |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
$(story_row "before: a query per poll" story_sql)
$(story_row "before, a poll in five seconds" story_slower)
$(story_row "after: the gateway" story_gateway)

SQL statements that polls of the gateway caused, the first polls of all clients included: $(cat "$folder/story_queries.figures"). Connections of the query per poll hold the gateway's,
which ran beside it.

TABLE
}
