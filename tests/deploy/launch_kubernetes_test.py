"""`seer worker launch kubernetes`: its manifest by schema and the rules for pods, and its calls against answers that an API server gave."""
import base64
import contextlib
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import tempfile
import threading
import unittest

import kubernetes_validate
import yaml

from manifests import BIN, ROOT, chart_objects, selects, unknown_flags

ANSWERS = ROOT / "tests/deploy/kubernetes_answers"
IMAGE = "registry.example.org/seer/worker-cuda:0.1.0"
BASICS = ("--coordinator", "seer-coordinator-0.seer-coordinator:7070", "--count", 64, "--gpus", 8, "--image", IMAGE)
HANG_UP = "hang up"


class ApiServer:
    """Plays answers in order and keeps the requests. An answer is a status with a recorded body, a status with an object, "created" (the posted
    job as the server has it), or HANG_UP, after it has taken the job."""

    def __init__(self, answers, tls=None):
        self.requests, self.answers, self.jobs = [], list(answers), {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.take(None)

            def do_POST(self):
                self.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def take(self, body):
                outer.requests.append({"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body})
                status, text = outer.answer(self.command, self.path, body)
                if status == HANG_UP:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def answer(self, method, path, body):
        if method == "GET":
            job = self.jobs.get(path.rpartition("/")[2])
            return (200, json.dumps(job).encode()) if job else (404, b"{}")
        answer = self.answers.pop(0)
        if answer in ("created", HANG_UP):
            self.jobs[body["metadata"]["name"]] = {**body, "metadata": {**body["metadata"], "uid": "2f8a", "resourceVersion": "7"}, "status": {}}
            return (201 if answer == "created" else HANG_UP, json.dumps(self.jobs[body["metadata"]["name"]]).encode())
        status, name = answer
        return status, (ANSWERS / f"{name}.json").read_bytes() if name else b"no JSON"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def seer(*arguments, env=(), wrapper=()):
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "SEER_CONFIG": f"{home}/config.yaml", "PATH": os.environ["PATH"], **dict(env)}
        return subprocess.run([*wrapper, BIN / "seer", "worker", "launch", "kubernetes", *map(str, arguments)], env=environment, capture_output=True, text=True)


@contextlib.contextmanager
def kubeconfig(server, user, cluster=(), **context):
    """A kubeconfig's path."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "config"
        (pathlib.Path(folder) / "token").write_text("from-a-file\n")
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "other", "cluster": {"server": "http://127.0.0.1:1"}}, {"name": "c", "cluster": {"server": server, **dict(cluster)}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "me", **context}}, {"name": "far", "context": {"cluster": "other", "user": "me"}}],
            "users": [{"name": "me", "user": user}]}))
        yield path


class Manifest(unittest.TestCase):
    def manifest(self, *arguments):
        done = seer(*BASICS, *arguments, "--dry-run", "-o", "yaml")
        self.assertEqual(done.returncode, 0, done.stderr)
        return yaml.safe_load(done.stdout)

    def test_fits_kubernetes_in_every_form(self):
        full = ("--queue", "research", "--priority-class", "high", "--topology", "cloud.provider.com/topology-rack", "--label", "gpu=h100", "--shared-claim",
                "seer-shared", "--environment-secret", "s3", "--tls-secret", "seer-tls", "--token-secret", "seer-token", "--time", "36h", "-n", "research")
        for arguments in ((), full):
            job = self.manifest(*arguments)
            for version in ("1.37", "1.30"):
                kubernetes_validate.validate(job, version, strict=True)
            self.assertEqual(json.loads(seer(*BASICS, *arguments, "--dry-run", "-o", "json").stdout)["spec"], job["spec"])

    def test_kueue_starts_it(self):
        job = self.manifest("--queue", "research", "--topology", "cloud.provider.com/topology-rack")
        self.assertEqual(job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "research")
        self.assertIs(job["spec"]["suspend"], True)
        self.assertEqual(job["spec"]["template"]["metadata"]["annotations"], {"kueue.x-k8s.io/podset-required-topology": "cloud.provider.com/topology-rack"})
        self.assertIs(self.manifest()["spec"]["suspend"], False)

    def test_is_an_indexed_job_whose_agents_come_back(self):
        spec = self.manifest("--grace", "5m")["spec"]
        self.assertEqual((spec["completions"], spec["parallelism"], spec["completionMode"]), (64, 64, "Indexed"))
        rules = spec["podFailurePolicy"]["rules"]
        self.assertEqual([rule["action"] for rule in rules], ["Ignore", "Ignore"])
        container = spec["template"]["spec"]["containers"][0]
        self.assertIn(f"--drained-exit-code={rules[1]['onExitCodes']['values'][0]}", container["args"])
        self.assertIn("--grace=300s", container["args"])
        self.assertGreaterEqual(spec["template"]["spec"]["terminationGracePeriodSeconds"], 300 + 17)
        self.assertEqual(container["resources"]["limits"]["nvidia.com/gpu"], "8")

    def test_its_pods_are_those_of_the_chart(self):
        """The same user, the same restrictions, and labels by which the network policies know them."""
        pod = self.manifest("--tls-secret", "seer-tls")["spec"]["template"]
        chart = chart_objects("gpu")[("apps/v1", "StatefulSet", "seer-worker")]["spec"]["template"]
        self.assertEqual(pod["spec"]["securityContext"], chart["spec"]["securityContext"])
        self.assertEqual(pod["spec"]["containers"][0]["securityContext"], chart["spec"]["containers"][0]["securityContext"])
        self.assertEqual(pod["spec"]["serviceAccountName"], chart["spec"]["serviceAccountName"])
        self.assertIs(pod["spec"]["automountServiceAccountToken"], False)
        policy = chart_objects("gpu")[("networking.k8s.io/v1", "NetworkPolicy", "seer-worker")]["spec"]["podSelector"]["matchLabels"]
        self.assertLessEqual(policy.items(), pod["metadata"]["labels"].items())

    def test_no_budget_counts_its_pods(self):
        """A Job has no scale: one of its pods in a budget would allow no eviction of any pod in it."""
        labels = self.manifest()["spec"]["template"]["metadata"]["labels"]
        by_the_server = {name: "seer-agents" for name in ("batch.kubernetes.io/job-name", "job-name")}  # since Kubernetes 1.27
        budgets = [o["spec"]["selector"] for key, o in chart_objects("gpu").items() if key[1] == "PodDisruptionBudget"]
        self.assertTrue(any(selects(budget, labels) for budget in budgets))  # but for the server's labels
        self.assertFalse(any(selects(budget, {**labels, **by_the_server}) for budget in budgets))

    def test_the_worker_takes_every_flag(self):
        container = self.manifest("--tls-secret", "t", "--token-secret", "t")["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(unknown_flags("seer-worker", container["args"]), set())
        names = {variable["name"] for variable in container["env"]}
        self.assertLessEqual({"AGENT_INDEX", "POD_IP"}, names)

    def test_what_makes_no_sense_is_refused(self):
        for arguments, words in ((("--name", "a_b"), "--name is 'a_b'"), (("--memory", "lots"), "--memory is 'lots'"),
                                 (("--topology", "rack"), "--queue is not set"), (("--grace", "10"), "is not a duration"), (("--time", "soon"), "soon")):
            with self.subTest(arguments=arguments):
                done = seer(*BASICS, *arguments, "--dry-run")
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertIn(words, done.stderr)
        for numbers, words in ((("--count", 1, "--gpus", 2000), "from 1 to 1024"), (("--count", 0), "from 1 to 10000")):
            done = seer("--coordinator", "a:1", "--image", IMAGE, *numbers, "--dry-run")
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(words, done.stderr)
        done = seer("--coordinator", "127.0.0.1:7070", "--image", IMAGE, "--count", 1, "--dry-run")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("agents on others do not reach it", done.stderr)
        self.assertIn("name it with --coordinator HOST:PORT", done.stderr)
        self.assertIn("--image", seer("--coordinator", "a:1", "--count", 1, "--dry-run").stderr)


class Calls(unittest.TestCase):
    def launch(self, answers, *arguments, user=None, **context):
        with ApiServer(answers) as api, kubeconfig(api.url, {"token": "secret"} if user is None else user, **context) as config:
            done = seer(*BASICS, *arguments, "--kubeconfig", config)
        return done, api.requests

    def test_the_job_is_posted_with_the_token_to_the_namespace(self):
        done, requests = self.launch(["created"], "--queue", "research", namespace="research")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "seer-agents\n")
        self.assertIn("it starts when queue research admits it", done.stderr)
        (request,) = requests
        self.assertEqual((request["method"], request["path"]), ("POST", "/apis/batch/v1/namespaces/research/jobs"))
        self.assertEqual(request["headers"]["Authorization"], "Bearer secret")
        self.assertEqual(request["headers"]["Content-Type"], "application/json")
        kubernetes_validate.validate(request["body"], "1.37", strict=True)
        self.assertEqual(request["body"]["metadata"]["namespace"], "research")

    def test_what_the_server_made_of_it_is_printed(self):
        done, _ = self.launch(["created"], "-o", "json")
        self.assertEqual(json.loads(done.stdout)["metadata"]["uid"], "2f8a")
        done, _ = self.launch(["created"], "-o", "yaml", "-n", "lab")
        self.assertEqual(yaml.safe_load(done.stdout)["metadata"]["namespace"], "lab")

    def test_refusals_say_what_the_server_said_and_what_to_do(self):
        for answer, code, words, hint in (
                ((409, "conflict"), 6, 'jobs.batch "seer-agents" already exists', "kubectl delete job"),
                ((403, "forbidden"), 4, "cannot create resource", "verbs create and get"),
                ((401, "unauthorized"), 4, "Unauthorized", "renew"),
                ((422, "invalid"), 2, "must be less than or equal to memory limit", "correct the flag"),
                ((404, "no_namespace"), 1, 'namespaces "research" not found', "kubectl get namespaces")):
            with self.subTest(answer=answer):
                done, requests = self.launch([answer])
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(words, done.stderr)
                self.assertIn(hint, done.stderr)
                self.assertEqual(len([r for r in requests if r["method"] == "POST"]), 1)

    def test_a_server_that_is_away_for_a_moment_is_asked_again(self):
        done, requests = self.launch([(503, "unavailable"), (429, "unavailable"), "created"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len({r["body"]["metadata"]["annotations"]["seer.io/launch-id"] for r in requests}), 1)

    def test_one_that_stays_away_is_given_up(self):
        done, requests = self.launch([(503, "unavailable")] * 4)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("etcdserver: leader changed", done.stderr)
        self.assertEqual(len(requests), 4)

    def test_a_lost_answer_makes_no_second_job_and_no_error(self):
        done, requests = self.launch([HANG_UP, (409, "conflict")])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([r["method"] for r in requests], ["POST", "POST", "GET"])

    def test_an_answer_that_is_no_job_is_not_taken_for_one(self):
        done, _ = self.launch([(200, None)])
        self.assertEqual(done.returncode, 5)
        self.assertIn("no job", done.stderr)

    def test_tokens_come_from_files_too(self):
        done, requests = self.launch(["created"], user={"tokenFile": "token"})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(requests[0]["headers"]["Authorization"], "Bearer from-a-file")

    def test_other_ways_to_log_in_are_named_with_a_way_round(self):
        for user in ({"client-certificate-data": "AAAA", "client-key-data": "AAAA"}, {"exec": {"command": "aws"}}):
            done, requests = self.launch([], user=user)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("logs in without a token", done.stderr)
            self.assertIn("kubectl create -f -", done.stderr)
            self.assertEqual(requests, [])

    def test_kubeconfigs_that_do_not_do(self):
        done = seer(*BASICS, "--kubeconfig", "/nowhere")
        self.assertEqual((done.returncode, "no kubeconfig /nowhere" in done.stderr), (1, True))
        done = seer(*BASICS)
        self.assertEqual((done.returncode, "there is no kubeconfig" in done.stderr), (1, True), done.stderr)
        with kubeconfig("http://127.0.0.1:1", {"token": "a"}) as config:
            done = seer(*BASICS, "--kube-context", "nobody", env={"KUBECONFIG": str(config)})
            self.assertIn("context 'nobody' names no cluster", done.stderr)
            config.write_text("a: [")
            done = seer(*BASICS, env={"KUBECONFIG": str(config)})
            self.assertEqual((done.returncode, str(config) in done.stderr), (1, True))


class Tls(unittest.TestCase):
    """A server with a certificate: believed by the authority that the kubeconfig or the service account names, and by no other."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.root = pathlib.Path(cls.folder.name)
        for name in ("server", "other"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=api",
                            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", cls.root / f"{name}.key", "-out", cls.root / f"{name}.crt"],
                           check=True, capture_output=True)
        cls.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.tls.load_cert_chain(cls.root / "server.crt", cls.root / "server.key")

    def launch(self, cluster):
        with ApiServer(["created"] * 4, self.tls) as api, kubeconfig(api.url, {"token": "secret"}, cluster) as config:
            return seer(*BASICS, "--kubeconfig", config), api.requests

    def test_by_the_authority_of_the_kubeconfig(self):
        for cluster in ({"certificate-authority": str(self.root / "server.crt")},
                        {"certificate-authority-data": base64.b64encode((self.root / "server.crt").read_bytes()).decode()},
                        {"insecure-skip-tls-verify": True}):
            done, requests = self.launch(cluster)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(len(requests), 1)

    def test_the_token_goes_to_no_other(self):
        for cluster in ({"certificate-authority": str(self.root / "other.crt")}, {}):
            done, requests = self.launch(cluster)
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn("certificate", done.stderr)
            self.assertEqual(requests, [])

    @unittest.skipUnless(os.geteuid() == 0, "mounts the service account's folder, which root may")
    def test_in_a_pod_by_its_service_account(self):
        account = self.root / "account"
        account.mkdir()
        (account / "token").write_text("of-the-pod")
        (account / "namespace").write_text("training")
        (account / "ca.crt").write_bytes((self.root / "server.crt").read_bytes())
        script = ('mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io/serviceaccount && '
                  'cp "$ACCOUNT"/* /run/secrets/kubernetes.io/serviceaccount/ && exec "$@"')
        with ApiServer(["created"], self.tls) as api:
            host, port = api.url.removeprefix("https://").split(":")
            done = seer(*BASICS, env={"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port, "ACCOUNT": str(account)},
                        wrapper=("unshare", "-m", "bash", "-c", script, "-"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(api.requests[0]["path"], "/apis/batch/v1/namespaces/training/jobs")
        self.assertEqual(api.requests[0]["headers"]["Authorization"], "Bearer of-the-pod")


if __name__ == "__main__":
    unittest.main()
