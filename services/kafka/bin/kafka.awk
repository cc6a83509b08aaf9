# The environment's KAFKA_* as server.properties.
function escaped(value) {
  gsub(/\\/, "&&", value)   # how java.util.Properties wants a backslash,
  gsub(/\n/, "\\n", value)  # a line's end
  gsub(/\r/, "\\r", value)
  sub(/^ /, "\\ ", value)   # and a space in front
  return value
}

function line(key, value) { print key "=" escaped(value) | "LC_ALL=C sort" }

# How a broker of a listener knows its users, and itself among brokers.
function login(listener, name, password) {
  gsub(/["\\]/, "\\\\&", password)
  line("listener.name." tolower(listener) ".scram-sha-512.sasl.jaas.config",
    "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"" name "\" password=\"" password "\";")
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
    split(ENVIRON["KAFKA_USERS"], user, "\n")
    at = index(user[1], "=")
    count = split(ENVIRON["KAFKA_LISTENERS"], listener, ",")
    for (i = 1; i <= count; i++)
      login(substr(listener[i], 1, index(listener[i], ":") - 1), substr(user[1], 1, at - 1), substr(user[1], at + 1))
  }
}
