/*
 * A pipeline of threads, each a stage that takes items from a small bounded queue and passes them
 * on changed; nothing is lost, doubled or reordered (producer and consumer with conditions).
 */
#include "check.h"

enum { STAGES = 20, ITEMS = 500, ROOM = 3 };

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, not_full;
    long items[ROOM];
    int head, count;
};

static struct queue queues[STAGES + 1];

static void put(struct queue *queue, long item)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == ROOM) {
        pthread_cond_wait(&queue->not_full, &queue->mutex);
    }
    queue->items[(queue->head + queue->count++) % ROOM] = item;
    pthread_cond_signal(&queue->not_empty);
    pthread_mutex_unlock(&queue->mutex);
}

static long get(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0) {
        pthread_cond_wait(&queue->not_empty, &queue->mutex);
    }
    long item = queue->items[queue->head];
    queue->head = (queue->head + 1) % ROOM;
    queue->count--;
    pthread_cond_signal(&queue->not_full);
    pthread_mutex_unlock(&queue->mutex);
    return item;
}

static void *stage(void *argument)
{
    struct queue *in = argument;
    long item;

    do {
        item = get(in);
        put(in + 1, item < 0 ? item : item + 1);
    } while (item >= 0);
    return NULL;
}

static void *source(void *argument)
{
    for (long i = 0; i < ITEMS; i++) {
        put(argument, i * 1000);
    }
    put(argument, -1);
    return NULL;
}

int main(void)
{
    pthread_t threads[STAGES + 1];

    watchdog();
    for (int i = 0; i <= STAGES; i++) {
        pthread_mutex_init(&queues[i].mutex, NULL);
        pthread_cond_init(&queues[i].not_empty, NULL);
        pthread_cond_init(&queues[i].not_full, NULL);
    }
    for (int i = 0; i < STAGES; i++) {
        threads[i] = start(stage, &queues[i]);
    }
    threads[STAGES] = start(source, &queues[0]);
    for (long i = 0; i < ITEMS; i++) {
        CHECK_EQ(get(&queues[STAGES]), i * 1000 + STAGES);
    }
    CHECK_EQ(get(&queues[STAGES]), -1);
    for (int i = 0; i <= STAGES; i++) {
        finish(threads[i]);
    }
    printf("%d items through %d stages\n", ITEMS, STAGES);
    return 0;
}
