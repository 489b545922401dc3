/*
 * std::shared_mutex, shared_timed_mutex, timed_mutex, recursive_mutex and scoped_lock
 * ([thread.mutex.requirements]).
 */
#include "check.h"

#include <atomic>
#include <barrier>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int main()
{
    std::shared_mutex shared;
    std::shared_timed_mutex shared_timed;
    std::timed_mutex timed;
    std::recursive_mutex recursive;
    std::mutex left, right;
    std::vector<std::thread> threads;
    int a = 0, b = 0, deep = 0;
    std::barrier together(10);

    watchdog();
    /* Ten readers inside at once, or the barrier would never open. */
    for (int i = 0; i < 10; i++) {
        threads.emplace_back([&] {
            std::shared_lock hold(shared);
            together.arrive_and_wait();
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    threads.clear();

    for (int i = 0; i < 20; i++) {
        threads.emplace_back([&, i] {
            for (int k = 0; k < 200; k++) {
                if (i % 4 == 0) {
                    std::unique_lock hold(shared);
                    a++;
                    std::this_thread::yield();
                    b++;
                } else {
                    std::shared_lock hold(shared);
                    CHECK_EQ(a, b);
                }
                std::scoped_lock both(i % 2 ? left : right, i % 2 ? right : left);
                std::lock_guard outer(recursive);
                std::lock_guard inner(recursive);
                deep++;
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK_EQ(a, 1000);
    CHECK_EQ(deep, 4000);

    timed.lock();
    shared_timed.lock();
    std::thread([&] {
        auto end = std::chrono::steady_clock::now() + 10ms;
        CHECK(!timed.try_lock_until(end));
        CHECK(std::chrono::steady_clock::now() >= end);
        CHECK(!timed.try_lock_for(1ms));
        CHECK(!shared_timed.try_lock_for(1ms));
        CHECK(!shared_timed.try_lock_shared_for(1ms));
    }).join();
    timed.unlock();
    shared_timed.unlock();
    std::thread([&] {
        CHECK(timed.try_lock_for(1ms));
        CHECK(shared_timed.try_lock_shared_for(1ms));
        timed.unlock();
        shared_timed.unlock_shared();
    }).join();
    return 0;
}
