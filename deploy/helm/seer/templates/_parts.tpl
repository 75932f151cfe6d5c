{{/* Names, labels and pieces that several templates use. "of" is (dict "root" $ "part" "worker"). */}}

{{- define "seer.name" -}}
{{ .root.Release.Name }}-{{ .part }}
{{- end }}

{{- define "seer.selector" -}}
app.kubernetes.io/name: seer
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "seer.labels" -}}
{{ include "seer.selector" . }}
app.kubernetes.io/part-of: seer
app.kubernetes.io/version: {{ include "seer.tag" . | regexFind "^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?" | quote }}
{{- end }}

{{/* Of a part's image, and its version: a part whose imageTag stays is not restarted by an upgrade of the chart alone. */}}
{{- define "seer.tag" -}}
{{- $part := get .root.Values .part | default dict }}
{{- get $part "imageTag" | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "seer.image" -}}
{{ .root.Values.image.registry }}/{{ .image }}:{{ include "seer.tag" . }}
{{- end }}

{{/* All coordinators, by the names that their StatefulSet gives them. */}}
{{- define "seer.coordinators" -}}
{{- $name := include "seer.name" (dict "root" . "part" "coordinator") }}
{{- $addresses := list }}
{{- range $i := until (int .Values.coordinator.replicas) }}
{{- $addresses = append $addresses (printf "%s-%d.%s:7070" $name $i $name) }}
{{- end }}
{{- join "," $addresses }}
{{- end }}

{{- define "seer.database" -}}
{{- if .Values.coordinator.database }}{{ .Values.coordinator.database }}
{{- else if .Values.postgresql.enabled }}postgresql://seer@{{ .Release.Name }}-postgresql:5432/seer
{{- else }}/var/lib/seer/coordinator.db
{{- end }}
{{- end }}

{{- define "seer.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .uid | default 10001 }}
runAsGroup: {{ .uid | default 10001 }}
fsGroup: {{ .uid | default 10001 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "seer.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Clients show certificate and token; a server asks for both. It must be told if callers need not say who they are. */}}
{{- define "seer.clientSecurity" -}}
{{- if .Values.tls.enabled }}
- --tls-cert=/etc/seer/tls/tls.crt
- --tls-key=/etc/seer/tls/tls.key
- --tls-ca=/etc/seer/tls/ca.crt
{{- end }}
{{- if .Values.auth.enabled }}
- --token-file=/etc/seer/token/{{ .Values.auth.tokenSecret.key }}
{{- end }}
{{- end }}
{{- define "seer.serverSecurity" -}}
{{- include "seer.clientSecurity" . }}
{{- if and .Values.tls.enabled .Values.tls.clientCertificates }}
- --tls-client-ca=/etc/seer/tls/ca.crt
{{- end }}
{{- if .Values.auth.enabled }}
- --auth=tokens
{{- else }}
- --insecure
{{- end }}
{{- end }}

{{/* The kubelet asks gRPC health in plain text only, and a coordinator that stands by says NOT_SERVING. */}}
{{- define "seer.probes" -}}
startupProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /metrics, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
{{- if .health }}
  grpc: {port: {{ .port }}}
{{- else if .port }}
  tcpSocket: {port: grpc}
{{- else }}
  httpGet: {path: /metrics, port: metrics}
{{- end }}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- define "seer.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .Values.storage.shared.enabled }}
- {name: shared, mountPath: /srv/seer}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: tls, mountPath: /etc/seer/tls, readOnly: true}
{{- end }}
{{- if .Values.auth.enabled }}
- {name: token, mountPath: /etc/seer/token, readOnly: true}
{{- end }}
{{- end }}

{{- define "seer.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 20Gi}
{{- with .Values.storage.shared }}
{{- if .enabled }}
- name: shared
  persistentVolumeClaim: {claimName: {{ .existingClaim | default (printf "%s-shared" $.Release.Name) }}}
{{- end }}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret: {secretName: {{ .Values.tls.secretName }}, defaultMode: 0440}
{{- end }}
{{- if .Values.auth.enabled }}
- name: token
  secret: {secretName: {{ .Values.auth.tokenSecret.name }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- define "seer.pod" -}}
serviceAccountName: {{ .root.Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
securityContext: {{- include "seer.podSecurity" dict | nindent 2 }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ .whenUnsatisfiable | default "ScheduleAnyway" }}
    labelSelector:
      matchLabels: {{- include "seer.selector" (dict "root" .root "part" .part) | nindent 8 }}
{{- end }}

{{- define "seer.credentials" -}}
{{- with .Values.storage.credentialsSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "seer.tracing" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .sampleRatio | quote }}}
{{- if .headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .headersSecret.name }}, key: {{ .headersSecret.key }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "seer.claim" -}}
accessModes: [{{ .accessMode | default "ReadWriteOnce" }}]
{{- with .storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests: {storage: {{ .size }}}
{{- end }}
