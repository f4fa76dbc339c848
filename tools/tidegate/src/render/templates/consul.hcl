# {{title}}: limits, routing and breakers in front of {{count}}, for the sidecar of {{name}} in Consul's mesh.
# Made by `tidegate render --for consul`; with `--router` it makes the service-router behind it. Check both together with
# `tidegate check` before `consul config write`: a wrong document is written all the same, and only Envoy's log says why
# nothing changes.
#
# FAIL_RELOAD cannot be set here: after a trap a worker answers 503 until the configuration changes. Edits reach open
# connections late unless Envoy runs with --drain-strategy immediate.

Kind     = "service-defaults"
Name     = "{{name}}"
Protocol = "http"
EnvoyExtensions = [
  {
    Name = "builtin/wasm"
    # Never false: requests would pass without the filter when it fails.
    Required = true
    Arguments = {
      Protocol     = "http"
      ListenerType = "outbound"
      PluginConfig = {
        Name   = "tidegate"
        RootID = "tidegate"
        VmConfig = {
          # The state belongs to this id.
          VmID    = "tidegate"
          Runtime = "v8"
          Code    = {{code}}
        }
        # A text, not an object. The policies know services by the names in Consul, and every request is one of a route.
        Configuration = <<JSON
{{document}}
JSON
      }
    }
  }
]
