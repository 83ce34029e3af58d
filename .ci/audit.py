"""What `make audit` runs: no known vulnerability in what is installed, no secret in what is committed.

The secrets scan works offline. The vulnerabilities are asked for at OSV (https://osv.dev); where it cannot be reached
that half is left out and a line says so, unless AUDIT_REQUIRED=1 makes it a failure. Exit code 1: something was found.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
OSV = "https://api.osv.dev/v1/query"
PROBE_S = 5.0
# Findings that do not concern us, each with its reason and the date when it was looked at:
IGNORED: dict[str, str] = {}
# Kingfisher's: 0 nothing found, 200 and 205 something.
FOUND = (200, 205)


def main(arguments: list[str] | None = None) -> int:
    """Run both halves, also when the first one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--osv-url", default=os.environ.get("OSV_URL", OSV))
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose files are scanned")
    parser.add_argument("--path", type=Path, help="audit the packages in this directory instead of the environment")
    parser.add_argument("--only", choices=("secrets", "vulnerabilities"))
    options = parser.parse_args(arguments)
    failed = []
    if options.only != "vulnerabilities":
        failed.append(secrets(options.root))
    if options.only != "secrets":
        failed.append(vulnerabilities(options.osv_url, options.path))
    return int(any(failed))


def secrets(root: Path) -> bool:
    """Scan every file that git tracks or would; True when one holds a secret, which is not repeated."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        return _say(f"secrets scan skipped: {root} is no git checkout")
    names = [name for name in listed.stdout.split("\0") if (root / name).is_file() and name]
    program = Path(sys.executable).with_name("kingfisher")
    scan = subprocess.run(
        [str(program), "scan", *names, "--no-validate", "--no-update-check", "--redact", "--git-history", "none",
         "--format", "pretty"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if scan.returncode == 0:
        return _say(f"secrets scan: nothing found in {len(names)} files")
    sys.stdout.write(scan.stdout if scan.returncode in FOUND else scan.stdout + scan.stderr)
    _say("secrets scan: take what was found out and revoke it; a false finding gets `# kingfisher:ignore` on its line")
    return True


def vulnerabilities(osv_url: str, path: Path | None) -> bool:
    """Ask OSV for everything installed; True when a package has a known vulnerability that is not in IGNORED."""
    if (reason := unreachable(osv_url)) is not None:
        required = os.environ.get("AUDIT_REQUIRED") == "1"
        _say(f"vulnerabilities {'NOT CHECKED' if required else 'not checked'}: {osv_url} cannot be reached: {reason}")
        return required
    what = ["--path", str(path)] if path else ["--local"]
    ignored = [word for name in IGNORED for word in ("--ignore-vuln", name)]
    audit = subprocess.run(
        [sys.executable, "-m", "pip_audit", *what, "--skip-editable", "--vulnerability-service", "osv",
         "--osv-url", osv_url, "--progress-spinner", "off", *ignored],
        check=False,
    )  # fmt: skip
    return audit.returncode != 0


def unreachable(url: str) -> str | None:
    """Why OSV does not answer; None when it does, with whatever status."""
    request = urllib.request.Request(url, data=b"{}", method="POST")  # noqa: S310 - ours, or the caller's own
    try:
        urllib.request.urlopen(request, timeout=PROBE_S).close()  # noqa: S310
    except urllib.error.HTTPError:
        return None
    except OSError as error:
        return str(error)
    return None


def _say(line: str) -> bool:
    """Print a line; False, for nothing was found."""
    sys.stdout.write(f"audit: {line}\n")
    sys.stdout.flush()
    return False


if __name__ == "__main__":
    sys.exit(main())
