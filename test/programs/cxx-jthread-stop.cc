/*
 * std::jthread joins by itself, and a stop_token ends a wait on std::condition_variable_any; stop
 * callbacks run once (C++20 [thread.jthread.class], [thread.stoptoken]).
 */
#include "check.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <stop_token>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int main()
{
    watchdog();
    std::mutex mutex;
    std::shared_mutex shared;
    std::condition_variable_any cond;
    std::atomic<int> waiting(0), stopped(0), called(0), late(0);
    bool ready = false;
    {
        std::vector<std::jthread> v;
        for (int i = 0; i < 10; i++) {
            v.emplace_back([&, i](std::stop_token token) {
                std::stop_callback callback(token, [&] { called++; });
                waiting++;
                if (i % 2) {
                    std::unique_lock lock(mutex);
                    CHECK(!cond.wait(lock, token, [&] { return ready; }));
                } else {
                    std::shared_lock lock(shared);
                    CHECK(!cond.wait_for(lock, token, 30s, [&] { return ready; }));
                }
                CHECK(token.stop_requested());
                stopped++;
            });
        }
        while (waiting < 10) {
            std::this_thread::sleep_for(1ms);
        }
        std::this_thread::sleep_for(10ms);
    }
    CHECK_EQ(stopped, 10);
    CHECK(called > 0 && called <= 10); /* a thread that is awake takes its own away */

    std::jthread waiter([&](std::stop_token token) {
        std::unique_lock lock(mutex);
        CHECK(cond.wait(lock, token, [&] { return ready; }));
        late++;
    });
    std::this_thread::sleep_for(5ms);
    {
        std::lock_guard lock(mutex);
        ready = true;
    }
    cond.notify_all();
    waiter.join();
    CHECK_EQ(late, 1);
    CHECK(waiter.request_stop());
    return 0;
}
