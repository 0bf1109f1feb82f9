{{/* Values that contradict each other, which the schema cannot see, are refused with a sentence. */}}
{{- define "truce.checks" -}}
{{- $v := .Values -}}
{{- if and (not $v.mode) (not $v.existingPolicyConfigMap) -}}
  {{- fail "mode is empty: say Audit, Warn or Enforce; only with existingPolicyConfigMap may the policy say it" -}}
{{- end -}}
{{- if and $v.existingPolicyHolds (not $v.existingPolicyConfigMap) -}}
  {{- fail "existingPolicyHolds is about the policy in existingPolicyConfigMap, which is empty; for `policy` the chart sees itself whether a rule holds" -}}
{{- end -}}
{{- if and $v.ruleOverrides $v.existingPolicyConfigMap -}}
  {{- fail "ruleOverrides change `policy`, but existingPolicyConfigMap takes its place: change that policy itself" -}}
{{- end -}}
{{- if eq $v.certificates.mode "existing" -}}
  {{- if not $v.certificates.secretName -}}
    {{- fail "certificates.mode is existing, but certificates.secretName is empty: name the Secret with tls.crt and tls.key" -}}
  {{- end -}}
  {{- if not (or $v.certificates.caBundle $v.webhookAnnotations) -}}
    {{- fail "certificates.mode is existing, but nobody tells the API server which CA signed the certificate: give certificates.caBundle, or in webhookAnnotations what makes another controller inject it" -}}
  {{- end -}}
{{- else if $v.certificates.caBundle -}}
  {{- fail (printf "certificates.caBundle is given, but with certificates.mode %s it is injected: leave it out, or use mode existing" $v.certificates.mode) -}}
{{- end -}}
{{- if and $v.certificates.certManager.issuerRef (ne $v.certificates.mode "cert-manager") -}}
  {{- fail (printf "certificates.certManager.issuerRef is given, but certificates.mode is %s: make it cert-manager" $v.certificates.mode) -}}
{{- end -}}
{{- if and $v.clientAuthentication.names (not $v.clientAuthentication.caConfigMap) -}}
  {{- fail "clientAuthentication.names are given, but no CA to check them with: give clientAuthentication.caConfigMap" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
  {{- fail (printf "autoscaling.minReplicas (%d) is more than autoscaling.maxReplicas (%d)" (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and (eq $v.failurePolicy "Fail") (not $v.autoscaling.enabled) (lt (int $v.replicas) 2) -}}
  {{- fail "failurePolicy is Fail with fewer than 2 replicas: every restart of the only Pod would refuse writes" -}}
{{- end -}}
{{- if eq (int $v.ports.webhook) (int $v.ports.ops) -}}
  {{- fail (printf "ports.webhook and ports.ops are both %d: give them different ports" (int $v.ports.ops)) -}}
{{- end -}}
{{- if and (eq $v.certificates.mode "self") (not $v.rbac.create) (not $v.serviceAccount.name) -}}
  {{- fail "certificates.mode is self, which needs rights, but rbac.create is false: name a ServiceAccount that has them in serviceAccount.name, or use another mode" -}}
{{- end -}}
{{- $monitor := or $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled -}}
{{- if and $v.metrics.serviceMonitor.enabled (not $v.metrics.service) -}}
  {{- fail "metrics.serviceMonitor needs metrics.service: it selects that Service" -}}
{{- end -}}
{{- if and $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled -}}
  {{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled: everything would be counted twice" -}}
{{- end -}}
{{- if and $v.metrics.podMonitor.enabled $v.metrics.authentication (not $v.metrics.podMonitor.authorization) -}}
  {{- fail "metrics.podMonitor has no authorization, which metrics.authentication asks for: give one, use metrics.serviceMonitor, or switch metrics.authentication off" -}}
{{- end -}}
{{- if and $monitor $v.networkPolicy.enabled (not $v.hostNetwork) (not $v.networkPolicy.metricsFrom) -}}
  {{- fail "metrics are to be scraped, but the NetworkPolicy lets nobody in: say who may in networkPolicy.metricsFrom" -}}
{{- end -}}
{{- $grace := int $v.terminationGracePeriodSeconds -}}
{{- $stop := add (include "truce.seconds" $v.shutdownDelay | int) (include "truce.seconds" $v.shutdownTimeout | int) | int -}}
{{- if le $grace $stop -}}
  {{- fail (printf "terminationGracePeriodSeconds is %d, but shutdownDelay and shutdownTimeout take %d: Pods would be killed with reviews in flight" $grace $stop) -}}
{{- end -}}
{{- range $name, $selector := dict "namespaceSelector" $v.namespaceSelector "objectSelector" $v.objectSelector -}}
  {{- range $selector.matchExpressions -}}
    {{- if and (has .operator (list "In" "NotIn")) (not .values) -}}
      {{- fail (printf "%s has an expression for %s with operator %s and no values" $name .key .operator) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* A time such as 5s or 2m, in seconds. */}}
{{- define "truce.seconds" -}}
{{- $n := regexFind "^[0-9]+" . | int -}}
{{- if hasSuffix "m" . -}}{{- mul $n 60 -}}{{- else -}}{{- $n -}}{{- end -}}
{{- end -}}
