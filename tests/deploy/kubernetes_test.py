"""The manifests of Kubernetes: chart and Kustomize agree, fit the schemas of Kubernetes and of the operators, keep the rules for pods, and give
programs flags that they take."""
import copy
import re
import subprocess
import sys
import tempfile
import unittest

import kubernetes_validate
import yaml
from cloudcoil.models.cert_manager import v1 as cert_manager
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator

from manifests import (CHART, PROFILES, ROOT, TOOLS, chart_objects, containers, flags_of, helm_template, objects_of, pods, render, selects,
                       unknown_flags)

KUBERNETES = "1.37"
OLDEST_KUBERNETES = "1.30"  # that Chart.yaml names
OPERATORS = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): prometheus_operator.ServiceMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): prometheus_operator.PrometheusRule,
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("cert-manager.io/v1", "Certificate"): cert_manager.Certificate,
}
PROGRAMS = {"coordinator": "seer-coordinator", "dataservice": "seer-dataservice", "worker": "seer-worker"}
ALL = [None, *PROFILES]


def kustomize(folder):
    done = subprocess.run([TOOLS / "kubectl", "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return render.objects({"all": done.stdout})


def seconds(duration):
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)(ms|[smh])", duration))


def distinct_objects():
    """Objects of all profiles, each that several share once: [(key, object)]."""
    seen = {}
    for profile in ALL:
        for key, o in chart_objects(profile).items():
            seen.setdefault((key, yaml.safe_dump(o)), o)
    return [(key, o) for (key, _), o in seen.items()]


def unknown_keys(o):
    """Where an object has keys that its operator's schema does not know: models drop them."""
    kept = OPERATORS[o["apiVersion"], o["kind"]].model_validate(o).model_dump(by_alias=True, exclude_unset=True, mode="json")

    def lost(given, kept, path):
        if isinstance(given, dict):
            for key, value in given.items():
                if key not in kept:
                    yield f"{path}.{key}"
                else:
                    yield from lost(value, kept[key], f"{path}.{key}")
        elif isinstance(given, list):
            for i, (a, b) in enumerate(zip(given, kept)):
                yield from lost(a, b, f"{path}[{i}]")

    return list(lost(o, kept, ""))


class OneSource(unittest.TestCase):
    def test_kustomize_files_are_what_the_chart_gives(self):
        done = subprocess.run([sys.executable, ROOT / "deploy/kustomize/render", "--check", "--helm", TOOLS / "helm"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_kustomize_builds_what_helm_does(self):
        for profile in ALL:
            with self.subTest(profile=profile):
                built = kustomize(ROOT / "deploy/kustomize" / (f"overlays/{profile}" if profile else "base"))
                self.assertEqual(built, chart_objects(profile))

    def test_a_chart_that_was_changed_is_told_from_its_kustomize_files(self):
        base = chart_objects()
        changed = copy.deepcopy(base)
        key = ("v1", "Service", "seer-worker")
        changed[key]["spec"]["ports"][0]["port"] = 1
        self.assertEqual(list(render.difference(base[key], changed[key])), [{"op": "replace", "path": "/spec/ports/0/port", "value": 1}])

    def test_the_chart_passes_lint(self):
        for profile in PROFILES:
            done = subprocess.run([TOOLS / "helm", "lint", "--strict", CHART, "--values", CHART / f"profiles/{profile}.yaml"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Schemas(unittest.TestCase):
    def test_objects_fit_kubernetes(self):
        for key, o in distinct_objects():
            if key[:2] not in OPERATORS:
                for version in (KUBERNETES, OLDEST_KUBERNETES):
                    with self.subTest(object=key, version=version):
                        kubernetes_validate.validate(o, version, strict=True)

    def test_objects_of_operators_fit_theirs(self):
        seen = {("monitoring.coreos.com/v1", "PrometheusRule")}  # is there if there are rules
        for key, o in distinct_objects():
            if key[:2] in OPERATORS:
                seen.add(key[:2])
                with self.subTest(object=key):
                    self.assertEqual(unknown_keys(o), [])
        self.assertEqual(seen, set(OPERATORS))

    def test_a_misspelt_key_is_found(self):
        monitor = copy.deepcopy(chart_objects()[("monitoring.coreos.com/v1", "ServiceMonitor", "seer")])
        monitor["spec"]["endpoints"][0]["intervall"] = "3s"
        self.assertEqual(unknown_keys(monitor), [".spec.endpoints[0].intervall"])
        service = copy.deepcopy(chart_objects()[("v1", "Service", "seer-worker")])
        service["spec"]["selektor"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(service, KUBERNETES, strict=True)

    def test_every_rules_file_of_prometheus_is_in(self):
        files = (ROOT / "deploy/prometheus/rules").glob("*.yml")
        groups = [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
        rules = [o for key, o in chart_objects().items() if key[1] == "PrometheusRule"]
        self.assertCountEqual([group for rule in rules for group in rule["spec"]["groups"]], groups)


class Monitoring(unittest.TestCase):
    KEY = ("monitoring.coreos.com/v1", "ServiceMonitor")

    def test_targets_have_the_names_that_the_rules_ask_for_whatever_the_release_is_called(self):
        rules = "".join(path.read_text() for path in (ROOT / "deploy/prometheus/rules").glob("*.yml"))
        asked = set(re.findall(r'job="(seer-\w+)"', rules))
        self.assertLessEqual({"seer-coordinator", "seer-dataservice"}, asked)
        for release in ("seer", "lab"):
            objects = objects_of(release=release)
            (endpoint,) = objects[(*self.KEY, release)]["spec"]["endpoints"]
            (job,) = [r for r in endpoint["relabelings"] if r["targetLabel"] == "job"]
            (source,) = job["sourceLabels"]
            made = set()
            for _, _, _, labels in pods(objects):
                meta = {"__meta_kubernetes_pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", key): value for key, value in labels.items()}
                made.add(job["replacement"].replace("$1", meta[source]))
            self.assertEqual(made, {"seer-coordinator", "seer-dataservice", "seer-worker"})
            self.assertLessEqual(asked, made)

    def test_alerts_lead_to_the_run_books_where_they_are_read(self):
        def urls(*arguments):
            rules = [o for key, o in objects_of(*arguments).items() if key[1] == "PrometheusRule"]
            alerts = [rule for o in rules for group in o["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
            return {rule["alert"]: rule["annotations"]["runbook_url"] for rule in alerts}

        base = "https://docs.example.org/seer/runbooks.html"
        named = urls("--set", f"monitoring.runbookBase={base}")
        self.assertEqual(named, {alert: url.replace("docs/runbooks.md", base) for alert, url in urls().items()})
        self.assertEqual(named["SeerNoLeader"], f"{base}#seernoleader")
        self.assertNotEqual(helm_template("--set", "monitoring.runbookBase=a#b")[0], 0)

    def test_a_release_may_name_its_cluster(self):
        def cluster(*arguments):
            return [r for r in objects_of(*arguments)[(*self.KEY, "seer")]["spec"]["endpoints"][0]["relabelings"] if r["targetLabel"] == "cluster"]

        self.assertEqual(cluster(), [])
        named = ("--set", "monitoring.cluster=east", "--values", CHART / "profiles/gpu.yaml")
        self.assertEqual(cluster(*named), [{"targetLabel": "cluster", "replacement": "east"}])
        scaled = objects_of(*named)[("keda.sh/v1alpha1", "ScaledObject", "seer-dataservice")]["spec"]
        self.assertIn('cluster="east"', scaled["triggers"][0]["metadata"]["query"])


class Flags(unittest.TestCase):
    def test_programs_take_every_flag(self):
        for profile in ALL:
            for _, name, spec, labels in pods(chart_objects(profile)):
                program = PROGRAMS.get(labels["app.kubernetes.io/component"])
                for container in spec["containers"]:
                    if program:
                        with self.subTest(profile=profile, object=name):
                            self.assertEqual(unknown_flags(program, container["args"]), set())

    def test_a_flag_that_is_not_there_is_found(self):
        self.assertIn("--listen", flags_of("seer-coordinator"))
        self.assertEqual(unknown_flags("seer-worker", ["--listen=0.0.0.0:1", "--name=a"]), {"--listen"})


class Pods(unittest.TestCase):
    """Rules that every pod keeps: those of the restricted Pod Security Standard, and ours."""

    def each(self):
        for profile in ALL:
            for kind, name, spec, labels in pods(chart_objects(profile)):
                with self.subTest(profile=profile, object=name):
                    yield profile, name, spec, labels

    def test_nothing_runs_as_root_or_may_become_it(self):
        for _, _, spec, _ in self.each():
            security = spec["securityContext"]
            self.assertTrue(security["runAsNonRoot"])
            self.assertGreater(security["runAsUser"], 0)
            self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
            for field in ("hostNetwork", "hostPID", "hostIPC"):
                self.assertNotIn(field, spec)
            for container in containers(spec):
                own = container["securityContext"]
                self.assertIs(own["allowPrivilegeEscalation"], False)
                self.assertEqual(own["capabilities"], {"drop": ["ALL"]})
                self.assertTrue(own["runAsNonRoot"])
                self.assertNotIn("privileged", own)
                for port in container.get("ports", []):
                    self.assertNotIn("hostPort", port)

    def test_root_file_systems_are_read_only_and_no_host_path_is_mounted(self):
        for _, _, spec, _ in self.each():
            for container in containers(spec):
                self.assertIs(container["securityContext"]["readOnlyRootFilesystem"], True)
                mounted = {mount["name"]: mount for mount in container["volumeMounts"]}
                self.assertIn("/tmp", [mount["mountPath"] for mount in mounted.values()])
            for volume in spec["volumes"]:
                self.assertNotIn("hostPath", volume)
                self.assertTrue(volume.get("emptyDir", {"sizeLimit": 1}).get("sizeLimit"), volume)

    def test_every_path_that_is_written_is_mounted(self):
        written = ("--database", "--storage", "--logs", "--pools", "--work-dir")
        for _, name, spec, _ in self.each():
            for container in spec["containers"]:
                writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
                for flag, _, value in (argument.partition("=") for argument in container.get("args", [])):
                    path = value.removeprefix("file://")
                    if flag in written and path.startswith("/"):
                        self.assertTrue(any(path.startswith(mount + "/") or path == mount for mount in writable), f"{flag} {path}")

    def test_resources_are_asked_for_and_limited(self):
        for _, _, spec, _ in self.each():
            for container in containers(spec):
                for what in ("requests", "limits"):
                    self.assertLessEqual({"cpu", "memory"}, container["resources"][what].keys())

    def test_gpus_are_as_many_as_the_worker_offers(self):
        container = chart_objects("gpu")[("apps/v1", "StatefulSet", "seer-worker")]["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(container["resources"]["limits"]["nvidia.com/gpu"], "8")
        self.assertEqual(container["resources"]["requests"]["nvidia.com/gpu"], "8")
        self.assertIn("--devices=8", container["args"])
        self.assertIn("--device-kind=cuda", container["args"])

    def test_probes(self):
        for _, name, spec, _ in self.each():
            for container in spec["containers"]:
                ports = {port["name"]: port["containerPort"] for port in container["ports"]}
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    how = container[probe]
                    for kind in ("httpGet", "tcpSocket"):
                        if kind in how:
                            self.assertIn(how[kind]["port"], ports)
                    if "grpc" in how:  # the kubelet asks in plain text
                        self.assertIn("--insecure", container["args"])
                        self.assertIn(how["grpc"]["port"], ports.values())
                        self.assertNotEqual(probe, "livenessProbe", "a coordinator that stands by is not dead")
                for argument in container.get("args", []):
                    flag, _, value = argument.partition("=")
                    if flag in ("--listen", "--metrics"):
                        self.assertIn(int(value.rpartition(":")[2]), ports.values())

    def test_images_have_tags_and_these_are_not_latest(self):
        for _, _, spec, _ in self.each():
            for container in containers(spec):
                tag = container["image"].rpartition("/")[2].partition(":")[2]
                self.assertTrue(tag and tag != "latest", container["image"])

    def test_grace_outlasts_the_drain(self):
        for _, name, spec, labels in self.each():
            container = spec["containers"][0]
            flags = dict(argument.partition("=")[::2] for argument in container.get("args", []))
            drain = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            if labels["app.kubernetes.io/component"] == "worker":
                drain += seconds(flags["--grace"]) + 5 + 2  # to kill what is left, and to say so
            else:
                drain += 5  # for calls that are in flight
            self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], drain + 10)

    def test_pods_have_no_token_and_spread(self):
        for _, name, spec, labels in self.each():
            self.assertIs(spec["automountServiceAccountToken"], False)
            self.assertIn(("v1", "ServiceAccount", spec["serviceAccountName"]), chart_objects())
            spread = spec["topologySpreadConstraints"][0]
            self.assertEqual(spread["topologyKey"], "kubernetes.io/hostname")
            self.assertLessEqual(spread["labelSelector"]["matchLabels"].items(), labels.items())

    def test_secrets_are_mounted_or_passed_by_reference_and_none_is_made(self):
        for profile in ALL:
            self.assertNotIn("Secret", [key[1] for key in chart_objects(profile)])
            for _, name, spec, _ in pods(chart_objects(profile)):
                for container in spec["containers"]:
                    for variable in container.get("env", []):
                        if "PASSWORD" in variable["name"]:
                            self.assertIn("secretKeyRef", variable["valueFrom"])


class Objects(unittest.TestCase):
    def test_every_set_of_pods_has_a_budget_and_a_service(self):
        for profile in ALL:
            objects = chart_objects(profile)
            for kind, name, _, labels in pods(objects):
                with self.subTest(profile=profile, object=name):
                    budgets = [o for key, o in objects.items() if key[1] == "PodDisruptionBudget" and selects(o["spec"]["selector"], labels)]
                    self.assertEqual(len(budgets), 1)
                    service = objects[("v1", "Service", name)]
                    self.assertEqual(service["spec"]["clusterIP"], "None")
                    self.assertLessEqual(service["spec"]["selector"].items(), labels.items())
                    if kind == "StatefulSet":
                        self.assertEqual(objects[("apps/v1", "StatefulSet", name)]["spec"]["serviceName"], name)

    def test_selectors_are_those_of_their_pods(self):
        for profile in ALL:
            for key, o in chart_objects(profile).items():
                if key[1] in ("Deployment", "StatefulSet"):
                    self.assertLessEqual(o["spec"]["selector"]["matchLabels"].items(), o["spec"]["template"]["metadata"]["labels"].items())

    def test_network_policies_deny_by_default(self):
        for profile in ALL:
            objects = chart_objects(profile)
            deny = objects[("networking.k8s.io/v1", "NetworkPolicy", "seer-deny")]["spec"]
            self.assertEqual(set(deny["policyTypes"]), {"Ingress", "Egress"})
            self.assertNotIn("ingress", deny)
            self.assertNotIn("egress", deny)
            for _, name, _, labels in pods(objects):
                self.assertLessEqual(deny["podSelector"]["matchLabels"].items(), labels.items())

    def test_network_policies_open_what_programs_call_and_nothing_to_all(self):
        for profile in ALL:
            policies = {key[2]: o["spec"] for key, o in chart_objects(profile).items() if key[1] == "NetworkPolicy"}
            for name, spec in policies.items():
                for rule in spec.get("ingress", []):
                    self.assertTrue(rule.get("from"), f"{name} lets everybody in")
            self.assertEqual(self.reached(policies, "worker", "coordinator"), [7070])
            self.assertEqual(self.reached(policies, "worker", "dataservice"), [7080])
            self.assertEqual(self.reached(policies, "coordinator", "dataservice"), [7080])
            self.assertEqual(self.reached(policies, "dataservice", "coordinator"), [] if profile == "dev" else [7070])  # about tokens
            self.assertEqual(self.reached(policies, "dataservice", "worker"), [])
            self.assertEqual(self.reached(policies, "worker", "worker"), ["any"])
            if profile == "ha":
                self.assertEqual(self.reached(policies, "coordinator", "postgresql"), [5432])
                self.assertEqual(self.reached(policies, "worker", "postgresql"), [])

    @staticmethod
    def reached(policies, source, target):
        """The ports at which pods of one part reach those of another, by egress of the one and ingress of the other."""

        def ports(part, direction, peers, other):
            found = set()
            for rule in policies[f"seer-{part}"].get(direction, []):
                selectors = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in rule.get(peers, [])]
                if any(s.get("app.kubernetes.io/component") == other for s in selectors):
                    found |= {port["port"] for port in rule.get("ports", [])} or {"any"}
            return found

        return sorted(ports(source, "egress", "to", target) & ports(target, "ingress", "from", source), key=str)

    def test_the_http_port_is_there_where_it_was_asked_for_and_for_clients_alone(self):
        for profile in ALL:
            objects = chart_objects(profile)
            container = objects[("apps/v1", "StatefulSet", "seer-coordinator")]["spec"]["template"]["spec"]["containers"][0]
            wanted = profile in ("dev", "ha")
            self.assertEqual("--http=0.0.0.0:7071" in container["args"], wanted)
            self.assertEqual({"name": "http", "containerPort": 7071} in container["ports"], wanted)
            ports = {port["name"]: port["port"] for port in objects[("v1", "Service", "seer-coordinator")]["spec"]["ports"]}
            self.assertEqual(ports.get("http"), 7071 if wanted else None)
            policy = objects[("networking.k8s.io/v1", "NetworkPolicy", "seer-coordinator")]["spec"]
            rules = [rule for rule in policy["ingress"] if {"port": 7071, "protocol": "TCP"} in rule["ports"]]
            self.assertEqual(len(rules), int(wanted))
            for rule in rules:
                self.assertEqual(rule["from"], [{"podSelector": {"matchLabels": {"seer.io/client": "true"}}}])
            self.assertNotIn("Ingress", [key[1] for key in objects])
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self.assertNotIn("7071", str(container[probe]))

    def test_ha_has_two_coordinators_on_one_database(self):
        objects = chart_objects("ha")
        spec = objects[("apps/v1", "StatefulSet", "seer-coordinator")]["spec"]
        self.assertEqual(spec["replicas"], 2)
        self.assertNotIn("volumeClaimTemplates", spec)
        self.assertIn("--database=postgresql://seer@seer-postgresql:5432/seer", spec["template"]["spec"]["containers"][0]["args"])
        names = objects[("cert-manager.io/v1", "Certificate", "seer-tls")]["spec"]["dnsNames"]
        worker = objects[("apps/v1", "StatefulSet", "seer-worker")]["spec"]["template"]["spec"]["containers"][0]
        coordinators = worker["args"][0].removeprefix("--coordinator=").split(",")
        self.assertEqual(len(coordinators), 2)
        for address in coordinators:
            self.assertIn(address.removesuffix(":7070"), names)

    def test_the_data_service_scales_by_its_own_figure(self):
        metrics = (ROOT / "docs/metrics.md").read_text()
        self.assertIn("`seer_data_replicas_wanted`", metrics)
        hpa = chart_objects("ha")[("autoscaling/v2", "HorizontalPodAutoscaler", "seer-dataservice")]["spec"]
        self.assertEqual(hpa["metrics"][0]["pods"]["metric"]["name"], "seer_data_replicas_wanted")
        scaled = chart_objects("gpu")[("keda.sh/v1alpha1", "ScaledObject", "seer-dataservice")]["spec"]
        self.assertIn("seer_data_replicas_wanted", scaled["triggers"][0]["metadata"]["query"])
        for profile in ("ha", "gpu"):  # else every upgrade sets the number back
            self.assertNotIn("replicas", chart_objects(profile)[("apps/v1", "Deployment", "seer-dataservice")]["spec"])


class Security(unittest.TestCase):
    def flags(self, profile, kind, name):
        return chart_objects(profile)[("apps/v1", kind, name)]["spec"]["template"]["spec"]["containers"][0]["args"]

    def test_servers_ask_who_calls_and_say_so_where_they_do_not(self):
        for profile in ALL:
            for kind, name in (("StatefulSet", "seer-coordinator"), ("Deployment", "seer-dataservice")):
                flags = self.flags(profile, kind, name)
                self.assertEqual("--insecure" in flags, profile == "dev")
                self.assertEqual({"--auth=tokens", "--tls-client-ca=/etc/seer/tls/ca.crt", "--tls-cert=/etc/seer/tls/tls.crt"} <= set(flags), profile != "dev")
            worker = self.flags(profile, "StatefulSet", "seer-worker")
            self.assertNotIn("--insecure", worker)
            self.assertEqual("--token-file=/etc/seer/token/token" in worker, profile != "dev")

    def test_every_file_in_a_flag_is_mounted_from_a_secret_and_read_only(self):
        for profile in ALL:
            for _, name, spec, _ in pods(chart_objects(profile)):
                secrets = {volume["name"] for volume in spec["volumes"] if "secret" in volume}
                container = spec["containers"][0]
                mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
                for argument in container.get("args", []):
                    path = argument.partition("=")[2]
                    if path.startswith("/etc/"):
                        mount = mounts[path.rpartition("/")[0]]
                        self.assertTrue(mount["readOnly"], argument)
                        self.assertIn(mount["name"], secrets)


class Values(unittest.TestCase):
    """Values that make no sense are refused, and the message says why."""

    def refused(self, text, *arguments):
        code, _, errors = helm_template(*arguments)
        self.assertNotEqual(code, 0)
        self.assertIn(text, errors)

    def test_two_coordinators_need_postgresql(self):
        self.refused("coordinator.replicas above 1 needs PostgreSQL", "--set", "coordinator.replicas=2")

    def test_tokens_need_encryption(self):
        self.refused("tokens must not travel in plain text", "--set", "tls.enabled=false")

    def test_an_ingress_needs_a_port_and_a_host(self):
        needs = "needs coordinator.http.port and coordinator.http.ingress.host"
        self.refused(needs, "--set", "coordinator.http.ingress.enabled=true,coordinator.http.ingress.host=a.example.org")
        self.refused(needs, "--set", "coordinator.http.ingress.enabled=true,coordinator.http.port=7071")

    def test_unknown_keys_and_wrong_types_are_refused(self):
        self.refused("replicaz", "--set", "worker.replicaz=2")
        self.refused("kind", "--set", "dataservice.autoscaling.kind=vpa")
        self.refused("grace", "--set", "worker.grace=soon")
        self.refused("endpoint", "--set", "tracing.endpoint=collector:4317")
        self.refused("sampleRatio", "--set", "tracing.sampleRatio=10%")

    def test_the_schema_knows_every_value(self):
        def unknown(values, schema, path):
            for key, value in values.items():
                if key not in schema.get("properties", {}):
                    if schema.get("additionalProperties") is False:
                        yield f"{path}.{key}"
                elif isinstance(value, dict):
                    below = schema["properties"][key]
                    yield from unknown(value, whole["definitions"]["secretKey"] if "$ref" in below else below, f"{path}.{key}")

        schema = whole = yaml.safe_load((CHART / "values.schema.json").read_text())
        self.assertEqual(list(unknown(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")), [])

    def test_other_ways_to_run_it_fit_kubernetes_too(self):
        values = {
            "image": {"pullSecrets": ["registry"], "tag": "1.2.3"},
            "storage": {"checkpoints": "s3://runs/checkpoints?region=eu-west-1", "pools": "s3://photos/pools?region=eu-west-1",
                        "credentialsSecret": "s3", "shared": {"existingClaim": "nfs"}},
            "coordinator": {"replicas": 3, "database": "postgresql://seer@db.example.org:5432/seer", "webhookSecret": {"name": "hook"},
                            "databaseSecret": {"name": "db"}, "extraArgs": ["--cordon-after=5"],
                            "http": {"port": 7171, "hosts": ["dash.example.org"],
                                     "ingress": {"enabled": True, "className": "nginx", "host": "seer.example.org", "tlsSecret": "web",
                                                 "controllerNamespace": "edge",
                                                 "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}}}},
            "worker": {"labelsFromPod": {"rack": "topology.kubernetes.io/zone"}, "runtimeClassName": "nvidia"},
            "networkPolicy": {"clientNamespaces": ["research"], "egressPorts": []},
            "monitoring": {"labels": {"release": "prometheus"}},
            "tracing": {"endpoint": "https://otel.example.org:4317", "sampleRatio": 0.1, "headersSecret": {"name": "otel"}},
        }
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(values, file)
            file.flush()
            objects = render.objects(render.template(TOOLS / "helm", "--values", file.name))
        for key, o in objects.items():
            if key[:2] not in OPERATORS:
                kubernetes_validate.validate(o, KUBERNETES, strict=True)
        for _, name, spec, labels in pods(objects):
            self.assertEqual(unknown_flags(PROGRAMS[labels["app.kubernetes.io/component"]], spec["containers"][0]["args"]), set())
            self.assertIn({"name": "registry"}, spec["imagePullSecrets"])
            self.assertIn({"secretRef": {"name": "s3"}}, spec["containers"][0]["envFrom"])
            variables = {variable["name"]: variable for variable in spec["containers"][0]["env"]}
            self.assertEqual(variables["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"], "https://otel.example.org:4317")
            self.assertEqual(variables["OTEL_TRACES_SAMPLER_ARG"]["value"], "0.1")
            self.assertEqual(variables["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"], {"secretKeyRef": {"name": "otel", "key": "headers"}})
        coordinator = objects[("apps/v1", "StatefulSet", "seer-coordinator")]["spec"]["template"]["spec"]["containers"][0]
        for flag in ("--http=0.0.0.0:7171", "--http-host=dash.example.org", "--http-host=seer.example.org"):
            self.assertIn(flag, coordinator["args"])
        ingress = objects[("networking.k8s.io/v1", "Ingress", "seer-coordinator")]
        self.assertEqual(ingress["metadata"]["annotations"], {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"})
        self.assertEqual(ingress["spec"]["ingressClassName"], "nginx")
        self.assertEqual(ingress["spec"]["tls"], [{"hosts": ["seer.example.org"], "secretName": "web"}])
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        self.assertIn(backend["port"]["name"], [port["name"] for port in objects[("v1", "Service", backend["name"])]["spec"]["ports"]])
        policy = objects[("networking.k8s.io/v1", "NetworkPolicy", "seer-coordinator")]["spec"]
        callers = [rule["from"] for rule in policy["ingress"] if rule["ports"][0]["port"] == 7171][0]
        self.assertIn({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}}, callers)
        worker = objects[("apps/v1", "StatefulSet", "seer-worker")]["spec"]["template"]["spec"]["containers"][0]
        self.assertIn("--label=rack=$(LABEL_RACK)", worker["args"])
        self.assertIn("LABEL_RACK", [variable["name"] for variable in worker["env"]])
        self.assertIn({"ports": [{"port": 4317, "protocol": "TCP"}]},
                      objects[("networking.k8s.io/v1", "NetworkPolicy", "seer-common")]["spec"]["egress"])
        self.assertNotIn(("v1", "PersistentVolumeClaim", "seer-shared"), objects)

    def test_parts_may_be_upgraded_one_after_the_other(self):
        objects = render.objects(render.template(TOOLS / "helm", "--set", "dataservice.imageTag=0.0.9,worker.imageTag=0.0.9"))
        for _, name, spec, labels in pods(objects):
            wanted = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] if name == "seer-coordinator" else "0.0.9"
            self.assertTrue(spec["containers"][0]["image"].endswith(f":{wanted}"), name)
            self.assertEqual(labels["app.kubernetes.io/version"], wanted, name)  # or a later chart would restart it

    def test_an_image_may_be_pinned_by_its_digest(self):
        digest = "0.2.0@sha256:" + 64 * "a"
        for _, name, spec, labels in pods(render.objects(render.template(TOOLS / "helm", "--set", f"image.tag={digest}"))):
            self.assertTrue(spec["containers"][0]["image"].endswith(digest), name)
            self.assertEqual(labels["app.kubernetes.io/version"], "0.2.0", name)

    def test_pods_may_have_an_identity_of_the_cloud(self):
        values = {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/seer"},
                                     "podLabels": {"azure.workload.identity/use": "true"}},
                  "networkPolicy": {"metadataAddresses": ["169.254.170.23/32"]}}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(values, file)
            file.flush()
            objects = render.objects(render.template(TOOLS / "helm", "--values", file.name))
        self.assertEqual(objects[("v1", "ServiceAccount", "seer")]["metadata"]["annotations"], values["serviceAccount"]["annotations"])
        for _, name, _, labels in pods(objects):
            self.assertEqual(labels["azure.workload.identity/use"], "true", name)
        for part in ("coordinator", "dataservice", "worker"):
            policy = objects[("networking.k8s.io/v1", "NetworkPolicy", f"seer-{part}")]
            kubernetes_validate.validate(policy, KUBERNETES, strict=True)
            self.assertIn({"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}]}, policy["spec"]["egress"], part)

    def test_browsers_may_come_without_a_certificate(self):
        def arguments(*more):
            objects = render.objects(render.template(TOOLS / "helm", "--set", "coordinator.http.port=7071", *more))
            return objects[("apps/v1", "StatefulSet", "seer-coordinator")]["spec"]["template"]["spec"]["containers"][0]["args"]

        self.assertNotIn("--http-without-client-certificate", arguments())
        self.assertIn("--http-without-client-certificate", arguments("--set", "coordinator.http.clientCertificates=false"))
        self.assertEqual(unknown_flags("seer-coordinator", ["--http-without-client-certificate"]), set())

    def test_object_storage_needs_no_shared_volume(self):
        objects = render.objects(render.template(TOOLS / "helm", "--values", CHART / "profiles/ha.yaml", "--set", "storage.shared.enabled=false", "--set",
                                                 "storage.checkpoints=s3://runs/checkpoints", "--set", "storage.pools=s3://photos/pools"))
        self.assertNotIn(("v1", "PersistentVolumeClaim", "seer-shared"), objects)
        for _, name, spec, _ in pods(objects):
            self.assertNotIn("shared", [volume["name"] for volume in spec["volumes"]])
            for argument in spec["containers"][0].get("args", []):
                self.assertNotIn("/srv/seer", argument, name)


if __name__ == "__main__":
    unittest.main()
