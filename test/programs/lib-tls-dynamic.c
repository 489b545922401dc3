/* A library with global-dynamic TLS, for tls-dlopen-dynamic.c. */
static __thread int value = 42;
static __thread char block[3000] = "dynamic";

int *tls_value(void)
{
    return &value;
}

char *tls_block(void)
{
    return block;
}
