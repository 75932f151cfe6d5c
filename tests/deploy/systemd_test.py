"""The units of deploy/systemd: systemd reads them, rates them as locked down, and their programs take the flags."""
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

from manifests import BIN, ROOT, unknown_flags

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))


def settings(unit):
    """{"TimeoutStopSec": ["30"], ...}"""
    found = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


class SystemdTest(unittest.TestCase):
    def test_there_is_a_unit_for_every_service(self):
        self.assertEqual([unit.stem for unit in UNITS], ["seer-coordinator", "seer-dataservice", "seer-worker"])

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
    def test_systemd_reads_them_without_a_word(self):
        with tempfile.TemporaryDirectory() as folder:
            for unit in UNITS:  # with the programs that were built, since none is installed
                copy = pathlib.Path(folder) / unit.name
                copy.write_text(unit.read_text().replace("/usr/bin/", f"{BIN}/"))
                done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""), unit.name)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
    def test_systemd_rates_their_exposure_as_low(self):
        for unit in UNITS:  # 0 to 100; below 20 it says OK
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, f"{unit.name}\n{done.stdout[-400:]}{done.stderr}")

    def test_programs_take_the_flags_of_etc_seer_and_write_only_where_they_may(self):
        for unit in UNITS:
            found = settings(unit)
            name = unit.stem.removeprefix("seer-")
            self.assertEqual(found["EnvironmentFile"], [f"/etc/seer/{name}.env"])
            variable = f"SEER_{name.upper()}_FLAGS"
            self.assertEqual(found["ExecStart"], [f"/usr/bin/{unit.stem} ${variable}"])
            text = (ROOT / f"deploy/systemd/{name}.env").read_text()
            flags = shlex.split(re.search(rf"^{variable}=(.*)$", text, re.MULTILINE)[1])
            self.assertEqual(unknown_flags(unit.stem, flags), set())
            folders = ["/var/lib/" + folder for folder in found["StateDirectory"][0].split()]
            for flag, value in zip(flags[::2], flags[1::2]):
                path = value.removeprefix("file://")
                if path.startswith("/"):
                    self.assertTrue(any(pathlib.Path(path).is_relative_to(folder) for folder in folders), f"{flag} {path}")
                if flag in ("--listen", "--metrics"):
                    self.assertTrue(value.startswith("127.0.0.1:"), "open to others only where somebody has said so")

    def test_a_worker_has_time_for_its_checkpoints_and_ranks_are_told_by_it(self):
        found = settings(ROOT / "deploy/systemd/seer-worker.service")
        self.assertEqual(found["KillMode"], ["mixed"])
        grace = re.search(r"--grace (\d+)m", (ROOT / "deploy/systemd/worker.env").read_text())[1]
        self.assertGreaterEqual(int(found["TimeoutStopSec"][0]), int(grace) * 60 + 30)


if __name__ == "__main__":
    unittest.main()
