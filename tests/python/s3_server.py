"""A store that speaks as S3 does, on this machine alone, with one bucket: `lakes`.

It says its port and then serves until its input ends. One request is answered after the other, so that conditions on an
object are met or not as a whole. Any key is let in; the bucket `closed` refuses everybody, and repeats the key as AWS
does.
"""

import io
import re
import sys
import threading

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

REFUSED = """<?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated
does not match</Message><AWSAccessKeyId>{key}</AWSAccessKeyId><StringToSign>{key}</StringToSign></Error>"""


class Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        pass


class OneByOne:
    """Answers requests one after the other."""

    def __init__(self) -> None:
        self.app = DomainDispatcherApplication(create_backend_app)
        self.turn = threading.Lock()

    def __call__(self, request: dict, start: object) -> list[bytes]:
        # Read before the turn: a client may be slow.
        length = int(request.get("CONTENT_LENGTH") or 0)
        request["wsgi.input"] = io.BytesIO(request["wsgi.input"].read(length))
        if request["PATH_INFO"].startswith("/closed"):
            key = re.search(r"Credential=([^/]*)", request.get("HTTP_AUTHORIZATION", "Credential=?/"))
            body = REFUSED.format(key=key.group(1)).encode()
            start("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        with self.turn:
            return list(self.app(request, start))


def main() -> None:
    server = make_server("127.0.0.1", 0, OneByOne(), threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server.port}",
        region_name="us-east-1",
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
    )
    made.create_bucket(Bucket="lakes")
    print(server.port, flush=True)
    sys.stdin.read()


main()
