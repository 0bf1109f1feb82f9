{{/* The names and labels of the release's objects. */}}

{{/* Also of objects that belong to no namespace: two releases need different names. */}}
{{- define "truce.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains "truce" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-truce" (.Release.Name | trunc 44 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "truce.selectorLabels" -}}
app.kubernetes.io/name: truce
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "truce.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "truce.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "truce.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "truce.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "truce.priorityClassName" -}}
{{- if .Values.priorityClass.create -}}
{{- .Values.priorityClass.name | default (include "truce.fullname" .) -}}
{{- else -}}
{{- .Values.priorityClass.name -}}
{{- end -}}
{{- end -}}

{{- define "truce.certificateSecretName" -}}
{{- .Values.certificates.secretName | default (printf "%s-tls" (include "truce.fullname" .)) -}}
{{- end -}}

{{- define "truce.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Whether Truce asks the API server for anything: "true" or nothing. */}}
{{- define "truce.usesAPI" -}}
{{- if or (include "truce.usesCluster" .) (include "truce.claims" .) -}}true{{- end -}}
{{- end -}}

{{/* Whether it asks for something outside its namespace: "true" or nothing. */}}
{{- define "truce.usesCluster" -}}
{{- if or (eq .Values.certificates.mode "self") .Values.events.enabled .Values.watch.enabled (include "truce.asksWho" .) -}}
true
{{- end -}}
{{- end -}}

{{/* Whether Truce asks the API server who somebody is: "true" or nothing. */}}
{{- define "truce.asksWho" -}}
{{- if or .Values.metrics.authentication .Values.access.enabled -}}true{{- end -}}
{{- end -}}
