/*
 * __thread variables: every thread starts from the initial image and keeps its own values and
 * addresses across everything it blocks on, new threads on recycled stacks included (ELF TLS).
 */
#include "check.h"

#include <sched.h>
#include <semaphore.h>

enum { THREADS = 30, GENERATIONS = 5 };

static __thread int counter = 17;
static __thread unsigned char zeros[600];
static __thread char image[64] = "the initial image";
static __thread int aligned __attribute__((aligned(64))) = 5;

static sem_t turn;

static void *body(void *argument)
{
    int me = *(int *)argument;
    int *address = &counter;

    CHECK_EQ(counter, 17);
    CHECK_EQ(aligned, 5);
    CHECK_EQ((size_t)&aligned % 64, 0);
    CHECK_EQ(strcmp(image, "the initial image"), 0);
    for (size_t i = 0; i < sizeof(zeros); i++) {
        CHECK_EQ(zeros[i], 0);
    }
    counter = me;
    memset(zeros, me, sizeof(zeros));
    memset(image, me, sizeof(image));
    for (int round = 0; round < 20; round++) {
        sem_wait(&turn);
        sched_yield();
        CHECK_EQ(counter, me + round);
        counter++;
        sem_post(&turn);
        usleep(round % 5 == 0);
        CHECK(address == &counter);
        for (size_t i = 0; i < sizeof(zeros); i++) {
            CHECK_EQ(zeros[i], me);
        }
        CHECK_EQ(image[63], me);
    }
    aligned = 6;
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    watchdog();
    SYS(sem_init(&turn, 0, 3));
    counter = 99;
    for (int generation = 0; generation < GENERATIONS; generation++) {
        for (int i = 0; i < THREADS; i++) {
            numbers[i] = i + 1;
            threads[i] = start(body, &numbers[i]);
        }
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
    }
    CHECK_EQ(counter, 99);
    return 0;
}
