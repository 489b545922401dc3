// For tls-dlopen-destructor.c: a thread_local object whose destructor is code of this library.
static int *counter;

struct Counted {
    bool used = false;
    ~Counted()
    {
        if (used)
            __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
    }
};

static thread_local Counted counted;

extern "C" void tls_use(int *count)
{
    counter = count;
    counted.used = true;
}
