"""An ordinary web server on python3's ThreadingHTTPServer: HTTP/1.1 with keep-alive, one thread
for each connection. Answers as mhd_server.c does: GET /anything/LENGTH gives LENGTH bytes that
repeat the path. Prints "port N" and serves until it is killed.
"""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # header and body leave in one segment, as they should over keep-alive

    def do_GET(self):
        length = int(self.path.rsplit("/", 1)[1])
        path = self.path.encode()
        body = (path * (length // len(path) + 1))[:length]
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print("port", server.server_port, flush=True)
    server.serve_forever()
