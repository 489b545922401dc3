/*
 * Cancellation unwinds C++ frames: destructors run, catch (...) sees it and passes it on, thread_local
 * objects are destroyed, and blocking in a destructor does not end the unwinding.
 */
#include "check.h"

#include <cxxabi.h>
#include <string>
#include <thread>

static std::string order;
static int pipe_fds[2];

struct Mark {
    const char *text;
    ~Mark()
    {
        usleep(10);
        order += text;
    }
};

static thread_local Mark local = { "L" };

static void read_in_try(char *byte)
{
    Mark inner = { "i" };

    try {
        Mark in_try = { "t" };

        SYS(read(pipe_fds[0], byte, 1));
        _exit(1);
    } catch (abi::__forced_unwind &) {
        order += "f";
        throw;
    }
}

static void *body(void *argument)
{
    Mark outer = { "o" };
    char byte;

    local.text = "L";
    try {
        read_in_try(&byte);
    } catch (const std::exception &) {
        order += "wrong";
    } catch (...) {
        order += "c";
        throw;
    }
    return argument;
}

int main()
{
    watchdog();
    SYS(pipe(pipe_fds));
    for (int i = 0; i < 20; i++) {
        pthread_t thread = start(body, NULL);

        if (i % 2)
            nap(2);
        OK(pthread_cancel(thread));
        CHECK(finish(thread) == PTHREAD_CANCELED);
        CHECK(order == "tficoL");
        order.clear();
    }
    /* One that handles an exception while it is cancelled. */
    std::thread other([] {
        try {
            throw 1;
        } catch (int) {
            Mark mark = { "e" };
            sleep(1000);
        }
    });
    nap(2);
    OK(pthread_cancel(other.native_handle()));
    other.join();
    CHECK(order == "e");
    return 0;
}
