/*
 * A second process over the same memory, in which the program's own libc is all there is: whatever was
 * preloaded into this one is taken out of its environment. Include after check.h.
 *
 * main() begins with: if (argc > 1) { peer's part, with shared_memory(); return 0; }
 */
#ifndef PEER_H
#define PEER_H

#include <fcntl.h>
#include <sys/mman.h>

enum { PEER_FD = 200, PEER_SIZE = 1 << 16 };

static inline void *shared_memory(void)
{
    void *memory = mmap(NULL, PEER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, PEER_FD, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

/* For the first process, once. */
static inline void *make_shared_memory(void)
{
    int fd = SYS(memfd_create("peer", 0));

    SYS(ftruncate(fd, PEER_SIZE));
    SYS(dup2(fd, PEER_FD));
    SYS(close(fd));
    return shared_memory();
}

/* Starts the peer; role is its argv[1]. */
static inline pid_t peer(const char *role)
{
    pid_t child = SYS(fork());

    if (child == 0) {
        char *arguments[] = { (char *)"peer", (char *)role, NULL };

        unsetenv("LD_PRELOAD");
        execv("/proc/self/exe", arguments);
        _exit(126);
    }
    return child;
}

/* Waits for what the other process sets. */
static inline void await(int *word, int value)
{
    for (int i = 0; __atomic_load_n(word, __ATOMIC_SEQ_CST) < value; i++) {
        CHECK(i < 30000);
        nap(1);
    }
}

static inline void tell(int *word, int value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* A lock of two processes: all their threads work at once, then each process holds the lock while a thread
 * of the other one knocks in vain. */
struct contest {
    int done, held, tried; /* shared */
};

static inline void contest_work(struct contest *c, int threads, void *(*work)(void *))
{
    run_threads(threads, work);
    __atomic_add_fetch(&c->done, 1, __ATOMIC_SEQ_CST);
    await(&c->done, 2);
}

/* The peer's part. */
static inline void contest_second(struct contest *c, void (*hold)(void), void (*release)(void),
                                  void *(*knock)(void *))
{
    hold();
    tell(&c->held, 1);
    await(&c->tried, 1);
    release();
    await(&c->held, 2);
    finish(start(knock, NULL));
}

/* The first process's; the peer has ended after it. */
static inline void contest_first(struct contest *c, pid_t child, void (*hold)(void),
                                 void (*release)(void), void *(*knock)(void *))
{
    await(&c->held, 1);
    finish(start(knock, NULL));
    tell(&c->tried, 1);
    hold();
    tell(&c->held, 2);
    CHECK_EQ(reap(child), 0);
    release();
}

#endif
