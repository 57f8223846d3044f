"""What the SDKs cost their callers, and how long ours takes to import."""

import sys
from contextlib import ExitStack
from pathlib import Path

from .children import DidNotStart, Service, absent, output
from .gateways import BARE, FLOOR, start
from .peers import MLFLOW
from .plan import Plan
from .report import Report
from .rounds import say
from .sdk import sdks


def measure_sdks(plan: Plan, report: Report, upstream: Service, folder: Path) -> None:
    """Every SDK against our gateway and against the constant server."""
    wanted = [sdk for sdk in sdks(MLFLOW) if plan.includes(f"sdks: {sdk.name}")]
    with ExitStack() as stack:
        up = {}
        for column, gateway in {"gateway": BARE, "floor": FLOOR}.items() if wanted else ():
            try:
                up[column], _ = start(gateway, upstream.port, folder, stack)
            except DidNotStart as error:
                report.skipped[f"SDKs against {gateway.name}"] = str(error)
        for sdk in wanted:
            say(f"SDK: {sdk.name}")
            if reason := sdk.absent():
                report.skipped[sdk.name] = reason
                continue
            for column, running in up.items():
                try:
                    costs = sdk.measure(running.service.port, plan.calls)
                except RuntimeError as error:
                    report.skipped[f"{sdk.name} against {running.gateway.name}"] = str(error)
                else:
                    report.rows("sdks").setdefault(sdk.name, {})[column] = costs


def measure_imports(plan: Plan, report: Report, _upstream: Service, _folder: Path) -> None:
    """How long `import gateway_sync` takes in a fresh interpreter, compiled files at hand."""
    look = "import time; t = time.perf_counter(); import gateway_sync; print(time.perf_counter() - t)"
    if not plan.includes("imports: gateway_sync"):
        return
    if reason := absent(sys.executable, ["gateway_sync"]):
        report.skipped["import gateway_sync"] = reason
        return
    try:
        output([sys.executable, "-c", look])  # compiles what was not compiled yet
        seconds = [float(output([sys.executable, "-c", look])) for _ in range(5)]
    except RuntimeError as error:
        report.skipped["import gateway_sync"] = str(error)
    else:
        report.rows("imports")["gateway_sync"] = {"seconds": seconds}
