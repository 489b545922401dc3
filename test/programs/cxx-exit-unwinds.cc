/*
 * pthread_exit and cancellation unwind C++ frames: destructors run innermost first, catch (...)
 * sees the unwinding and passes it on (GNU C++ forced unwinding, pthread_exit(3)).
 */
#include "check.h"

#include <cxxabi.h>
#include <string>

static thread_local std::string *record;

struct Noted {
    char letter;

    ~Noted()
    {
        usleep(10);
        *record += letter;
    }
};

__attribute__((noinline)) static void inner(bool leave)
{
    Noted noted{ 'c' };

    try {
        Noted first{ 'd' };
        if (leave) {
            pthread_exit(record);
        }
        for (;;) {
            usleep(1000);
        }
    } catch (abi::__forced_unwind &) {
        *record += '!';
        throw;
    }
}

static void *body(void *argument)
{
    std::string mine;
    Noted noted{ 'a' };

    record = static_cast<std::string *>(argument);
    bool leave = record->empty();
    try {
        Noted second{ 'b' };
        inner(leave);
    } catch (...) {
        *record += '?';
        throw;
    }
    return nullptr;
}

int main()
{
    watchdog();
    for (int i = 0; i < 20; i++) {
        std::string trace, cancelled = "x";

        CHECK(finish(start(body, &trace)) == &trace);
        CHECK(trace == "d!cb?a");
        pthread_t thread = start(body, &cancelled);
        usleep(500 * (i % 4));
        OK(pthread_cancel(thread));
        CHECK(finish(thread) == PTHREAD_CANCELED);
        CHECK(cancelled == "xd!cb?a");
    }
    return 0;
}
