# The packages that are not free software. The Business Source License lets anyone run them, but not sell them as a
# service.
lib: package:
builtins.elem (lib.getName package) [
  "redpanda"
  "redpanda-console"
  "redpanda-rpk"
]
