{{/*
What a webhook has to be sent, made from the policy: rules, match conditions and a namespace selector. This is
pkg/registration in another language, and tests hold the two together: whatever `truce policy webhooks` prints for the
policy in the ConfigMap, the chart renders.

Each template takes a scope: a dict of the policy and of the rules' matches that the webhook is for.
*/}}

{{/* Whether a rule holds fields: "true" or nothing. An object's existence cannot be held. */}}
{{- define "truce.holds" -}}
{{- $match := .match | default dict -}}
{{- if and (eq (.action | default "") "Hold") (without ($match.fields | default (list "**")) "$exists") -}}true{{- end -}}
{{- end -}}

{{/* Whether any rule of a policy does. */}}
{{- define "truce.anyHolds" -}}
{{- range .rules -}}{{- include "truce.holds" . -}}{{- end -}}
{{- end -}}

{{/* The matches of all rules, or of those that hold: a list, under the key matches. Takes policy and held. */}}
{{- define "truce.matches" -}}
{{- $matches := list -}}
{{- range .policy.rules -}}
  {{- if or (not $.held) (include "truce.holds" .) -}}
    {{- $m := .match | default dict -}}
    {{- $matches = append $matches (dict
      "resources" ($m.resources | default (list "*"))
      "excludeResources" ($m.excludeResources | default list)
      "namespaces" ($m.namespaces | default (list "*"))
      "fields" ($m.fields | default (list "**"))) -}}
  {{- end -}}
{{- end -}}
{{- dict "matches" $matches | toYaml -}}
{{- end -}}

{{/* Creations and deletions cannot be held. */}}
{{- define "truce.operations" -}}
{{- $update := false -}}
{{- $exists := false -}}
{{- range .matches -}}
  {{- if without .fields "$exists" -}}{{- $update = true -}}{{- end -}}
  {{- if or (has "**" .fields) (has "$exists" .fields) -}}{{- $exists = true -}}{{- end -}}
{{- end -}}
{{- if or .held $update }}
- UPDATE
{{- end -}}
{{- if and $exists (not .held) }}
- CREATE
- DELETE
{{- end -}}
{{- end -}}

{{/* One rule for each API group that the patterns name. */}}
{{- define "truce.rules" -}}
{{- $byGroup := dict -}}
{{- range .matches -}}
  {{- range .resources -}}
    {{- $path := splitn "/" 2 . -}}
    {{- $name := splitn "." 2 $path._0 -}}
    {{- $group := $name._1 | default "" -}}
    {{- if or (contains "*" $group) (and (eq $name._0 "*") (eq $group "")) -}}{{- $group = "*" -}}{{- end -}}
    {{- $resources := list $name._0 (printf "%s/status" $name._0) (printf "%s/scale" $name._0) -}}
    {{- if contains "/" . -}}{{- $resources = list (printf "%s/%s" $name._0 $path._1) -}}{{- end -}}
    {{- $_ := set $byGroup $group (concat (get $byGroup $group | default list) $resources) -}}
  {{- end -}}
{{- end -}}
{{- $every := get $byGroup "*" | default list -}}
{{- if has "*" $every -}}{{- $byGroup = dict "*" $every -}}{{- end -}}
{{- $operations := include "truce.operations" . | trim -}}
{{- range keys $byGroup | sortAlpha }}
- apiGroups: [{{ . | quote }}]
  apiVersions: ["*"]
  operations:
    {{- $operations | nindent 4 }}
  resources:
    {{- include "truce.distinct" (get $byGroup .) | nindent 4 }}
  scope: "*"
{{- end -}}
{{- end -}}

{{/* Resources in order, without those that others cover: the API server refuses to be told twice. */}}
{{- define "truce.distinct" -}}
{{- $all := . | sortAlpha | uniq -}}
{{- $out := list -}}
{{- range $r := $all -}}
  {{- $covered := false -}}
  {{- $rp := splitn "/" 2 $r -}}
  {{- range $o := $all -}}
    {{- $op := splitn "/" 2 $o -}}
    {{- if eq $o $r -}}
    {{- else if eq $o "*/*" -}}
      {{- $covered = true -}}
    {{- else if ne (contains "/" $o) (contains "/" $r) -}}
    {{- else if not (contains "/" $o) -}}
      {{- if eq $o "*" -}}{{- $covered = true -}}{{- end -}}
    {{- else if or (and (eq $op._0 "*") (eq $op._1 $rp._1)) (and (eq $op._1 "*") (eq $op._0 $rp._0)) -}}
      {{- $covered = true -}}
    {{- end -}}
  {{- end -}}
  {{- if not $covered -}}{{- $out = append $out $r -}}{{- end -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* A selector of namespaces as a dict: what is exempt by name is left out, and what no rule is for. */}}
{{- define "truce.namespaceSelector" -}}
{{- $out := list -}}
{{- range (.policy.exempt | default dict).namespaces -}}
  {{- if not (contains "*" .) -}}{{- $out = append $out . -}}{{- end -}}
{{- end -}}
{{- $in := list -}}
{{- $all := false -}}
{{- range .matches -}}
  {{- range .namespaces -}}
    {{- $in = append $in . -}}
    {{- if contains "*" . -}}{{- $all = true -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $expressions := list -}}
{{- with $out -}}
  {{- $expressions = append $expressions (dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" (. | sortAlpha | uniq)) -}}
{{- end -}}
{{- if not $all -}}
  {{- $expressions = append $expressions (dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" ($in | sortAlpha | uniq)) -}}
{{- end -}}
{{- $selector := deepCopy .also -}}
{{- with concat $expressions ($selector.matchExpressions | default list) -}}
  {{- $_ := set $selector "matchExpressions" . -}}
{{- end -}}
{{- toYaml $selector -}}
{{- end -}}
