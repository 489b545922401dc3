/*
 * std::counting_semaphore, std::latch and std::barrier between many threads, with deadlines
 * (C++20 [thread.sema], [thread.latch], [thread.barrier]).
 */
#include "check.h"

#include <atomic>
#include <barrier>
#include <chrono>
#include <latch>
#include <semaphore>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

static const int threads = 12, rounds = 200;

int main()
{
    watchdog();
    std::counting_semaphore<5> places(5);
    std::binary_semaphore never(0), once(0);
    std::latch all(threads);
    std::atomic<int> inside(0), phase(0), arrived(0);
    auto next_phase = [&]() noexcept { phase++; };
    std::barrier barrier(threads, next_phase);

    std::vector<std::thread> v;
    for (int i = 0; i < threads; i++) {
        v.emplace_back([&, i] {
            for (int k = 0; k < rounds; k++) {
                places.acquire();
                CHECK(++inside <= 5);
                if (k % 8 == 0) {
                    std::this_thread::yield();
                }
                --inside;
                places.release();
            }
            CHECK(!never.try_acquire());
            auto before = std::chrono::steady_clock::now();
            CHECK(!never.try_acquire_for(10ms));
            CHECK(std::chrono::steady_clock::now() - before >= 10ms);
            CHECK(!never.try_acquire_until(std::chrono::system_clock::now() + 5ms));
            arrived++;
            all.arrive_and_wait();
            CHECK_EQ(arrived, threads);
            CHECK(all.try_wait());
            for (int k = 0; k < rounds; k++) {
                CHECK_EQ(phase, k);
                if (i == 3 && k == rounds / 2) {
                    std::this_thread::sleep_for(5ms);
                }
                barrier.arrive_and_wait();
            }
            barrier.arrive_and_drop();
            if (i == 0) {
                once.release();
            }
        });
    }
    once.acquire();
    for (auto &t : v) {
        t.join();
    }
    CHECK_EQ(phase, rounds + 1);
    return 0;
}
