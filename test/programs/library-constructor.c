/*
 * A library's constructor may do what main may do: create and join a thread, use every kind of
 * lock, make a key. What it leaves behind is there in main, and its destructor may do it again
 * (ld.so(8): constructors of libraries run before main, in an order that the program does not choose).
 */
#include "check.h"

#include "library-constructor.h"

static void *body(void *argument)
{
    CHECK(pthread_getspecific(constructor_key) == NULL);
    OK(pthread_setspecific(constructor_key, argument));
    OK(pthread_mutex_lock(&constructor_mutex));
    OK(pthread_mutex_unlock(&constructor_mutex));
    CHECK_EQ(pthread_mutex_trylock(&constructor_held), EBUSY);
    return argument;
}

int main(void)
{
    void *result;

    CHECK_EQ(constructor_ran, 1);
    CHECK(pthread_equal(constructor_main, pthread_self()));
    CHECK(pthread_getspecific(constructor_key) == &constructor_key);
    CHECK_EQ(pthread_mutex_lock(&constructor_held), EDEADLK);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;

        OK(pthread_create(&thread, NULL, body, &result));
        OK(pthread_join(thread, &result));
        CHECK(result == &result);
    }
    OK(pthread_mutex_unlock(&constructor_held));
    CHECK_EQ(constructor_destructions, 11);
    return 0;
}
