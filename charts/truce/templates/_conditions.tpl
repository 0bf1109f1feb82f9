{{/*
CEL expressions that are false for requests that cannot matter. Each must be right by itself: one that fails to evaluate
lets the request pass by. These too are held to pkg/registration by tests.
*/}}
{{- define "truce.matchConditions" -}}
{{- $exempt := .policy.exempt | default dict -}}
{{- include "truce.condition" (list "not-excluded-resources" (include "truce.excluded" .)) -}}
{{- include "truce.condition" (list "not-exempt-users" (include "truce.fitsNone" (list "request.userInfo.username" $exempt.users))) -}}
{{- include "truce.condition" (list "not-exempt-groups" (include "truce.groups" $exempt.groups)) -}}
{{- include "truce.condition" (list "not-exempt-namespaces" (include "truce.exemptNamespaces" $exempt.namespaces)) -}}
{{- include "truce.condition" (list "changes-something-watched" (include "truce.changed" .)) -}}
{{- end -}}

{{- define "truce.condition" -}}
{{- if index . 1 }}
- name: {{ index . 0 }}
  expression: {{ index . 1 | toRawJson }}
{{- end -}}
{{- end -}}

{{/* True if a string fits a wildcard. Takes the string's expression and the wildcard. */}}
{{- define "truce.fits" -}}
{{- $value := index . 0 -}}
{{- $pattern := index . 1 | toString -}}
{{- if contains "*" $pattern -}}
  {{- $parts := list -}}
  {{- range splitList "*" $pattern -}}{{- $parts = append $parts (regexQuoteMeta .) -}}{{- end -}}
  {{- printf "%s.matches(%q)" $value (printf "^%s$" (join ".*" $parts)) -}}
{{- else -}}
  {{- printf "%s == %q" $value $pattern -}}
{{- end -}}
{{- end -}}

{{/* True if a string fits no wildcard of a list. */}}
{{- define "truce.fitsNone" -}}
{{- $value := index . 0 -}}
{{- $terms := list -}}
{{- range index . 1 -}}{{- $terms = append $terms (printf "!(%s)" (include "truce.fits" (list $value .))) -}}{{- end -}}
{{- join " && " $terms -}}
{{- end -}}

{{/* True if the user is in no group that fits. A user without groups has no such list. */}}
{{- define "truce.groups" -}}
{{- $terms := list -}}
{{- range . -}}{{- $terms = append $terms (include "truce.fits" (list "g" .)) -}}{{- end -}}
{{- with $terms -}}
!has(request.userInfo.groups) || !request.userInfo.groups.exists(g, {{ join " || " . }})
{{- end -}}
{{- end -}}

{{/* Those with a wildcard; the others are in the namespace selector. */}}
{{- define "truce.exemptNamespaces" -}}
{{- $wild := list -}}
{{- range . -}}{{- if contains "*" . -}}{{- $wild = append $wild . -}}{{- end -}}{{- end -}}
{{- with $wild -}}
!has(request.namespace) || {{ include "truce.fitsNone" (list "request.namespace" .) }}
{{- end -}}
{{- end -}}

{{/* True if the resource is not one that every rule leaves out. */}}
{{- define "truce.excluded" -}}
{{- $terms := list -}}
{{- range $pattern := (first .matches).excludeResources -}}
  {{- $everywhere := true -}}
  {{- range $.matches -}}{{- if not (has $pattern .excludeResources) -}}{{- $everywhere = false -}}{{- end -}}{{- end -}}
  {{- if $everywhere -}}{{- $terms = append $terms (printf "!(%s)" (include "truce.isResource" $pattern)) -}}{{- end -}}
{{- end -}}
{{- join " && " $terms -}}
{{- end -}}

{{- define "truce.isResource" -}}
{{- $path := splitn "/" 2 . -}}
{{- $name := splitn "." 2 $path._0 -}}
{{- $terms := list -}}
{{- if ne $name._0 "*" -}}
  {{- $terms = append $terms (printf "request.resource.resource == %q" $name._0) -}}
{{- end -}}
{{- if ne $path._0 "*" -}}
  {{- $terms = append $terms (include "truce.fits" (list "request.resource.group" ($name._1 | default ""))) -}}
{{- end -}}
{{- if contains "/" . -}}
  {{- $sub := ternary "request.subResource != \"\"" (printf "request.subResource == %q" $path._1) (eq $path._1 "*") -}}
  {{- $terms = append $terms (printf "has(request.subResource) && %s" $sub) -}}
{{- end -}}
{{- join " && " $terms -}}
{{- end -}}

{{/*
True if an update changes one of the members that any rule watches: one level down, two within metadata. None if a rule
watches what no single member holds: managedFields change with nearly every write, and writes that change nothing are to
be seen then.
*/}}
{{- define "truce.changed" -}}
{{- $members := list -}}
{{- $all := false -}}
{{- $identifier := "^[A-Za-z_][A-Za-z0-9_]*$" -}}
{{- range .matches -}}
  {{- range without .fields "$exists" -}}
    {{- $first := regexFind "^[^.\\[]*" . -}}
    {{- $second := regexFind "^[^.\\[]*" (. | trimPrefix $first | trimPrefix ".") -}}
    {{- if not (regexMatch $identifier $first) -}}
      {{- $all = true -}}
    {{- else if ne $first "metadata" -}}
      {{- $members = append $members (printf ".?%s" $first) -}}
    {{- else if regexMatch $identifier $second -}}
      {{- $members = append $members (printf ".?metadata.?%s" $second) -}}
    {{- else -}}
      {{- $all = true -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if and $members (not $all) -}}
  {{- $terms := list "request.operation != \"UPDATE\"" -}}
  {{- range $members | sortAlpha | uniq -}}
    {{- $terms = append $terms (printf "object%s.orValue(null) != oldObject%s.orValue(null)" . .) -}}
  {{- end -}}
  {{- join " || " $terms -}}
{{- end -}}
{{- end -}}
