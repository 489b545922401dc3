/*
 * mmap, first touch, mprotect with a SIGSEGV handler that repairs, madvise and munmap from many
 * threads at once: the faults of each thread are its own (POSIX mmap, mprotect).
 */
#include "check.h"

#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

enum { THREADS = 10, ROUNDS = 15, PAGES = 32, PAGE = 4096 };

static __thread char *area;
static __thread volatile int faults;

static void handler(int signal, siginfo_t *info, void *context)
{
    uintptr_t page = (uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1);

    (void)context;
    CHECK_EQ(signal, SIGSEGV);
    CHECK(page >= (uintptr_t)area && page < (uintptr_t)area + PAGES * PAGE);
    SYS(mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE));
    faults++;
}

static void *body(void *argument)
{
    int me = (int)(long)argument;

    for (int round = 0; round < ROUNDS; round++) {
        area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(area != MAP_FAILED);
        for (int i = 0; i < PAGES; i++) {
            CHECK_EQ(area[i * PAGE], 0);
            area[i * PAGE] = (char)(me + i);
        }
        usleep(10);
        SYS(mprotect(area, PAGES * PAGE, PROT_NONE));
        faults = 0;
        for (int i = 0; i < PAGES; i++) {
            CHECK_EQ(((volatile char *)area)[i * PAGE], (char)(me + i));
        }
        CHECK_EQ(faults, PAGES);
        SYS(madvise(area, PAGES * PAGE, MADV_DONTNEED));
        for (int i = 0; i < PAGES; i++) {
            CHECK_EQ(((volatile char *)area)[i * PAGE], 0);
        }
        SYS(munmap(area, PAGES * PAGE));
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

    watchdog();
    SYS(sigaction(SIGSEGV, &action, NULL));
    run_threads(THREADS, body);
    return 0;
}
