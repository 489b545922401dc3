/*
 * std::timed_mutex, recursive_timed_mutex and shared_timed_mutex: exclusion, and try_lock_for and
 * try_lock_until on both clocks (C++ [thread.timedmutex.requirements], [thread.sharedtimedmutex]).
 */
#include "check.h"

#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

template <class M> static void one(M &mutex)
{
    int value = 0;
    std::vector<std::thread> v;

    for (int i = 0; i < 8; i++) {
        v.emplace_back([&] {
            for (int k = 0; k < 300; k++) {
                while (!mutex.try_lock_for(1s)) {
                }
                value++;
                mutex.unlock();
            }
        });
    }
    for (auto &t : v) {
        t.join();
    }
    CHECK_EQ(value, 2400);
    mutex.lock();
    std::thread([&] {
        auto before = std::chrono::steady_clock::now();

        CHECK(!mutex.try_lock());
        CHECK(!mutex.try_lock_for(10ms));
        CHECK(!mutex.try_lock_until(before + 20ms));
        CHECK(std::chrono::steady_clock::now() >= before + 20ms);
        auto until = std::chrono::system_clock::now() + 10ms;
        CHECK(!mutex.try_lock_until(until));
        CHECK(std::chrono::system_clock::now() >= until);
        CHECK(!mutex.try_lock_until(std::chrono::system_clock::now() - 1h));
    }).join();
    mutex.unlock();
}

int main()
{
    watchdog();
    std::timed_mutex timed;
    std::recursive_timed_mutex recursive;
    std::shared_timed_mutex shared;

    one(timed);
    one(recursive);
    one(shared);
    CHECK(recursive.try_lock_for(1ms) && recursive.try_lock_for(1ms));
    recursive.unlock();
    recursive.unlock();
    shared.lock_shared();
    std::thread([&] {
        CHECK(shared.try_lock_shared_for(10ms));
        CHECK(!shared.try_lock_for(10ms));
        shared.unlock_shared();
    }).join();
    shared.unlock_shared();
    shared.lock();
    std::thread([&] {
        CHECK(!shared.try_lock_shared_until(std::chrono::steady_clock::now() + 10ms));
    }).join();
    shared.unlock();
    return 0;
}
