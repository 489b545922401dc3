/*
 * pthread_setname_np and pthread_getname_np: own name, another thread's, ERANGE for too long or
 * too small, inheritance of nothing but the creator's name (pthread_setname_np(3)).
 */
#include "check.h"

#include <semaphore.h>
#include <sys/prctl.h>

static sem_t ready, go;

static void *body(void *argument)
{
    char want[16], name[16];

    snprintf(want, sizeof(want), "worker-%d", *(int *)argument);
    OK(pthread_setname_np(pthread_self(), want));
    sem_post(&ready);
    sem_wait(&go);
    OK(pthread_getname_np(pthread_self(), name, sizeof(name)));
    CHECK_EQ(strcmp(name, want), 0);
    SYS(prctl(PR_GET_NAME, name));
    CHECK_EQ(strcmp(name, want), 0);
    SYS(prctl(PR_SET_NAME, "by-prctl"));
    nap(1);
    OK(pthread_getname_np(pthread_self(), name, sizeof(name)));
    CHECK_EQ(strcmp(name, "by-prctl"), 0);
    return NULL;
}

int main(void)
{
    pthread_t threads[20];
    int numbers[20];
    char want[16], name[16];

    watchdog();
    SYS(sem_init(&ready, 0, 0));
    SYS(sem_init(&go, 0, 0));
    for (int i = 0; i < 20; i++) {
        numbers[i] = i;
        threads[i] = start(body, &numbers[i]);
    }
    for (int i = 0; i < 20; i++) {
        sem_wait(&ready);
    }
    for (int i = 0; i < 20; i++) {
        snprintf(want, sizeof(want), "worker-%d", i);
        OK(pthread_getname_np(threads[i], name, sizeof(name)));
        CHECK_EQ(strcmp(name, want), 0);
        CHECK_EQ(pthread_getname_np(threads[i], name, 4), ERANGE);
        CHECK_EQ(pthread_setname_np(threads[i], "sixteen-letters!"), ERANGE);
    }
    OK(pthread_setname_np(pthread_self(), "the-main-one"));
    for (int i = 0; i < 20; i++) {
        sem_post(&go);
    }
    for (int i = 0; i < 20; i++) {
        finish(threads[i]);
    }
    OK(pthread_getname_np(pthread_self(), name, sizeof(name)));
    CHECK_EQ(strcmp(name, "the-main-one"), 0);
    return 0;
}
