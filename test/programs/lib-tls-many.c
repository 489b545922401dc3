/* For tls-dlopen-live.c: initial-exec TLS that ld.so has to initialise in every thread, and the usual
 * kind, which each thread gets when it first looks. */
static __thread int initial[4] __attribute__((tls_model("initial-exec"))) = { 1, 2, 3, 4 };
static __thread int zero __attribute__((tls_model("initial-exec")));
static __thread int dynamic[100] = { 5, 6, 7 };

int tls_sum(int add)
{
    int sum = initial[0] + initial[1] + initial[2] + initial[3] + zero + dynamic[0] + dynamic[1] +
              dynamic[2] + dynamic[99];

    zero += add;
    dynamic[99] += add;
    return sum;
}
