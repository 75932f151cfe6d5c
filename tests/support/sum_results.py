#!/usr/bin/env python3
"""Adds up the cases of all test binaries of one ctest run: "N passed, N failed, N skipped".

Every GoogleTest binary leaves an XML file of its cases. A binary that died before it could write one
(ctest's own report knows it) counts as one failure.
"""
import pathlib
import sys
import xml.etree.ElementTree as ET


def main(folder: pathlib.Path) -> int:
    passed = failed = skipped = 0
    failures_seen = False
    for path in sorted(folder.glob("*.xml")):
        for case in ET.parse(path).getroot().iter("testcase"):
            if case.find("failure") is not None:
                failed += 1
                failures_seen = True
                print(f"failed: {case.get('classname')}.{case.get('name')}")
            elif case.get("result") in ("skipped", "suppressed") or case.find("skipped") is not None:
                skipped += 1
                reason = case.find("skipped")
                print(f"skipped: {case.get('classname')}.{case.get('name')} {'' if reason is None else reason.get('message', '')}")
            else:
                passed += 1
    with_report = {path.stem for path in folder.glob("*.xml")}
    for case in ET.parse(folder / "ctest.junit").getroot().iter("testcase"):
        if case.get("status") != "fail":
            if case.get("name") not in with_report:
                passed += 1  # a test that is not a GoogleTest binary
            continue
        if case.get("name") not in with_report or not failures_seen:
            failed += 1
            print(f"failed: {case.get('name')} (ended without a report, or timed out)")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
