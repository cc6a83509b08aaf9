# The environment's ZOO_* as zoo.cfg.
function camel(words,    count, part, i, out) {
  count = split(tolower(words), part, "_")
  out = part[1]
  for (i = 2; i <= count; i++) out = out toupper(substr(part[i], 1, 1)) substr(part[i], 2)
  return out
}

function escaped(value) {
  gsub(/\\/, "&&", value)
  gsub(/\n/, "\\n", value)
  gsub(/\r/, "\\r", value)
  return value
}

BEGIN {
  split("WORK_DIR METRICS_PORT LOG_LEVEL HEAP_OPTS OPTS SERVERS MY_ID CFG_EXTRA", own)
  for (i in own) skip["ZOO_" own[i]]
  for (name in ENVIRON) {
    if (name !~ /^ZOO_[A-Z0-9_]+$/ || name in skip) continue
    count = split(substr(name, 5), part, "__")
    key = camel(part[1])
    for (i = 2; i <= count; i++) key = key "." camel(part[i])
    print key "=" escaped(ENVIRON[name]) | "LC_ALL=C sort"
  }
  count = split(ENVIRON["ZOO_SERVERS"], server, /[ ,\n]+/)
  for (i = 1; i <= count; i++) {
    if (server[i] == "") continue
    # Its own line names the address that it listens on: its name may not be known to the DNS yet.
    if (ENVIRON["POD_IP"] != "" && index(server[i], "server." ENVIRON["ZOO_MY_ID"] "=") == 1)
      sub(/=[^:]+:/, "=" ENVIRON["POD_IP"] ":", server[i])
    print server[i] | "LC_ALL=C sort"
  }
  if (ENVIRON["ZOO_CFG_EXTRA"] != "") print ENVIRON["ZOO_CFG_EXTRA"] | "LC_ALL=C sort"
}
