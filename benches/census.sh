# (l) The census: a million clients of three modules, remembered and written.

census_clients=1000000
census_modules=3
# What is remembered by default, and everybody.
census_bounds=(200000 3000000)

bench_census() {
  local bound i database
  echo "(l) the census: ns of a first poll and of one more, MiB, remembered, s and clients/s of writing, s of writing nothing, s of counting, counted, modules" >&2
  for bound in "${census_bounds[@]}"; do
    for ((i = 0; i < rounds && i < 3; i++)); do
      database="census_${bound}_$i"
      sql postgres "CREATE DATABASE $database" >/dev/null
      note "census_$bound" "$("$yardstick" census --clients "$census_clients" --modules "$census_modules" --remembered "$bound" --database "$(url "$database")")"
      sql postgres "DROP DATABASE $database" >/dev/null
    done
  done
}

# census_row BOUND
census_row() {
  local of="census_$1"
  echo "| $(thousands "$1") | $(column "$of" 3) MiB | $(column "$of" 1) ns | $(column "$of" 2) ns | $(thousands "$(column "$of" 4)") in $(column "$of" 5) s, $(thousands "$(column "$of" 6)")/s | $(column "$of" 7) s | $(column "$of" 8) s | $(thousands "$(column "$of" 9)") |"
}

show_census() {
  local bound
  cat <<TABLE
### (l) The census

$(thousands "$census_clients") clients of $census_modules modules poll once each, and once more. What the process grows by, what a poll costs in the census, and what it takes to write all of them to PostgreSQL in batches of 500 (as after a start; later only what is new is written, and
each client at most every \`census.resolution\`), to write when nothing is new, and to count them. Above the bound clients are estimated from sketches.

| \`census.clients\` | memory | first poll | one more | written | nothing new | counted in | clients of a module, as counted |
|---:|---:|---:|---:|---:|---:|---:|---:|
$(for bound in "${census_bounds[@]}"; do census_row "$bound"; done)

TABLE
}
