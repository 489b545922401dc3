/*
 * C++ exceptions in many threads at once, with blocking calls inside try blocks, handlers and
 * destructors: what is caught, current and uncaught belongs to the thread ([except]).
 */
#include "check.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct Blocks {
    int &count;

    ~Blocks()
    {
        CHECK_EQ(std::uncaught_exceptions(), 1);
        usleep(10);
        CHECK_EQ(std::uncaught_exceptions(), 1);
        count++;
    }
};

__attribute__((noinline)) static void descend(int depth, int me, int &count)
{
    Blocks blocks{ count };

    if (depth == 0) {
        std::this_thread::yield();
        throw std::runtime_error(std::to_string(me));
    }
    descend(depth - 1, me, count);
}

static void body(int me)
{
    for (int round = 0; round < 10; round++) {
        int count = 0;

        try {
            usleep(10);
            descend(10, me * 100 + round, count);
            CHECK(!"the exception got lost");
        } catch (const std::exception &error) {
            CHECK_EQ(count, 11);
            std::this_thread::yield();
            CHECK(error.what() == std::to_string(me * 100 + round));
            try {
                usleep(1);
                throw me;
            } catch (int inner) {
                std::this_thread::yield();
                CHECK_EQ(inner, me);
            }
            /* The outer exception is the current one again. */
            try {
                std::this_thread::yield();
                throw;
            } catch (const std::runtime_error &again) {
                CHECK(&again == &error);
            }
        }
        CHECK(std::current_exception() == nullptr);
        CHECK_EQ(std::uncaught_exceptions(), 0);
    }
}

int main()
{
    std::vector<std::thread> threads;
    std::exception_ptr carried;

    watchdog();
    for (int i = 0; i < 50; i++) {
        threads.emplace_back(body, i);
    }
    for (auto &thread : threads) {
        thread.join();
    }
    /* Out of one thread, into another. */
    std::thread([&carried] {
        try {
            throw 5;
        } catch (...) {
            carried = std::current_exception();
        }
    }).join();
    try {
        std::rethrow_exception(carried);
    } catch (int value) {
        CHECK_EQ(value, 5);
        return 0;
    }
    return 1;
}
