"""`seer worker launch slurm` on a real Slurm: its agents train a job, give way to a preemption, and come back."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

from cluster import Cluster, wait_for
from manifests import BIN, ROOT, unknown_flags
from slurm import Slurm, free_ports

SMOKE = ROOT / "recipes/smoke.yaml"


@unittest.skipUnless(os.geteuid() == 0, "Slurm's daemons are started as root")
class SlurmTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="seer-slurm-")
        cls.addClassCleanup(cls.folder.cleanup)
        root = pathlib.Path(cls.folder.name)
        root.chmod(0o755)
        for name in ("slurm", "seer", "logs"):
            (root / name).mkdir()
        cls.cluster = Cluster(root / "seer")
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.add_digits()
        cls.slurm = Slurm(root / "slurm")
        cls.addClassCleanup(cls.slurm.stop)
        cls.logs = root / "logs"

    def launch(self, *arguments):
        return self.cluster.seer("worker", "launch", "slurm", "--allow-loopback", "--log-dir", self.logs, *arguments, env=self.slurm.environment).strip()

    def log(self):
        return "".join(path.read_text() for path in self.logs.glob("*.log"))

    def submit(self, name, steps):
        return self.cluster.seer("submit", SMOKE, "--name", name, "--set", f"optim.steps={steps}", "--set", "checkpoint.everySteps=10", "-o",
                                 "name").strip().removeprefix("jobs/")

    def test_a_job_is_trained_survives_a_preemption_and_a_cancel_is_one(self):
        number = self.launch("--nodes", 2, "--devices", 1, "--cpus-per-node", 8, "--partition", "low", "--label", "gpu=none", "--grace", "20s")
        self.assertTrue(number.isdigit(), number)
        workers = wait_for(lambda: len(w := self.cluster.workers()) == 2 and w, what=f"two agents ({self.log()})")

        # Addresses, devices and the topology are those of Slurm.
        self.assertEqual(set(workers), {"n1", "n2"})
        for name, leaf in (("n1", "leaf1"), ("n2", "leaf2")):
            self.assertEqual(workers[name]["address"], "127.0.0.1")
            self.assertEqual(workers[name]["devices"], 1)
            self.assertEqual(workers[name]["labels"], {"device": "cpu", "rack": leaf, "switch": "spine", "gpu": "none"})

        # A gang over both machines.
        job = self.submit("first", 20)
        self.cluster.seer("job", "wait", job, "--timeout", "120s")

        # Another partition takes the machines: ranks write their checkpoint, and the Slurm job waits.
        job = self.submit("second", 100000)
        wait_for(lambda: int(self.cluster.json("job", "describe", job).get("progress", {}).get("step", 0)) > 15, what="some steps")
        high = self.slurm.run("sbatch", "--parsable", "--partition=high", "--nodes=2", "--cpus-per-task=8", "--ntasks-per-node=1", "--output=/dev/null",
                              "--wrap=sleep 3600").strip()
        wait_for(lambda: self.slurm.job(high)["JobState"] == "RUNNING", what="the preemption")
        wait_for(lambda: self.slurm.job(number)["JobState"] == "PENDING", what="the requeue")
        self.assertIn("back into the queue", self.log())
        self.assertEqual(self.slurm.job(number)["Restarts"], "1")
        described = self.cluster.json("job", "describe", job)
        self.assertEqual(described["state"], "JOB_STATE_RESTARTING")
        step = int(self.cluster.json("checkpoint", "list", job)[0]["step"])
        self.assertGreater(step, 15)

        # They come back, and the job goes on from that checkpoint.
        self.slurm.run("scancel", high)
        wait_for(lambda: self.slurm.job(number)["JobState"] == "RUNNING", 200, what="the second start")
        wait_for(lambda: int(self.cluster.json("job", "describe", job)["progress"]["step"]) > step + 5, 200, what="more steps")
        events = self.cluster.json("job", "events", job)
        self.assertFalse([e for e in events if e.get("toState") == "JOB_STATE_FAILED"])

        # What is cancelled does not come back.
        self.cluster.seer("job", "cancel", job, "--yes")
        self.slurm.run("scancel", number)
        wait_for(lambda: self.slurm.job(number)["JobState"] == "CANCELLED", what="the end")
        wait_for(lambda: not self.slurm.run("squeue", "-h"), what="an empty queue")


    def test_an_agent_serves_its_metrics_at_the_port_that_was_said(self):
        (port,) = free_ports(1)
        number = self.launch("--nodes", 1, "--cpus-per-node", 8, "--partition", "high", "--metrics-port", port)

        def scrape():
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
            except OSError:
                return None

        page = wait_for(scrape, what=f"an agent's metrics ({self.log()})")
        self.assertIn("# TYPE seer_worker_up gauge", page)
        self.slurm.run("scancel", number)
        wait_for(lambda: not self.slurm.run("squeue", "-h"), what="an empty queue")


class ScriptTest(unittest.TestCase):
    """The script alone, and what is refused: nothing runs."""

    def launch(self, *arguments, code=0, path=None):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([BIN / "seer", "worker", "launch", "slurm", *map(str, arguments)], capture_output=True, text=True,
                                  env={"SEER_CONFIG": f"{folder}/config.yaml", "PATH": path or "/usr/bin:/bin"})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def script(self, *arguments):
        return self.launch("--coordinator", "head-0:7070,head-1:7070", *arguments, "--dry-run")

    def test_the_script_asks_for_what_was_said_and_bash_reads_it(self):
        text = self.script("--nodes", 8, "--gpus-per-node", 8, "--partition", "gpu", "--account", "vision", "--time", "2-00:00:00", "--sbatch=--qos=high",
                           "--label", "gpu=h100", "--grace", "5m", "--worker", "/opt/it's here/seer-worker", "--worker-flag=--log-format=json", "--metrics-port", 9103)
        options = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
        for option in ("--nodes=8", "--gpus-per-node=8", "--ntasks-per-node=1", "--exclusive", "--requeue", "--signal=B:TERM@330", "--partition=gpu",
                       "--account=vision", "--time=2-00:00:00", "--qos=high"):
            self.assertIn(option, options)
        done = subprocess.run(["bash", "-c", text.replace("trap drain TERM", 'printf "%s\\n" "$worker" "${flags[@]}"; exit') + "\n"], capture_output=True, text=True)
        worker, *flags = done.stdout.splitlines()
        self.assertEqual(worker, "/opt/it's here/seer-worker", done.stderr)
        self.assertEqual(flags, ["--coordinator=head-0:7070,head-1:7070", "--devices=8", "--device-kind=cuda", "--grace=300s", "--drained-exit-code=75",
                                 "--label=gpu=h100", "--log-format=json", "--metrics=0.0.0.0:9103"])
        self.assertEqual(unknown_flags("seer-worker", [*flags, "--name=", "--address="]), set())

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_shellcheck_finds_nothing(self):
        # SC2317: functions that only a trap or another machine calls.
        done = subprocess.run(["shellcheck", "--exclude=SC2317", "-"], input=self.script("--nodes", 2), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_makes_no_sense_is_refused(self):
        named = ("--coordinator", "head:7070")
        for arguments, words in (
                ((*named, "--nodes", 0), "must be from 1"),
                ((*named, "--nodes", 1, "--devices", 0), "devices"),
                ((*named, "--nodes", 1, "--name", "Not A Name"), "--name is 'Not A Name'"),
                ((*named, "--nodes", 1, "--partition", "a b"), "--partition is 'a b'"),
                ((*named, "--nodes", 1, "--sbatch", "-x"), "long options"),
                ((*named, "--nodes", 1, "--label", "rack"), "rack"),
                ((*named, "--nodes", 1, "--grace", "soon"), "is not a duration"),
                (("--coordinator", "head", "--nodes", 1), "no HOST:PORT"),
                ((*named, "--nodes", 1, "--metrics-port", 65536), "--metrics-port is 65536"),
                (("--nodes", 1), "agents must know where the coordinator is")):
            with self.subTest(arguments=arguments):
                self.assertIn(words, self.launch(*arguments, code=2))

    def test_a_loopback_address_goes_to_no_other_machine(self):
        for address in ("127.0.0.1:7070", "localhost:7070", "[::1]:7070", "head:7070,127.0.0.1:7070"):
            with self.subTest(address=address):
                arguments = ("--coordinator", address, "--nodes", 1, "--dry-run")
                errors = self.launch(*arguments, code=2)
                self.assertIn("agents on others do not reach it", errors)
                self.assertIn("--coordinator HOST:PORT", errors)
                self.assertIn("--allow-loopback", errors)
                self.assertIn(f"'--coordinator={address}'", self.launch(*arguments, "--allow-loopback"))
        self.assertNotIn("--metrics", self.script("--nodes", 1))

    def test_without_slurm_it_says_where_to_run_it(self):
        errors = self.launch("--coordinator", "head:7070", "--nodes", 1, code=1, path="/nowhere")
        self.assertIn("no program sbatch", errors)
        self.assertIn("on a machine of the Slurm cluster", errors)

    def test_what_sbatch_refuses_is_said_with_its_words(self):
        with tempfile.TemporaryDirectory() as folder:
            sbatch = pathlib.Path(folder) / "sbatch"
            sbatch.write_text("#!/bin/sh\ncat >/dev/null\necho 'sbatch: error: invalid partition specified: gpu' >&2\nexit 1\n")
            sbatch.chmod(0o755)
            errors = self.launch("--coordinator", "head:7070", "--nodes", 1, code=1, path=f"{folder}:/usr/bin:/bin")
        self.assertIn("invalid partition specified: gpu", errors)
        self.assertIn("correct the flag", errors)


if __name__ == "__main__":
    unittest.main()
