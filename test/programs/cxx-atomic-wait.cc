/*
 * std::atomic wait and notify, std::counting_semaphore, std::latch and std::barrier of C++20,
 * which libstdc++ builds on the futex system call ([atomics.wait], [thread.sema], [thread.coord]).
 */
#include "check.h"

#include <atomic>
#include <barrier>
#include <latch>
#include <semaphore>
#include <thread>
#include <vector>

int main()
{
    constexpr int count = 16;
    std::atomic<int> turn{ 0 };
    std::vector<std::thread> threads;

    watchdog();
    for (int i = 0; i < count; i++) {
        threads.emplace_back([&turn, i] {
            for (int round = 0; round < 20; round++) {
                int now;
                while ((now = turn.load()) != round * count + i) {
                    turn.wait(now);
                }
                turn++;
                turn.notify_all();
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    threads.clear();
    CHECK_EQ(turn.load(), count * 20);

    std::counting_semaphore<4> room(4);
    std::latch latch(count);
    std::atomic<int> inside{ 0 }, phases{ 0 };
    std::barrier barrier(count, [&phases]() noexcept { phases++; });
    for (int i = 0; i < count; i++) {
        threads.emplace_back([&] {
            for (int round = 0; round < 20; round++) {
                room.acquire();
                CHECK(++inside <= 4);
                usleep(10);
                inside--;
                room.release();
            }
            latch.arrive_and_wait();
            CHECK(latch.try_wait());
            for (int round = 1; round <= 20; round++) {
                barrier.arrive_and_wait();
                CHECK(phases >= round);
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK_EQ(phases.load(), 20);
    return 0;
}
