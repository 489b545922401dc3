/*
 * No wake-up is lost: rings of threads hand a token on, each waiting for its turn with plain and
 * timed waits, while signals race with time-outs (POSIX pthread_cond_wait, atomic release).
 */
#include "check.h"

enum { RINGS = 4, MEMBERS = 6, LAPS = 150 };

struct ring {
    pthread_mutex_t mutex;
    pthread_cond_t cond[MEMBERS];
    int turn, timeouts;
};

static struct ring rings[RINGS];

static void *body(void *argument)
{
    struct ring *ring = &rings[*(int *)argument / MEMBERS];
    int me = *(int *)argument % MEMBERS;
    unsigned random = (unsigned)*(int *)argument;

    for (int lap = 0; lap < LAPS; lap++) {
        OK(pthread_mutex_lock(&ring->mutex));
        while (ring->turn % MEMBERS != me) {
            random = random * 1103515245 + 12345;
            if (random >> 16 & 1) {
                OK(pthread_cond_wait(&ring->cond[me], &ring->mutex));
            } else {
                struct timespec t = from_now(CLOCK_REALTIME, 0);

                t.tv_nsec += (long)(random >> 17) % 400 * 1000;
                if (t.tv_nsec >= 1000000000) {
                    t.tv_sec++;
                    t.tv_nsec -= 1000000000;
                }
                int error = pthread_cond_timedwait(&ring->cond[me], &ring->mutex, &t);
                CHECK(error == 0 || error == ETIMEDOUT);
                ring->timeouts += error != 0;
            }
        }
        CHECK_EQ(ring->turn / MEMBERS, lap);
        ring->turn++;
        OK(pthread_cond_signal(&ring->cond[ring->turn % MEMBERS]));
        OK(pthread_mutex_unlock(&ring->mutex));
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[RINGS * MEMBERS];
    int numbers[RINGS * MEMBERS];

    watchdog();
    for (int i = 0; i < RINGS; i++) {
        OK(pthread_mutex_init(&rings[i].mutex, NULL));
        for (int k = 0; k < MEMBERS; k++) {
            OK(pthread_cond_init(&rings[i].cond[k], NULL));
        }
    }
    for (int i = 0; i < RINGS * MEMBERS; i++) {
        numbers[i] = i;
        threads[i] = start(body, &numbers[i]);
    }
    for (int i = 0; i < RINGS * MEMBERS; i++) {
        finish(threads[i]);
    }
    for (int i = 0; i < RINGS; i++) {
        CHECK_EQ(rings[i].turn, MEMBERS * LAPS);
    }
    return 0;
}
