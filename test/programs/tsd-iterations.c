/*
 * Destructors are called again while values remain, PTHREAD_DESTRUCTOR_ITERATIONS times at most; the
 * value reads NULL in the destructor; keys without a value or a destructor are left alone
 * (POSIX pthread_key_create).
 */
#include "check.h"

#include <limits.h>

static pthread_key_t stubborn, twice, plain, empty;
static int stubborn_calls, twice_calls, plain_calls;

static void be_stubborn(void *value)
{
    CHECK(pthread_getspecific(stubborn) == NULL);
    stubborn_calls++;
    OK(pthread_setspecific(stubborn, value));
}

static void come_twice(void *value)
{
    CHECK(pthread_getspecific(twice) == NULL);
    if (++twice_calls == 1) {
        OK(pthread_setspecific(twice, value));
        OK(pthread_setspecific(plain, value)); /* its destructor may have run already */
    }
}

static void count_plain(void *value)
{
    CHECK(value == &plain_calls || value == &twice_calls);
    plain_calls++;
}

static void never(void *value)
{
    (void)value;
    CHECK(0);
}

static void *body(void *argument)
{
    OK(pthread_setspecific(stubborn, &stubborn_calls));
    OK(pthread_setspecific(twice, &twice_calls));
    OK(pthread_setspecific(plain, &plain_calls));
    return argument;
}

int main(void)
{
    watchdog();
    OK(pthread_key_create(&plain, count_plain));
    OK(pthread_key_create(&stubborn, be_stubborn));
    OK(pthread_key_create(&twice, come_twice));
    OK(pthread_key_create(&empty, never));
    for (int i = 0; i < 100; i++) {
        stubborn_calls = twice_calls = plain_calls = 0;
        finish(start(body, NULL));
        CHECK_EQ(stubborn_calls, PTHREAD_DESTRUCTOR_ITERATIONS);
        CHECK_EQ(twice_calls, 2);
        CHECK_EQ(plain_calls, 2);
    }
    return 0;
}
