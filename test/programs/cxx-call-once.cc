/*
 * std::call_once with an initialiser that blocks, and one that throws and is therefore tried
 * again; function-local statics initialised by many threads at once ([thread.once], [stmt.dcl]).
 */
#include "check.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

static std::atomic<int> attempts, made;

struct Slow {
    int value = 0;

    Slow()
    {
        usleep(5000);
        made++;
        value = 7;
    }
};

static int local_static()
{
    static Slow slow;

    return slow.value;
}

static int throwing_static(std::atomic<int> &tries)
{
    static int value = [&tries] {
        usleep(1000);
        if (++tries < 4) {
            throw 1;
        }
        return 11;
    }();

    return value;
}

int main()
{
    std::once_flag flag;
    std::vector<std::thread> threads;
    std::atomic<int> caught{ 0 }, tries{ 0 }, caught_static{ 0 };
    int done = 0;

    watchdog();
    for (int i = 0; i < 30; i++) {
        threads.emplace_back([&] {
            try {
                std::call_once(flag, [&] {
                    usleep(1000);
                    if (++attempts < 4) {
                        throw std::runtime_error("not yet");
                    }
                    done = 1;
                });
                CHECK_EQ(done, 1);
            } catch (const std::runtime_error &) {
                caught++;
            }
            CHECK_EQ(local_static(), 7);
            try {
                CHECK_EQ(throwing_static(tries), 11);
            } catch (int) {
                caught_static++;
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK_EQ(attempts.load(), 4);
    CHECK_EQ(caught.load(), 3);
    CHECK_EQ(made.load(), 1);
    CHECK_EQ(tries.load(), 4);
    CHECK_EQ(caught_static.load(), 3);
    return 0;
}
