/* burn [N]: N threads (4) compute until they are killed, or for a minute. For follow.py. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static volatile unsigned sink;

static void *loop(void *arg)
{
    (void)arg;
    for (unsigned i = 0;; i++)
        sink = i;
    return NULL;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 4;
    pthread_t t;
    for (int i = 0; i < n; i++)
        if (pthread_create(&t, NULL, loop, NULL))
            return 1;
    alarm(60);
    pause();
    return 0;
}
