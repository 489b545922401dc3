/* What a connection is like: drawn from the seed and its number, so both sides know it. */
#include "soak.h"

const char *const kind_names[KINDS] = {
    [ECHO] = "echo",
    [IDLE] = "idle",
    [HALF_CLOSE] = "half-close",
    [READ_TIMEOUT] = "read-timeout",
    [WRITE_TIMEOUT] = "write-timeout",
    [DUPLEX] = "duplex",
    [CANCELLED] = "cancelled",
    [RESET_BY_CLIENT] = "reset-by-client",
    [RESET_BY_SERVER] = "reset-by-server",
    [SERVER_CANCELLED] = "server-cancelled",
};

/* splitmix64's finaliser: every bit of the result depends on every bit of x. */
uint64_t mixed(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

struct plan plan_of(uint64_t number)
{
    uint64_t r = mixed(settings.seed ^ mixed(number));
    struct plan p = { .number = number };

    p.kind = r % KINDS;
    p.local = r >> 8 & 1;
    /* There is no reset on a local socket. */
    if (p.kind == RESET_BY_CLIENT || p.kind == RESET_BY_SERVER)
        p.local = false;
    p.restart_only = (r >> 9 & 3) == 0;
    r = mixed(r);
    p.up = 1 + r % (1 << (8 + r / 64 % 8)); /* from some bytes to 32 KiB */
    if (p.kind == WRITE_TIMEOUT)
        p.up += 100000; /* more than the buffers take */
    r = mixed(r);
    p.down = p.kind == HALF_CLOSE ? 1 + r % (1 << (8 + r / 64 % 9)) : 0;
    p.breaks = r >> 16 & 1 ? 0 : (r >> 20) % p.up;
    p.pause_us = p.kind == IDLE ? 1000 + (long)(r >> 40) % 300000 : 1000 + (long)(r >> 40) % 40000;
    p.up_key = mixed(r + 1);
    p.down_key = mixed(r + 2);
    return p;
}

/* Whether both sides end in order or neither. A server that is cancelled may have sent all before; natively
 * any cancelled thread may. */
bool counts(const struct plan *p)
{
    return p->kind != SERVER_CANCELLED && (p->kind != CANCELLED || settings.exact);
}
