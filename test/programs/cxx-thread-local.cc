/*
 * C++ thread_local objects: constructed at first use in each thread, destroyed in reverse order
 * of construction when the thread ends, before a join returns; destructors may block
 * ([basic.stc.thread], [basic.start.term]).
 */
#include "check.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

static std::atomic<int> alive;
static thread_local std::string *record;

struct Noted {
    const char letter;

    explicit Noted(char c) : letter(c)
    {
        alive++;
        *record += letter;
    }

    ~Noted()
    {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        *record += letter;
        alive--;
    }
};

static thread_local Noted a('a');
static thread_local Noted b('b');

static void touch(const Noted &noted)
{
    CHECK(noted.letter != 0);
}

static void in_function()
{
    static thread_local Noted c('c');

    touch(c);
}

int main()
{
    watchdog();
    for (int round = 0; round < 10; round++) {
        std::vector<std::string> records(20);
        std::vector<std::thread> threads;

        for (int i = 0; i < 20; i++) {
            threads.emplace_back([&records, i] {
                record = &records[i];
                if (i % 2) {
                    in_function();
                    std::this_thread::yield();
                    in_function();
                    touch(a);
                } else {
                    touch(b);
                    std::this_thread::yield();
                    in_function();
                }
            });
        }
        for (auto &thread : threads) {
            thread.join();
        }
        CHECK_EQ(alive.load(), 0);
        for (int i = 0; i < 20; i++) {
            /* a and b are made together, at the first use of either in the file. */
            CHECK(records[i] == (i % 2 ? "cabbac" : "abccba"));
        }
    }
    return 0;
}
