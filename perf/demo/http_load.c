/*
 * http_load: measures a web server on 127.0.0.1 over HTTP/1.1 keep-alive connections. Each request
 * asks for a URL of its own (GET /connection-random/LENGTH), and each answer is checked in full:
 * the status, Content-Length, that the connection stays open, and every byte of the body, which
 * repeats the URL. See loadgen.h for the rest.
 *
 *     http_load -p port -P server-pid -c 2000 -s 4
 */
#include "../loadgen.h"

#include <strings.h>

#define LONGEST_URL    64
#define LONGEST_HEADER 2048

struct exchange {
    char url[LONGEST_URL];
    uint32_t url_length, length; /* of the URL, and of the body it asks for */
    uint32_t header_got, body_got;
    bool in_body;
    char header[LONGEST_HEADER];
};

static struct exchange *exchanges;
static uint32_t shortest, spread;

static void prepare(const struct load_options *options)
{
    exchanges = calloc((size_t)options->connections, sizeof *exchanges);
    if (!exchanges)
        bench_die("out of memory");
    /* Touched now, so that it does not look like memory the server took. */
    memset(exchanges, 1, (size_t)options->connections * sizeof *exchanges);
    shortest = (uint32_t)options->shortest;
    spread = (uint32_t)(options->longest - options->shortest) + 1;
}

static size_t request(int connection, uint32_t random, const char **data)
{
    static char text[LONGEST_URL + 64];
    struct exchange *x = &exchanges[connection];

    x->length = shortest + (random >> 8) % spread;
    x->header_got = x->body_got = 0;
    x->in_body = false;
    x->url_length = (uint32_t)snprintf(x->url, sizeof x->url, "/%d-%08x/%u", connection, random,
                                       x->length);
    *data = text;
    return (size_t)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                            x->url);
}

/* The value of a header field, or NULL. The header ends with an empty line and a zero byte. */
static const char *field(const char *header, const char *name)
{
    size_t n = strlen(name);

    for (const char *line = strstr(header, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, name, n) && line[n] == ':') {
            line += n + 1;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

static bool check_header(int connection, struct exchange *x)
{
    const char *length = field(x->header, "Content-Length");
    const char *keep = field(x->header, "Connection");

    if (strncmp(x->header, "HTTP/1.1 200 ", 13))
        load_complain(connection, "wrong status: %.40s", x->header);
    else if (!length || strtoul(length, NULL, 10) != x->length)
        load_complain(connection, "wrong Content-Length: %.10s, not %u", length ? length : "none",
                      x->length);
    else if (field(x->header, "Transfer-Encoding") || (keep && !strncasecmp(keep, "close", 5)))
        load_complain(connection, "the answer is chunked, or the last on its connection");
    else
        return true;
    return false;
}

/*
 * Takes header bytes until the empty line. Answers how many of n bytes it took, or -1; when the
 * header is complete and right, in_body is set.
 */
static ssize_t take_header(int connection, struct exchange *x, const char *data, size_t n)
{
    uint32_t had = x->header_got;
    size_t some = sizeof x->header - 1 - had;
    char *end;

    if (some > n)
        some = n;
    memcpy(x->header + had, data, some);
    x->header_got += (uint32_t)some;
    x->header[x->header_got] = 0;
    end = strstr(x->header, "\r\n\r\n");
    if (!end) {
        if (x->header_got < sizeof x->header - 1)
            return (ssize_t)some;
        load_complain(connection, "no end of header in %d bytes", LONGEST_HEADER);
        return -1;
    }
    end[4] = 0;
    if (!check_header(connection, x))
        return -1;
    x->in_body = true;
    return end + 4 - (x->header + had);
}

static int answer(int connection, const char *data, size_t n)
{
    struct exchange *x = &exchanges[connection];

    if (!x->in_body) {
        ssize_t took = take_header(connection, x, data, n);

        if (took < 0)
            return -1;
        data += took;
        n -= (size_t)took;
        if (!x->in_body)
            return 0;
    }
    if (n > x->length - x->body_got) {
        load_complain(connection, "more bytes than Content-Length says");
        return -1;
    }
    for (size_t i = 0; i < n; i++, x->body_got++) {
        if (data[i] != x->url[x->body_got % x->url_length]) {
            load_complain(connection, "wrong body at byte %u of %s", x->body_got, x->url);
            return -1;
        }
    }
    return x->body_got == x->length;
}

int main(int argc, char **argv)
{
    static const struct load_protocol http = { "http_load", prepare, request, answer };

    return load_main(argc, argv, &http);
}
