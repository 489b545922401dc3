/* What belongs to a thread stays with it while threads compute side by side: vector registers, x87
 * registers and rounding modes in long loops without calls, the kernel's signal mask, the alternate
 * signal stack, errno. An argument says how many times as long. */
#include "check.h"

#include <fenv.h>
#include <immintrin.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#define THREADS 8
#define ROUNDS  150
#define STEPS   200000

static int times = 1;
static _Thread_local char *my_stack;
static _Thread_local volatile int on_my_stack;

static void handler(int sig)
{
    char here;
    (void)sig;
    on_my_stack = &here >= my_stack && &here < my_stack + SIGSTKSZ;
}

/* Eight lanes of a generator whose state never leaves the registers. */
__attribute__((target("avx2"), noinline)) static uint32_t vectors(uint32_t seed)
{
    __m256i a = _mm256_add_epi32(_mm256_set1_epi32((int)seed),
                                 _mm256_set_epi32(1, 2, 3, 4, 5, 6, 7, 8));
    __m256i b = _mm256_slli_epi32(a, 7), c = _mm256_xor_si256(a, b), d = _mm256_add_epi32(b, c);
    for (int i = 0; i < STEPS; i++) {
        a = _mm256_add_epi32(_mm256_xor_si256(a, _mm256_slli_epi32(a, 13)), d);
        b = _mm256_xor_si256(_mm256_add_epi32(b, a), _mm256_srli_epi32(b, 17));
        c = _mm256_add_epi32(_mm256_xor_si256(c, _mm256_slli_epi32(c, 5)), b);
        d = _mm256_xor_si256(d, c);
    }
    uint32_t lanes[8], sum = 0;
    _mm256_storeu_si256((__m256i *)lanes,
                        _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d)));
    for (int i = 0; i < 8; i++)
        sum = sum * 31 + lanes[i];
    return sum;
}

/* Depends on the rounding mode, in the x87 unit and in the vector unit. */
static __attribute__((noinline)) uint64_t rounding(uint32_t seed)
{
    volatile long double x = 1.0L + seed, third = 3.0L;
    volatile double y = 1.0 + seed, seventh = 7.0;
    for (int i = 0; i < STEPS / 20; i++) {
        x = x / third + 1.0L;
        y = y / seventh + 1.0;
    }
    long double lx = x;
    double ly = y;
    uint64_t a, b;
    memcpy(&a, &lx, sizeof a);
    memcpy(&b, &ly, sizeof b);
    return a * 31 + b;
}

static uint64_t kernel_mask(void)
{
    uint64_t mask;
    SYS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8));
    return mask;
}

/* What the kernel has for this thread now. */
static void check_kernel(uint64_t mask, bool alternate)
{
    stack_t now;
    CHECK_EQ(kernel_mask(), mask);
    SYS(syscall(SYS_sigaltstack, NULL, &now));
    CHECK(alternate ? now.ss_sp == my_stack : now.ss_flags & SS_DISABLE);
    on_my_stack = -1;
    OK(raise(SIGUSR1));
    CHECK_EQ(on_my_stack, alternate);
}

static void *body(void *arg)
{
    static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
    long id = (long)arg;
    bool avx2 = __builtin_cpu_supports("avx2");
    /* Every second thread has an alternate stack; two at a time have the same mask. */
    bool alternate = id % 2;
    stack_t stack = { .ss_sp = malloc(SIGSTKSZ), .ss_size = SIGSTKSZ };
    my_stack = stack.ss_sp;
    if (alternate)
        SYS(sigaltstack(&stack, NULL));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + (int)id / 2);
    OK(pthread_sigmask(SIG_SETMASK, &set, NULL));
    uint64_t mask = kernel_mask();
    CHECK(mask != 0);
    fesetround(modes[id % 4]);
    uint32_t seed = (uint32_t)id * 2654435761u;
    uint32_t expected = avx2 ? vectors(seed) : 0;
    uint64_t rounded = rounding(seed);
    for (int i = 0; i < ROUNDS * times; i++) {
        errno = (int)id + 1;
        if (avx2)
            CHECK_EQ(vectors(seed), expected);
        CHECK(rounding(seed) == rounded);
        CHECK_EQ(errno, id + 1);
        CHECK_EQ(fegetround(), modes[id % 4]);
        check_kernel(mask, alternate);
        struct timespec t = { 0, 200000 };
        SYS(nanosleep(&t, NULL));
        check_kernel(mask, alternate);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    watchdog();
    if (argc > 1) {
        times = atoi(argv[1]);
        alarm(60 * (unsigned)times);
    }
    struct sigaction a = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
    SYS(sigaction(SIGUSR1, &a, NULL));
    run_threads(THREADS, body);
    puts("nothing got mixed up");
    return 0;
}
