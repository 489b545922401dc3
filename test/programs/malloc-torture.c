/*
 * malloc, realloc, calloc and free from many threads, blocks freed by other threads than the one
 * that allocated them, contents intact (C11 7.22.3).
 */
#include "check.h"

#include <sched.h>

enum { THREADS = 16, ROUNDS = 3000, SLOTS = 64 };

struct block {
    size_t size;
    unsigned char fill, data[];
};

static struct block *slots[SLOTS];

static void check(struct block *block)
{
    for (size_t i = 0; i < block->size; i += 61) {
        CHECK_EQ(block->data[i], block->fill);
    }
}

static void *body(void *argument)
{
    unsigned random = (unsigned)(int)(long)argument * 12345 + 7;

    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1103515245 + 12345;
        /* Mostly small, now and then large enough for a mapping of its own. */
        size_t size = random >> 28 == 0 ? 200000 : (random >> 8) % 3000;
        struct block *block = i % 3 ? malloc(sizeof(*block) + size)
                                    : calloc(1, sizeof(*block) + size);

        CHECK(block != NULL);
        if (i % 3 == 0) {
            block->size = size;
            check(block);
        }
        block->size = size;
        block->fill = (unsigned char)(random >> 16);
        memset(block->data, block->fill, size);
        if (i % 5 == 0) {
            block = realloc(block, sizeof(*block) + size * 2);
            CHECK(block != NULL);
            check(block);
            block->size = size * 2;
            memset(block->data, block->fill, block->size);
        }
        struct block *other = __atomic_exchange_n(&slots[random >> 20 & (SLOTS - 1)], block,
                                                  __ATOMIC_ACQ_REL);
        if (other) {
            check(other);
            free(other);
        }
        if (i % 100 == 0) {
            sched_yield();
        }
        if (i % 1000 == 0) {
            usleep(10);
        }
    }
    return NULL;
}

int main(void)
{
    watchdog();
    run_threads(THREADS, body);
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i]) {
            check(slots[i]);
            free(slots[i]);
        }
    }
    return 0;
}
