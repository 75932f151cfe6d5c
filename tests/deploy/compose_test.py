"""deploy/compose/compose.yaml: by the Compose specification, with flags that the programs take and nothing open that need not be."""
import json
import re
import unittest

import compose_spec
import yaml

from manifests import ROOT, chart_objects, unknown_flags

FILE = ROOT / "deploy/compose/compose.yaml"
OURS = {"coordinator": "seer-coordinator", "dataservice": "seer-dataservice", "worker": "seer-worker"}


class ComposeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.services = yaml.safe_load(FILE.read_text())["services"]

    def parse(self, text):
        """As Compose does: variables first, with their defaults."""
        text = re.sub(r"\$\{\w+:([-?])([^}]*)\}", lambda found: found[2] if found[1] == "-" else "secret", text)
        parsed = compose_spec.PyCompose.from_json(json.dumps(yaml.safe_load(text)))
        parsed.validate()
        return parsed

    def test_fits_the_specification(self):
        self.assertEqual(set(self.parse(FILE.read_text()).service_names()), {*OURS, "cli", "permissions", "postgresql", "prometheus"})

    def test_what_does_not_fit_is_found(self):
        text = FILE.read_text()
        for wrong in (text.replace("stop_grace_period: 30s", "stop_grace_period: soon"), text.replace("shared: {}", "other: {}"),
                      text.replace("read_only: true", "read_onli: true")):
            with self.assertRaises(Exception):
                self.parse(wrong)

    def test_programs_take_every_flag(self):
        for name, program in OURS.items():
            self.assertEqual(unknown_flags(program, self.services[name]["command"]), set())

    def test_ours_are_locked_down(self):
        for name in (*OURS, "cli"):
            service = self.services[name]
            self.assertTrue(service["read_only"])
            self.assertNotIn(service["user"].split(":")[0], ("", "0", "root"))
            self.assertEqual(service["cap_drop"], ["ALL"])
            self.assertIn("no-new-privileges:true", service["security_opt"])

    def test_ports_are_on_the_loopback_and_images_have_tags(self):
        for name, service in self.services.items():
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), name)
            self.assertRegex(service["image"], r":[^/]+$", name)
            self.assertFalse(service["image"].endswith(":latest"), name)

    def test_a_worker_has_the_time_that_its_grace_needs(self):
        worker = self.services["worker"]
        grace = next(flag.partition("=")[2] for flag in worker["command"] if flag.startswith("--grace="))
        self.assertEqual((grace, worker["stop_grace_period"]), ("1m", "90s"))

    def test_no_password_is_in_the_file(self):
        for name, service in self.services.items():
            for key, value in service.get("environment", {}).items():
                if "PASSWORD" in key:
                    self.assertRegex(value, r"^\$\{SEER_DATABASE_PASSWORD:\?", name)

    def test_postgresql_is_the_one_of_the_chart(self):
        chart = chart_objects("ha")[("apps/v1", "StatefulSet", "seer-postgresql")]["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual(self.services["postgresql"]["image"], chart["image"])

    def test_prometheus_asks_every_service_at_the_port_where_it_answers(self):
        config = yaml.safe_load((FILE.parent / "prometheus.yml").read_text())
        targets = {target for group in config["scrape_configs"][0]["static_configs"] for target in group["targets"]}
        served = {f"{name}:{re.search(r':([0-9]+)$', flag)[1]}" for name in OURS for flag in self.services[name]["command"] if flag.startswith("--metrics=")}
        self.assertEqual(targets, served)


if __name__ == "__main__":
    unittest.main()
