{{/* The file of receivers, as docs/notifications.md describes it. */}}
{{- define "truce.receivers" -}}
apiVersion: truce.dev/v1alpha1
kind: Notifications
{{- with .Values.notifications.cluster }}
cluster: {{ . | quote }}
{{- end }}
receivers:
  {{- toYaml .Values.notifications.receivers | nindent 2 }}
{{- end -}}

{{/* Whether replicas agree on who tells: "true" or nothing. */}}
{{- define "truce.claims" -}}
{{- if and .Values.notifications.receivers .Values.notifications.claims -}}true{{- end -}}
{{- end -}}

{{/* The ports that receivers listen on, as a JSON list. A URL in a file says none: it is taken to be https. */}}
{{- define "truce.receiverPorts" -}}
{{- $ports := list -}}
{{- range .Values.notifications.receivers -}}
  {{- $port := "443" -}}
  {{- with (.http | default .cloudEvents | default dict).url -}}
    {{- $url := urlParse . -}}
    {{- $port = regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) -}}
  {{- end -}}
  {{- $ports = append $ports (int $port) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* Receivers that contradict themselves or other values are refused with a sentence. */}}
{{- define "truce.notificationChecks" -}}
{{- $n := .Values.notifications -}}
{{- $secrets := "/etc/truce/notify/" -}}
{{- if not $n.receivers -}}
  {{- if $n.existingSecret -}}
    {{- fail "notifications.existingSecret is given, but there are no notifications.receivers that could use it" -}}
  {{- end -}}
  {{- if $n.to -}}
    {{- fail "notifications.to is given, but there are no notifications.receivers: nothing would be sent there" -}}
  {{- end -}}
{{- end -}}
{{- $names := list -}}
{{- range $i, $r := $n.receivers -}}
  {{- if has $r.name $names -}}
    {{- fail (printf "notifications.receivers[%d]: another receiver is called %s already" $i $r.name) -}}
  {{- end -}}
  {{- $names = append $names $r.name -}}
  {{- $types := 0 -}}
  {{- range list "slack" "teams" "http" "cloudEvents" -}}
    {{- with get $r . -}}
      {{- $types = add1 $types -}}
      {{- $files := list .urlFile -}}
      {{- range .headers -}}{{- $files = append $files .valueFile -}}{{- end -}}
      {{- range compact $files -}}
        {{- if and (hasPrefix $secrets .) (not $n.existingSecret) -}}
          {{- fail (printf "notifications.receivers[%d] reads %s, but notifications.existingSecret is empty: name the Secret with the entry %s" $i . (trimPrefix $secrets .)) -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- if ne (int $types) 1 -}}
    {{- fail (printf "notifications.receivers[%d] must have one of slack, teams, http and cloudEvents, not %d of them" $i $types) -}}
  {{- end -}}
{{- end -}}
{{- if and (include "truce.claims" .) (not .Values.rbac.create) (not .Values.serviceAccount.name) -}}
  {{- fail "notifications.claims needs rights, but rbac.create is false: name a ServiceAccount that has them in serviceAccount.name, or switch it off" -}}
{{- end -}}
{{- if $n.receivers -}}
  {{- range .Values.extraArgs -}}
    {{- if hasPrefix "--notify" . -}}
      {{- fail (printf "extraArgs has %s, and notifications.receivers says the same: leave one of them out" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
