# The environment's ES_* as elasticsearch.yml.
function quoted(value) {
  gsub(/["\\]/, "\\\\&", value)
  gsub(/\n/, "\\n", value)
  return "\"" value "\""
}

BEGIN {
  split("WORK_DIR LOG_LEVEL HEAP_OPTS OPTS", own)
  for (i in own) skip["ES_" own[i]]
  for (name in ENVIRON) {
    if (name !~ /^ES_[A-Z0-9_]+$/ || name in skip) continue
    key = tolower(substr(name, 4))
    gsub(/__/, "\001", key)
    gsub(/_/, ".", key)
    gsub(/\001/, "_", key)
    print key ": " quoted(ENVIRON[name]) | "LC_ALL=C sort"
  }
}
