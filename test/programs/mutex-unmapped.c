/*
 * The memory of a mutex may go away as soon as the next owner has it: unlock must not touch it
 * after the hand-over (POSIX pthread_mutex_destroy, "destroying mutexes" in the rationale).
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>

enum { ROUNDS = 1000, PAGE = 4096 };

struct object {
    pthread_mutex_t mutex;
    int references;
};

static struct object *current;
static sem_t given, taken;

/* Drops a reference; the last one out unmaps the object, while the other thread may still be in
 * the last instructions of its own unlock. */
static void drop(struct object *object, int patient)
{
    /* Half of them not asleep, so as to be as quick as possible after the unlock. */
    for (int k = 1; pthread_mutex_trylock(&object->mutex) != 0; k++) {
        if (patient) {
            OK(pthread_mutex_lock(&object->mutex));
            break;
        }
        if (k % 1000 == 0) {
            sched_yield();
        }
    }
    int left = --object->references;
    OK(pthread_mutex_unlock(&object->mutex));
    if (left == 0) {
        OK(pthread_mutex_destroy(&object->mutex));
        SYS(munmap(object, PAGE));
    }
}

static void *body(void *argument)
{
    for (int i = 0; i < ROUNDS; i++) {
        sem_wait(&given);
        struct object *object = current;
        sem_post(&taken);
        drop(object, i % 2);
    }
    return argument;
}

int main(void)
{
    watchdog();
    SYS(sem_init(&given, 0, 0));
    SYS(sem_init(&taken, 0, 0));
    pthread_t threads[2] = { start(body, NULL), start(body, NULL) };
    for (int i = 0; i < ROUNDS; i++) {
        current = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(current != MAP_FAILED);
        OK(pthread_mutex_init(&current->mutex, NULL));
        current->references = 3;
        struct object *mine = current;
        sem_post(&given);
        sem_post(&given);
        sem_wait(&taken);
        sem_wait(&taken);
        drop(mine, i / 2 % 2);
    }
    finish(threads[0]);
    finish(threads[1]);
    return 0;
}
