/* A program with Go's runtime in it, told by the note that Go's linker leaves: its system calls do
 * not go through libc, and it asks the kernel for threads by their ids. It has kernel threads. */
#include "check.h"
#include "kernel-threads.h"

__asm__(".pushsection .note.go.buildid,\"a\",@note\n\t"
        ".balign 4\n\t"
        ".long 4, 8, 4\n\t" /* sizes of owner and content, type */
        ".asciz \"Go\\0\"\n\t"
        ".asciz \"raddle\\0\"\n\t"
        ".popsection");

#define THREADS 4

static int ends[2];
static pthread_barrier_t all;

static void *work(void *arg)
{
    char c;
    pthread_barrier_wait(&all);
    CHECK_EQ(SYS(read(ends[0], &c, 1)), 1);
    return arg;
}

int main(void)
{
    pthread_t t[THREADS];
    SYS(pipe(ends));
    OK(pthread_barrier_init(&all, NULL, THREADS + 1));
    for (int i = 0; i < THREADS; i++)
        OK(pthread_create(&t[i], NULL, work, NULL));
    pthread_barrier_wait(&all);
    CHECK_EQ(kernel_threads(), THREADS + 1);
    CHECK_EQ(SYS(write(ends[1], "1234", THREADS)), THREADS);
    for (int i = 0; i < THREADS; i++)
        OK(pthread_join(t[i], NULL));
    return 0;
}
