"""A C++ framework: Asio, whose io_context several threads run; thread pool, strands, futures, timers, and the
resolver in its own thread."""

from common import row
from tools import timed

ECHO = r"""
#include <asio.hpp>
#include <asio/use_future.hpp>
#include <atomic>
#include <future>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>
using asio::ip::tcp;

struct session : std::enable_shared_from_this<session> {
    tcp::socket socket;
    char data[4096];
    explicit session(tcp::socket s) : socket(std::move(s)) {}
    void go()
    {
        auto self = shared_from_this();
        socket.async_read_some(asio::buffer(data), [self](std::error_code e, std::size_t n) {
            if (!e)
                asio::async_write(self->socket, asio::buffer(self->data, n), [self](std::error_code f, std::size_t) {
                    if (!f)
                        self->go();
                });
        });
    }
};

static void accept(tcp::acceptor &a)
{
    a.async_accept([&a](std::error_code e, tcp::socket s) {
        if (e)
            return;
        std::make_shared<session>(std::move(s))->go();
        accept(a);
    });
}

int main()
{
    asio::io_context context;
    tcp::acceptor acceptor(context, { asio::ip::address_v4::loopback(), 0 });
    const auto port = acceptor.local_endpoint().port();
    accept(acceptor);
    std::vector<std::thread> runners, clients;
    for (int i = 0; i < 8; i++)
        runners.emplace_back([&] { context.run(); });

    std::atomic<long> right{ 0 };
    for (int i = 0; i < 32; i++)
        clients.emplace_back([&, i] {
            asio::io_context mine;
            tcp::socket s(mine);
            s.connect({ asio::ip::address_v4::loopback(), port });
            std::string out(1 + i * 100, char('a' + i % 26)), in(out.size(), 0);
            for (int k = 0; k < ROUNDS; k++) {
                asio::write(s, asio::buffer(out));
                asio::read(s, asio::buffer(in));
                right += in == out;
            }
        });
    for (auto &c : clients)
        c.join();
    std::cout << right << '\n';

    tcp::resolver resolver(context);
    std::cout << resolver.async_resolve("localhost", "80", asio::use_future).get().empty() << '\n';
    try {
        resolver.async_resolve("name.invalid", "80", tcp::resolver::numeric_host, asio::use_future).get();
    } catch (const std::system_error &) {
        std::cout << "no such name\n";
    }

    // In turns on a strand, however many threads there are: no lock needed.
    auto strand = asio::make_strand(context);
    long n = 0;
    std::promise<void> all;
    for (int i = 0; i < 10000; i++)
        asio::post(strand, [&, i] {
            n += i;
            if (i == 9999)
                all.set_value();
        });
    all.get_future().get();
    std::cout << n << '\n';

    asio::thread_pool pool(16);
    std::atomic<long> done{ 0 };
    for (int i = 0; i < 1000; i++)
        asio::post(pool, [&] { done++; });
    pool.join();
    std::cout << done << '\n';

    asio::steady_timer timer(context, std::chrono::seconds(60));
    auto waiting = timer.async_wait(asio::use_future);
    timer.cancel();
    try {
        waiting.get();
    } catch (const std::system_error &e) {
        std::cout << "cancelled\n";
    }
    acceptor.close();
    context.stop();
    for (auto &r : runners)
        r.join();
    std::cout << std::async(std::launch::async, [] { return 42; }).get() << '\n';
}
"""


@row("asio, C++", "libasio-dev", "57", ["g++"], limit=240)
def asio(run):
    source = run.write("echo.cc", ECHO.replace("ROUNDS", "20" if run.quick else "2000"))
    run.output(["g++", "-std=c++17", "-O1", source, "-o", run.path("echo"), "-pthread"], under=False, timeout=150)
    run.answer("output", timed(run, "32 connections", [run.path("echo")]).decode())
