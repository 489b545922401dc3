/*
 * std::atomic wait and notify on objects of 1, 4, 8 and 64 bytes, and std::atomic_flag: nobody sleeps past
 * a change that was notified (C++20 [atomics.wait]).
 */
#include "check.h"

#include <atomic>
#include <thread>
#include <vector>

struct big {
    int words[4];
    bool operator==(const big &) const = default;
};

template <class T> static void ping_pong()
{
    std::atomic<T> turn(T(0));
    const int rounds = 3000;

    std::thread other([&] {
        for (int i = 0; i < rounds; i++) {
            turn.wait(T(0));
            turn = T(0);
            turn.notify_one();
        }
    });
    for (int i = 0; i < rounds; i++) {
        turn = T(1);
        turn.notify_one();
        turn.wait(T(1));
    }
    other.join();
}

int main()
{
    watchdog();
    ping_pong<char>();
    ping_pong<int>();
    ping_pong<long>();
    ping_pong<short>();

    std::atomic<int> generation(0), left(0);
    std::atomic_flag flag;
    std::vector<std::thread> v;
    for (int i = 0; i < 16; i++) {
        v.emplace_back([&] {
            for (int k = 0; k < 100; k++) {
                generation.wait(k);
                left++;
                left.notify_all();
            }
            flag.wait(false);
        });
    }
    for (int k = 0; k < 100; k++) {
        generation = k + 1;
        generation.notify_all();
        for (int l; (l = left) < 16 * (k + 1);) {
            left.wait(l);
        }
    }
    flag.test_and_set();
    flag.notify_all();
    for (auto &t : v) {
        t.join();
    }
    return 0;
}
