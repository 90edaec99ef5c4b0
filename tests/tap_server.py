"""A small TAP service on the loopback address, whose answers are made up by the tests."""

import contextlib
import http.server
import re
import threading
import time
import urllib.parse

VOTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE type="results">
<INFO name="QUERY_STATUS" value="{status}">{message}</INFO>
<TABLE>
{fields}
<DATA><TABLEDATA>
{rows}
</TABLEDATA></DATA>
</TABLE>
</RESOURCE>
</VOTABLE>
"""
JOB = """<?xml version="1.0" encoding="UTF-8"?>
<uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1">
<uws:jobId>1</uws:jobId><uws:phase>{phase}</uws:phase>
<uws:executionDuration>0</uws:executionDuration>
<uws:results><uws:result id="result" xlink:href="{url}/results/result"/></uws:results>
<uws:errorSummary type="transient"><uws:message>{error}</uws:message></uws:errorSummary>
</uws:job>
"""


def votable(columns, *, status="OK", message=""):
    """Return the text of a VOTable of columns, sequences by name; whole numbers are long, None is an empty cell."""
    fields, rows = [], zip(*columns.values(), strict=True)
    for name, values in columns.items():
        kind = "long" if all(isinstance(value, int) for value in values) else "double"
        fields.append(f'<FIELD name="{name}" datatype="{kind}"/>')
    cells = ["".join(f"<TD>{'' if value is None else value}</TD>" for value in row) for row in rows]
    return VOTABLE.format(status=status, message=message, fields="\n".join(fields),
                          rows="\n".join(f"<TR>{row}</TR>" for row in cells))


class TapServer(http.server.ThreadingHTTPServer):
    """A service with one job; `fault` spoils it, `queries` has what was asked.

    Faults: 'slow', '500', 'truncated', 'html', 'error' (of the job), 'status' (of the table), 'endless' (the job).
    """

    daemon_threads = True

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.fault, self.queries, self.deleted = content, "", [], 0
        self.url = f"http://127.0.0.1:{self.server_port}/tap"

    def handle_error(self, request, client_address):
        """Say nothing of a client that has gone."""


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 10  # seconds; a connection ends by itself

    def log_message(self, *args):
        pass

    def _send(self, status, body="", **headers):
        body = body.encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "Content-Type": "text/xml", **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):  # noqa: N802
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if self.server.fault == "500":
            self._send(500, "out of order")
        elif self.path == "/tap/async":
            self.server.queries.append(form["QUERY"][0])
            self._send(303, Location=f"{self.server.url}/async/1")
        else:
            self._send(303, Location=f"{self.server.url}/async/1")

    def do_GET(self):  # noqa: N802
        fault = self.server.fault
        if self.path.startswith("/tap/async/1/results/result"):
            if fault == "slow":
                time.sleep(2)
            content = self.server.content
            if fault == "truncated":
                content = content[:len(content) // 2]
            if fault == "html":
                content = "<html><body>Welcome to the archive</body></html>"
            if fault == "status":
                content = votable({"ra": []}, status="ERROR", message="no such table")
            self._send(200, content)
        else:
            phase = {"error": "ERROR", "endless": "EXECUTING"}.get(fault, "COMPLETED")
            self._send(200, JOB.format(phase=phase, url=f"{self.server.url}/async/1", error="cannot parse ADQL"))

    def do_DELETE(self):  # noqa: N802
        self.server.deleted += 1
        self._send(200)


@contextlib.contextmanager
def serving(content):
    """Yield a running TapServer; it stops with the block."""
    with TapServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def cone_of(query):
    """Return right ascension, declination and radius in an ADQL query, degrees."""
    return tuple(map(float, re.search(r"CIRCLE\('ICRS', ([-\d.]+), ([-\d.]+), ([-\d.]+)\)", query).groups()))
