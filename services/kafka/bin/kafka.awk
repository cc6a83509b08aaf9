# The environment's KAFKA_* as server.properties.
BEGIN {
  split("WORK_DIR LIBS METRICS_PORT LOG_LEVEL HEAP_OPTS OPTS", own)
  for (i in own) skip["KAFKA_" own[i]]
  for (name in ENVIRON) {
    if (name !~ /^KAFKA_[A-Z0-9_]+$/ || name in skip) continue
    key = tolower(substr(name, 7))
    gsub(/___/, "-", key)
    gsub(/__/, "\001", key)
    gsub(/_/, ".", key)
    gsub(/\001/, "_", key)
    value = ENVIRON[name]
    gsub(/\\/, "&&", value)   # how java.util.Properties wants a backslash,
    gsub(/\n/, "\\n", value)  # a line's end
    gsub(/\r/, "\\r", value)
    sub(/^ /, "\\ ", value)   # and a space in front
    print key "=" value | "LC_ALL=C sort"
  }
}
