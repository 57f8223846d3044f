"""Measure everything in one run on one machine: `python -m tests.benchmarks [--quick] [--only NAME]`."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from . import page
from .children import serve
from .compare import measure_gateways
from .many_routes import measure_routes
from .plan import plan
from .policy_costs import measure_policies
from .report import Report
from .sdk_costs import measure_imports, measure_sdks

PARTS = (measure_gateways, measure_policies, measure_routes, measure_sdks, measure_imports)


def main() -> int:
    """Measure and print; 1 when nothing could be measured."""
    options = _options()
    size = plan(quick=options.quick, only=options.only)
    report = Report()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = [sys.executable, "-m", "tests.benchmarks.mock_upstream", "{port}"]
        upstream = stack.enter_context(serve(command, health="/", log=folder / "upstream.log"))
        for measure in PARTS:
            measure(size, report, upstream, folder)
    print(report.text())
    if options.json:
        Path(options.json).write_text(json.dumps(report.data(), indent=2) + "\n")
    if options.markdown:
        page.write(Path(options.markdown), "benchmarks", report.markdown())
    return 0 if any(report.parts.values()) else 1


def _options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="What a request costs.")
    parser.add_argument("--quick", action="store_true", help="a rough answer, in one or two minutes")
    parser.add_argument("--json", metavar="FILE", help="write medians and rounds to this file as well")
    parser.add_argument(
        "--markdown", metavar="FILE", help="write the tables into this page as well, between its marks"
    )
    parser.add_argument(
        "--only", metavar="NAME", default="", help="only rows with this in 'PART: ROW': 'policies', 'nginx'"
    )
    options = parser.parse_args()
    if options.markdown and options.only:
        parser.error("a page holds all tables: --markdown does not go with --only")
    return options


if __name__ == "__main__":
    sys.exit(main())
