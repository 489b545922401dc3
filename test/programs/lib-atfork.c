/* For atfork-dlclose.c: handlers that live in a library. */
#include <pthread.h>

static char *order;

static void prepare(void)
{
    *order++ = 'p';
    *order = 0;
}

static void parent(void)
{
    *order++ = 'q';
    *order = 0;
}

static void child(void)
{
    *order++ = 'c';
    *order = 0;
}

int register_handlers(char *where)
{
    order = where;
    return pthread_atfork(prepare, parent, child);
}
