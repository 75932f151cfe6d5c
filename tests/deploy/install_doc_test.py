"""docs/install.md: every command in it is run here, or says what it needs; and those that need something name files and flags that are there."""
import os
import re
import shlex
import subprocess
import tempfile
import unittest

from manifests import BIN, ROOT, TOOLS

TEXT = (ROOT / "docs/install.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
PROGRAMS = ("seer", "seer-coordinator", "seer-dataservice", "seer-worker")


class InstallDocTest(unittest.TestCase):
    def test_blocks_without_needs_run(self):
        ran = 0
        for block in BLOCKS:
            if block.startswith("# needs: "):
                continue
            ran += 1
            with tempfile.TemporaryDirectory() as home, self.subTest(block=block):
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=ROOT, capture_output=True, text=True,
                                      env={"PATH": f"{BIN}:{os.environ['PATH']}", "SEER_DEPS": str(TOOLS.parent), "HOME": home})
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(ran, 3)

    def test_all_blocks_are_read_by_bash_and_name_what_is_there(self):
        for block in BLOCKS:
            self.assertEqual(subprocess.run(["bash", "-n", "-c", block]).returncode, 0)
            for word in shlex.split(block, comments=True):
                path = word.removeprefix("./")
                if path.startswith("deploy/"):
                    self.assertTrue((ROOT / path).exists(), path)

    def test_flags_of_our_programs_are_taken(self):
        for line in "\n".join(BLOCKS).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] in PROGRAMS:
                verb = [word for word in words[1:] if re.fullmatch(r"[a-z]+", word)]
                nouns = verb[:3] if verb[:2] == ["worker", "launch"] else verb[:2]
                text = "".join(subprocess.run([BIN / words[0], *path, "--help"], capture_output=True, text=True).stdout for path in ([], nouns))
                for flag in (word.split("=")[0] for word in words if word.startswith("--")):
                    self.assertIn(flag, text, line)

    def test_every_value_that_is_named_is_one_of_the_chart(self):
        values = (ROOT / "deploy/helm/seer/values.yaml").read_text()
        for name in re.findall(r"`((?:storage|worker|coordinator|networkPolicy|monitoring)\.[A-Za-z.]+)", TEXT):
            self.assertIn(f"{name.split('.')[-1]}:", values, name)


if __name__ == "__main__":
    unittest.main()
