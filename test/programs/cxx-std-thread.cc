/*
 * std::thread, std::jthread, std::mutex and std::condition_variable: a bounded queue between
 * producers and consumers, stopped through a stop token ([thread.threads], [thread.condition]).
 */
#include "check.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

static std::mutex lock;
static std::condition_variable not_empty, not_full;
static std::condition_variable_any stopping;
static std::deque<int> queue;

int main()
{
    constexpr int producers = 10, consumers = 10, items = 500;
    std::atomic<long> sum{ 0 };
    std::vector<std::thread> threads;

    watchdog();
    for (int p = 0; p < producers; p++) {
        threads.emplace_back([p] {
            for (int i = 0; i < items; i++) {
                std::unique_lock hold(lock);
                not_full.wait(hold, [] { return queue.size() < 4; });
                queue.push_back(p * items + i);
                not_empty.notify_one();
            }
        });
    }
    for (int c = 0; c < consumers; c++) {
        threads.emplace_back([&sum] {
            for (int i = 0; i < items; i++) {
                std::unique_lock hold(lock);
                not_empty.wait(hold, [] { return !queue.empty(); });
                sum += queue.front();
                queue.pop_front();
                not_full.notify_one();
            }
        });
    }
    for (auto &thread : threads) {
        CHECK(thread.joinable());
        CHECK(thread.get_id() != std::this_thread::get_id());
        thread.join();
        CHECK(!thread.joinable());
    }
    CHECK_EQ(sum.load(), (long)producers * items * (producers * items - 1) / 2);

    /* Timed waits that time out. */
    {
        std::unique_lock hold(lock);
        auto steady = std::chrono::steady_clock::now() + std::chrono::milliseconds(10);
        CHECK(!not_empty.wait_until(hold, steady, [] { return false; }));
        CHECK(std::chrono::steady_clock::now() >= steady);
        auto system = std::chrono::system_clock::now() + std::chrono::milliseconds(10);
        CHECK(!not_empty.wait_until(hold, system, [] { return false; }));
        CHECK(std::chrono::system_clock::now() >= system);
    }

    /* A jthread is asked to stop and joined by its destructor. */
    std::atomic<int> stopped{ 0 };
    {
        std::vector<std::jthread> workers;
        for (int i = 0; i < 10; i++) {
            workers.emplace_back([&stopped](std::stop_token token) {
                std::unique_lock hold(lock);
                CHECK(!stopping.wait(hold, token, [] { return false; }));
                stopped++;
            });
        }
    }
    CHECK_EQ(stopped.load(), 10);
    CHECK(std::thread::hardware_concurrency() > 0);
    return 0;
}
