/*
 * Of thousands of threads that are cancelled in sem_wait while the semaphore is posted each either
 * took the token or left it: none is lost (POSIX sem_wait).
 */
#include "check.h"

#include <semaphore.h>
#include <stdatomic.h>

static sem_t sem;
static atomic_int taken;

static void *body(void *argument)
{
    CHECK_EQ(sem_wait(&sem), 0);
    OK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
    taken++;
    return argument;
}

static void *canceller(void *argument)
{
    OK(pthread_cancel(*(pthread_t *)argument));
    return NULL;
}

int main(void)
{
    int left, posted = 0;

    watchdog();
    SYS(sem_init(&sem, 0, 0));
    for (int round = 0; round < 3000; round++) {
        pthread_t victim = start(body, NULL), other;

        if (round % 3 == 0) {
            sched_yield();
        }
        other = start(canceller, &victim);
        SYS(sem_post(&sem));
        posted++;
        finish(other);
        finish(victim);
        SYS(sem_getvalue(&sem, &left));
        CHECK_EQ(left + taken, posted);
        while (sem_trywait(&sem) == 0) {
            taken++;
        }
    }
    return 0;
}
