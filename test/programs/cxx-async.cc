/*
 * std::async, std::promise, std::packaged_task and futures carry values and exceptions between
 * threads; a deferred task runs in the waiting thread ([futures]).
 */
#include "check.h"

#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

static int fibonacci(int n)
{
    if (n < 2) {
        return n;
    }
    auto left = std::async(std::launch::async, fibonacci, n - 1);
    int right = fibonacci(n - 2);
    return left.get() + right;
}

int main()
{
    watchdog();
    CHECK_EQ(fibonacci(12), 144);

    auto failing = std::async(std::launch::async, []() -> int {
        usleep(1000);
        throw std::runtime_error("thrown");
    });
    bool caught = false;
    try {
        failing.get();
    } catch (const std::runtime_error &error) {
        caught = !strcmp(error.what(), "thrown");
    }
    CHECK(caught);

    auto self = std::this_thread::get_id();
    auto deferred = std::async(std::launch::deferred, [] { return std::this_thread::get_id(); });
    CHECK(deferred.get() == self);

    std::promise<int> promise;
    auto shared = promise.get_future().share();
    std::vector<std::thread> threads;
    std::atomic<int> sum{ 0 };
    for (int i = 0; i < 20; i++) {
        threads.emplace_back([shared, &sum] { sum += shared.get(); });
    }
    CHECK(shared.wait_for(std::chrono::milliseconds(5)) == std::future_status::timeout);
    promise.set_value(3);
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK_EQ(sum.load(), 60);

    std::packaged_task<int(int)> task([](int n) { return n * 2; });
    auto result = task.get_future();
    std::thread(std::move(task), 21).join();
    CHECK_EQ(result.get(), 42);

    /* At thread exit, after the thread's locals are gone. */
    std::promise<int> late;
    auto late_result = late.get_future();
    std::thread([late = std::move(late)]() mutable { late.set_value_at_thread_exit(9); }).detach();
    CHECK_EQ(late_result.get(), 9);

    std::future<int> broken;
    {
        std::promise<int> gone;
        broken = gone.get_future();
    }
    try {
        broken.get();
    } catch (const std::future_error &error) {
        return error.code() == std::future_errc::broken_promise ? 0 : 1;
    }
    return 1;
}
