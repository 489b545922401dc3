/*
 * omp64: an OpenMP loop with 64 threads, many more than there are CPUs. Each of them does its part of the
 * loop and waits for the others at its end, in libgomp's own barrier. Prints wall and CPU time of one
 * such loop.
 */
#include "bench.h"
#include <omp.h>

enum { THREADS = 64, N = 1 << 16 };

static double a[N], b[N];

static uint64_t loops(uint64_t n)
{
    uint64_t start = bench_now();

    for (uint64_t k = 0; k < n; k++) {
#pragma omp parallel for num_threads(THREADS) schedule(static)
        for (int i = 0; i < N; i++)
            a[i] = a[i] * 0.5 + b[i];
    }
    return bench_now() - start;
}

int main(int argc, char **argv)
{
    double seconds = bench_seconds(argc, argv, 2);
    uint64_t cpu, wall;

    omp_set_dynamic(0);
    for (int i = 0; i < N; i++)
        b[i] = i;
    double us = bench_measure(loops, seconds) / 1e3;
    for (int i = 0; i < N; i++)
        if (a[i] < b[i] || a[i] > 2 * b[i])
            bench_die("a[%d] is %g: a part of a loop was not done", i, a[i]);
    cpu = bench_cpu();
    wall = loops(20);
    cpu = bench_cpu() - cpu;
    (void)wall;
    bench_print("omp64", us, "us");
    bench_print("omp64_cpu", (double)cpu / 20e3, "us");
    return 0;
}
