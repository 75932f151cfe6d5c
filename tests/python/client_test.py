"""seer, as it was installed, against real processes; see run."""

import asyncio
import inspect
import os
import pathlib
import subprocess
import tempfile
import threading
import time
import unittest
from concurrent import futures
from unittest import mock

import grpc
import seer
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from seer.v1 import events_pb2, jobs_pb2, jobs_pb2_grpc

STEPS = {"optim": {"steps": 8}, "checkpoint": {"everySteps": 4}}


def smoke(name: str, **more: object) -> dict[str, object]:
    return {"extends": "recipes/smoke", "metadata": {"name": name}, "data": {"pool": "bmp"}, **STEPS, **more}


def endless(name: str) -> dict[str, object]:
    return smoke(name, optim={"steps": 1_000_000}, checkpoint={"everySteps": 20})


def seer_program(*arguments: str) -> str:
    program = pathlib.Path(os.environ["SEER_BIN_DIR"]) / "seer"
    return subprocess.run([program, *arguments], check=True, text=True, capture_output=True).stdout


def state(job: seer.Job) -> str:
    return seer.JobState.Name(job.state).removeprefix("JOB_STATE_")


def setUpModule() -> None:
    with seer.Client() as client:
        client.create_pool("bmp", {"formats": ["bmp"]})
        *_, last = client.ingest("bmp", [os.environ["IMAGES"]])
        assert last.done and last.images_added == 40, last


class JobsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.client = seer.Client()
        self.addCleanup(self.client.close)

    def test_a_file_becomes_a_job_that_is_followed_to_its_end(self) -> None:
        recipe = pathlib.Path(os.environ["SEER_RECIPES"]) / "smoke.yaml"
        sets = {"data.pool": "bmp", "optim.steps": 8, "checkpoint.everySteps": 4}
        job = self.client.submit(recipe, sets=sets, name="followed")
        events = list(self.client.follow(job.name))
        self.assertEqual(events[0].type, "job_created")
        self.assertEqual([e.to_state for e in events if e.type == "job_state_changed"][-1], "SUCCEEDED")
        numbers = [event.number for event in events]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(list(self.client.follow("followed", after=numbers[2])), events[3:])
        done = self.client.wait(job.name, timeout=5)
        self.assertTrue(seer.ended(done))
        self.assertEqual((state(done), done.progress.step), ("SUCCEEDED", 8))
        checkpoints = list(self.client.checkpoints("followed", page_size=1))
        self.assertEqual([checkpoint.step for checkpoint in checkpoints], [8, 4])
        self.assertEqual(self.client.verify_checkpoint(checkpoints[0].name).size_bytes, checkpoints[0].size_bytes)
        self.assertEqual(self.client.pin_checkpoint(checkpoints[0].name, user="me", reason="why").pin.reason, "why")
        self.assertFalse(self.client.unpin_checkpoint(checkpoints[0].name).HasField("pin"))
        self.assertTrue(any("joining_gang" in line.text for line in self.client.logs("followed")))
        self.assertEqual(len(list(self.client.logs("followed", tail=3))), 3)
        lines = list(self.client.logs("followed"))
        behind = list(self.client.logs("followed", follow=True, after=lines[1].position))
        self.assertEqual([line.position for line in behind], [line.position for line in lines[2:]])

    def test_a_request_id_makes_one_job(self) -> None:
        first = self.client.submit(endless("once"), request_id="the-id")
        again = self.client.submit(endless("once"), request_id="the-id")
        self.assertEqual(first.name, again.name)
        self.client.cancel(first.name)

    def test_a_text_of_several_jobs_is_submitted_in_order(self) -> None:
        text = "extends: recipes/smoke\ndata: {pool: bmp}\noptim: {steps: 4}\n"
        late = f"{text}metadata: {{name: late}}\nchain: {{after: [{{job: early}}]}}\n"
        jobs = self.client.submit_all(f"{late}---\n{text}metadata: {{name: early}}\n")
        self.assertEqual([job.spec.metadata.name for job in jobs], ["early", "late"])
        with self.assertRaisesRegex(seer.InvalidArgument, "submit_all"):
            self.client.submit(f"{late}---\n{text}metadata: {{name: early}}\n")
        self.assertEqual(state(self.client.wait("late", timeout=120)), "SUCCEEDED")

    def test_lists_come_page_by_page(self) -> None:
        made = {self.client.submit(endless(f"page-{i}")).name for i in range(5)}
        self.assertLessEqual(made, {job.name for job in self.client.jobs(page_size=2)})
        for name in made:
            self.client.cancel(name)
            self.client.wait(name, timeout=60)
        cancelled = [job for job in self.client.jobs([seer.JobState.JOB_STATE_CANCELLED], page_size=2)]
        self.assertLessEqual(made, {job.name for job in cancelled})
        self.assertEqual({state(job) for job in cancelled}, {"CANCELLED"})
        self.assertEqual(len(list(self.client.workers())), 2)
        self.assertIn("pools/bmp", [pool.name for pool in self.client.pools()])
        self.assertEqual(self.client.pool("bmp").images, 40)

    def test_errors_say_what_is_wrong_and_what_to_do(self) -> None:
        with self.assertRaises(seer.InvalidArgument) as told:
            self.client.submit(smoke("wrong", optim={"stepz": 3}))
        self.assertEqual((told.exception.reason, told.exception.field), ("UNKNOWN_KEY", "optim.stepz"))
        self.assertIn("did you mean 'steps'", str(told.exception))
        self.assertIn("keys here", told.exception.hint)
        with self.assertRaises(seer.NotFound) as missing:
            self.client.job("nobody")
        self.assertEqual((missing.exception.reason, missing.exception.code), ("JOB_NOT_FOUND", grpc.StatusCode.NOT_FOUND))
        with self.assertRaisesRegex(seer.InvalidArgument, "cannot read no-such.yaml"):
            self.client.submit("no-such.yaml")
        with self.assertRaisesRegex(seer.InvalidArgument, "recipes: .*smoke"):
            self.client.parse({"extends": "/etc/passwd"})
        with self.assertRaises(seer.NotFound):
            list(self.client.follow("nobody"))

    def test_pauses_resumes_and_cancels(self) -> None:
        job = self.client.submit(endless("paused"))
        for snapshot in self.client.watch(job.name):
            if snapshot.progress.step > 3:
                break
        self.client.pause(job.name)
        for snapshot in self.client.watch(job.name):
            if state(snapshot) == "PAUSED":
                break
        with self.assertRaises(seer.DeadlineExceeded):
            self.client.wait(job.name, timeout=0.1)
        self.client.resume(job.name)
        self.client.cancel(job.name)
        self.assertEqual(state(self.client.wait(job.name, timeout=60)), "CANCELLED")
        with self.assertRaises(seer.FailedPrecondition):
            self.client.pause(job.name)

    def test_following_goes_on_after_the_coordinator_was_killed(self) -> None:
        job = self.client.submit(endless("outlived"))
        seen: list[events_pb2.Event] = []
        follower = threading.Thread(target=lambda: seen.extend(self.client.follow(job.name)))
        follower.start()
        for snapshot in self.client.watch(job.name):
            if snapshot.last_checkpoint_step > 0:
                break
        run = pathlib.Path(os.environ["SEER_HOME"]) / "cluster/run/coordinator.pid"
        os.kill(int(run.read_text().split()[0]), 9)
        seer_program("cluster", "up", "--workers", "2")  # on the ports that it had
        self.client.cancel(job.name)  # asked again until it is there
        follower.join(120)
        self.assertFalse(follower.is_alive())
        # Files that retention has given up may go after the end.
        self.assertEqual(seen, list(self.client.events(job.name))[: len(seen)])
        self.assertIn("CANCELLED", [event.to_state for event in seen])


class AsyncTest(unittest.IsolatedAsyncioTestCase):
    async def test_follows_two_jobs_at_once(self) -> None:
        async with seer.aio.Client() as client:
            jobs = [await client.submit(smoke(f"async-{i}", distributed={"ranks": 1})) for i in range(2)]

            async def last(name: str) -> str:
                return [event.to_state async for event in client.follow(name) if event.to_state][-1]

            self.assertEqual(await asyncio.gather(*(last(job.name) for job in jobs)), ["SUCCEEDED"] * 2)


class ClientsTest(unittest.TestCase):
    def test_both_have_the_same_methods(self) -> None:
        def methods(kind: type) -> dict[str, list[str]]:
            return {
                name: list(inspect.signature(method).parameters)
                for name, method in vars(kind).items()
                if not name.startswith("_")
            }

        self.assertEqual(methods(seer.Client), methods(seer.aio.Client))
        self.assertIn("goes on", seer.Client.wait.__doc__ or "")

    def test_a_context_by_name(self) -> None:
        self.assertEqual(seer.load_context("local").coordinator, seer.load_context().coordinator)
        with self.assertRaisesRegex(seer.InvalidArgument, "no context 'other'.*there are: local"):
            seer.Client(context="other")

    def test_a_context_has_token_and_tls_and_the_environment_wins(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "config.yaml"
            file.write_text(
                "current: far\ncontexts:\n  far: {coordinator: 'a:1, b:2', dataservice: [c:3], token: t, tls_ca: ca.pem}\n"
            )
            with mock.patch.dict(os.environ, {"SEER_CONFIG": str(file)}):
                tls = seer.Tls(ca="ca.pem")
                self.assertEqual(seer.load_context(), seer.Context(("a:1", "b:2"), ("c:3",), "t", tls))
                with mock.patch.dict(os.environ, {"SEER_TOKEN": "u", "SEER_DATASERVICE": "d:4,e:5"}):
                    self.assertEqual(seer.load_context(), seer.Context(("a:1", "b:2"), ("d:4", "e:5"), "u", tls))
                    self.assertEqual(seer.load_context("far"), seer.Context(("a:1", "b:2"), ("c:3",), "t", tls))
                with mock.patch.dict(os.environ, {"SEER_TOKEN": ""}):
                    with self.assertRaisesRegex(seer.InvalidArgument, "SEER_TOKEN is set, but empty"):
                        seer.load_context()
                file.write_text("current: far\nprevious: far\ncontexts: {far: {coordinator: a:1}, near: {coordinator: n:1}}\n")
                with mock.patch.dict(os.environ, {"SEER_CONTEXT": "near"}):
                    self.assertEqual(seer.load_context().coordinator, ("n:1",))
                file.write_text("current: [far\n")
                with self.assertRaisesRegex(seer.InvalidArgument, "(?s)config.yaml.*mend the file"):
                    seer.Client()
                file.unlink()
                with self.assertRaisesRegex(seer.InvalidArgument, "no coordinator is known.*seer cluster up"):
                    seer.Client()

    def test_nobody_there_is_told_in_time(self) -> None:
        started = time.monotonic()
        with seer.Client("127.0.0.1:1", timeout=1) as client, self.assertRaises(seer.SeerError) as told:
            client.job("any")
        self.assertIsInstance(told.exception, (seer.Unavailable, seer.DeadlineExceeded))
        self.assertLess(time.monotonic() - started, 20)


class FlakyJobs(jobs_pb2_grpc.JobsServicer):
    """Refuses a while, and notes what it is asked."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.tokens: list[str] = []

    def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: grpc.ServicerContext) -> jobs_pb2.Job:
        self.ids.append(request.request_id)
        self.tokens += [value for key, value in context.invocation_metadata() if key == "authorization"]
        if len(self.ids) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return jobs_pb2.Job(name="jobs/j", state=jobs_pb2.JOB_STATE_CANCELLED)

    def PauseJob(self, request: jobs_pb2.PauseJobRequest, context: grpc.ServicerContext) -> jobs_pb2.Job:
        info = error_details_pb2.ErrorInfo(reason="QUOTA", metadata={"hint": "wait", "queue": "vision"})
        bad = error_details_pb2.BadRequest(field_violations=[{"field": "a.b"}])
        status = status_pb2.Status(code=8)
        for detail in (info, bad):
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many")
        raise AssertionError


class CallsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.jobs = FlakyJobs()
        server = grpc.server(futures.ThreadPoolExecutor(2))
        jobs_pb2_grpc.add_JobsServicer_to_server(self.jobs, server)
        self.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(server.stop, None)

    def test_a_call_that_is_repeated_keeps_its_request_id(self) -> None:
        with seer.Client(f"127.0.0.1:{self.port}", token="secret") as client:
            self.assertEqual(state(client.cancel("j")), "CANCELLED")
        self.assertEqual(len(self.jobs.ids), 3)
        self.assertEqual(len(set(self.jobs.ids)), 1)
        self.assertEqual(set(self.jobs.tokens), {"Bearer secret"})

    def test_tls(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            files = {}
            for name in ("own", "other"):
                key, certificate = (pathlib.Path(folder) / f"{name}.{end}" for end in ("key", "pem"))
                subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
                make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
                subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
                files[name] = (key, certificate)
            server = grpc.server(futures.ThreadPoolExecutor(2))
            self.addCleanup(server.stop, None)
            jobs_pb2_grpc.add_JobsServicer_to_server(self.jobs, server)
            pair = tuple(path.read_bytes() for path in files["own"])
            port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
            server.start()
            with seer.Client(f"localhost:{port}", tls=seer.Tls(ca=files["own"][1]), token="t") as client:
                self.assertEqual(state(client.cancel("j")), "CANCELLED")
            self.assertEqual(set(self.jobs.tokens), {"Bearer t"})
            with seer.Client(f"localhost:{port}", tls=seer.Tls(ca=files["other"][1]), timeout=1) as client:
                with self.assertRaises((seer.Unavailable, seer.DeadlineExceeded)):
                    client.cancel("j")

    def test_details_of_an_error(self) -> None:
        with seer.Client(f"127.0.0.1:{self.port},127.0.0.1:{self.port}") as client:
            with self.assertRaises(seer.ResourceExhausted) as told:
                client.pause("j")
        error = told.exception
        self.assertEqual((error.reason, error.field, error.hint, error.values), ("QUOTA", "a.b", "wait", {"queue": "vision"}))
        self.assertEqual(str(error), "too many [QUOTA]; wait")


if __name__ == "__main__":
    unittest.main()
