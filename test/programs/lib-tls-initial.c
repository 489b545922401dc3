/* A library with initial-exec TLS, small enough for the static surplus, for tls-dlopen-initial.c:
 * ld.so has to initialise it in every thread that exists when the library is opened. */
static __thread int value __attribute__((tls_model("initial-exec"))) = 42;
static __thread char block[64] __attribute__((tls_model("initial-exec"))) = "initial";

int *tls_value(void)
{
    return &value;
}

char *tls_block(void)
{
    return block;
}
