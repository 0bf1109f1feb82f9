{{/*
The policy that Truce gets, as YAML: what `policy` says, with ruleOverrides, mode and excludedNamespaces worked in. With
existingPolicyConfigMap, which the chart cannot read: one that needs the same webhooks as any policy may.
*/}}
{{- define "truce.policy" -}}
{{- $policy := dict -}}
{{- if .Values.existingPolicyConfigMap -}}
  {{- $action := ternary "Hold" "Warn" .Values.existingPolicyHolds -}}
  {{- $policy = dict "rules" (list (dict "name" "whatever-the-policy-says" "action" $action)) -}}
{{- else if kindIs "string" .Values.policy -}}
  {{- $policy = fromYaml .Values.policy -}}
  {{- if hasKey $policy "Error" -}}
    {{- fail (printf "policy is no YAML mapping (%s): `truce lint` says where it is wrong" $policy.Error) -}}
  {{- end -}}
{{- else -}}
  {{- $policy = .Values.policy | toYaml | fromYaml -}}
{{- end -}}
{{- if not (kindIs "slice" $policy.rules) -}}
  {{- fail "policy has no list of rules: nothing would be watched" -}}
{{- end -}}
{{- if and $policy.mode (ne $policy.mode .Values.mode) -}}
  {{- fail (printf "policy.mode is %s, but mode is %s: leave policy.mode out, or make them the same" $policy.mode .Values.mode) -}}
{{- end -}}
{{- $names := list -}}
{{- $rules := list -}}
{{- range $policy.rules -}}
  {{- $names = append $names .name -}}
  {{- $rules = append $rules (mergeOverwrite . (deepCopy (get $.Values.ruleOverrides (toString .name) | default dict))) -}}
{{- end -}}
{{- range $name, $_ := .Values.ruleOverrides -}}
  {{- if not (has $name $names) -}}
    {{- fail (printf "ruleOverrides names the rule %s, which the policy does not have; it has %s" $name (join ", " $names)) -}}
  {{- end -}}
{{- end -}}
{{- $exempt := $policy.exempt | default dict -}}
{{- $namespaces := concat ($exempt.namespaces | default list) .Values.excludedNamespaces (list .Release.Namespace) | uniq -}}
{{- $_ := set $exempt "namespaces" $namespaces -}}
{{- $_ := set $policy "apiVersion" ($policy.apiVersion | default "truce.dev/v1alpha1") -}}
{{- $_ := set $policy "kind" ($policy.kind | default "Policy") -}}
{{- $_ := set $policy "exempt" $exempt -}}
{{- $_ := set $policy "rules" $rules -}}
{{- with .Values.mode -}}{{- $_ := set $policy "mode" . -}}{{- end -}}
{{- toYaml $policy -}}
{{- end -}}

{{/* What the policy lists under `observe`, as a YAML list. */}}
{{- define "truce.observed" -}}
{{- $policy := include "truce.policy" . | fromYaml -}}
{{- concat ($policy.observe | default list) .Values.watch.resources | uniq | toYaml -}}
{{- end -}}
