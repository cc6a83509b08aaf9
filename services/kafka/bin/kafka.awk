# The environment's KAFKA_* as server.properties.
function escaped(value) {
  gsub(/\\/, "&&", value)   # how java.util.Properties wants a backslash,
  gsub(/\n/, "\\n", value)  # a line's end
  gsub(/\r/, "\\r", value)
  sub(/^ /, "\\ ", value)   # and a space in front
  return value
}

function jaas(text) {
  gsub(/["\\]/, "\\\\&", text)
  return "\"" text "\""
}

function line(key, value) { print key "=" escaped(value) | "LC_ALL=C sort" }

# How a broker of a listener knows its users, and itself among brokers.
function login(listener, users, count,    i, at, plain) {
  at = index(users[1], "=")
  line("listener.name." tolower(listener) ".scram-sha-512.sasl.jaas.config",
    "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"" substr(users[1], 1, at - 1) "\" password=" jaas(substr(users[1], at + 1)) ";")
  # ZooKeeper's hashes of passwords serve SCRAM alone.
  if (ENVIRON["KAFKA_SASL_ENABLED_MECHANISMS"] !~ /(^|,)PLAIN(,|$)/) return
  plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
  for (i = 1; i <= count; i++) {
    at = index(users[i], "=")
    plain = plain " user_" substr(users[i], 1, at - 1) "=" jaas(substr(users[i], at + 1))
  }
  line("listener.name." tolower(listener) ".plain.sasl.jaas.config", plain ";")
}

BEGIN {
  split("WORK_DIR LIBS METRICS_PORT LOG_LEVEL HEAP_OPTS OPTS EXTERNAL_PORT EXTERNAL_HOST EXTERNAL_BIND USERS", own)
  for (i in own) skip["KAFKA_" own[i]]
  for (name in ENVIRON) {
    if (name !~ /^KAFKA_[A-Z0-9_]+$/ || name in skip) continue
    key = tolower(substr(name, 7))
    gsub(/___/, "-", key)
    gsub(/__/, "\001", key)
    gsub(/_/, ".", key)
    gsub(/\001/, "_", key)
    line(key, ENVIRON[name])
  }
  if (ENVIRON["KAFKA_USERS"] != "") {
    users = split(ENVIRON["KAFKA_USERS"], user, "\n")
    count = split(ENVIRON["KAFKA_LISTENERS"], listener, ",")
    for (i = 1; i <= count; i++)
      login(substr(listener[i], 1, index(listener[i], ":") - 1), user, users)
  }
}
