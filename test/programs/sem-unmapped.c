/*
 * A semaphore may be destroyed and its memory reused as soon as the wait for its last post has
 * returned: sem_post must not touch it afterwards (POSIX sem_destroy; glibc bug 12674).
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>

enum { ROUNDS = 2000, PAGE = 4096 };

static sem_t *handed;
static sem_t given;

static void *posts(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        SYS(sem_wait(&given));
        SYS(sem_post(__atomic_load_n(&handed, __ATOMIC_SEQ_CST)));
    }
    return argument;
}

int main(void)
{
    watchdog();
    SYS(sem_init(&given, 0, 0));
    pthread_t thread = start(posts, NULL);
    for (int i = 0; i < ROUNDS; i++) {
        sem_t *sem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        CHECK(sem != MAP_FAILED);
        SYS(sem_init(sem, 0, 0));
        __atomic_store_n(&handed, sem, __ATOMIC_SEQ_CST);
        SYS(sem_post(&given));
        if (i % 2) {
            SYS(sem_wait(sem));
        } else {
            /* Not asleep, so as to be as quick as possible after the post. */
            for (int k = 0; sem_trywait(sem) != 0; k++) {
                if (k % 1000 == 999) {
                    sched_yield();
                }
            }
        }
        SYS(sem_destroy(sem));
        SYS(munmap(sem, PAGE));
    }
    finish(thread);
    return 0;
}
