"""deploy/images/build: its packages are installed in a Debian root and work there; its images hold little, run as nobody in particular on a root
that is read-only, and train a job together. Runs as root."""
import json
import os
import pathlib
import subprocess
import tarfile
import tempfile
import unittest

from cluster import wait_for, write_images
from manifests import BIN, ROOT, chart_objects, containers, flags_of

IMAGES = {"coordinator": ("seer-coordinator", 200), "dataservice": ("seer-dataservice", 220), "worker": ("seer-worker", 700), "cli": ("seer", 200)}  # MiB at most


@unittest.skipUnless(os.geteuid() == 0, "debootstrap and mounts are for root")
class ImagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="seer-images-", ignore_cleanup_errors=True)
        cls.addClassCleanup(folder.cleanup)
        cls.out, cls.work = pathlib.Path(folder.name) / "out", pathlib.Path(folder.name) / "work"
        given = os.environ.get("SEER_TEST_IMAGES")  # of an earlier run, for those who work on this test
        if given:
            cls.out, cls.work = pathlib.Path(given) / "out", pathlib.Path(given) / "work"
        else:
            done = subprocess.run([ROOT / "deploy/images/build", "--build", BIN.parent, "--out", cls.out, "--work", cls.work], capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            print(done.stderr)
        cls.debian = cls.work / "debian"

    def in_debian(self, *command, code=0):
        done = subprocess.run(["chroot", self.debian, *command], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def image(self, name):
        """The OCI configuration of an image's archive."""
        with tarfile.open(self.out / f"{name}.tar") as archive:
            def blob(digest):
                return archive.extractfile(f"blobs/{digest.replace(':', '/')}").read()

            index = json.load(archive.extractfile("index.json"))
            manifest = json.loads(blob(index["manifests"][0]["digest"]))
            return json.loads(blob(manifest["config"]["digest"]))

    # Packages

    def test_packages_are_installed_with_all_that_they_need(self):
        self.assertEqual(self.in_debian("dpkg", "--audit"), "")
        for name in ("seer", "seer-common", "seer-coordinator", "seer-dataservice", "seer-worker"):
            self.assertIn("install ok installed", self.in_debian("dpkg-query", "-W", "-f=${Status}", name))
        version = subprocess.run([BIN / "seer", "--version"], capture_output=True, text=True).stdout
        for program in ("seer", "seer-coordinator", "seer-dataservice", "seer-worker"):
            self.assertEqual(self.in_debian(program, "--version"), version)
        self.assertIn("Usage", self.in_debian("seer-trainer", "--help"))

    def test_programs_look_for_libraries_in_the_folder_of_the_package(self):
        for program in (self.debian / "usr/bin").glob("seer*"):
            done = subprocess.run(["patchelf", "--print-rpath", program], capture_output=True, text=True)
            self.assertEqual(done.stdout.strip(), "/usr/lib/seer", program.name)

    def test_the_coordinator_runs_as_its_unit_says(self):
        """With the flags of /etc/seer, as the user that the package made; what systemd would make is made here."""
        env = (self.debian / "etc/seer/coordinator.env").read_text()
        self.assertEqual((self.debian / "etc/seer/coordinator.env").stat().st_mode & 0o777, 0o640)
        flags = env.partition("SEER_COORDINATOR_FLAGS=")[2].split()
        flags = [flag.replace(":7070", ":0").replace(":9070", ":0") for flag in flags]
        self.in_debian("install", "-d", "-o", "seer", "-g", "seer", "/var/lib/seer/coordinator", "/var/lib/seer/checkpoints")
        user = self.in_debian("id", "-u", "seer").strip()
        group = self.in_debian("id", "-g", "seer").strip()
        self.assertGreater(int(user), 0)
        ports = self.debian / "var/lib/seer/coordinator/ports"
        ports.unlink(missing_ok=True)
        process = subprocess.Popen(["chroot", f"--userspec={user}:{group}", self.debian, "seer-coordinator", *flags, "--port-file", "/var/lib/seer/coordinator/ports"],
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        try:
            port = wait_for(lambda: ports.exists() and ports.read_text().split() or process.poll() is not None and process.stderr.read())[0]
            self.assertTrue(port.isdigit(), port)
            self.assertEqual(self.in_debian("seer", "--coordinator", f"127.0.0.1:{port}", "job", "list", "-o", "json").strip(), "[]")
        finally:
            process.terminate()
            self.assertEqual(process.wait(), 0)

    def test_the_command_line_finds_recipes_and_shells_its_completion(self):
        self.assertIn("Steps", self.in_debian("seer", "job", "plan", "/usr/share/seer/recipes/digits-200mf.yaml"))
        self.assertIn("seer", self.in_debian("bash", "-c", ". /usr/share/bash-completion/completions/seer && complete -p seer"))
        for path in ("usr/share/zsh/vendor-completions/_seer", "usr/share/fish/vendor_completions.d/seer.fish"):
            self.assertTrue((self.debian / path).read_text())

    def test_flags_that_an_administrator_changed_stay(self):
        self.assertIn("/etc/seer/worker.env", self.in_debian("dpkg-query", "-W", "-f=${Conffiles}", "seer-worker"))

    # Images

    def test_images_run_one_program_as_nobody(self):
        for name, (program, _) in IMAGES.items():
            config = self.image(name)["config"]
            self.assertEqual(config["User"], "10001:10001")
            self.assertEqual(config["Entrypoint"], [f"/usr/bin/{program}"])
            self.assertEqual(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0")

    def test_images_are_small_and_hold_no_shell(self):
        for name, (_, most) in IMAGES.items():
            tree = self.work / name
            size = sum(path.lstat().st_size for path in tree.rglob("*")) / 2**20
            self.assertLess(size, most, name)
            programs = {path.name for path in (tree / "usr/bin").iterdir()}
            self.assertTrue(all(program.startswith("seer") for program in programs), programs)
            for path in tree.rglob("*"):
                self.assertFalse(path.lstat().st_mode & 0o6000, f"{path} runs as another user")

    def test_the_bill_of_materials_names_every_library(self):
        for name in IMAGES:
            bom = json.loads((self.out / f"{name}.cdx.json").read_text())
            self.assertEqual((bom["bomFormat"], bom["specVersion"]), ("CycloneDX", "1.5"))
            files = {p["name"].removeprefix("file:") for c in bom["components"] for p in c.get("properties", [])}
            there = {"/" + str(path.relative_to(self.work / name)) for path in (self.work / name).rglob("*") if path.is_file() and not path.is_symlink()
                     and (".so" in path.name or path.parent.name == "bin")}
            self.assertEqual(files, there)
            names = {component["name"] for component in bom["components"]}
            self.assertLessEqual({"libc6", "libgrpc++1.51", "ca-certificates"}, names)
            self.assertEqual("torch" in names, name == "worker")
            refs = [component["bom-ref"] for component in bom["components"]]
            self.assertEqual(len(refs), len(set(refs)))
            self.assertEqual((self.work / name / "usr/share/doc/seer/sbom.cdx.json").read_text(), (self.out / f"{name}.cdx.json").read_text())

    def test_images_train_a_job_with_the_flags_of_the_chart(self):
        """Each program in its image's root, read-only, with the chart's volumes, as its user. Only addresses are others."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            folder.chmod(0o755)
            shared = folder / "shared"
            shared.mkdir()
            write_images(shared / "images")
            os.chown(shared, 10001, 10001)
            data = self.run_image(folder, shared, "dataservice", "Deployment", {})
            coordinator = self.run_image(folder, shared, "coordinator", "StatefulSet", {"seer-dataservice:7080": f"127.0.0.1:{data}", "$(POD_NAME).seer-coordinator": "127.0.0.1"})
            address = f"127.0.0.1:{coordinator}"
            self.run_image(folder, shared, "worker", "StatefulSet", {"seer-coordinator-0.seer-coordinator:7070": address, "$(POD_NAME)": "pod", "$(POD_IP)": "127.0.0.1",
                                                                     "--devices=1": "--devices=2"})
            cli = ["--coordinator", address, "--dataservice", f"127.0.0.1:{data}"]
            self.cli(shared, "pool", "create", "digits", *cli)
            self.cli(shared, "pool", "ingest", "digits", "/srv/seer/images", "--labels-from-folders", *cli)
            job = self.cli(shared, "submit", "/usr/share/seer/recipes/smoke.yaml", "-o", "name", *cli).strip().removeprefix("jobs/")
            self.cli(shared, "job", "wait", job, "--timeout", "120s", *cli)
            self.assertTrue(list((shared / "checkpoints").rglob("COMMITTED")))

    def in_image(self, name, mounts):
        """A command that runs what follows it in a mount namespace where the image's root is read-only but for `mounts`."""
        tree = self.work / name
        binds = "".join(f"mkdir -p '{tree}{at}' && mount --bind '{source}' '{tree}{at}' && " for at, source in mounts.items())
        script = (f"{binds}mount --rbind '{tree}' '{tree}' && mount -o remount,bind,ro '{tree}' && mount -t proc proc '{tree}/proc' && "
                  f"exec chroot --userspec=10001:10001 '{tree}' \"$@\"")
        return ["unshare", "--mount", "--propagation=private", "bash", "-c", script, "-"]

    def cli(self, shared, *arguments):
        done = subprocess.run([*self.in_image("cli", {"/srv/seer": shared}), "/usr/bin/seer", *arguments], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def run_image(self, folder, shared, name, kind, addresses):
        """The port that it serves on."""
        spec = chart_objects("dev")[("apps/v1", kind, f"seer-{name}")]["spec"]["template"]["spec"]
        (container,) = containers(spec)
        program = IMAGES[name][0]
        flags = [flag for flag in container["args"] if flag.split("=")[0] in flags_of(program)]
        for written, real in {":7070": ":0", ":7080": ":0", ":9090": ":0", "0.0.0.0": "127.0.0.1"}.items():
            flags = [flag.replace(written, real) if flag.startswith(("--listen", "--metrics")) else flag for flag in flags]
        for written, real in addresses.items():
            flags = [flag.replace(written, real) for flag in flags]
        mounts = {"/dev/shm": "/dev/shm"}
        for mount in container["volumeMounts"]:
            if mount["name"] == "shared":
                mounts[mount["mountPath"]] = shared
            elif mount["name"] != "shm":
                volume = folder / f"{name}-{mount['name']}"
                volume.mkdir()
                os.chown(volume, 10001, 10001)
                mounts[mount["mountPath"]] = volume
        log = open(folder / f"{name}.log", "w+")
        self.addCleanup(log.close)
        process = subprocess.Popen([*self.in_image(name, mounts), f"/usr/bin/{program}", *flags, "--port-file", "/tmp/ports"], stderr=log, env={"PATH": os.environ["PATH"]})

        def stop():
            process.terminate()
            process.wait()

        self.addCleanup(stop)
        ports = folder / f"{name}-tmp" / "ports"
        wait_for(lambda: ports.exists() and ports.read_text() or process.poll() is not None)
        log.seek(0)
        self.assertTrue(ports.exists(), log.read())
        return ports.read_text().split()[0]


class ArgumentsTest(unittest.TestCase):
    def test_what_makes_no_sense_is_refused(self):
        for arguments, code, words in ((("--bild", "x"), 2, "unknown option --bild"), (("--tag",), 2, "--tag needs a value"),
                                       (("--build", "/nowhere"), 1, "nothing is built in /nowhere")):
            done = subprocess.run([ROOT / "deploy/images/build", *arguments], capture_output=True, text=True)
            self.assertEqual((done.returncode, words in done.stderr), (code, True), done.stderr)


if __name__ == "__main__":
    unittest.main()
