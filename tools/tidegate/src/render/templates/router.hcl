# {{title}}: the routes behind the filter in the sidecar of {{name}}. Made by `tidegate render --for consul --router`.
# Each service that a policy can choose is matched by its name in the steering header; all others go to {{default}}.
Kind = "service-router"
Name = "{{default}}"
Routes = [
  {{routes}}
]
