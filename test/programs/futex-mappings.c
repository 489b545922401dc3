/*
 * A shared futex is the memory, not the address: waiters and wakers that reach it through different
 * mappings meet, in one process and in two; private ones do not (futex(2)).
 */
#include "check.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "peer.h"

static int *words[2];
static int waiting;

static void *wait_for_it(void *argument)
{
    int *word = argument;

    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
    return NULL;
}

static void wake_all(int *word, long n)
{
    /* One may still be on its way. */
    for (long done = 0, i = 0; done < n; i++) {
        done += SYS(syscall(SYS_futex, word, FUTEX_WAKE, (int)(n - done), NULL, NULL, 0));
        CHECK(i < 10000);
        nap(1);
    }
}

int main(int argc, char **argv)
{
    pthread_t threads[20];

    (void)argv;
    watchdog();
    if (argc > 1) {
        int *word = shared_memory();

        wake_all(word, 10);
        finish(start(wait_for_it, word + 1));
        return 0;
    }
    words[0] = make_shared_memory();
    words[1] = shared_memory();
    CHECK(words[0] != words[1]);
    for (int i = 0; i < 20; i++) {
        threads[i] = start(wait_for_it, words[0]);
    }
    CHECK_EQ(syscall(SYS_futex, words[1], FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0), 0);
    wake_all(words[1], 10);
    pid_t child = peer("peer");
    for (int i = 0; i < 20; i++) {
        finish(threads[i]);
    }
    wake_all(words[1] + 1, 1);
    CHECK_EQ(reap(child), 0);
    return 0;
}
