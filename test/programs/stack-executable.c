/*
 * A program that asks for executable stacks, as gcc's nested functions do, has them in all threads: of
 * any size, with and without a guard, and when a stack is used again (elf(5), PT_GNU_STACK).
 */
#include "check.h"

#include <limits.h>

typedef int function(void);

static void *body(void *argument)
{
#if defined __x86_64__
    volatile unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* mov $42, %eax; ret */
#elif defined __aarch64__
    volatile unsigned code[] = { 0x52800540, 0xd65f03c0 }; /* mov w0, #42; ret */
#else
    SKIP("no code for this processor");
#endif
    __builtin___clear_cache((char *)code, (char *)code + sizeof code);
    CHECK_EQ(((function *)(void *)code)(), 42);
    return argument;
}

int main(void)
{
    pthread_attr_t attr;
    pthread_t thread;

    watchdog();
    body(NULL);
    for (int i = 0; i < 10; i++) {
        finish(start(body, NULL));
    }
    OK(pthread_attr_init(&attr));
    for (size_t guard = 0; guard <= 3 * 4096; guard += 4096) {
        OK(pthread_attr_setguardsize(&attr, guard));
        OK(pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN + 65536));
        OK(pthread_create(&thread, &attr, body, NULL));
        finish(thread);
    }
    return 0;
}
