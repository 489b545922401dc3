/*
 * When no more threads can be made, pthread_create answers EAGAIN, the threads that exist go on,
 * and once they have ended new ones can be made (POSIX pthread_create). Where no limit is met,
 * all creations succeed, which is as good.
 */
#include "check.h"

#include <semaphore.h>
#include <stdint.h>

enum { THREADS = 3000 };

static pthread_t threads[THREADS];
static sem_t go;

static void *body(void *argument)
{
    sem_wait(&go);
    return argument;
}

int main(void)
{
    pthread_attr_t small;

    watchdog();
    SYS(sem_init(&go, 0, 0));
    OK(pthread_attr_init(&small));
    OK(pthread_attr_setstacksize(&small, 65536));
    for (int round = 0; round < 2; round++) {
        intptr_t made;

        for (made = 0; made < THREADS; made++) {
            int error = pthread_create(&threads[made], &small, body, (void *)made);

            if (error != 0) {
                CHECK_EQ(error, EAGAIN);
                break;
            }
        }
        CHECK(made > 0);
        for (intptr_t i = 0; i < made; i++) {
            SYS(sem_post(&go));
        }
        for (intptr_t i = 0; i < made; i++) {
            CHECK(finish(threads[i]) == (void *)i);
        }
    }
    return 0;
}
