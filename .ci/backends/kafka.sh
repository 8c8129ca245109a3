#!/bin/sh
# Stands in for Apache's scripts of the same names and arguments (without -daemon).
set -eu
home=$(cd "$(dirname "$0")/.." && pwd)
case ${0##*/} in
  kafka-server-start.sh) class=kafka.Kafka ;;
  kafka-storage.sh) class=kafka.tools.StorageTool ;;
  *)
    echo "$0: no such program of Kafka" >&2
    exit 1
    ;;
esac
# Where PATH holds only what is pinned, Java is where the system has it.
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
command -v "$java" >/dev/null || java=/usr/bin/java
# shellcheck disable=SC2086 # options, split on purpose
exec "$java" ${KAFKA_HEAP_OPTS:--Xmx512M} ${KAFKA_OPTS:-} -cp "$home/lib/*" "$class" "$@"
