# What both launchers do; read by them, never run.
# shellcheck shell=sh disable=SC2034,SC2154

say() { printf '%s: %s\n' "${0##*/}" "$*"; }

fail() {
  say "$@" >&2
  exit 78 # EX_CONFIG of sysexits.h
}

need() {
  for name in "$@"; do
    eval "[ -n \"\${$name:-}\" ]" || fail "$name is not set"
  done
}

# The number at the end of a StatefulSet's pod name.
ordinal() {
  case ${POD_NAME:-} in
    *-*[!0-9]* | *-) ;;
    *-*)
      echo "${POD_NAME##*-}"
      return
      ;;
  esac
  echo 0
}

# prepare NAME WORK_DIR LIBS METRICS_PORT LOG_LEVEL: sets java, classpath and three lists of words:
# jvm_options, server_options (for what is no short-lived client) and agent.
prepare() {
  umask 077
  mkdir -p "$2/tmp" || fail "cannot write to $2"
  [ -d "$3" ] || fail "KAFKA_LIBS=$3: is no folder of jars"
  classpath="$3/*"
  if [ -n "${JAVA_HOME:-}" ]; then
    java=$JAVA_HOME/bin/java
  elif [ -x "$home/jre/bin/java" ]; then
    java=$home/jre/bin/java
  else
    java=$(command -v java) || fail "there is no java: set JAVA_HOME or PATH"
  fi
  [ -x "$java" ] || fail "JAVA_HOME=$JAVA_HOME: has no bin/java"
  # No perf data: it would be written to the system's temporary folder, which may be read-only.
  server_options="-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError"
  jvm_options="-XX:-UsePerfData
    -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true -Djava.io.tmpdir=$2/tmp
    -Dlog4j.configuration=file:$home/etc/log4j.properties -Dkafka.log.level=$5"
  agent=
  if [ -n "$4" ]; then
    for jar in "$3"/jmx_prometheus_javaagent-*.jar; do
      [ -e "$jar" ] || fail "KAFKA_LIBS=$3: has no jmx_prometheus_javaagent"
    done
    agent="-javaagent:$jar=${POD_IP:-127.0.0.1}:$4:$home/etc/jmx-$1.yml"
  fi
}

# render PROGRAM FILE: the environment, as configuration. Readable by its owner only: passwords come in it.
render() {
  awk -f "$1" < /dev/null > "$2.new" || fail "cannot write $2"
  mv -f "$2.new" "$2"
}
