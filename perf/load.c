/*
 * load: measures a TCP echo server on 127.0.0.1. Messages differ in length and content from one to
 * the next, and every byte that comes back is compared, so a server that mixes up two connections
 * or two buffers is caught. See loadgen.h for the rest.
 *
 *     load -p port -P server-pid -c 10000 -a 100 -s 4
 */
#include "loadgen.h"

#define PATTERN 65536

/* Messages are windows into random bytes that repeat only after 64 KiB. */
static char pattern[PATTERN + LOAD_LONGEST_REQUEST];
static struct message {
    uint32_t at, length, got;
} * messages;
static uint32_t shortest, spread;

static void prepare(const struct load_options *options)
{
    uint64_t x = 88172645463325252u;

    for (size_t i = 0; i < sizeof pattern; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        pattern[i] = (char)(x >> 32);
    }
    messages = calloc((size_t)options->connections, sizeof *messages);
    if (!messages)
        bench_die("out of memory");
    shortest = (uint32_t)options->shortest;
    spread = (uint32_t)(options->longest - options->shortest) + 1;
}

static size_t request(int connection, uint32_t random, const char **data)
{
    struct message *m = &messages[connection];

    m->at = random % PATTERN;
    m->length = shortest + (random >> 16) % spread;
    m->got = 0;
    *data = pattern + m->at;
    return m->length;
}

static int answer(int connection, const char *data, size_t n)
{
    struct message *m = &messages[connection];

    if (n > m->length - m->got || memcmp(data, pattern + m->at + m->got, n)) {
        load_complain(connection, "wrong echo at byte %u of %u (%zu bytes came)", m->got, m->length,
                      n);
        return -1;
    }
    m->got += (uint32_t)n;
    return m->got == m->length;
}

int main(int argc, char **argv)
{
    static const struct load_protocol echo = { "load", prepare, request, answer };

    return load_main(argc, argv, &echo);
}
